"""What the host pages show, decided and put in order before a template sees it."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext

from accounts.models import User
from omaccess import policies
from omaccess.failures import Explanation, explain
from omaccess.models import Host, HostAccount, Label
from omaccess.policies import Decision
from omaccess.reach import Openable

BUTTONS_PER_HOST = 6
SOON = dt.timedelta(days=7)
"""Access that ends within this time is announced."""


@dataclass(frozen=True, slots=True)
class LabelChip:
    """One label. With `href` a click narrows the list to it."""

    text: str
    is_production: bool
    href: str = ""

    @classmethod
    @lru_cache(maxsize=1024)  # most labels stand at many hosts
    def of(cls, text: str, is_production: bool, list_address: str) -> LabelChip:
        return cls(text, is_production, f"{list_address}?{urlencode({'label': text})}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody typed into a launch form, and what was wrong with it."""

    account_id: int
    reason: str = ""
    ticket: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AccountRow:
    """One account: a form to open it, or why it cannot be opened."""

    account: HostAccount
    decision: Decision
    explanation: Explanation | None
    is_selected: bool = False
    asked: Asked | None = None
    ends_soon: bool = False

    @property
    def once(self) -> uuid.UUID:
        """For a form of its own; another one each time."""
        return uuid.uuid4()

    @property
    def opens_at_once(self) -> bool:
        """One click, nothing to type: the button may stand in the list."""
        return self.decision.is_open and not self.decision.asks_reason and not self.decision.asks_ticket

    @property
    def action(self) -> str:
        """What the button does, for those who cannot see where it stands."""
        names = {"host": self.account.host.name, "account": self.account.name}
        return gettext("Open %(host)s as %(account)s in a new window") % names

    @property
    def note(self) -> str:
        """What there is to know before pressing it."""
        if self.ends_soon and self.decision.valid_until:
            until = date_format(timezone.localtime(self.decision.valid_until), "SHORT_DATETIME_FORMAT")
            return gettext("Your access ends soon: %(until)s") % {"until": until}
        return gettext("Privileged account") if self.account.is_privileged else ""

    @property
    def ticket_help(self) -> str:
        patterns = sorted({grant.ticket_pattern for grant in self.decision.usable if grant.ticket_pattern})
        return gettext("In the form %(patterns)s.") % {"patterns": gettext(" or ").join(patterns)} if patterns else ""

    @property
    def focus(self) -> str:
        """Where the cursor goes when this row is preselected: the first wrong field, else the first."""
        if not self.is_selected or not self.decision.is_open:
            return ""
        problems = self.asked.problems if self.asked else {}
        asks = {"reason": self.decision.asks_reason, "ticket": self.decision.asks_ticket}
        wrong = [name for name in asks if name in problems]
        shown = [name for name, is_asked in asks.items() if is_asked]
        return (wrong or shown or ["button"])[0]

    @property
    def focuses_reason(self) -> bool:
        return self.focus == "reason"

    @property
    def focuses_ticket(self) -> bool:
        return self.focus == "ticket"

    @property
    def reason_id(self) -> str:
        return f"reason-{self.account.pk}"

    @property
    def ticket_id(self) -> str:
        return f"ticket-{self.account.pk}"

    @property
    def shows_reason(self) -> bool:
        return self.decision.asks_reason or bool(self.asked and "reason" in self.asked.problems)

    @property
    def shows_ticket(self) -> bool:
        return self.decision.asks_ticket or bool(self.asked and "ticket" in self.asked.problems)


@dataclass(frozen=True, slots=True)
class HostRow:
    """One line of the hosts list."""

    host: Host
    chips: list[LabelChip]
    accounts: list[AccountRow]
    more_accounts: int
    is_favourite: bool = False

    @property
    def is_production(self) -> bool:
        return self.host.is_production

    @property
    def usual(self) -> AccountRow | None:
        """The account that one click opens: the first, for the one used last stands first."""
        return self.accounts[0] if self.accounts else None


def host_rows(
    hosts: Sequence[Host],
    openable: Openable,
    *,
    last_used: Mapping[int, int] = MappingProxyType({}),
    favourites: Collection[int] = (),
    asked_names: Collection[str] = (),
) -> list[HostRow]:
    """Rows for hosts whose labels and instance are loaded; a constant number of queries for all of them.

    Accounts whose name was asked for (`asked_names`, without case) stand first, then the one that was used last on
    that host (`last_used`, account by host id); the others follow by name.
    """
    wanted = {name.casefold() for name in asked_names}
    by_id = {host.pk: host for host in hosts}
    accounts = list(openable.accounts_on(by_id).order_by("name"))
    for account in accounts:
        account.host = by_id[account.host_id]
    of_host: dict[int, list[AccountRow]] = {pk: [] for pk in by_id}
    for row in account_rows(accounts, user=openable.user, at=openable.at):
        of_host[row.account.host_id].append(row)
    for host_id, rows in of_host.items():
        usual = last_used.get(host_id)
        rows.sort(key=lambda row: (row.account.name.casefold() not in wanted, row.account.pk != usual))
    list_address = reverse("omaccess:hosts")
    return [
        HostRow(
            host,
            label_chips(host.labels.all(), list_address),
            of_host[host.pk][:BUTTONS_PER_HOST],
            max(0, len(of_host[host.pk]) - BUTTONS_PER_HOST),
            host.pk in favourites,
        )
        for host in hosts
    ]


def account_rows(
    accounts: Sequence[HostAccount],
    *,
    user: User,
    at: dt.datetime,
    selected: int | None = None,
    asked: Asked | None = None,
) -> list[AccountRow]:
    decisions = policies.decide_many(accounts, user=user, at=at)
    return [
        AccountRow(
            account,
            decision,
            explain(decision.cause, account=account) if decision.cause else None,
            is_selected=account.pk == selected,
            asked=asked if asked and asked.account_id == account.pk else None,
            ends_soon=decision.is_open and decision.valid_until is not None and decision.valid_until - at < SOON,
        )
        for account in accounts
        for decision in [decisions[account.pk]]
    ]


def label_chips(labels: Iterable[Label], list_address: str) -> list[LabelChip]:
    """Production first: nobody should have to look for it."""
    chips = (LabelChip.of(str(label), label.is_production, list_address) for label in labels)
    return sorted(chips, key=lambda chip: (not chip.is_production, chip.text))
