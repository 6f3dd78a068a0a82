"""The lease of an IAM user, in SQL: who may exchange a token now, what came of it, and until when nobody may.

Written for `omaccess.tokens`; verifying a credential reads it, too. All judging is by the database's clock, the only
one that all machines share.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections
from django.db.models import BooleanField, Case, DateTimeField, Exists, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Now

from omaccess.cloud.types import Deadline
from omaccess.errors import CannotRecord
from omaccess.locks import writing
from omaccess.models import IamCredential, IamUserLease

BLOCK = dt.timedelta(minutes=30)
FORCED_PAUSE = dt.timedelta(seconds=30)
GRACE_SECONDS = 2.0


def read(credential: IamCredential) -> Any:
    """The row, with `is_held`, `is_blocked` and `is_pausing` already judged by the database's clock.

    `is_current` is whether the credential still has the identity and secret that it was loaded with.
    """

    def fact(condition: Q) -> Any:
        return ExpressionWrapper(condition, output_field=BooleanField())

    rows = _rows(credential).annotate(
        is_held=fact(~Q(holder="") & Q(holder_expires_at__gt=Now())),
        is_blocked=fact(Q(blocked_until__isnull=False) & Q(blocked_until__gt=Now())),
        is_pausing=fact(Q(forced_at__isnull=False) & Q(forced_at__gt=_from_now(-FORCED_PAUSE))),
        is_current=_is_current(credential),
    )
    row = rows.first()
    if row is None:
        IamUserLease.objects.bulk_create([IamUserLease(**_iam_user(credential))], ignore_conflicts=True)
        row = rows.get()
    return row


def acquire(row: Any, credential: IamCredential, holder: str, deadline: Deadline, *, is_forced: bool) -> bool:
    """Take the lease, if nobody has it and IAM may be asked. Exactly one of any number of callers gets True.

    Nobody gets it to try a secret that was replaced since: its 401 would block the new one.

    Taking it after a block has run out starts the next block at once: this is the one trial, also if we die in it.
    """
    free = Q(holder="") | Q(holder_expires_at__lte=Now())
    unblocked = Q(blocked_until=None) | Q(blocked_until__lte=Now())
    # Unless somebody finished an exchange since we read the row: then its result is to be looked at first.
    rows = IamUserLease.objects.filter(free, unblocked, _is_current(credential), pk=row.pk, outcome=row.outcome)
    values: dict[str, Any] = {}
    if is_forced:
        rows = rows.filter(Q(forced_at=None) | Q(forced_at__lte=_from_now(-FORCED_PAUSE)))
        values["forced_at"] = Now()
    lease_seconds = deadline.remaining() + GRACE_SECONDS
    with writing():
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
    """End the lease, if it is still ours: once somebody else took it, or the secret was replaced, nothing is written.

    One more try when it fails, over a new connection if the database was restarted while IAM was asked: a lease that is
    not given back makes every launch of this IAM user wait until it runs out, and a 401 that is not noted is repeated.
    """
    rows = IamUserLease.objects.filter(pk=row.pk, holder=holder)

    def end() -> None:
        with writing():
            rows.update(
                holder="",
                holder_expires_at=None,
                outcome=F("outcome") + 1,
                failure=failure,
                blocked_until=_from_now(BLOCK) if blocks else None,
                **values,
            )

    try:
        end()
    except (OperationalError, InterfaceError, CannotRecord):
        connection = connections[DEFAULT_DB_ALIAS]
        if connection.in_atomic_block:
            raise
        if not connection.is_usable():
            connection.close()
        end()


def drop_token(credential: IamCredential, key: str) -> None:
    _rows(credential).filter(token_key=key).update(token_key="", token_ciphertext="")


def forget_block(credential: IamCredential) -> None:
    """End the block, and let nobody write back, or take the lease, who read the row before."""
    _rows(credential).update(
        holder="", holder_expires_at=None, blocked_until=None, failure=None, outcome=F("outcome") + 1
    )


def blocked_until(credential: IamCredential) -> dt.datetime | None:
    """Until when IAM is not asked for this IAM user; None when it may be asked."""
    row: IamUserLease | None = _rows(credential).filter(blocked_until__gt=Now()).first()
    return row.blocked_until if row else None


def _is_current(credential: IamCredential) -> Exists:
    return Exists(IamCredential.objects.filter(pk=credential.pk, version=credential.version))


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
