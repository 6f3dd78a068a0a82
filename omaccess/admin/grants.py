"""Grants: given, changed in their conditions, revoked. Who and what kind of target stay as they were given."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import AutocompleteSelectFilter, ChoicesDropdownFilter
from unfold.forms import PaginationInlineFormSet

from omaccess.actions import grants
from omaccess.admin.filters import GrantStateFilter
from omaccess.admin.pages import AuditedAdmin, RowInline, odd_text
from omaccess.admin.site import site
from omaccess.admin.words import NOTHING, admin_of, display, moment, moment_text
from omaccess.errors import InvalidTransition
from omaccess.meta import Meta
from omaccess.models import Grant, GrantAccount, GrantLabel
from omaccess.policies import is_in_force

AT_ONCE = 500
"""How many grants one bulk action revokes; each is an event of its own."""


def _kept(formset: BaseInlineFormSet[Any, Any, Any]) -> int:
    """How many rows there will be."""
    return sum(
        1
        for form in formset.forms
        if form.cleaned_data.get("DELETE") is not True and (form.instance.pk or form.has_changed())
    )


class LabelFormSet(PaginationInlineFormSet):  # type: ignore[misc]
    def clean(self) -> None:
        """Deny by default: a grant by labels without any clause would say nothing, not everything."""
        super().clean()
        if any(self.errors):
            return
        by_labels = self.instance.target == Grant.Target.LABELS
        if by_labels and not _kept(self):
            raise ValidationError(_("A grant for hosts with labels needs at least one label clause."))
        if not by_labels and _kept(self):
            raise ValidationError(_("Label clauses belong to grants for hosts with labels only."))


class AccountFormSet(PaginationInlineFormSet):  # type: ignore[misc]
    def clean(self) -> None:
        super().clean()
        if any(self.errors):
            return
        if self.instance.every_account and _kept(self):
            raise ValidationError(_("Choose every account, or name some; not both."))
        if not self.instance.every_account and not _kept(self):
            raise ValidationError(_("Name at least one account, or choose every account."))


class GrantLabelInline(RowInline):
    model = GrantLabel
    formset = LabelFormSet
    verbose_name_plural = _("label clauses: a host must match every one of them")


class GrantAccountInline(RowInline):
    model = GrantAccount
    formset = AccountFormSet
    verbatim = ["name"]
    verbose_name_plural = _("account names, compared exactly")


class GrantForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Grant
        fields = "__all__"  # noqa: DJ007 - the admin's fieldsets choose

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance.pk and "valid_from" in self.fields:
            self.initial.setdefault("valid_from", timezone.now().replace(second=0, microsecond=0))


@admin.register(Grant, site=site)
class GrantAdmin(AuditedAdmin):
    change_class = grants.GrantChange
    form = GrantForm
    change_form_outer_before_template = "admin/omaccess/grant/about.html"
    list_before_template = "admin/omaccess/grant/note.html"
    inlines = [GrantAccountInline, GrantLabelInline]
    autocomplete_fields = ["user", "group", "host"]
    list_display = ["subject", "target_text", "accounts", "state", "begins", "ends", "conditions"]
    list_display_links = ["subject"]
    list_filter = [
        GrantStateFilter,
        ("target", ChoicesDropdownFilter),
        ("user", AutocompleteSelectFilter),
        ("group", AutocompleteSelectFilter),
        ("host", AutocompleteSelectFilter),
    ]
    list_select_related = ["user", "group", "host"]
    list_disable_select_all = True
    is_endless = True
    search_fields = ["user__username__istartswith", "group__name__istartswith", "host__name__istartswith"]
    search_help_text = _("User name, group or host, from the beginning.")
    actions = ["revoke_selected"]
    readonly_fields = ["created_by", "created", "revoked", "revoked_by"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        may_change = self.has_change_permission(request, obj) if obj else True
        found: list[Any] = [
            (
                _("Who"),
                {
                    "fields": [("user", "group")],
                    "description": _("One person or one group; never yourself, nor a group you are in."),
                },
            ),
            (_("What"), {"fields": [("target", "host"), "every_account"]}),
            (_("When"), {"fields": ["valid_from", "valid_until"] if may_change else ["begins", "ends"]}),
            (
                _("On which conditions"),
                {"fields": [("is_reason_required", "is_step_up_required"), "ticket_pattern", "note"]},
            ),
        ]
        if obj:
            found.append((_("History"), {"fields": [("created_by", "created"), ("revoked_by", "revoked")]}))
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fixed = ["user", "group", "target", "host"] if obj else []
        return [*self.readonly_fields, *fixed]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """What was revoked stays as it was."""
        may: bool = super().has_change_permission(request, obj)
        return may and (obj is None or obj.revoked_at is None)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Grant]:
        rows: QuerySet[Grant] = super().get_queryset(request)
        return rows.select_related("user", "group", "host").prefetch_related("label_clauses", "account_names")

    def save_model(self, request: HttpRequest, obj: Grant, form: Any, change: bool) -> None:
        if not change:
            obj.created_by = admin_of(request)
        super().save_model(request, obj, form, change)

    def warnings(self, obj: Grant) -> list[str]:
        return [warning for warning in map(odd_text, obj.account_names.values_list("name", flat=True)) if warning]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Grant | None = None,
    ) -> HttpResponse:
        if obj is not None:
            context["revoked_when"] = moment_text(obj.revoked_at)
        response: HttpResponse = super().render_change_form(request, context, add, change, form_url, obj)
        return response

    @display(description=_("granted at"))
    def created(self, grant: Grant) -> str:
        return moment(grant.created_at)

    @display(description=_("revoked at"))
    def revoked(self, grant: Grant) -> str:
        return moment(grant.revoked_at)

    # --- the list --------------------------------------------------------------------------------

    @display(description=_("who"), ordering="user__username")
    def subject(self, grant: Grant) -> str:
        return grant.subject_name if grant.user_id else gettext("group %(name)s") % {"name": grant.subject_name}

    @display(description=_("reaches"))
    def target_text(self, grant: Grant) -> str:
        return grant.target_name

    @display(description=_("accounts"))
    def accounts(self, grant: Grant) -> str:
        if grant.every_account:
            return gettext("every account")
        return ", ".join(row.name for row in grant.account_names.all()) or gettext("none")

    @display(
        description=_("state"),
        label={"in_force": "success", "to_come": "info", "ended": "warning", "revoked": "danger"},
    )
    def state(self, grant: Grant) -> tuple[str, str]:
        return state_of(grant)

    @display(description=_("valid from"), ordering="valid_from")
    def begins(self, grant: Grant) -> str:
        return moment(grant.valid_from)

    @display(description=_("valid until"), ordering="valid_until")
    def ends(self, grant: Grant) -> str:
        return moment(grant.valid_until)

    @display(description=_("conditions"))
    def conditions(self, grant: Grant) -> str:
        found = []
        if grant.is_reason_required:
            found.append(gettext("reason"))
        if grant.ticket_pattern:
            found.append(gettext("ticket"))
        if grant.is_step_up_required:
            found.append(gettext("second factor"))
        return ", ".join(found) or NOTHING

    # --- revoking --------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                "<int:grant_id>/revoke/",
                self.admin_site.admin_view(self.revoke_one),
                name="omaccess_grant_revoke",
            )
        ]
        return [*own, *super().get_urls()]

    def revoke_one(self, request: HttpRequest, grant_id: int) -> HttpResponse:
        """Asks first; a POST revokes."""
        grant = get_object_or_404(self.get_queryset(request), pk=grant_id)
        if not super().has_change_permission(request):
            raise PermissionDenied
        if request.method == "POST":
            self._revoke(request, [grant])
            return redirect("admin:omaccess_grant_change", grant_id)
        return self._ask(request, [grant])

    @admin.action(description=_("Revoke the chosen grants"), permissions=["change"])
    def revoke_selected(self, request: HttpRequest, queryset: QuerySet[Grant]) -> HttpResponse | None:
        chosen = list(queryset.order_by("pk")[: AT_ONCE + 1])
        if len(chosen) > AT_ONCE:
            messages.error(request, gettext("Choose at most %(number)d grants at once.") % {"number": AT_ONCE})
            return None
        if "confirmed" not in request.POST:
            return self._ask(request, chosen, is_bulk=True)
        self._revoke(request, chosen)
        return None

    def _ask(self, request: HttpRequest, chosen: list[Grant], *, is_bulk: bool = False) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            "title": gettext("Revoke?"),
            "opts": self.opts,
            "chosen": [(grant, state_of(grant)[1], self.accounts(grant)) for grant in chosen],
            "is_bulk": is_bulk,
        }
        return TemplateResponse(request, "admin/omaccess/grant/revoke.html", context)

    def _revoke(self, request: HttpRequest, chosen: list[Grant]) -> None:
        """Each in its own transaction: what is done is done, whatever comes of the rest."""
        done = 0
        for grant in chosen:
            try:
                grants.revoke(grant, by=admin_of(request), meta=Meta.of(request))
            except InvalidTransition:
                continue  # revoked before, by whomever; that is what was wanted
            done += 1
        text = ngettext("%(number)d grant was revoked.", "%(number)d grants were revoked.", done)
        messages.success(request, text % {"number": done})


def state_of(grant: Grant) -> tuple[str, str]:
    """Where in its life a grant is: a stable word and its text."""
    now = timezone.now()
    if grant.revoked_at is not None:
        return "revoked", gettext("revoked")
    if is_in_force(grant, now):
        return "in_force", gettext("in force")
    if grant.valid_from > now:
        return "to_come", gettext("to come")
    return "ended", gettext("ended")
