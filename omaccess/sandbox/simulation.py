"""The running cloud: a world and everything about it that changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from werkzeug.wrappers import Request

from omaccess.sandbox.callbook import CallBook
from omaccess.sandbox.clock import SandboxClock
from omaccess.sandbox.faults import Fault, FaultBook
from omaccess.sandbox.signatures import SignatureDesk
from omaccess.sandbox.tickets import TicketOffice
from omaccess.sandbox.tokens import Token, TokenMint
from omaccess.sandbox.users import UserDirectory
from omaccess.sandbox.world import Instance, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request on its way through the sandbox."""

    name: str
    request: Request
    request_id: str
    fault: Fault


class Simulation:
    """State shared by all request threads; each part guards itself."""

    def __init__(self, world: World, *, base_url: str) -> None:
        self.world = world
        self.base_url = base_url.rstrip("/")
        self.clock = SandboxClock()
        self.tokens = TokenMint(self.clock, world.tokens)
        self.users = UserDirectory(world, self.clock)
        self.signatures = SignatureDesk(self.users, self.clock)
        self.tickets = TicketOffice(self.clock, world.style.om_url_seconds)
        self.trustlist = Trustlist(self.clock)
        self.faults = FaultBook()
        self.book = CallBook()
        self.stopping = threading.Event()

    def revoke_tokens_of(self, account: str, name: str) -> int:
        """What IAM does when a user is disabled, or its password or permissions change."""
        return self.tokens.revoke(belonging_to(account, name))

    def reset(self) -> None:
        """Return to the world file: no faults, counters, tokens, lockouts or edits; held calls go on."""
        self.faults.clear()
        self.book.reset()
        self.tokens.reset()
        self.users.reset()
        self.signatures.reset()
        self.tickets.reset()
        self.trustlist.reset()
        self.clock.reset()

    def close(self) -> None:
        """Let waiting calls end, so that a server can stop."""
        self.stopping.set()
        self.book.close()

    def reopen(self) -> None:
        self.stopping.clear()
        self.book.reopen()


class Trustlist:
    """Trustlists start to initialise with the first call (an assumption: no document says when)."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._started_at: dict[str, datetime] = {}

    def is_ready(self, instance: Instance) -> bool:
        """Whether the instance is ready; the first question starts the initialisation."""
        now = self._clock.now()
        with self._lock:
            started_at = self._started_at.setdefault(instance.server_id, now)
        return now >= started_at + timedelta(seconds=instance.trustlist_ready_after_seconds)

    def reset(self) -> None:
        with self._lock:
            self._started_at.clear()


def belonging_to(account: str, name: str) -> Callable[[Token], bool]:
    """A condition on tokens: whose they are; an empty name stands for any."""
    return lambda token: account in ("", token.account.name) and name in ("", token.user.name)
