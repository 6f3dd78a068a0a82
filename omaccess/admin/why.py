"""Why can, or cannot, this person open this account: the decision, and every grant that was looked at."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from accounts.models import User
from omaccess.admin.words import moment_text, row_id
from omaccess.failures import CATALOGUE, Failure
from omaccess.models import Grant, HostAccount, Launch
from omaccess.policies import Decision, decide, reaches

MAX_GRANTS = 200


class WhyForm(forms.Form):
    """Links fill it in: `?user=<id>&account=<id>`. By autocomplete: never a dropdown of everybody."""

    user = forms.ModelChoiceField(label=_("Person"), queryset=User.objects.all())
    account = forms.ModelChoiceField(
        label=_("Host account"), queryset=HostAccount.objects.select_related("host__instance")
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        from omaccess.admin.site import site

        super().__init__(*args, **kwargs)
        for name in ("user", "account"):
            field: Any = self.fields[name]
            field.widget = AutocompleteSelect(Launch._meta.get_field(name), site)
            field.widget.choices = field.choices


@dataclass(frozen=True, slots=True)
class Considered:
    """One grant of the person, with why it does or does not open this account now."""

    grant: Grant
    applies: bool
    reasons: list[str]


def considered(account: HostAccount, *, user: User, at: dt.datetime) -> list[Considered]:
    """Every grant of this person, directly or by a group, that concerns the host; those that apply first."""
    grants = (
        Grant.objects.of(user)
        .for_host(account.host_id)
        .distinct()
        .select_related("user", "group", "host", "revoked_by")
        .prefetch_related("label_clauses", "account_names")[:MAX_GRANTS]
    )
    found = []
    for grant in grants:
        reasons = [*_reach_reasons(grant, account), *_time_reasons(grant, at)]
        if not reasons and grant.is_step_up_required:
            reasons = [gettext("it asks for a second factor, which does not exist yet")]
        found.append(Considered(grant, not reasons, reasons or _conditions(grant)))
    return sorted(found, key=lambda one: not one.applies)


def _reach_reasons(grant: Grant, account: HostAccount) -> list[str]:
    if reaches(grant, account):
        return []
    reasons = []
    names = [row.name for row in grant.account_names.all()]
    if not grant.every_account and account.name not in names:
        reasons.append(gettext("its account names are %(names)s") % {"names": ", ".join(names) or gettext("none")})
    if grant.target == Grant.Target.LABELS:
        labels = {(label.key, label.value) for label in account.host.labels.all()}
        clauses = list(grant.label_clauses.all())
        missing = [str(clause) for clause in clauses if (clause.key, clause.value) not in labels]
        if missing:
            reasons.append(gettext("the host has no label %(labels)s") % {"labels": ", ".join(missing)})
        if not clauses:
            reasons.append(gettext("it has no label clause, so it reaches nothing"))
    return reasons


def _time_reasons(grant: Grant, at: dt.datetime) -> list[str]:
    if grant.revoked_at is not None:
        text = gettext("%(who)s revoked it on %(when)s")
        return [text % {"who": grant.revoked_by, "when": moment_text(grant.revoked_at)}]
    if grant.valid_from > at:
        return [gettext("it begins on %(when)s") % {"when": moment_text(grant.valid_from)}]
    if grant.valid_until is not None and grant.valid_until <= at:
        return [gettext("it ended on %(when)s") % {"when": moment_text(grant.valid_until)}]
    return []


def _conditions(grant: Grant) -> list[str]:
    found = []
    if grant.is_reason_required:
        found.append(gettext("with a reason"))
    if grant.ticket_pattern:
        found.append(gettext("with a ticket that matches %(pattern)s") % {"pattern": grant.ticket_pattern})
    return found


@require_safe
def why(request: HttpRequest) -> HttpResponse:
    """The page; without both ids only the form."""
    from omaccess.admin.site import site

    if not request.user.has_perm("omaccess.view_grant"):
        raise PermissionDenied
    asked = {name: found for name in ("user", "account") if (found := row_id(request.GET.get(name)))}
    form = WhyForm(asked or None)
    context: dict[str, Any] = {**site.each_context(request), "title": gettext("Why can they, or not?"), "form": form}
    if form.is_bound and form.is_valid():
        user, account, now = form.cleaned_data["user"], form.cleaned_data["account"], timezone.now()
        decision = decide(account, user=user, at=now)
        failure: Failure | None = CATALOGUE[decision.cause] if decision.cause else None
        context |= {
            "person": user,
            "account": account,
            "decision": decision,
            "asks": _asks(decision),
            "open_until": moment_text(decision.valid_until),
            "failure": failure,
            "considered": considered(account, user=user, at=now),
            "groups": list(user.groups.order_by("name")[:50]),
            "max_grants": MAX_GRANTS,
        }
    return TemplateResponse(request, "admin/why.html", context)


def _asks(decision: Decision) -> str:
    asked = [
        text
        for is_asked, text in ((decision.asks_reason, gettext("a reason")), (decision.asks_ticket, gettext("a ticket")))
        if is_asked
    ]
    return gettext(" and ").join(asked)
