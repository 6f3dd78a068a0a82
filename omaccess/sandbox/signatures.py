"""Requests signed with an access key: the algorithm SDK-HMAC-SHA256, and the lock that guessing runs into.

The gateway computes the signature again from the request as it arrived, so whatever changes on the way (host,
query, a signed header, the body) makes it fail. Source: API request signing guide; the requests of the
vendor's own client.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from werkzeug.wrappers import Request

from omaccess.sandbox.clock import SandboxClock
from omaccess.sandbox.users import UserDirectory
from omaccess.sandbox.world_types import AccessKey, IamUser

ALGORITHM: Final = "SDK-HMAC-SHA256"
UNSIGNED_PAYLOAD: Final = "UNSIGNED-PAYLOAD"
_AUTHORIZATION: Final = re.compile(
    rf"{ALGORITHM} +Access=([^\s,]{{1,128}}), *SignedHeaders=([^\s,]+), *Signature=([0-9a-f]{{64}})"
)
_SDK_DATE: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_MUST_BE_SIGNED: Final = frozenset({"host", "x-sdk-date"})
_SKEW: Final = timedelta(minutes=15)
_TOLERATED_FAILURES: Final = 5
_LOCK: Final = timedelta(minutes=5)


class SignatureProblem(Enum):
    """Why a signed request is not accepted."""

    UNREADABLE = "unreadable"
    UNKNOWN_KEY = "unknown key"
    LOCKED = "locked"
    SKEWED = "skewed"
    WRONG = "wrong"
    KEY_DISABLED = "key disabled"
    USER_DISABLED = "user disabled"
    CONSOLE_ONLY = "console only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorization:
    """What the Authorization header says."""

    access: str
    signed_names: tuple[str, ...]
    signature: str

    @classmethod
    def parse(cls, value: str) -> Authorization | None:
        """None for anything but this algorithm, with the names as its recipe demands: sorted, lower case, once."""
        match = _AUTHORIZATION.fullmatch(value.strip())
        if match is None:
            return None
        names = tuple(match[2].split(";"))
        if list(names) != sorted(set(names)) or match[2] != match[2].lower() or not _MUST_BE_SIGNED.issubset(names):
            return None
        return cls(access=match[1], signed_names=names, signature=match[3])


class SignatureDesk:
    """Judges signed requests and locks keys that keep failing; safe for threads."""

    def __init__(self, users: UserDirectory, clock: SandboxClock) -> None:
        self._users = users
        self._clock = clock
        self._lock = threading.Lock()
        self._failures: dict[str, int] = {}
        self._locked_until: dict[str, datetime] = {}

    def check(self, request: Request) -> IamUser | SignatureProblem:
        """The IAM user who signed the request, or what is wrong with it.

        The state of key and user is judged last: only who holds the secret key learns it (an assumption).
        """
        said = Authorization.parse(request.headers.get("Authorization", ""))
        if said is None:
            return SignatureProblem.UNREADABLE
        owner = self._users.owner_of(said.access)
        if owner is None:
            return SignatureProblem.UNKNOWN_KEY
        user, key = owner
        with self._lock:
            if self._is_locked(key.access):
                return SignatureProblem.LOCKED
            if not self._is_current(request):
                # Nobody guesses a key with a wrong clock, so this does not count towards the lock (assumed).
                return SignatureProblem.SKEWED
            if not _is_genuine(request, said, key):
                self._count_failure(key.access)
                return SignatureProblem.WRONG
            self._failures.pop(key.access, None)
        if not key.enabled:
            return SignatureProblem.KEY_DISABLED
        if not user.enabled:
            return SignatureProblem.USER_DISABLED
        return user if user.programmatic_access else SignatureProblem.CONSOLE_ONLY

    def reset(self) -> None:
        """No failures, nothing locked."""
        with self._lock:
            self._failures.clear()
            self._locked_until.clear()

    def _is_current(self, request: Request) -> bool:
        text = request.headers.get("X-Sdk-Date", "").strip()
        if not _SDK_DATE.fullmatch(text):
            return False
        try:
            signed_at = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            return False
        return abs(self._clock.now() - signed_at) <= _SKEW

    def _is_locked(self, access: str) -> bool:
        until = self._locked_until.get(access)
        if until is None:
            return False
        if self._clock.now() < until:
            return True
        del self._locked_until[access]
        return False

    def _count_failure(self, access: str) -> None:
        failures = self._failures.get(access, 0) + 1
        self._failures[access] = failures
        if failures > _TOLERATED_FAILURES:
            self._locked_until[access] = self._clock.now() + _LOCK
            del self._failures[access]


def _is_genuine(request: Request, said: Authorization, key: AccessKey) -> bool:
    canonical = canonical_request(request, said.signed_names)
    if canonical is None:
        return False
    expected = signature(canonical, request.headers["X-Sdk-Date"].strip(), key.secret)
    is_signed = hmac.compare_digest(expected, said.signature)
    # A temporary key comes with its token; a permanent one with none.
    given = request.headers.get("X-Security-Token", "").strip()
    is_complete = hmac.compare_digest(given.encode("latin-1"), key.security_token.encode())
    return is_signed and is_complete


def signature(canonical: bytes, sdk_date: str, secret: str) -> str:
    """The signature of a canonical request; the secret key itself is the key, nothing is derived."""
    to_sign = f"{ALGORITHM}\n{sdk_date}\n{hashlib.sha256(canonical).hexdigest()}"
    return hmac.new(secret.encode(), to_sign.encode(), hashlib.sha256).hexdigest()


def canonical_request(request: Request, signed_names: Sequence[str]) -> bytes | None:
    """The form of a request that is signed; None when a header named as signed is not there.

    Bytes, not text: header values travel as whatever bytes the client chose.
    """
    lines = []
    for name in signed_names:
        value = request.headers.get(name)
        if value is None:
            return None
        lines.append(f"{name}:{value.strip()}\n".encode("latin-1"))
    return b"\n".join(
        (
            request.method.encode(),
            _canonical_path(request).encode(),
            _canonical_query(request.query_string).encode(),
            b"".join(lines),  # ends with its own line feed, hence a blank line
            ";".join(signed_names).encode("latin-1"),
            _payload_hash(request).encode("latin-1"),
        )
    )


def _canonical_path(request: Request) -> str:
    """Decoded once and encoded again, with a slash at the end whether the request had one or not."""
    path = quote(str(request.environ["PATH_INFO"]).encode("latin-1"), safe="/~")
    return path if path.endswith("/") else f"{path}/"


def _canonical_query(query: bytes) -> str:
    """Sorted by decoded name and value, then encoded; `+` and `%20` both mean a space."""
    pairs = []
    for part in filter(None, query.split(b"&")):
        name, _, value = part.replace(b"+", b" ").partition(b"=")
        pairs.append((unquote_to_bytes(name), unquote_to_bytes(value)))
    return "&".join(f"{quote(name, safe='~')}={quote(value, safe='~')}" for name, value in sorted(pairs))


def _payload_hash(request: Request) -> str:
    """Of the body as received; a client may declare a body that is neither JSON nor BSON as not signed."""
    body = request.get_data()
    declared = request.headers.get("X-Sdk-Content-Sha256", "").strip()
    is_signed_kind = "json" in request.mimetype or "bson" in request.mimetype
    if body and declared == UNSIGNED_PAYLOAD and not is_signed_kind:
        return declared
    return hashlib.sha256(body).hexdigest()
