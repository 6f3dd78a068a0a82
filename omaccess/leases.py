"""The lease of an IAM user, in SQL: who may exchange a token now, what came of it, and until when nobody may.

Only `omaccess.tokens` uses it. All judging is by the database's clock, the only one that all machines share.
"""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.models import BooleanField, Case, DateTimeField, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Now

from omaccess.cloud.types import Deadline
from omaccess.models import IamCredential, IamUserLease

BLOCK = dt.timedelta(minutes=30)
FORCED_PAUSE = dt.timedelta(seconds=30)
GRACE_SECONDS = 2.0


def read(credential: IamCredential) -> Any:
    """The row, with `is_held`, `is_blocked` and `is_pausing` already judged by the database's clock."""

    def fact(condition: Q) -> Any:
        return ExpressionWrapper(condition, output_field=BooleanField())

    rows = _rows(credential).annotate(
        is_held=fact(~Q(holder="") & Q(holder_expires_at__gt=Now())),
        is_blocked=fact(Q(blocked_until__isnull=False) & Q(blocked_until__gt=Now())),
        is_pausing=fact(Q(forced_at__isnull=False) & Q(forced_at__gt=_from_now(-FORCED_PAUSE))),
    )
    row = rows.first()
    if row is None:
        IamUserLease.objects.bulk_create([IamUserLease(**_iam_user(credential))], ignore_conflicts=True)
        row = rows.get()
    return row


def acquire(row: Any, holder: str, deadline: Deadline, *, is_forced: bool) -> bool:
    """Take the lease, if nobody has it and IAM may be asked. Exactly one of any number of callers gets True.

    Taking it after a block has run out starts the next block at once: this is the one trial, also if we die in it.
    """
    free = Q(holder="") | Q(holder_expires_at__lte=Now())
    unblocked = Q(blocked_until=None) | Q(blocked_until__lte=Now())
    # Unless somebody finished an exchange since we read the row: then its result is to be looked at first.
    rows = IamUserLease.objects.filter(free, unblocked, pk=row.pk, outcome=row.outcome)
    values: dict[str, Any] = {}
    if is_forced:
        rows = rows.filter(Q(forced_at=None) | Q(forced_at__lte=_from_now(-FORCED_PAUSE)))
        values["forced_at"] = Now()
    lease_seconds = deadline.remaining() + GRACE_SECONDS
    return bool(
        rows.update(
            holder=holder,
            holder_expires_at=_from_now(dt.timedelta(seconds=lease_seconds)),
            blocked_until=Case(
                When(blocked_until__isnull=False, then=_from_now(BLOCK)),
                default=Value(None),
                output_field=DateTimeField(),
            ),
            **values,
        )
    )


def give_back(row: Any, holder: str, *, failure: dict[str, Any] | None, blocks: bool = False, **values: Any) -> None:
    """End the lease, if it is still ours: after its expiry, or a replaced secret, nothing may be written.

    The database may have restarted while IAM was asked. Then a new connection gets one try: a lease that is not given
    back makes every launch of this IAM user wait until it runs out.
    """
    rows = IamUserLease.objects.filter(pk=row.pk, holder=holder)
    ending = partial(
        rows.update,
        holder="",
        holder_expires_at=None,
        outcome=F("outcome") + 1,
        failure=failure,
        blocked_until=_from_now(BLOCK) if blocks else None,
        **values,
    )
    try:
        ending()
    except (OperationalError, InterfaceError):
        connection = connections[DEFAULT_DB_ALIAS]
        if connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        ending()


def drop_token(credential: IamCredential, key: str) -> None:
    _rows(credential).filter(token_key=key).update(token_key="", token_ciphertext="")


def forget_block(credential: IamCredential) -> None:
    """End the block, and let nobody who holds the lease now write back."""
    _rows(credential).update(holder="", holder_expires_at=None, blocked_until=None, failure=None)


def blocked_until(credential: IamCredential) -> dt.datetime | None:
    """Until when IAM is not asked for this IAM user; None when it may be asked."""
    row: IamUserLease | None = _rows(credential).filter(blocked_until__gt=Now()).first()
    return row.blocked_until if row else None


def _rows(credential: IamCredential) -> Any:
    return IamUserLease.objects.filter(**_iam_user(credential))


def _iam_user(credential: IamCredential) -> dict[str, str]:
    return {
        "iam_endpoint": credential.iam_endpoint,
        "account_name": credential.account_name,
        "user_name": credential.user_name,
    }


def _from_now(delta: dt.timedelta) -> Any:
    return ExpressionWrapper(Now() + Value(delta), output_field=DateTimeField())
