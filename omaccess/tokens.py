"""One IAM token per credential and project, shared by all threads and processes.

The cache holds it, encrypted; it may vanish at any time. Per IAM user one row (`IamUserLease`) is the lease: at most
one exchange at a time; those who wait get the holder's token, or its failure, out of the row. The same row is the
block after a 401: IAM may lock a user after a few wrong passwords, so the portal stops asking.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.db import Error
from django.db.models import BooleanField, Case, DateTimeField, ExpressionWrapper, F, Q, Value, When
from django.db.models.functions import Now
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables
from redis.exceptions import RedisError

from omaccess import clients, vault
from omaccess.causes import Cause, cause_of
from omaccess.cloud import errors as cloud_errors
from omaccess.cloud.errors import CloudError, CloudTimeout, CredentialRejected, TokenRejected
from omaccess.cloud.types import Deadline, IamToken, PasswordCredential, ProjectScope
from omaccess.errors import CredentialBlocked, CredentialUnusable, VaultError
from omaccess.models import BastionInstance, IamCredential, IamUserLease

log = structlog.get_logger(__name__)

BLOCK = dt.timedelta(minutes=30)
FORCED_PAUSE = dt.timedelta(seconds=30)
USE_MARGIN = dt.timedelta(seconds=60)
REFRESH_MARGIN = dt.timedelta(hours=1)
LEASE_GRACE_SECONDS = 2.0
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class _Held:
    """A token as it is kept, with the moment it was received: margins depend on its whole life."""

    token: IamToken
    received_at: dt.datetime

    def is_usable(self, now: dt.datetime) -> bool:
        return now < self.token.expires_at - min(USE_MARGIN, self._life / 10)

    def is_due(self, now: dt.datetime) -> bool:
        """Time to fetch the next one, ahead of expiry."""
        return now >= self.token.expires_at - min(REFRESH_MARGIN, self._life / 4)

    @property
    def _life(self) -> dt.timedelta:
        return self.token.expires_at - self.received_at


@dataclass(frozen=True, slots=True)
class _Wanted:
    """For what a token is wanted. `key` names it in cache and lease: a replaced secret makes another key."""

    credential: IamCredential
    scope: ProjectScope
    key: str

    @classmethod
    def of(cls, credential: IamCredential, instance: BastionInstance) -> _Wanted:
        scope = (
            ProjectScope(id=instance.project_id) if instance.project_id else ProjectScope(name=instance.project_name)
        )
        facts = [credential.pk, credential.version, credential.iam_endpoint, scope.id, scope.name]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return cls(credential, scope, f"token:{digest}")


def token_for(credential: IamCredential, instance: BastionInstance, *, deadline: Deadline) -> IamToken:
    """A token that works for this instance's project, from the cache or by one exchange.

    Raises:
        CredentialUnusable: no secret, disabled, or it does not decrypt. Nothing was asked.
        CredentialBlocked: IAM refused this IAM user a short while ago. Nothing was asked.
        CloudError: the exchange, ours or the one waited for, failed.
    """
    _check_usable(credential)
    return _obtain(_Wanted.of(credential, instance), deadline, lambda held: held.is_usable(timezone.now()))


def renew(
    credential: IamCredential,
    instance: BastionInstance,
    *,
    refused: IamToken,
    error: TokenRejected,
    deadline: Deadline,
) -> IamToken:
    """Another token than the one CBH refused: somebody's newer one, or by one forced exchange.

    Raises: as `token_for`; and `error` itself when the last forced exchange of this IAM user is under 30 s ago.
    """
    return _obtain(
        _Wanted.of(credential, instance),
        deadline,
        lambda held: held.token.value != refused.value and held.is_usable(timezone.now()),
        forced_by=error,
    )


def refresh(credential: IamCredential, instance: BastionInstance, *, deadline: Deadline) -> bool:
    """Fetch the next token ahead of expiry. False when the present one is not due, or there is none to renew.

    Raises: as `token_for`.
    """
    wanted = _Wanted.of(credential, instance)
    held = _cached(wanted) or _in_lease(wanted, _read_lease(wanted.credential))
    now = timezone.now()
    if held is None or not held.is_due(now) or not held.is_usable(now):
        return False
    _check_usable(credential)
    _obtain(wanted, deadline, lambda other: not other.is_due(timezone.now()))
    return True


def forget_block(credential: IamCredential) -> None:
    """The secret was replaced: end the block, and let nobody who still tries the old one write back."""
    _lease_rows(credential).update(holder="", holder_expires_at=None, blocked_until=None, failure=None)


def blocked_until(credential: IamCredential) -> dt.datetime | None:
    """Until when IAM is not asked for this IAM user; None when it may be asked."""
    row: IamUserLease | None = _lease_rows(credential).filter(blocked_until__gt=Now()).first()
    return row.blocked_until if row else None


# --- the lease -----------------------------------------------------------------------------------


def _obtain(
    wanted: _Wanted,
    deadline: Deadline,
    is_good: Callable[[_Held], bool],
    *,
    forced_by: TokenRejected | None = None,
) -> IamToken:
    """A good token from the cache, from the lease's row, or by an exchange under the lease."""
    held = _cached(wanted)
    if held is not None and is_good(held):
        return held.token
    # Before the lease: a secret that does not open must not look like a trial of IAM.
    password = _secret(wanted.credential)
    seen: int | None = None
    while True:
        row = _read_lease(wanted.credential)
        held = _in_lease(wanted, row)
        if held is not None and is_good(held):
            _to_cache(wanted, held)
            return held.token
        if seen is not None and row.outcome != seen and (row.failure or {}).get("key") == wanted.key:
            raise _restored(row.failure)
        seen = row.outcome
        holder = secrets.token_urlsafe(24)
        if _acquire(row, holder, deadline, is_forced=forced_by is not None):
            return _exchange(wanted, row, holder, password, deadline, is_forced=forced_by is not None)
        if not row.is_held:
            if row.is_blocked:
                raise CredentialBlocked
            if forced_by is not None and row.is_pausing:
                raise forced_by
        if deadline.expired:
            raise CloudTimeout(service="iam")
        time.sleep(min(POLL_SECONDS, deadline.remaining()))


def _read_lease(credential: IamCredential) -> Any:
    """The row, with `is_held`, `is_blocked` and `is_pausing` already judged by the database's clock."""

    def fact(condition: Q) -> Any:
        return ExpressionWrapper(condition, output_field=BooleanField())

    rows = _lease_rows(credential).annotate(
        is_held=fact(~Q(holder="") & Q(holder_expires_at__gt=Now())),
        is_blocked=fact(Q(blocked_until__isnull=False) & Q(blocked_until__gt=Now())),
        is_pausing=fact(Q(forced_at__isnull=False) & Q(forced_at__gt=_from_now(-FORCED_PAUSE))),
    )
    row = rows.first()
    if row is None:
        IamUserLease.objects.bulk_create([IamUserLease(**_iam_user(credential))], ignore_conflicts=True)
        row = rows.get()
    return row


def _acquire(row: Any, holder: str, deadline: Deadline, *, is_forced: bool) -> bool:
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
    lease_seconds = deadline.remaining() + LEASE_GRACE_SECONDS
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


@sensitive_variables("password", "token", "held")
def _exchange(
    wanted: _Wanted, row: Any, holder: str, password: str, deadline: Deadline, *, is_forced: bool
) -> IamToken:
    """Ask IAM, as the holder of the lease, and leave the result for those who wait."""
    credential = wanted.credential
    if is_forced:
        _drop_cached(wanted)
    try:
        token = clients.iam(credential.iam_endpoint).token(
            credential=PasswordCredential(
                account_name=credential.account_name,
                user_name=credential.user_name,
                password=password,
            ),
            scope=wanted.scope,
            deadline=deadline,
        )
    except CloudError as error:
        block = _from_now(BLOCK) if isinstance(error, CredentialRejected) else None
        _give_back(row, holder, failure=_stored(wanted, error), blocked_until=block)
        _note_health(credential, error)
        raise
    held = _Held(token, timezone.now())
    _give_back(
        row,
        holder,
        failure=None,
        blocked_until=None,
        token_key=wanted.key,
        token_ciphertext=_sealed(wanted, held),
    )
    _to_cache(wanted, held)
    _note_health(credential, None)
    return token


def _give_back(row: Any, holder: str, *, failure: dict[str, Any] | None, **values: Any) -> None:
    """End the lease, if it is still ours: after its expiry, or a replaced secret, nothing may be written."""
    IamUserLease.objects.filter(pk=row.pk, holder=holder).update(
        holder="", holder_expires_at=None, outcome=F("outcome") + 1, failure=failure, **values
    )


def _lease_rows(credential: IamCredential) -> Any:
    return IamUserLease.objects.filter(**_iam_user(credential))


def _iam_user(credential: IamCredential) -> dict[str, str]:
    return {
        "iam_endpoint": credential.iam_endpoint,
        "account_name": credential.account_name,
        "user_name": credential.user_name,
    }


def _from_now(delta: dt.timedelta) -> Any:
    """A moment by the database's clock, the only one that all machines share."""
    return ExpressionWrapper(Now() + Value(delta), output_field=DateTimeField())


# --- failures, for those who waited ----------------------------------------------------------------


def _stored(wanted: _Wanted, error: CloudError) -> dict[str, Any]:
    return {"key": wanted.key, "kind": type(error).__name__, "facts": dict(vars(error))}


def _restored(failure: dict[str, Any]) -> CloudError:
    kind: type[CloudError] = getattr(cloud_errors, failure["kind"])
    error = kind.__new__(kind)
    vars(error).update(failure["facts"])
    return error


# --- tokens at rest --------------------------------------------------------------------------------


def _sealed(wanted: _Wanted, held: _Held) -> str:
    token = held.token
    text = json.dumps(
        {
            "value": token.value,
            "project_id": token.project_id,
            "project_name": token.project_name,
            "expires_at": token.expires_at.isoformat(),
            "user_id": token.user_id,
            "user_name": token.user_name,
            "request_id": token.request_id,
            "received_at": held.received_at.isoformat(),
        }
    )
    return vault.encrypt(text, table="token", row=wanted.key, field="value")


def _unsealed(wanted: _Wanted, ciphertext: str) -> _Held | None:
    """None when it does not open: the keys were changed, and a new token costs one exchange."""
    try:
        facts = json.loads(vault.decrypt(ciphertext, table="token", row=wanted.key, field="value"))
    except VaultError:
        log.warning("cached_token_unreadable", credential_id=wanted.credential.pk)
        return None
    received_at = dt.datetime.fromisoformat(facts.pop("received_at"))
    expires_at = dt.datetime.fromisoformat(facts.pop("expires_at"))
    return _Held(IamToken(expires_at=expires_at, **facts), received_at)


def _cache() -> BaseCache:
    return caches["tokens"]


def _cached(wanted: _Wanted) -> _Held | None:
    try:
        ciphertext = _cache().get(wanted.key)
    except (RedisError, Error, OSError) as error:
        log.warning("cache_unavailable", error=type(error).__name__)
        return None
    return _unsealed(wanted, ciphertext) if isinstance(ciphertext, str) else None


def _in_lease(wanted: _Wanted, row: Any) -> _Held | None:
    if row.token_key != wanted.key or not row.token_ciphertext:
        return None
    return _unsealed(wanted, row.token_ciphertext)


def _to_cache(wanted: _Wanted, held: _Held) -> None:
    seconds = int((held.token.expires_at - timezone.now()).total_seconds())
    try:
        _cache().set(wanted.key, _sealed(wanted, held), timeout=max(1, seconds))
    except (RedisError, Error, OSError) as error:
        log.warning("cache_unavailable", error=type(error).__name__)


def _drop_cached(wanted: _Wanted) -> None:
    _lease_rows(wanted.credential).filter(token_key=wanted.key).update(token_key="", token_ciphertext="")
    try:
        _cache().delete(wanted.key)
    except (RedisError, Error, OSError) as error:
        log.warning("cache_unavailable", error=type(error).__name__)


# --- the credential --------------------------------------------------------------------------------


def _check_usable(credential: IamCredential) -> None:
    if not credential.is_enabled:
        raise CredentialUnusable(Cause.CREDENTIAL_DISABLED)
    if not credential.has_secret:
        raise CredentialUnusable(Cause.CREDENTIAL_WITHOUT_SECRET)


def _secret(credential: IamCredential) -> str:
    try:
        return vault.decrypt(
            credential.secret_ciphertext, table="iamcredential", row=str(credential.pk), field="secret"
        )
    except VaultError as error:
        log.error("secret_unreadable", credential_id=credential.pk, reason=str(error))
        raise CredentialUnusable(Cause.SECRET_UNREADABLE) from None


def _note_health(credential: IamCredential, error: CloudError | None) -> None:
    """What the admin's list shows. A queryset update: `updated_at` and `version` are about the identity."""
    now = timezone.now()
    values: dict[str, Any] = {"last_used_at": now}
    if error is None:
        values["last_success_at"] = now
    else:
        values |= {"last_error_at": now, "last_error": cause_of(error).value}
    try:
        IamCredential.objects.filter(pk=credential.pk).update(**values)
    except Error as failure:
        # A note for admins; the launch that waits for the token must not fail over it.
        log.warning("credential_health_not_noted", credential_id=credential.pk, error=type(failure).__name__)
