"""What happened: launches and audit events, to be read and exported; nobody changes them here or anywhere."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Left, Lower
from django.db.models.lookups import Exact
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, StreamingHttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import ChoicesDropdownFilter

from accounts.models import User
from omaccess import csv_file
from omaccess.admin.filters import (
    CauseFilter,
    KindFilter,
    LaunchPersonFilter,
    PersonFilter,
    ReferenceFilter,
    Since,
    Until,
)
from omaccess.admin.pages import ReadOnlyAdmin
from omaccess.admin.site import site
from omaccess.admin.words import NOTHING, admin_of, cause_title, display, known_cause, moment
from omaccess.audit import Kind, record
from omaccess.audit.export import FORMATS
from omaccess.failures import explain
from omaccess.meta import Meta
from omaccess.models import AuditEvent, AuditHead, HostAccount, Launch
from omaccess.models.access import few
from omaccess.models.launches import normalise_reference
from omaccess.models.search_key import begins
from omaccess.search import clean_query

CONTENT_TYPES = {"csv": csv_file.CONTENT_TYPE, "jsonl": "application/jsonl; charset=utf-8"}


@admin.register(Launch, site=site)
class LaunchAdmin(ReadOnlyAdmin):
    search_fields = ["reference"]
    search_help_text = _("Reference, user name, or the host's present name from the beginning.")
    list_display = ["reference", "asked", "user_name", "host_name", "account_name", "state_text", "cause_text"]
    list_filter = [("state", ChoicesDropdownFilter), CauseFilter, LaunchPersonFilter]
    ordering = ["-id"]
    sortable_by: list[str] = []
    is_endless = True
    fieldsets = [
        (None, {"fields": [("reference", "state"), ("cause_text", "remedy")]}),
        (
            _("Who and what"),
            {
                "fields": [
                    ("user_name", "grant_text"),
                    ("host_name", "host_address"),
                    ("account_name", "instance_name"),
                    ("reason", "ticket"),
                    "iam_user",
                ]
            },
        ),
        (
            _("What Huawei Cloud answered"),
            {
                "fields": [
                    ("upstream_state", "upstream_code"),
                    "upstream_description",
                    ("request_id", "login_origin"),
                    ("token_time", "link_time"),
                    "retry_after_seconds",
                ]
            },
        ),
        (_("When"), {"fields": [("asked", "attempted"), ("ended", "attempt")]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Launch]:
        rows: QuerySet[Launch] = super().get_queryset(request)
        return rows.select_related("account__host__instance")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Launch], search_term: str
    ) -> tuple[QuerySet[Launch], bool]:
        """By indexes only, each asked by itself: a database that has to find the three in one go reads the table."""
        text = clean_query(search_term)
        if not text:
            return queryset, False
        found = Q(reference=normalise_reference(text)) | Q(user__in=list(User.objects.filter(username=text)))
        on_hosts = begins("host__name", text)
        accounts = few(HostAccount.objects.filter(on_hosts).values_list("pk", flat=True))
        found |= begins("account__host__name", text) if accounts is None else Q(account__in=accounts)
        return queryset.filter(found), False

    @display(description=_("asked at"))
    def asked(self, launch: Launch) -> str:
        return moment(launch.created_at, seconds=True)

    @display(description=_("last attempt at"))
    def attempted(self, launch: Launch) -> str:
        return moment(launch.attempted_at, seconds=True)

    @display(description=_("ended at"))
    def ended(self, launch: Launch) -> str:
        return moment(launch.ended_at, seconds=True)

    @display(description=_("time for the token"))
    def token_time(self, launch: Launch) -> str:
        return _seconds(launch.token_seconds)

    @display(description=_("time for the link"))
    def link_time(self, launch: Launch) -> str:
        return _seconds(launch.link_seconds)

    @display(
        description=_("state"),
        label={
            "opened": "success",
            "pending": "info",
            "waiting": "info",
            "refused": "warning",
            "denied": "warning",
            "failed": "danger",
        },
    )
    def state_text(self, launch: Launch) -> tuple[str, str]:
        return launch.state, str(launch.get_state_display())

    @display(description=_("cause"))
    def cause_text(self, launch: Launch) -> str:
        return cause_title(launch.cause)

    @display(description=_("what an admin can do"))
    def remedy(self, launch: Launch) -> str:
        cause = known_cause(launch.cause)
        return explain(cause, launch=launch).admin_remedy if cause else NOTHING


@admin.register(AuditEvent, site=site)
class AuditEventAdmin(ReadOnlyAdmin):
    """The evidence, newest first. Only whole answers of the database are shown; the proof is `audit_verify`."""

    list_before_template = "admin/omaccess/auditevent/export.html"
    search_fields = ["reference"]
    search_help_text = _("Reference, user name, or what it is about from the beginning.")
    list_display = ["position", "when", "kind", "actor_name", "target_name", "reference", "cause_text", "address"]
    list_filter = [KindFilter, PersonFilter, Since, Until, ReferenceFilter, CauseFilter]
    ordering = ["-position"]
    sortable_by: list[str] = []
    is_endless = True
    fieldsets = [
        (None, {"fields": ["story"]}),
        (
            _("Who and what"),
            {"fields": [("actor_name", "actor_id"), ("target_type", "target_id"), "target_name", "cause_text"]},
        ),
        (_("From where"), {"fields": [("address", "request_id"), "browser"]}),
        (
            _("Its place in the chain"),
            {"fields": [("position", "exactly_at"), ("kind", "reference"), "id", "hash", "previous_hash"]},
        ),
    ]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[AuditEvent], search_term: str
    ) -> tuple[QuerySet[AuditEvent], bool]:
        """By indexes only: in a log of years nothing else comes back in time.

        Few events are found by one index after the other; many are met soon on the way down from the newest.
        """
        text = clean_query(search_term)
        if not text:
            return queryset, False
        is_named = Q(reference=normalise_reference(text)), Q(actor_name=text)
        found: set[int] | None = set()
        for condition in (*is_named, begins("target_name", text)):
            positions = few(AuditEvent.objects.filter(condition).values_list("position", flat=True))
            found = None if found is None or positions is None else found | positions
        if found is not None:
            return queryset.filter(position__in=found), False
        # Not by an index, for that would sort all that it finds.
        begins_so = Q(Exact(Lower(Left("target_name", len(text))), text.lower()))
        return queryset.filter(is_named[0] | is_named[1] | begins_so), False

    def get_ordering(self, request: HttpRequest) -> list[str]:
        """By time when a time is asked for, by that index then. Otherwise by position, which no clock can change."""
        is_by_time = request.GET.get(Since.parameter_name) or request.GET.get(Until.parameter_name)
        return ["-at", "-position"] if is_by_time else ["-position"]

    @display(description=_("at"))
    def when(self, event: AuditEvent) -> str:
        return moment(event.at, seconds=True)

    @display(description=_("at, as it is hashed (UTC)"))
    def exactly_at(self, event: AuditEvent) -> str:
        return event.at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")

    @display(description=_("cause"))
    def cause_text(self, event: AuditEvent) -> str:
        return cause_title(event.cause)

    @display(description=_("what happened"))
    def story(self, event: AuditEvent) -> SafeString:
        """The kind's own template; it escapes every fact."""
        names = [template_of(event.kind), "omaccess/audit/unknown.html"]
        facts = event.facts if isinstance(event.facts, dict) else {"facts": event.facts}
        context = {
            "event": event,
            "facts": [(name, _lines(value)) for name, value in sorted(facts.items())],
            "changes": _changes(facts),
        }
        return mark_safe(render_to_string(names, context))  # noqa: S308 - a template's output

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {**(extra_context or {}), "may_export": request.user.has_perm("omaccess.export_audit")}
        response: HttpResponse = super().changelist_view(request, context)
        return response

    def get_urls(self) -> list[URLPattern]:
        own = [path("export/", self.admin_site.admin_view(self.export), name="omaccess_auditevent_export")]
        return [*own, *super().get_urls()]

    @method_decorator(require_POST)
    def export(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """The filtered events as a file. The filters are the list's own, in the address; recorded before it begins."""
        if not request.user.has_perm("omaccess.export_audit") or not self.has_view_permission(request):
            raise PermissionDenied
        name = request.POST.get("format", "")
        if name not in FORMATS:
            return HttpResponseBadRequest("format is csv or jsonl", content_type="text/plain")
        try:
            events = self.get_changelist_instance(request).get_queryset(request)
        except IncorrectLookupParameters:
            return HttpResponseBadRequest("a filter is not understood", content_type="text/plain")
        with transaction.atomic():
            # Without a head `record` refuses, and that is the answer then.
            end = AuditHead.objects.values_list("position", flat=True).first() or 0
            filters = {key: request.GET.getlist(key) for key in sorted(request.GET)}
            record(
                Kind.AUDIT_EXPORTED,
                by=admin_of(request),
                meta=Meta.of(request),
                filters=filters,
                format=name,
                up_to=end,
            )
        response = StreamingHttpResponse(
            FORMATS[name](events.filter(position__lte=end)), content_type=CONTENT_TYPES[name]
        )
        moment = timezone.now().strftime("%Y%m%dT%H%M%SZ")
        response["Content-Disposition"] = f'attachment; filename="audit-{moment}.{name}"'
        response["Cache-Control"] = "no-store"
        return response


def _seconds(seconds: float | None) -> str:
    return NOTHING if seconds is None else gettext("%(seconds)s s") % {"seconds": f"{seconds:.2f}"}


def template_of(kind: str) -> str:
    """`launch:opened` is told by `omaccess/audit/launch_opened.html`."""
    return f"omaccess/audit/{kind.replace(':', '_')}.html"


def _changes(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Before and after, side by side: what changed first, each in the order of the alphabet."""
    before, after = facts.get("before") or {}, facts.get("after") or {}
    found = []
    for name in sorted({*before, *after}):
        is_changed = bool(before) and before.get(name) != after.get(name)
        old, new = _lines(before.get(name)), _lines(after.get(name))
        if is_changed and isinstance(after.get(name), list):
            old, new = _without_common(old, new)
        found.append({"name": name, "before": old, "after": new, "is_changed": is_changed})
    return sorted(found, key=lambda change: not change["is_changed"])


def _without_common(old: list[str], new: list[str]) -> tuple[list[str], list[str]]:
    """Two lists of rows without those that stand in both, and how many these are."""
    same = [line for line in old if line in new]
    note = [ngettext("and %(number)d the same", "and %(number)d the same", len(same)) % {"number": len(same)}]
    more = note if same else []
    return [line for line in old if line not in same] + more, [line for line in new if line not in same] + more


def _lines(value: Any) -> list[str]:
    """A fact as lines of text: one for each entry of a list, `name: value` for those of a mapping."""
    if value is None or value == "":
        return []
    if isinstance(value, list):
        return [_line(item) for item in value]
    if isinstance(value, dict):
        return [f"{name}: {_line(item)}" for name, item in sorted(value.items())]
    return [_line(value)]


def _line(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name}: {_line(item)}" for name, item in value.items() if item != "")
    if isinstance(value, list):
        return ", ".join(map(_line, value))
    if isinstance(value, bool):
        return gettext("yes") if value else gettext("no")
    text = str(value)
    # A space at an end is part of a name in CBH, and could not be seen.
    return text if text == text.strip() else f"\N{LEFT DOUBLE QUOTATION MARK}{text}\N{RIGHT DOUBLE QUOTATION MARK}"
