"""IAM tokens of the sandbox: signed, ageing, revocable.

The value looks like a real one (base64 of a DER sequence, so it starts with `MI`) and is signed, so that a
token that was cut or altered on its way is refused for that reason and not merely as unknown.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from omaccess.sandbox.clock import SandboxClock
from omaccess.sandbox.world_types import Account, IamUser, Project, TokenPolicy

_HEADER_BYTES: Final = 4
_ID_BYTES: Final = 16
_SIGNATURE_BYTES: Final = hashlib.sha256().digest_size
_KEEP_DEAD_SECONDS: Final = 3600


class TokenProblem(Enum):
    """Why a token is not accepted."""

    MISSING = "missing"
    ALTERED = "altered"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """What a token stands for. `project` is None for one that is scoped to the whole account."""

    value: str = field(repr=False)
    user: IamUser
    account: Account
    project: Project | None
    issued_at: datetime
    expires_at: datetime


class TokenMint:
    """Issues tokens and judges them; safe for threads. The signing key lives and dies with this object."""

    def __init__(self, clock: SandboxClock, policy: TokenPolicy) -> None:
        self._clock = clock
        self._policy = policy
        self._key = secrets.token_bytes(32)
        self._lock = threading.Lock()
        self._tokens: dict[bytes, Token] = {}
        self._revoked: set[bytes] = set()
        self._expired_early: set[bytes] = set()

    def issue(self, *, user: IamUser, account: Account, project: Project | None) -> Token:
        """Issue a token; earlier ones of the same user stay valid."""
        token_id = secrets.token_bytes(_ID_BYTES)
        now = self._clock.now()
        token = Token(
            value=self._sign(token_id),
            user=user,
            account=account,
            project=project,
            issued_at=now,
            expires_at=now + timedelta(seconds=self._policy.lifetime_seconds),
        )
        with self._lock:
            self._forget_dead(now)
            self._tokens[token_id] = token
        return token

    def check(self, value: str | None) -> Token | TokenProblem:
        """The token behind a header value, or what is wrong with it."""
        if not value:
            return TokenProblem.MISSING
        token_id = self._verified_id(value)
        if token_id is None:
            return TokenProblem.ALTERED
        with self._lock:
            token = self._tokens.get(token_id)
            if token is None or token_id in self._expired_early or token.expires_at <= self._clock.now():
                return TokenProblem.EXPIRED
            if token_id in self._revoked:
                return TokenProblem.REVOKED
            return token

    def revoke(self, which: Callable[[Token], bool] = lambda token: True) -> int:
        """Invalidate the tokens that match, as a password change does; returns how many there were."""
        return self._mark(self._revoked, which)

    def expire(self, which: Callable[[Token], bool] = lambda token: True) -> int:
        """Let the tokens that match count as expired from now on, whatever they said when issued."""
        return self._mark(self._expired_early, which)

    def reset(self) -> None:
        """Forget every token; those still held by clients count as expired."""
        with self._lock:
            self._tokens.clear()
            self._revoked.clear()
            self._expired_early.clear()

    def _mark(self, marks: set[bytes], which: Callable[[Token], bool]) -> int:
        with self._lock:
            ids = {token_id for token_id, token in self._tokens.items() if which(token)} - marks
            marks.update(ids)
            return len(ids)

    def _forget_dead(self, now: datetime) -> None:
        """Bound the memory of a long-running sandbox; a forgotten token still reads as expired."""
        limit = now - timedelta(seconds=_KEEP_DEAD_SECONDS)
        for token_id in [key for key, token in self._tokens.items() if token.expires_at < limit]:
            del self._tokens[token_id]
            self._revoked.discard(token_id)
            self._expired_early.discard(token_id)

    def _sign(self, token_id: bytes) -> str:
        length = self._policy.characters // 4 * 3
        content = length - _HEADER_BYTES
        filler = secrets.token_bytes(content - _ID_BYTES - _SIGNATURE_BYTES)
        message = b"\x30\x82" + content.to_bytes(2, "big") + token_id + filler
        value = base64.b64encode(message + self._signature(message)).decode("ascii")
        # Keystone's signed tokens travel in headers and URLs with "-" in place of "/".
        return value.replace("/", "-")

    def _verified_id(self, value: str) -> bytes | None:
        try:
            raw = base64.b64decode(value.replace("-", "/"), validate=True)
        except (binascii.Error, ValueError):
            return None
        message, signature = raw[:-_SIGNATURE_BYTES], raw[-_SIGNATURE_BYTES:]
        if len(message) < _HEADER_BYTES + _ID_BYTES:
            return None
        if not hmac.compare_digest(self._signature(message), signature):
            return None
        return message[_HEADER_BYTES : _HEADER_BYTES + _ID_BYTES]

    def _signature(self, message: bytes) -> bytes:
        return hmac.digest(self._key, message, "sha256")
