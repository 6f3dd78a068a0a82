"""How IAM credentials do, in words: a cell, a filter, and the counts of the overview."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.contrib.filters.admin import DropdownFilter

from omaccess.admin.words import cause_title, moment_text
from omaccess.models import IamCredential
from omaccess.models.credentials import CredentialHealth

TONES = {
    CredentialHealth.WORKS: "success",
    CredentialHealth.FAILING: "danger",
    CredentialHealth.BLOCKED: "danger",
    CredentialHealth.NO_SECRET: "warning",
}


@dataclass(frozen=True, slots=True)
class Health:
    """One state, and what is known of it."""

    state: CredentialHealth
    detail: str

    @property
    def label(self) -> str:
        return str(self.state.label)

    @property
    def tone(self) -> str:
        return TONES.get(self.state, "")


def health_of(credential: IamCredential) -> Health:
    """Of a credential out of `with_health`."""
    state = CredentialHealth(vars(credential)["health"])
    if state is CredentialHealth.BLOCKED:
        text = gettext("IAM is not asked until %(when)s: %(cause)s")
        when = moment_text(vars(credential)["block_ends_at"])
        return Health(state, text % {"when": when, "cause": _reason(credential)})
    if state is CredentialHealth.FAILING:
        text = gettext("since %(when)s: %(cause)s")
        when = moment_text(credential.failing_since_at)
        return Health(state, text % {"when": when, "cause": _reason(credential)})
    if state is CredentialHealth.WORKS:
        text = gettext("last success %(when)s")
        return Health(state, text % {"when": moment_text(credential.last_success_at)})
    details = {
        CredentialHealth.DISABLED: gettext("launches with it are refused"),
        CredentialHealth.NO_SECRET: gettext("it cannot be used until one is entered"),
        CredentialHealth.UNTRIED: gettext("nobody knows yet whether IAM accepts it"),
    }
    return Health(state, details[state])


def _reason(credential: IamCredential) -> str:
    """A lease is shared by all credentials of one IAM user: the block may have been earned by another."""
    if not credential.last_error:
        return gettext("refused with another credential of the same IAM user")
    return cause_title(credential.last_error)


def health_cell(credential: IamCredential) -> SafeString:
    context = {"health": health_of(credential), "in_list": True}
    html = render_to_string("admin/omaccess/iamcredential/_health.html", context)
    return mark_safe(html)  # noqa: S308 - a template's output


class HealthFilter(DropdownFilter):  # type: ignore[misc]
    title = _("health")
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(CredentialHealth.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(health=self.value()) if self.value() in CredentialHealth.values else queryset


@dataclass(frozen=True, slots=True)
class HealthCount:
    """How many credentials do so, and where they are listed."""

    health: Health
    number: int
    address: str


def health_counts() -> list[HealthCount]:
    """For the overview: what needs somebody first. One query, over a table of a few rows."""
    counts = Counter(vars(credential)["health"] for credential in IamCredential.objects.with_health().only("pk"))
    order = [
        CredentialHealth.BLOCKED,
        CredentialHealth.FAILING,
        CredentialHealth.NO_SECRET,
        CredentialHealth.UNTRIED,
        CredentialHealth.WORKS,
        CredentialHealth.DISABLED,
    ]
    listed = reverse("admin:omaccess_iamcredential_changelist")
    return [
        HealthCount(Health(state, ""), counts[state.value], f"{listed}?health={state.value}")
        for state in order
        if counts[state.value]
    ]
