"""One IAM token per credential and project, shared by all threads and processes: who exchanges, and when.

The cache holds it, encrypted; it may vanish at any time (`held_tokens`). Per IAM user one row (`leases`) is the lease:
at most one exchange at a time; those who wait get the holder's token, or its failure, out of the row. The same row is
the block after a 401: IAM may lock a user after a few wrong passwords, so the portal stops asking.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from django.db import Error
from django.db.models import F, Value
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.views.decorators.debug import sensitive_variables

from omaccess import clients, held_tokens, leases, metrics, vault
from omaccess.causes import Cause, cause_of
from omaccess.cloud import errors as cloud_errors
from omaccess.cloud.errors import CloudError, CloudForbidden, CloudTimeout, CredentialRejected, TokenRejected
from omaccess.cloud.types import Deadline, IamToken, PasswordCredential
from omaccess.errors import CredentialBlocked, CredentialUnusable, VaultError
from omaccess.held_tokens import Held, Project, Wanted
from omaccess.models import IamCredential

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.05


class ExchangedJustNow(Exception):
    """A fresh exchange was asked for, and the last forced one of this IAM user is under 30 s ago. Nothing was asked."""


@dataclass(frozen=True, slots=True)
class _Forced:
    """An exchange although a token may be held: at most one per IAM user in 30 s, else `too_soon` is raised."""

    too_soon: Exception
    drops_old: bool


def token_for(credential: IamCredential, project: Project, *, deadline: Deadline) -> IamToken:
    """A token that works for this project (an instance's, or a named one), from the cache or by one exchange.

    Raises:
        CredentialUnusable: no secret, disabled, changed meanwhile, or it does not decrypt. Nothing was asked.
        CredentialBlocked: IAM refused this IAM user a short while ago. Nothing was asked.
        CloudError: the exchange, ours or the one waited for, failed.
    """
    _check_usable(credential)
    return _obtain(Wanted.of(credential, project), deadline, lambda held: held.is_usable(timezone.now()))


def renew(
    credential: IamCredential,
    project: Project,
    *,
    refused: IamToken,
    error: TokenRejected,
    deadline: Deadline,
) -> IamToken:
    """Another token than the one CBH refused: somebody's newer one, or by one forced exchange.

    Raises: as `token_for`; and `error` itself when the last forced exchange of this IAM user is under 30 s ago.
    """
    return _obtain(
        Wanted.of(credential, project),
        deadline,
        lambda held: held.token.value != refused.value and held.is_usable(timezone.now()),
        forced=_Forced(error, drops_old=True),
    )


def verify(credential: IamCredential, project: Project, *, deadline: Deadline) -> IamToken:
    """A token that was exchanged after this was called: proof that IAM accepts the stored password now.

    It obeys what every exchange obeys: the lease, the block, and the one forced exchange in 30 s. Whatever comes of
    it, a token that still works goes on working; a new one takes its place.

    Raises: as `token_for`; ExchangedJustNow.
    """
    _check_usable(credential)
    return _obtain(
        Wanted.of(credential, project),
        deadline,
        lambda held: True,
        forced=_Forced(ExchangedJustNow(), drops_old=False),
        newer_than=leases.read(credential).outcome,
    )


def refresh(credential: IamCredential, project: Project, *, deadline: Deadline) -> bool:
    """Fetch the next token ahead of expiry. False when the present one is not due, or there is none to renew.

    Raises: as `token_for`.
    """
    wanted = Wanted.of(credential, project)
    held = held_tokens.cached(wanted) or held_tokens.in_lease(wanted, leases.read(credential))
    now = timezone.now()
    if held is None or not held.is_due(now) or not held.is_usable(now):
        return False
    _check_usable(credential)
    _obtain(wanted, deadline, lambda other: not other.is_due(timezone.now()))
    return True


def forget_block(credential: IamCredential) -> None:
    """The secret was replaced: end the block, and let nobody who still tries the old one write back."""
    leases.forget_block(credential)


def blocked_until(credential: IamCredential) -> dt.datetime | None:
    """Until when IAM is not asked for this IAM user; None when it may be asked."""
    return leases.blocked_until(credential)


# --- one exchange for all who want it ----------------------------------------------------------------


def _obtain(
    wanted: Wanted,
    deadline: Deadline,
    is_good: Callable[[Held], bool],
    *,
    forced: _Forced | None = None,
    newer_than: int | None = None,
) -> IamToken:
    """A good token from the cache, from the lease's row, or by an exchange under the lease.

    With `newer_than`, the number of an outcome, only one that was exchanged after it; clocks would not tell.
    """
    if newer_than is None:
        held = held_tokens.cached(wanted)
        if held is not None and is_good(held):
            metrics.token_found("cache")
            return held.token
    # Before the lease: a secret that does not open must not look like a trial of IAM.
    password = _secret(wanted.credential)
    with metrics.lease_wait() as pausing:
        return _by_lease(wanted, password, deadline, is_good, pausing, forced=forced, newer_than=newer_than)


@sensitive_variables("password", "held")
def _by_lease(
    wanted: Wanted,
    password: str,
    deadline: Deadline,
    is_good: Callable[[Held], bool],
    pausing: Callable[[], None],
    *,
    forced: _Forced | None,
    newer_than: int | None,
) -> IamToken:
    """As the holder of the lease by an exchange, else what its holder left. `pausing` is called before each pause."""
    seen: int | None = None
    while True:
        row = leases.read(wanted.credential)
        held = held_tokens.in_lease(wanted, row)
        is_new = newer_than is None or row.outcome > newer_than
        if held is not None and is_new and is_good(held):
            held_tokens.to_cache(wanted, held)
            metrics.token_found("lease")
            return held.token
        if seen is not None and row.outcome != seen and (row.failure or {}).get("key") == wanted.key:
            raise _restored(row.failure)
        seen = row.outcome
        if not row.is_current:
            raise CredentialUnusable(Cause.DECISION_CHANGED)
        holder = secrets.token_urlsafe(24)
        if leases.acquire(row, wanted.credential, holder, deadline, is_forced=forced is not None):
            if forced is not None and forced.drops_old:
                held_tokens.drop(wanted)
            metrics.token_found("exchange")
            return _exchange(wanted, row, holder, password, deadline)
        if not row.is_held:
            if row.is_blocked:
                raise CredentialBlocked
            if forced is not None and row.is_pausing:
                raise forced.too_soon
        if deadline.expired:
            raise CloudTimeout(service="iam")
        pausing()
        time.sleep(min(POLL_SECONDS, deadline.remaining()))


@sensitive_variables("password", "token", "held")
def _exchange(wanted: Wanted, row: Any, holder: str, password: str, deadline: Deadline) -> IamToken:
    """Ask IAM, as the holder of the lease, and leave the result for those who wait."""
    credential = wanted.credential
    try:
        with metrics.cloud_call("iam", "token"):
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
        leases.give_back(row, holder, failure=_stored(wanted, error), blocks=isinstance(error, CredentialRejected))
        _note_health(credential, error)
        raise
    held = Held(token, timezone.now())
    leases.give_back(row, holder, failure=None, token_key=wanted.key, token_ciphertext=held_tokens.sealed(wanted, held))
    held_tokens.to_cache(wanted, held)
    _note_health(credential, None)
    return token


def _stored(wanted: Wanted, error: CloudError) -> dict[str, Any]:
    """A failure for those who waited."""
    return {"key": wanted.key, "kind": type(error).__name__, "facts": dict(vars(error))}


def _restored(failure: dict[str, Any]) -> CloudError:
    kind: type[CloudError] = getattr(cloud_errors, failure["kind"])
    error = kind.__new__(kind)
    vars(error).update(failure["facts"])
    return error


# --- the credential --------------------------------------------------------------------------------


def _check_usable(credential: IamCredential) -> None:
    if not credential.is_enabled:
        raise CredentialUnusable(Cause.CREDENTIAL_DISABLED)
    if not credential.has_secret:
        raise CredentialUnusable(Cause.CREDENTIAL_WITHOUT_SECRET)


@sensitive_variables()
def _secret(credential: IamCredential) -> str:
    """The password. Once more from the row when it does not open: it may have been sealed anew since it was read."""
    try:
        return _opened(credential, credential.secret_ciphertext)
    except VaultError as error:
        reason = error
    sealed = (
        IamCredential.objects.filter(pk=credential.pk, version=credential.version)
        .values_list("secret_ciphertext", flat=True)
        .first()
    )
    if sealed and sealed != credential.secret_ciphertext:
        try:
            return _opened(credential, sealed)
        except VaultError as error:
            reason = error
    log.error("secret_unreadable", credential_id=credential.pk, reason=str(reason))
    raise CredentialUnusable(Cause.SECRET_UNREADABLE)


def _opened(credential: IamCredential, ciphertext: str) -> str:
    return vault.decrypt(ciphertext, table="iamcredential", row=str(credential.pk), field="secret")


def _note_health(credential: IamCredential, error: CloudError | None) -> None:
    """What the admin's list shows. A queryset update: `updated_at` and `version` are about the identity."""
    now = timezone.now()
    values: dict[str, Any] = {"last_used_at": now}
    if error is None:
        values |= {"last_success_at": now, "failing_since_at": None}
    else:
        values |= {"last_error_at": now, "last_error": cause_of(error).value}
        # A mistyped project, or an IAM that does not answer, says nothing of the credential.
        if isinstance(error, CredentialRejected | CloudForbidden):
            values["failing_since_at"] = Coalesce(F("failing_since_at"), Value(now))
    try:
        # Health is that of the secret in place: what an older one met says nothing of it.
        IamCredential.objects.filter(pk=credential.pk, version=credential.version).update(**values)
    except Error as failure:
        # A note for admins; the launch that waits for the token must not fail over it.
        log.warning("credential_health_not_noted", credential_id=credential.pk, error=type(failure).__name__)
