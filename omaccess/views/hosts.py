"""The hosts I may open, and one host."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import Http404, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from django_htmx.http import replace_url

from omaccess import search
from omaccess.actions import favourites
from omaccess.csp import allow_launch_forms
from omaccess.forms import MAX_ID
from omaccess.models import Favourite, Host, HostAccount, Launch
from omaccess.reach import Openable, visible_on
from omaccess.search import Narrowed
from omaccess.usual import Usual
from omaccess.views.outcomes import outcomes
from omaccess.views.requests import SignedInRequest, whole_number
from omaccess.views.rows import Asked, LabelChip, account_rows, host_rows, label_chips

PAGE = 50
MAX_PAGE = 100
MAX_LABELS = 5
RECENT_LAUNCHES = 5
MOST_INSTANCES = 100
SHORTCUTS = 8


@dataclass(frozen=True, slots=True)
class HostQuery:
    """The search box and the filters, as they stand in the address."""

    text: str
    labels: tuple[str, ...]
    instance_id: int | None
    page: int

    @classmethod
    def of(cls, parameters: QueryDict) -> HostQuery:
        labels = [search.clean_query(label) for label in parameters.getlist("label")[:MAX_LABELS]]
        return cls(
            text=search.clean_query(parameters.get("q", "")),
            labels=tuple(dict.fromkeys(label for label in labels if label)),
            instance_id=whole_number(parameters.get("instance", "")),
            page=min(whole_number(parameters.get("page", "")) or 1, MAX_PAGE),
        )

    @property
    def is_narrowed(self) -> bool:
        return bool(self.text or self.labels or self.instance_id)

    def address(self, *, page: int = 1, without_label: str = "") -> str:
        pairs: list[tuple[str, str]] = [("q", self.text)] if self.text else []
        pairs += [("label", label) for label in self.labels if label != without_label]
        pairs += [("instance", str(self.instance_id))] if self.instance_id else []
        pairs += [("page", str(page))] if page > 1 else []
        return reverse("omaccess:hosts") + (f"?{urlencode(pairs)}" if pairs else "")

    def page_address(self) -> str:
        return self.address(page=self.page)

    def active_labels(self) -> list[LabelChip]:
        return [LabelChip(label, False, self.address(without_label=label)) for label in self.labels]

    def hosts(self, openable: Openable) -> QuerySet[Host]:
        """This page's hosts, and one more when there are more."""
        start = (self.page - 1) * PAGE
        hosts = openable.hosts()
        for label in self.labels:
            hosts = hosts.with_label(label)
        if self.instance_id:
            hosts = hosts.of_instance(self.instance_id)
        found = hosts.find(self.text, first=start + PAGE + 1)
        return found.select_related("instance").prefetch_related("labels")[start : start + PAGE + 1]


@never_cache
@require_safe
def hosts(request: SignedInRequest) -> HttpResponse:
    """The list. htmx asks for the same with other words and gets only the part that changes."""
    now = timezone.now()
    query = HostQuery.of(request.GET)
    openable = Openable(request.user, at=now)
    found = list(query.hosts(openable))
    usual = Usual.of(request.user)
    starred = favourites.hosts_of(request.user)
    shortcuts = [] if query.is_narrowed or query.page > 1 else _shortcuts(openable, usual, starred)
    # Together, so that accounts and decisions of both are read once.
    shown = {host.pk: host for host in [*shortcuts, *found[:PAGE]]}
    rows = host_rows(
        list(shown.values()),
        openable,
        last_used=usual.account_of,
        favourites=set(starred),
        asked_names=search.account_names(query.text),
    )
    by_id = {row.host.pk: row for row in rows}
    context = {
        "nav": "hosts",
        "query": query,
        "shortcuts": [by_id[host.pk] for host in shortcuts],
        "rows": [by_id[host.pk] for host in found[:PAGE]],
        "more": query.address(page=query.page + 1) if len(found) > PAGE and query.page < MAX_PAGE else "",
        "is_cut": len(found) > PAGE,
        "has_any": bool(found) or (query.is_narrowed and openable.hosts().rows().exists()),
    }
    if request.htmx and not request.htmx.history_restore_request:
        response = replace_url(render(request, "omaccess/hosts/_results.html", context), query.page_address())
    else:
        context["once"] = uuid.uuid4()
        # For the filter; none when there is nothing to choose.
        context["instances"] = openable.instances[:MOST_INSTANCES] if len(openable.instances) > 1 else []
        response = allow_launch_forms(render(request, "omaccess/hosts/list.html", context), openable)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _shortcuts(openable: Openable, usual: Usual, starred: list[int]) -> list[Host]:
    """My favourites, then what I opened last, then what I open most, as far as I may open it now."""
    ids = list(dict.fromkeys([*starred, *usual.hosts, *usual.often]))
    if not ids:
        return []
    hosts = Narrowed(openable.hosts().rows(), frozenset(ids)).rows().order_by()
    found = {host.pk: host for host in hosts.select_related("instance").prefetch_related("labels")}
    return [found[pk] for pk in ids if pk in found][:SHORTCUTS]


@never_cache
@require_safe
def host(request: SignedInRequest, pk: int) -> HttpResponse:
    return host_page(request, pk, selected=whole_number(request.GET.get("account", "")))


@require_safe
def host_of_account(request: SignedInRequest) -> HttpResponse:
    """Where somebody is led who knows only the account: after signing in again, after a stale form."""
    account_id = whole_number(request.GET.get("account", ""))
    if account_id is None:
        return redirect("omaccess:hosts")
    visible = HostAccount.objects.visible_to(request.user, at=timezone.now())
    account = get_object_or_404(visible, pk=account_id)
    return redirect(f"{reverse('omaccess:host', args=[account.host_id])}?{urlencode({'account': account.pk})}")


def host_page(
    request: SignedInRequest,
    pk: int,
    *,
    selected: int | None = None,
    asked: Asked | None = None,
    status: int = 200,
) -> HttpResponse:
    """One host; after a launch form lacked something, with what was typed into it (`asked`)."""
    if pk > MAX_ID:
        raise Http404
    now = timezone.now()
    accounts = visible_on(pk, user=request.user, at=now)
    if not accounts:
        raise Http404
    shown = accounts[0].host
    usual = Usual.of(request.user)
    last_used = usual.account_of.get(shown.pk)
    accounts.sort(key=lambda account: account.pk != last_used)
    context: dict[str, Any] = {
        "nav": "hosts",
        "host": shown,
        "chips": label_chips(shown.labels.all(), reverse("omaccess:hosts")),
        "is_production": shown.is_production,
        "is_favourite": Favourite.objects.filter(user=request.user, host=shown).exists(),
        "rows": account_rows(accounts, user=request.user, at=now, selected=selected, asked=asked),
        "reasons": usual.reasons,
        "tickets": usual.tickets,
        "outcomes": outcomes(
            Launch.objects.of(request.user)
            .filter(account__host=shown)
            .select_related("account__host__instance")
            .order_by("-id")[:RECENT_LAUNCHES]
        ),
    }
    page = render(request, "omaccess/hosts/host.html", context, status=status)
    return allow_launch_forms(page, Openable(request.user, at=now))
