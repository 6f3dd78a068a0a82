"""The secrets inside links into a bastion: each opens one page, once, for a short time."""

from __future__ import annotations

import hashlib
import secrets
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Final

from omaccess.sandbox.clock import SandboxClock
from omaccess.sandbox.world_types import Host, HostAccount, Instance

_REMEMBER_SECONDS: Final = 3600


class TicketProblem(Enum):
    """Why a login URL opens nothing."""

    UNKNOWN = "unknown"
    USED = "used"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Opens:
    """Where a link leads: a session on a host, or, without host and account, the bastion's own pages."""

    instance: Instance
    host: Host | None = None
    account: HostAccount | None = None
    as_admin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a login URL was issued for. It does not hold the secret itself."""

    target: Opens
    user_name: str
    issued_at: datetime
    expires_at: datetime


class TicketOffice:
    """Issues and redeems tickets; keeps digests only; safe for threads."""

    def __init__(self, clock: SandboxClock, lifetime_seconds: float) -> None:
        self._clock = clock
        self._lifetime = timedelta(seconds=lifetime_seconds)
        self._lock = threading.Lock()
        self._tickets: dict[bytes, Ticket] = {}
        self._used: set[bytes] = set()

    def issue(self, *, target: Opens, user_name: str) -> str:
        """A new secret. Earlier ones for the same target stay valid (assumed; nothing is documented)."""
        secret = secrets.token_urlsafe(48)
        now = self._clock.now()
        ticket = Ticket(
            target=target,
            user_name=user_name,
            issued_at=now,
            expires_at=now + self._lifetime,
        )
        with self._lock:
            self._forget_old(now)
            self._tickets[self._digest(secret)] = ticket
        return secret

    def redeem(self, secret: str) -> Ticket | TicketProblem:
        """Use a secret up; any later call says USED."""
        digest = self._digest(secret)
        with self._lock:
            ticket = self._tickets.get(digest)
            if ticket is None:
                return TicketProblem.UNKNOWN
            if digest in self._used:
                return TicketProblem.USED
            if self._clock.now() >= ticket.expires_at:
                return TicketProblem.EXPIRED
            self._used.add(digest)
            return ticket

    def reset(self) -> None:
        with self._lock:
            self._tickets.clear()
            self._used.clear()

    @staticmethod
    def _digest(secret: str) -> bytes:
        return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()

    def _forget_old(self, now: datetime) -> None:
        limit = now - timedelta(seconds=_REMEMBER_SECONDS)
        for digest in [key for key, ticket in self._tickets.items() if ticket.expires_at < limit]:
            del self._tickets[digest]
            self._used.discard(digest)
