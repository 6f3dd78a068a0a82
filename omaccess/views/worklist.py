"""A list pasted from a ticket, and its hosts to open one after the other."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.models import User
from omaccess.actions import favourites, worklists
from omaccess.csp import allow_launch_forms
from omaccess.models import Launch, LaunchState, Worklist
from omaccess.paste import MOST_LINES, Resolved, is_cut, pasted_lines, resolve
from omaccess.reach import Openable
from omaccess.usual import Usual
from omaccess.views.outcomes import Outcome, outcomes
from omaccess.views.requests import SignedInRequest, sign_in_leads_to
from omaccess.views.rows import HostRow, host_rows

LOOKED_AT = 400
"""Of the launches since the list was made so many say what became of its hosts: each host twice."""


@dataclass(frozen=True, slots=True)
class WorkHost:
    """One host of a line, and what became of opening it since the list was made."""

    row: HostRow
    outcome: Outcome | None
    is_next: bool = False


@dataclass(frozen=True, slots=True)
class WorkLine:
    """One line as it was pasted, and its hosts: several when more than one is called so."""

    line: str
    hosts: list[WorkHost] = field(default_factory=list)

    @property
    def others(self) -> int:
        """How many more hosts are called so; with any, somebody has to choose."""
        return len(self.hosts) - 1


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sign_in_leads_to(lambda request: reverse("omaccess:worklist"))
def worklist(request: SignedInRequest) -> HttpResponse:
    """GET shows the list; POST replaces it by what was pasted (`pasted`), or takes it away (`clear`)."""
    if request.method == "POST":
        return _changed(request)
    return _page(request, Worklist.objects.filter(user=request.user).first())


def _changed(request: SignedInRequest) -> HttpResponse:
    pasted = request.POST.get("pasted", "")
    lines = pasted_lines(pasted)
    if "clear" in request.POST:
        worklists.clear(by=request.user)
    elif not lines:
        kept = Worklist.objects.filter(user=request.user).first()
        return _page(request, kept, problem=gettext("There is no name or address in it."), status=422)
    else:
        worklists.keep(lines, by=request.user, now=timezone.now())
        if is_cut(pasted):
            text = ngettext("Only the first %(n)d entry is in the list.",
                            "Only the first %(n)d entries are in the list.", len(lines))  # fmt: skip
            messages.warning(request, text % {"n": len(lines)})
    response = HttpResponseRedirect(reverse("omaccess:worklist"))
    response.status_code = 303
    return response


def _page(request: SignedInRequest, kept: Worklist | None, *, problem: str = "", status: int = 200) -> HttpResponse:
    now = timezone.now()
    openable = Openable(request.user, at=now)
    resolved = resolve(openable, kept.lines) if kept else []
    lines = _with_rows(resolved, openable, _since(request.user, kept.made_at)) if kept else []
    found = [line for line in lines if line.hosts]
    context = {
        "nav": "hosts",
        "worklist": kept,
        "most": MOST_LINES,
        "pasted": "\n".join(kept.lines) if kept else "",
        "problem": problem,
        "lines": lines,
        "found": found,
        "missing": [line.line for line in lines if not line.hosts],
        "opened": sum(any(_is_opened(host) for host in line.hosts) for line in found),
        "back": reverse("omaccess:worklist"),
        "once": uuid.uuid4(),
    }
    page = render(request, "omaccess/hosts/worklist.html", context, status=status)
    return allow_launch_forms(page, openable)


def _since(user: User, made_at: dt.datetime) -> dict[int, Outcome]:
    """By host id, what became of the last launch since then."""
    launches = (
        Launch.objects.of(user)
        .filter(created_at__gte=made_at)
        .select_related("account__host__instance")
        .order_by("-id")[:LOOKED_AT]
    )
    found: dict[int, Outcome] = {}
    for outcome in outcomes(launches):
        found.setdefault(outcome.launch.account.host_id, outcome)
    return found


def _with_rows(resolved: Sequence[Resolved], openable: Openable, since: dict[int, Outcome]) -> list[WorkLine]:
    hosts = {host.pk: host for entry in resolved for host in entry.hosts}
    starred = set(favourites.hosts_of(openable.user))
    usual = Usual.of(openable.user).account_of
    rows = {row.host.pk: row for row in host_rows(list(hosts.values()), openable, last_used=usual, favourites=starred)}
    next_id = _next(resolved, since)
    return [
        WorkLine(
            entry.line,
            [WorkHost(rows[host.pk], since.get(host.pk), is_next=host.pk == next_id) for host in entry.hosts],
        )
        for entry in resolved
    ]


def _next(resolved: Iterable[Resolved], since: dict[int, Outcome]) -> int | None:
    """The first host that is meant without doubt and was not asked for since the list was made."""
    plain = (entry.hosts[0].pk for entry in resolved if len(entry.hosts) == 1)
    return next((pk for pk in plain if pk not in since), None)


def _is_opened(host: WorkHost) -> bool:
    return host.outcome is not None and host.outcome.launch.state == LaunchState.OPENED
