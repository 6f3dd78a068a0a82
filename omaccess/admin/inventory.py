"""Instances with their login addresses; hosts with their labels and accounts; the test of an account."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import asdict
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_POST
from unfold.contrib.filters.admin import AutocompleteSelectFilter

from omaccess import search
from omaccess.actions import account_test, cloud_instances, inventory
from omaccess.actions.changes import OwnReach
from omaccess.actions.instance_matching import Proposal
from omaccess.admin.credential_cloud import may_see_instances, readers_for, too_many
from omaccess.admin.fields import EndpointField
from omaccess.admin.filters import LabelFilter
from omaccess.admin.pages import AuditedAdmin, ReadOnlyAdmin, RowInline, odd_text
from omaccess.admin.site import site
from omaccess.admin.words import admin_of, display, row_id
from omaccess.audit import Kind
from omaccess.causes import Cause
from omaccess.clients import is_login_origin_allowed
from omaccess.cloud_link import iam_user_of
from omaccess.errors import TooManyLaunches
from omaccess.meta import Meta
from omaccess.models import AuditEvent, BastionInstance, Host, HostAccount, Label, Launch, LoginAddress
from omaccess.models.access import few

SEEN_WITHIN = dt.timedelta(days=30)
SEEN_LOOKED_AT = 200
MOST_FOUND = 1_000
"""How many hosts a search lists at least, when so many match: more letters help, more pages do not."""


# --- instances -----------------------------------------------------------------------------------


class LoginAddressInline(RowInline):
    model = LoginAddress

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        """As many empty rows as a list from Huawei Cloud proposes; they are saved when the admin saves."""
        found = found_in_cloud(request) if obj is None else None
        return len(found.origins) if found is not None else self.extra

    verbose_name_plural = _(
        "login addresses: where a link may lead (link), and what the browser meets after it (redirect)"
    )


@admin.register(BastionInstance, site=site)
class BastionInstanceAdmin(AuditedAdmin):
    change_class = inventory.InstanceChange
    change_form_outer_before_template = "admin/omaccess/bastioninstance/before.html"
    inlines = [LoginAddressInline]
    autocomplete_fields = ["credential"]
    search_fields = ["name__istartswith", "region__istartswith"]
    list_display = ["name", "region", "endpoint", "credential", "links", "is_enabled"]
    list_filter = ["is_enabled"]
    list_select_related = ["credential"]
    fieldsets = [
        (None, {"fields": [("name", "is_enabled"), "help_text"]}),
        (
            _("Where it is in Huawei Cloud"),
            {"fields": [("region", "endpoint"), ("project_id", "project_name"), "server_id", ("instance_id", "ha_id")]},
        ),
        (_("What the portal signs in with"), {"fields": ["credential"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[BastionInstance]:
        rows: QuerySet[BastionInstance] = super().get_queryset(request)
        return rows.prefetch_related("login_addresses")

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> forms.Field | None:
        if db_field.name == "endpoint":
            kwargs["form_class"] = EndpointField
        field: forms.Field | None = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name == "help_text":
            field.widget.attrs["rows"] = 4
        return field

    @display(description=_("links may lead to"))
    def links(self, instance: BastionInstance) -> str:
        rows = [row.origin for row in instance.login_addresses.all() if row.kind == LoginAddress.Kind.LINK]
        return ", ".join(rows[:3]) + (" …" if len(rows) > 3 else "") if rows else gettext("none: every link is refused")

    def page_context(self, request: HttpRequest, object_id: str | None) -> dict[str, Any]:
        instance_id, is_new = row_id(object_id), object_id is None
        if not (self.has_add_permission(request) if is_new else self.has_change_permission(request)):
            return {}
        context: dict[str, Any] = {"found": found_in_cloud(request) if is_new else None}
        if request.user.has_perm("omaccess.change_iamcredential") and may_see_instances(request):
            instance = BastionInstance.objects.select_related("credential").filter(pk=instance_id or 0).first()
            context["readers"] = readers_for(instance)
        if instance_id is not None:
            context["seen_addresses"] = seen_addresses(instance_id)
        return context

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        found = found_in_cloud(request)
        if found is None:
            return super().get_changeform_initial_data(request)
        return {name: value for name, value in asdict(found).items() if name != "origins"}

    def get_formset_kwargs(self, request: HttpRequest, obj: Any, inline: Any, prefix: str) -> dict[str, Any]:
        kwargs: dict[str, Any] = super().get_formset_kwargs(request, obj, inline, prefix)
        found = found_in_cloud(request) if obj is None or obj.pk is None else None
        # Only to be shown: a row that is posted as it was proposed would otherwise count as left alone.
        if found is not None and request.method == "GET":
            kwargs["initial"] = [{"origin": origin, "kind": LoginAddress.Kind.LINK} for origin in found.origins]
        return kwargs

    def warnings(self, obj: BastionInstance) -> list[str]:
        try:
            uuid.UUID(obj.server_id)
        except ValueError:
            text = gettext(
                "The server id does not look like one of Huawei Cloud's (8-4-4-4-12 hexadecimal digits). It is the id "
                "of the instance's own server, not the instance id; a read credential can look it up."
            )
            return [text]
        return []

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                "<int:instance_id>/add-address/",
                self.admin_site.admin_view(self.add_address),
                name="omaccess_bastioninstance_add_address",
            )
        ]
        return [*own, *super().get_urls()]

    @method_decorator(require_POST)
    def add_address(self, request: HttpRequest, instance_id: int) -> HttpResponse:
        """Add an address that was seen, with one click."""
        if not self.has_change_permission(request) or not request.user.has_perm("omaccess.add_loginaddress"):
            raise PermissionDenied
        instance = get_object_or_404(BastionInstance, pk=instance_id)
        origin = request.POST.get("origin", "")
        if origin not in seen_addresses(instance_id):
            messages.error(request, _("This address is not among those that were seen, or it was added meanwhile."))
            return redirect("admin:omaccess_bastioninstance_change", instance_id)
        try:
            inventory.add_login_address(
                instance=instance,
                origin=origin,
                by=admin_of(request),
                meta=Meta.of(request),
            )
            messages.success(request, _("Links of this instance may now lead to %(origin)s.") % {"origin": origin})
        except OwnReach as refusal:
            messages.error(request, str(refusal.message))
        except ValidationError as error:
            messages.error(request, " ".join(error.messages))
        return redirect("admin:omaccess_bastioninstance_change", instance_id)


def found_in_cloud(request: HttpRequest) -> Proposal | None:
    """What a list from Huawei Cloud proposes for a new instance: in the address of the page, signed by this portal."""
    if "found" not in request.GET:
        return None
    try:
        return cloud_instances.opened(request.GET["found"])
    except cloud_instances.StaleProposal:
        return None


def seen_addresses(instance_id: int) -> list[str]:
    """Where links of this instance led that were refused for it, and which are not registered since. Newest first.

    From launches and from admins' tests of the last 30 days; only what may be registered at all.
    """
    cause = Cause.LOGIN_ADDRESS_UNKNOWN.value
    since = timezone.now() - SEEN_WITHIN
    launches = (
        Launch.objects.filter(account__host__instance=instance_id, cause=cause, created_at__gt=since)
        .exclude(login_origin="")
        .values_list("login_origin", flat=True)[:SEEN_LOOKED_AT]
    )
    tests = AuditEvent.objects.filter(kind=Kind.TEST_FAILED, cause=cause, at__gt=since)[:SEEN_LOOKED_AT]
    by_account = [(int(test.target_id), test.facts.get("login_origin", "")) for test in tests]
    here = set(
        HostAccount.objects.filter(host__instance=instance_id, pk__in={pk for pk, _origin in by_account}).values_list(
            "pk", flat=True
        )
    )
    known = set(LoginAddress.objects.filter(instance=instance_id).values_list("origin", flat=True))
    found = [*launches, *(origin for pk, origin in by_account if pk in here)]
    return [
        origin for origin in dict.fromkeys(found) if origin and origin not in known and is_login_origin_allowed(origin)
    ][:10]


# --- hosts ---------------------------------------------------------------------------------------


class LabelInline(RowInline):
    model = Label


class HostAccountInline(RowInline):
    model = HostAccount
    verbatim = ["name"]
    autocomplete_fields = ["credential"]
    show_change_link = True

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Host, site=site)
class HostAdmin(AuditedAdmin):
    change_class = inventory.HostChange
    change_form_outer_after_template = "admin/omaccess/host/accounts.html"
    verbatim = ["address"]
    inlines = [HostAccountInline, LabelInline]
    autocomplete_fields = ["instance"]
    search_fields = ["name"]
    search_help_text = _("Name or address, whole or from its beginning; key=value for a label.")
    is_endless = True
    list_display = ["name", "address", "instance", "account_names", "label_texts", "owner", "is_enabled"]
    list_filter = [("instance", AutocompleteSelectFilter), LabelFilter, "is_enabled"]
    list_select_related = ["instance"]
    fieldsets = [
        (None, {"fields": [("name", "is_enabled"), ("instance", "address"), ("owner", "contact")]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Host]:
        rows: QuerySet[Host] = super().get_queryset(request)
        return rows.prefetch_related("labels", "accounts")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Host], search_term: str
    ) -> tuple[QuerySet[Host], bool]:
        """The staff's own search: never a scan for something in the middle of a name."""
        if not search.clean_query(search_term):
            return queryset, False
        return search.find(queryset, search_term, first=MOST_FOUND), False  # type: ignore[arg-type]

    @display(description=_("accounts"))
    def account_names(self, host: Host) -> str:
        return _first([account.name for account in host.accounts.all()])

    @display(description=_("labels"))
    def label_texts(self, host: Host) -> str:
        return _first([str(label) for label in host.labels.all()])

    def warnings(self, obj: Host) -> list[str]:
        texts = [obj.address, *obj.accounts.values_list("name", flat=True)]
        return [warning for warning in map(odd_text, texts) if warning]

    def page_context(self, request: HttpRequest, object_id: str | None) -> dict[str, Any]:
        host_id = row_id(object_id)
        if host_id is None:
            return {}
        return {
            "host_accounts": HostAccount.objects.filter(host=host_id),
            "may_test": request.user.has_perm("omaccess.test_account"),
        }


@admin.register(HostAccount, site=site)
class HostAccountAdmin(ReadOnlyAdmin):
    """To find an account, look at it and test it. It is changed at its host."""

    change_form_outer_before_template = "admin/omaccess/hostaccount/test.html"
    search_fields = ["name"]
    search_help_text = _("The host's name or address, or account@host, from the beginning.")
    is_endless = True
    list_display = ["name", "host", "address", "instance", "is_privileged", "is_enabled"]
    list_filter = [("host__instance", AutocompleteSelectFilter), "is_privileged", "is_enabled"]
    list_select_related = ["host__instance"]
    fields = ["name", "host", "address", "instance", "is_privileged", "is_enabled", "signs_in_as"]
    readonly_fields = ["address", "instance", "signs_in_as"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[HostAccount]:
        rows: QuerySet[HostAccount] = super().get_queryset(request)
        return rows.select_related("host__instance__credential", "credential")

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[HostAccount], search_term: str
    ) -> tuple[QuerySet[HostAccount], bool]:
        text = search.clean_query(search_term)
        if not text:
            return queryset, False
        name, at, host = text.rpartition("@")
        if not at:
            own_name = few(HostAccount.objects.filter(name=text).values_list("pk", flat=True))
            return queryset.filter(Q(host__in=_hosts_found(text)) | Q(pk__in=own_name or ())), False
        if not host:
            return queryset.filter(name=name), False
        return queryset.filter(host__in=_hosts_found(host), name__startswith=name), False

    def get_ordering(self, request: HttpRequest) -> list[str]:
        """What was searched for by the host's name. All of them as an index has them: SQLite would sort every one."""
        is_search = request.GET.get("q") or request.GET.get("term")
        return ["host__name", "name"] if is_search else ["host_id", "name"]

    @display(description=_("address"))
    def address(self, account: HostAccount) -> str:
        return account.host.address

    @display(description=_("instance"))
    def instance(self, account: HostAccount) -> str:
        return account.host.instance.name

    @display(description=_("opened as the IAM user"))
    def signs_in_as(self, account: HostAccount) -> str:
        return f"{iam_user_of(account.launch_credential)} ({account.launch_credential})"

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = {**(extra_context or {}), "may_test": request.user.has_perm("omaccess.test_account")}
        response: HttpResponse = super().changeform_view(request, object_id, form_url, context)
        return response

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                "<int:account_id>/test/",
                self.admin_site.admin_view(self.test),
                name="omaccess_hostaccount_test",
            )
        ]
        return [*own, *super().get_urls()]

    @method_decorator(require_POST)
    def test(self, request: HttpRequest, account_id: int) -> HttpResponse:
        """Ask Huawei Cloud for a link to this account, drop it, and say what came of it."""
        if not request.user.has_perm("omaccess.test_account"):
            raise PermissionDenied
        account = HostAccount.objects.filter(pk=account_id).select_related("host").first()
        if account is None:
            raise Http404
        try:
            outcome = account_test.run(account, by=admin_of(request), meta=Meta.of(request))
        except TooManyLaunches as error:
            messages.error(request, too_many(error))
        else:
            _tell(request, account, outcome)
        if request.POST.get("back") == "host":
            return redirect("admin:omaccess_host_change", account.host_id)
        return redirect("admin:omaccess_hostaccount_change", account_id)


def _hosts_found(text: str) -> list[int]:
    """The first hosts of a search, by name."""
    found = search.find(Host.objects.all(), text, first=MOST_FOUND)
    return list(found.values_list("pk", flat=True)[:MOST_FOUND])


def _tell(request: HttpRequest, account: HostAccount, outcome: account_test.TestOutcome) -> None:
    facts = {"account": str(account), "origin": outcome.origin, "seconds": f"{outcome.seconds:.1f}"}
    if outcome.explanation is None:
        text = gettext(
            "%(account)s works: Huawei Cloud gave a link to %(origin)s after %(seconds)s s. It was thrown away."
        )
        messages.success(request, text % facts)
        return
    text = gettext("%(account)s, after %(seconds)s s: %(title)s. %(what)s %(remedy)s")
    if outcome.origin:
        text += " " + gettext("The link led to %(origin)s; the instance's page offers to add that address.")
    explanation = outcome.explanation
    facts |= {"title": explanation.title, "what": explanation.what, "remedy": explanation.admin_remedy}
    messages.error(request, text % facts)


def _first(texts: list[str], number: int = 4) -> str:
    """A list's cell: the first few, and how many more."""
    more = len(texts) - number
    shown = ", ".join(texts[:number])
    return f"{shown} +{more}" if more > 0 else shown
