"""One change to what grants reach: from the lock on its rows to the event that ends its transaction.

A change to a host, an instance, a credential, a grant, a person or a group goes through the `Change` of its subject
(`inventory`, `credentials`, `grants`, `people`). It locks the rows that a launch reads FOR SHARE, compares before and
after, refuses what would touch the acting person's own access, and records both sides.

    with HostChange.of(host, by=admin, meta=meta):
        host.address = "10.0.0.7"
        host.save()

The admin's forms do the same in two steps (`begin`, `finish`), because Django's own log entry is written in between.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Generic, Self, TypeVar

import structlog
from django.db import models, transaction
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from omaccess.audit import Kind, record
from omaccess.meta import Meta
from omaccess.models import Grant
from omaccess.models.access import GrantQuerySet, HostAccountQuerySet

log = structlog.get_logger(__name__)

Subject = TypeVar("Subject", bound=models.Model)
Facts = dict[str, Any]

NAMED_ACCOUNTS = 5
"""How many accounts a refusal names; nobody reads a longer list."""


class OwnReach(Exception):
    """The change touches what the acting person may open themselves; somebody else has to make it.

    `message` is for the screen; `why` is a stable word for the audit; `accounts` names some of what is touched.
    """

    def __init__(
        self, why: str, message: str | Promise, *, target: models.Model | None = None, accounts: tuple[str, ...] = ()
    ) -> None:
        super().__init__(why)
        self.why = why
        self.message = message
        self.target = target
        self.accounts = accounts


@contextmanager
def refusals_recorded(*, by: User | None, meta: Meta) -> Iterator[None]:
    """Record a refused change in a transaction of its own; goes around the one that is rolled back."""
    try:
        yield
    except OwnReach as refusal:
        with transaction.atomic():
            target = refusal.target if refusal.target is not None and refusal.target.pk else None
            record(
                Kind.CHANGE_REFUSED,
                by=by,
                meta=meta,
                target=target,
                why=refusal.why,
                accounts=list(refusal.accounts),
                wanted=str(refusal.target) if refusal.target is not None else "",
            )
        log.info("change_refused", why=refusal.why)
        raise


class Change(ABC, Generic[Subject]):
    """One change to one subject, inside a transaction. Subclasses say what is locked, copied and refused."""

    created: ClassVar[Kind]
    changed: ClassVar[Kind]

    def __init__(self, subject_id: int | None, *, by: User | None, meta: Meta) -> None:
        self.subject_id = subject_id
        self.subject: Subject | None = None
        self.by = by
        self.meta = meta
        self.before: Facts = {}

    @classmethod
    @contextmanager
    def of(cls, subject: Subject | None, *, by: User | None, meta: Meta) -> Iterator[Self]:
        """The whole change as a block; for a new row give None, and set `change.subject` in the block.

        Raises: OwnReach, after the transaction was rolled back and the refusal was recorded.
        """
        with refusals_recorded(by=by, meta=meta), transaction.atomic():
            change = cls(subject.pk if subject is not None else None, by=by, meta=meta)
            change.subject = subject
            change.begin()
            yield change
            if change.subject is None:
                raise RuntimeError(f"{cls.__name__} ended without its subject")
            change.finish(change.subject)

    def begin(self) -> None:
        """Lock the rows and note what is. First thing in the transaction, before anything is read for a form."""
        if self.subject_id is not None:
            self.lock(self.subject_id)
            self.before = self.facts(self.subject_id)
            self.look(self.subject_id)

    def finish(self, subject: Subject) -> None:
        """Refuse or record; the last statement of the transaction. A change of nothing leaves no event.

        Raises: OwnReach; the caller rolls back.
        """
        after = self.facts(subject.pk)
        if after == self.before:
            return
        if self.by is not None:
            self.check(self.by, subject, after)
        kind = self.kind_of(after)
        facts: Facts = {"after": after} if self.subject_id is None else {"before": self.before, "after": after}
        record(kind, by=self.by, meta=self.meta, target=subject, **facts)

    def kind_of(self, after: Facts) -> Kind:
        return self.changed if self.subject_id is not None else self.created

    @abstractmethod
    def lock(self, subject_id: int) -> None:
        """Lock what a launch reads FOR SHARE. `no_key`: rows that only point here need not wait."""

    @abstractmethod
    def facts(self, subject_id: int) -> Facts:
        """The subject and its rows as names and texts, read now. Never a secret."""

    def look(self, subject_id: int) -> None:
        """Note what `check` compares besides the facts."""

    @abstractmethod
    def check(self, by: User, subject: Subject, after: Facts) -> None:
        """Raises: OwnReach."""


def own_grants(by: User) -> GrantQuerySet:
    """What this person may open themselves, now or later, directly or by a group."""
    return Grant.objects.of(by).not_over(timezone.now())


def reached_by_own(accounts: HostAccountQuerySet, by: User) -> HostAccountQuerySet:
    return accounts.reached_by(own_grants(by))


def refuse_own_reach(accounts: HostAccountQuerySet, *, target: models.Model) -> None:
    """Raises: OwnReach when there is any account among these, which own grants reach."""
    names = tuple(str(account) for account in accounts.select_related("host").order_by("pk")[:NAMED_ACCOUNTS])
    if names:
        raise OwnReach(
            "own_reach",
            _(
                "Nothing was saved: this would change what a grant of your own reaches (%(accounts)s). "
                "Nobody changes their own access; another admin has to do it."
            )
            % {"accounts": ", ".join(names)},
            target=target,
            accounts=names,
        )
