"""My own history, and what I may open."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import F, Q
from django.http import HttpResponse, QueryDict, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from accounts.models import User
from omaccess import csv_file
from omaccess.models import Grant, Launch, LaunchState
from omaccess.models.launches import OPEN_STATES, LaunchQuerySet, normalise_reference
from omaccess.search import clean_query
from omaccess.views.outcomes import outcomes
from omaccess.views.requests import SignedInRequest, whole_number
from omaccess.views.rows import SOON

PAGE = 50
MOST_GRANTS = 200
CHUNK_ROWS = 1000

_GROUPS: Mapping[str, tuple[str | Promise, tuple[str, ...]]] = {
    "opened": (_("Opened"), (LaunchState.OPENED,)),
    "not_opened": (
        _("Not opened"),
        (LaunchState.REFUSED, LaunchState.FAILED, LaunchState.DENIED, LaunchState.ABANDONED),
    ),
    "under_way": (_("Under way"), OPEN_STATES),
}
"""The outcomes that a person looks for, by their name in the address."""


@dataclass(frozen=True, slots=True)
class ActivityQuery:
    """The filters, as they stand in the address. `before` is the id at which the page before ended."""

    text: str = ""
    outcome: str = ""
    before: int | None = None

    @classmethod
    def of(cls, parameters: QueryDict) -> ActivityQuery:
        outcome = parameters.get("outcome", "")
        return cls(
            text=clean_query(parameters.get("q", "")),
            outcome=outcome if outcome in _GROUPS else "",
            before=whole_number(parameters.get("before", "")),
        )

    @property
    def is_narrowed(self) -> bool:
        return bool(self.text or self.outcome)

    def address(self, view: str = "omaccess:activity") -> str:
        pairs = {"q": self.text, "outcome": self.outcome, "before": self.before}
        filled = {name: value for name, value in pairs.items() if value}
        return reverse(view) + (f"?{urlencode(filled)}" if filled else "")

    def export_address(self) -> str:
        return replace(self, before=None).address("omaccess:activity_export")

    def launches(self, user: User) -> LaunchQuerySet:
        """Newest first, in pages that begin before an id: nothing is counted, nothing shifts."""
        launches = Launch.objects.of(user).order_by("-id")
        if self.before is not None:
            launches = launches.filter(id__lt=self.before)
        if self.outcome:
            launches = launches.filter(state__in=_GROUPS[self.outcome][1])
        if self.text:
            launches = launches.filter(
                Q(host_name__icontains=self.text)
                | Q(host_address__icontains=self.text)
                | Q(account_name__icontains=self.text)
                | Q(ticket__icontains=self.text)
                | Q(reference=normalise_reference(self.text))
            )
        return launches


@never_cache
@require_safe
def activity(request: SignedInRequest) -> HttpResponse:
    query = ActivityQuery.of(request.GET)
    found = list(_shown(query.launches(request.user))[: PAGE + 1])
    older = replace(query, before=found[PAGE - 1].pk) if len(found) > PAGE else None
    context = {
        "nav": "activity",
        "tab": "launches",
        "query": query,
        "groups": [(name, label) for name, (label, _states) in _GROUPS.items()],
        "outcomes": outcomes(found[:PAGE]),
        "older": older.address() if older else "",
        "newest": replace(query, before=None).address() if query.before is not None else "",
        "export": query.export_address(),
    }
    return render(request, "omaccess/activity/list.html", context)


def _shown(launches: LaunchQuerySet) -> LaunchQuerySet:
    """With what a row tells: whom to ask, and whether the host is production."""
    return launches.select_related("account__host__instance").prefetch_related("account__host__labels")


_COLUMNS = (
    "reference", "asked_at", "ended_at", "state", "outcome", "host", "address", "account", "bastion", "reason",
    "ticket", "cause", "attempts",
)  # fmt: skip


@never_cache
@require_safe
def export(request: SignedInRequest) -> StreamingHttpResponse:
    """My launches as CSV, newest first, by the filters of the list."""
    launches = replace(ActivityQuery.of(request.GET), before=None).launches(request.user)
    response = StreamingHttpResponse(csv_file.pieces(_COLUMNS, _chunks(launches)), content_type=csv_file.CONTENT_TYPE)
    response["Content-Disposition"] = f'attachment; filename="launches-{timezone.now():%Y%m%dT%H%M%SZ}.csv"'
    return response


def _chunks(launches: LaunchQuerySet) -> Iterator[list[tuple[Any, ...]]]:
    """By id in chunks: a slow download must hold no transaction and no snapshot."""
    rest = launches
    while chunk := list(rest[:CHUNK_ROWS]):
        yield [_cells(launch) for launch in chunk]
        rest = launches.filter(id__lt=chunk[-1].pk)


def _cells(launch: Launch) -> tuple[Any, ...]:
    return (
        launch.reference, launch.created_at, launch.ended_at, launch.state, launch.get_state_display(),
        launch.host_name, launch.host_address, launch.account_name, launch.instance_name, launch.reason,
        launch.ticket, launch.cause, launch.attempt,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GrantRow:
    """One grant of mine, in words; `ends_soon` also when it has not begun."""

    grant: Grant
    has_begun: bool
    ends_soon: bool

    @property
    def account_names(self) -> list[str]:
        return [account.name for account in self.grant.account_names.all()]


@never_cache
@require_safe
def access(request: SignedInRequest) -> HttpResponse:
    """My grants in force or still to come; what ends first stands first."""
    now = timezone.now()
    grants = (
        Grant.objects.of(request.user)
        .not_over(now)
        .select_related("user", "group", "host")
        .prefetch_related("label_clauses", "account_names")
        .order_by(F("valid_until").asc(nulls_last=True), "pk")
    )
    found = list(grants[: MOST_GRANTS + 1])
    context = {
        "nav": "activity",
        "tab": "access",
        "rows": [
            GrantRow(
                grant,
                has_begun=grant.valid_from <= now,
                ends_soon=grant.valid_until is not None and grant.valid_until <= now + SOON,
            )
            for grant in found[:MOST_GRANTS]
        ],
        "is_cut": len(found) > MOST_GRANTS,
        "soon_days": SOON.days,
    }
    return render(request, "omaccess/activity/access.html", context)
