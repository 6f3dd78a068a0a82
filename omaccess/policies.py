"""Who may open what, decided for one person and one account at one moment.

`decide` is the one function; `HostAccount.objects.openable_by` says the same in SQL for lists, and a property test
holds them together. Roles and superusers open nothing: only grants do.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, field

from django.db.models import BigIntegerField, CharField, DateTimeField, prefetch_related_objects

from accounts.models import User
from omaccess.causes import Cause
from omaccess.compiled import Compiled, given
from omaccess.models import Grant, Host, HostAccount
from omaccess.models.access import GrantQuerySet
from omaccess.ticket_pattern import MAX_TICKET, is_ticket_ok


@dataclass(frozen=True, slots=True)
class Decision:
    """`cause` is None when the account may be opened now, if need be with a reason or a ticket.

    `in_force` are the grants that reach the account now; `is_listed` is what lists show (design: a grant is in force
    and everything is enabled), even when each of those grants asks for a second factor.
    """

    cause: Cause | None
    in_force: tuple[Grant, ...] = ()
    is_visible: bool = False
    is_listed: bool = False

    @property
    def is_open(self) -> bool:
        return self.cause is None

    @property
    def usable(self) -> tuple[Grant, ...]:
        """The grants that can allow it today: second factors do not exist yet."""
        return tuple(grant for grant in self.in_force if not grant.is_step_up_required)

    @property
    def asks_reason(self) -> bool:
        return self.is_open and all(grant.is_reason_required for grant in self.usable)

    @property
    def asks_ticket(self) -> bool:
        return self.is_open and all(grant.ticket_pattern for grant in self.usable)

    @property
    def valid_until(self) -> dt.datetime | None:
        """When the last of the usable grants ends; None for never."""
        ends = [grant.valid_until for grant in self.usable]
        return None if None in ends else max((end for end in ends if end), default=None)

    def grant_for(self, *, reason: str, ticket: str) -> Grant | None:
        """The grant that allows it with these answers, the least demanding first; None when none does."""
        fitting = [grant for grant in self.usable if not problems_with(grant, reason=reason, ticket=ticket)]
        return min(
            fitting,
            key=lambda grant: (grant.is_reason_required, bool(grant.ticket_pattern), grant.pk),
            default=None,
        )


def grants_reaching() -> GrantQuerySet:
    """For a compiled query: the grants of a given person (`user`) that reach a given account (`host`, `name`)."""
    own = Grant.objects.of_person(given("user", BigIntegerField()))
    return own.reaching(HostAccount(host_id=given("host", BigIntegerField()), name=given("name", CharField())))


_VISIBLE = Compiled(
    lambda: grants_reaching().visible(given("at", DateTimeField())).select_related("group").order_by("pk")
)


def decide(account: HostAccount, *, user: User, at: dt.datetime) -> Decision:
    """The decision for one account, from rows read now. One query, whatever the size of the inventory.

    The account's host and instance should be loaded (`select_related`); labels need not be.
    """
    grants: list[Grant] = []
    if user.is_active:
        grants = _VISIBLE.rows(user=user.pk, host=account.host_id, name=account.name, at=at)
        for grant in grants:
            if grant.user_id is not None:
                grant.user = user
            if grant.host_id is not None:
                grant.host = account.host
    return _decide(account, grants, user, at)


def decide_many(accounts: Sequence[HostAccount], *, user: User, at: dt.datetime) -> dict[int, Decision]:
    """Decisions by account id, in at most three queries. Hosts, instances and the hosts' labels should be loaded."""
    held = Held.by(user, accounts, at=at) if user.is_active and accounts else Held()
    return {account.pk: _decide(account, held.reaching(account), user, at) for account in accounts}


@dataclass(frozen=True, slots=True)
class HeldGrant:
    """A grant with what it compares, read once for all the accounts of a list."""

    grant: Grant
    clauses: frozenset[tuple[str, str]]
    names: frozenset[str]

    @classmethod
    def of(cls, grant: Grant) -> HeldGrant:
        """Reads only what this kind of grant compares."""
        clauses = grant.label_clauses.all() if grant.target == Grant.Target.LABELS else ()
        names = () if grant.every_account else grant.account_names.all()
        return cls(
            grant,
            frozenset((clause.key, clause.value) for clause in clauses),
            frozenset(row.name for row in names),
        )

    def reaches(self, account: HostAccount, labels: Set[tuple[str, str]]) -> bool:
        if not self.grant.every_account and account.name not in self.names:
            return False
        if self.grant.target == Grant.Target.HOST:
            return self.grant.host_id == account.host_id
        if self.grant.target == Grant.Target.LABELS:
            return bool(self.clauses) and self.clauses <= labels
        return self.grant.target == Grant.Target.ALL


@dataclass(frozen=True, slots=True)
class Held:
    """One person's grants that could reach the accounts of a list: those for one host by its id, and the others."""

    of_host: dict[int, list[HeldGrant]] = field(default_factory=dict)
    wide: list[HeldGrant] = field(default_factory=list)
    labels: dict[int, frozenset[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def by(cls, user: User, accounts: Sequence[HostAccount], *, at: dt.datetime) -> Held:
        hosts = {account.host_id: account.host for account in accounts}
        grants = list(Grant.objects.visible(at).near(user, hosts, {account.name for account in accounts}))
        # As `HeldGrant.of` reads them; most lists rest on grants of one kind.
        prefetch_related_objects([grant for grant in grants if grant.target == Grant.Target.LABELS], "label_clauses")
        prefetch_related_objects([grant for grant in grants if not grant.every_account], "account_names")
        held = cls(labels={pk: _labels_of(host) for pk, host in hosts.items()})
        for grant in grants:
            found = held.wide if grant.host_id is None else held.of_host.setdefault(grant.host_id, [])
            found.append(HeldGrant.of(grant))
        return held

    def reaching(self, account: HostAccount) -> list[Grant]:
        labels = self.labels.get(account.host_id, frozenset())
        near = [*self.of_host.get(account.host_id, []), *self.wide]
        return sorted((one.grant for one in near if one.reaches(account, labels)), key=lambda grant: grant.pk)


def _decide(account: HostAccount, grants: list[Grant], user: User, at: dt.datetime) -> Decision:
    if not user.is_active:
        return Decision(Cause.PERSON_DISABLED)
    if not grants:
        return Decision(Cause.NO_GRANT)
    in_force = tuple(grant for grant in grants if is_in_force(grant, at))
    disabled = _disabled(account)
    cause = disabled or _not_in_force(grants, in_force, at)
    if cause is None and all(grant.is_step_up_required for grant in in_force):
        cause = Cause.STEP_UP_NEEDED
    return Decision(cause, in_force, is_visible=True, is_listed=bool(in_force) and disabled is None)


def _disabled(account: HostAccount) -> Cause | None:
    if not account.host.instance.is_enabled:
        return Cause.INSTANCE_DISABLED
    if not account.host.is_enabled:
        return Cause.HOST_DISABLED
    if not account.is_enabled:
        return Cause.ACCOUNT_DISABLED
    return None


def _not_in_force(grants: Iterable[Grant], in_force: Sequence[Grant], at: dt.datetime) -> Cause | None:
    """Why none is in force; the kindest explanation first: it begins soon, it ended, it was revoked."""
    if in_force:
        return None
    if any(grant.revoked_at is None and grant.valid_from > at for grant in grants):
        return Cause.GRANT_NOT_YET
    if any(grant.revoked_at is None for grant in grants):
        return Cause.GRANT_ENDED
    return Cause.GRANT_REVOKED


def is_in_force(grant: Grant, at: dt.datetime) -> bool:
    return grant.revoked_at is None and grant.valid_from <= at and (grant.valid_until is None or grant.valid_until > at)


def reaches(grant: Grant, account: HostAccount) -> bool:
    """Does the grant's target and its account names cover this account? Time and subject are not asked."""
    return HeldGrant.of(grant).reaches(account, _labels_of(account.host))


def _labels_of(host: Host) -> frozenset[tuple[str, str]]:
    return frozenset((label.key, label.value) for label in host.labels.all())


def problems_with(grant: Grant, *, reason: str, ticket: str) -> set[str]:
    """The fields whose answers this grant does not accept."""
    problems = set()
    if grant.is_reason_required and not reason.strip():
        problems.add("reason")
    if len(ticket) > MAX_TICKET or not is_ticket_ok(grant.ticket_pattern, ticket):
        problems.add("ticket")
    return problems
