"""Where to look for what one person may open, so that a list begins with their grants and not with every host.

Only a hint: `HostAccount.objects.openable_by` decides about every account that is shown. A person's grants either
lead to few hosts, whose ids are read here; or to so many that walking all hosts in their order soon fills a page.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.db.models import (
    BigIntegerField,
    DateTimeField,
    Exists,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    prefetch_related_objects,
)
from django.db.models.lookups import IsNull

from accounts.models import User
from omaccess.compiled import Compiled, given
from omaccess.models import BastionInstance, Grant, GrantAccount, GrantLabel, Host, HostAccount, Label
from omaccess.models.access import HostAccountQuerySet, are_many, few
from omaccess.search import Narrowed

MOST_GRANTS = 2_000
"""How many grants of one person are looked at; beyond it all hosts are walked."""
MOST_WIDE = 500
"""Of how many grants by labels or by account names the hosts are looked up; beyond it all hosts are walked."""


_IN_FORCE = Compiled(
    lambda: (
        Grant.objects.of_person(given("user", BigIntegerField()))
        .in_force(given("at", DateTimeField()))
        .order_by("target", "-every_account", "pk")  # "all" is first in the alphabet
        .values_list("pk", "target", "every_account", "host_id")[: MOST_GRANTS + 1]
    )
)

_VISIBLE = Compiled(
    lambda: (
        HostAccount.objects.reached_by(
            *Grant.objects.visible(given("at", DateTimeField())).each_of(given("user", BigIntegerField()))
        )
        .filter(host=given("host", BigIntegerField()))
        .select_related("host__instance")
        .order_by("name")
    )
)


def visible_on(host_id: int, *, user: User, at: dt.datetime) -> list[HostAccount]:
    """The accounts of one host that have something to say to this person: `visible_to`, compiled once.

    With their one host, its labels and its instance; without any, that host does not exist for this person.
    """
    accounts = _VISIBLE.rows(user=user.pk, host=host_id, at=at) if user.is_active else []
    for account in accounts:
        account.host = accounts[0].host
    prefetch_related_objects([account.host for account in accounts[:1]], "labels")
    return accounts


class Openable:
    """What one person may open at one moment: the same as `openable_by`, found in the quickest way."""

    def __init__(self, user: User, *, at: dt.datetime) -> None:
        self.user = user
        self.at = at

    @cached_property
    def reach(self) -> Reach:
        return Reach.of(self.user, at=self.at)

    def accounts_on(self, host_ids: Iterable[int]) -> HostAccountQuerySet:
        """Those on a page's few hosts."""
        reach, on = self.reach, set(host_ids)
        if reach.is_everything or on <= reach.whole:
            return HostAccount.objects.enabled().filter(host__in=on)
        openable = HostAccount.objects.openable_by(self.user, at=self.at)
        return openable.filter(host__in=on & (reach.whole | reach.partly) if reach.is_narrow else on)

    def hosts(self) -> Narrowed:
        reach = self.reach
        enabled = HostAccount.objects.enabled()
        if reach.is_everything:
            return Narrowed(Host.objects.enabled(), accounts=enabled, are_most=True)
        if reach.is_narrow and not reach.partly:
            return Narrowed(Host.objects.enabled(), reach.whole, accounts=enabled)
        openable = HostAccount.objects.openable_by(self.user, at=self.at)
        if not reach.is_narrow:
            return Narrowed(Host.objects.openable_by(self.user, at=self.at), accounts=openable)
        condition = Q(pk__in=reach.whole) | Q(Exists(openable.filter(host=OuterRef("pk"))))
        return Narrowed(Host.objects.enabled().filter(condition), reach.whole | reach.partly, accounts=openable)

    @cached_property
    def instances(self) -> list[BastionInstance]:
        """Those with something to open, by name."""
        instances = BastionInstance.objects.filter(is_enabled=True).order_by("name")
        if self.reach.is_narrow:
            found = set(self.hosts().rows().order_by().values_list("instance_id", flat=True).distinct())
            return list(instances.filter(pk__in=found))
        # A value, not an EXISTS, which PostgreSQL would answer for all instances at once by reading every host.
        first = self.hosts().rows().filter(instance=OuterRef("pk")).order_by().values("pk")[:1]
        return list(instances.filter(IsNull(Subquery(first), False)))


@dataclass(frozen=True, slots=True)
class Reach:
    """Where somebody's grants lead: to every account there is, to few hosts, or to who knows where.

    When `is_narrow`, all that may be opened is on these hosts: on `whole` ones every account that is enabled, on the
    others those that `openable_by` says, perhaps none.
    """

    is_everything: bool = False
    is_narrow: bool = False
    whole: frozenset[int] = frozenset()
    partly: frozenset[int] = frozenset()

    @classmethod
    def of(cls, user: User, *, at: dt.datetime) -> Reach:
        """Costs at most eight queries, each of them bounded."""
        if not user.is_active:
            return cls(is_narrow=True)
        rows = _IN_FORCE.rows(user=user.pk, at=at)
        if any(target == Grant.Target.ALL and every_account for _pk, target, every_account, _host in rows):
            return cls(is_everything=True)
        if len(rows) > MOST_GRANTS:
            return cls()
        wide = [(pk, target, every_account) for pk, target, every_account, host_id in rows if host_id is None]
        found = _hosts_of(wide)
        if found is None:
            return cls()
        whole, partly = found
        whole.update(host_id for _pk, _target, every, host_id in rows if host_id is not None and every)
        partly.update(host_id for _pk, _target, every, host_id in rows if host_id is not None and not every)
        return cls(is_narrow=True, whole=frozenset(whole), partly=frozenset(partly - whole))


def _hosts_of(wide: Sequence[tuple[int, str, bool]]) -> tuple[set[int], set[int]] | None:
    """Hosts that these grants (id, target, every account) reach, wholly or perhaps; None when there can be many.

    Each grant is narrowed by one of its labels that few hosts have, else by its names when few accounts have them.
    """
    if not wide:
        return set(), set()
    if len(wide) > MOST_WIDE:
        return None
    by_labels = [pk for pk, target, _every in wide if target == Grant.Target.LABELS]
    by_names = [pk for pk, _target, every_account in wide if not every_account]
    of_labels = _compared(GrantLabel, by_labels, ("key", "value"), Label.objects.all())
    of_names = _compared(GrantAccount, by_names, ("name",), HostAccount.objects.all())
    if of_labels is None or of_names is None:
        return None
    whole, partly = Q(), Q()
    names: set[str] = set()
    for pk, target, every_account in wide:
        clauses, own_names = of_labels.get(pk, {}), of_names.get(pk, {})
        if not (clauses or target == Grant.Target.ALL) or not (own_names or every_account):
            continue  # it reaches nothing
        rare = next((pair for pair, is_rare in clauses.items() if is_rare), None)
        if rare is not None and every_account:
            whole |= _labelled(rare, clauses)
        elif rare is not None:
            partly |= _labelled(rare, clauses)
        elif not every_account and all(own_names.values()):
            names.update(name for (name,) in own_names)
        else:
            return None
    labels, accounts = Label.objects.values_list("host_id", flat=True), HostAccount.objects.filter(name__in=names)
    found = [
        few(labels.filter(whole)) if whole else set(),
        few(labels.filter(partly)) if partly else set(),
        few(accounts.values_list("host_id", flat=True)) if names else set(),
    ]
    on_whole, by_label, by_name = found
    if on_whole is None or by_label is None or by_name is None:
        return None
    return on_whole, by_label | by_name


def _labelled(rare: tuple[str, ...], clauses: Iterable[tuple[str, ...]]) -> Q:
    """On labels: it is the rare one, and its host has the others too."""
    condition = Q(key=rare[0], value=rare[1])
    for key, value in clauses:
        if (key, value) != rare:
            condition &= Q(Exists(Label.objects.filter(host=OuterRef("host"), key=key, value=value)))
    return condition


def _compared(
    model: type[GrantLabel] | type[GrantAccount],
    grants: Sequence[int],
    columns: tuple[str, ...],
    rows: QuerySet[Any],
) -> dict[int, dict[tuple[str, ...], bool]] | None:
    """What these grants compare (`columns`), by their ids, each with whether few rows have it; None for too much."""
    if not grants:
        return {}
    compared = list(
        model._default_manager.filter(grant__in=grants)
        .order_by("pk")
        .values_list("pk", "grant_id", *columns)[: MOST_WIDE + 1]
    )
    if len(compared) > MOST_WIDE:
        return None
    one_of_each = {texts: pk for pk, _grant, *rest in compared for texts in [tuple(rest)]}
    same = rows.filter(**{column: OuterRef(column) for column in columns})
    is_common = model._default_manager.filter(are_many(same), pk__in=one_of_each.values())
    common = set(is_common.values_list(*columns))
    found: dict[int, dict[tuple[str, ...], bool]] = {}
    for _pk, grant_id, *rest in compared:
        found.setdefault(grant_id, {})[tuple(rest)] = tuple(rest) not in common
    return found
