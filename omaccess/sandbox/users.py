"""What changes about IAM users while the sandbox runs: edits, failed passwords, lockouts."""

from __future__ import annotations

import dataclasses
import hmac
import threading
from collections import deque
from datetime import datetime, timedelta
from enum import Enum

from omaccess.sandbox.clock import SandboxClock
from omaccess.sandbox.world_types import AccessKey, IamUser, World


class SignInProblem(Enum):
    """Why a password sign-in is refused."""

    WRONG = "wrong"
    LOCKED = "locked"
    DISABLED = "disabled"
    CONSOLE_ONLY = "console_only"


class UserDirectory:
    """The IAM users as they are now; safe for threads."""

    def __init__(self, world: World, clock: SandboxClock) -> None:
        self._world = world
        self._clock = clock
        self._lock = threading.Lock()
        self._edited: dict[tuple[str, str], IamUser] = {}
        self._failures: dict[tuple[str, str], deque[datetime]] = {}
        self._locked_until: dict[tuple[str, str], datetime] = {}

    def find(self, account: str, name: str) -> IamUser | None:
        """The user as it is now."""
        return self._edited.get((account, name)) or self._world.user(account, name)

    def owner_of(self, access: str) -> tuple[IamUser, AccessKey] | None:
        """The user, as it is now, with the key of this id."""
        for listed in self._world.users:
            for key in listed.access_keys:
                if key.access == access:
                    user = self.find(listed.account, listed.name) or listed
                    return user, key
        return None

    def sign_in(self, account: str, name: str, password: str) -> IamUser | SignInProblem:
        """Check a password, counting failures towards the lockout.

        Whether failures through the API lock a user is not documented; assumed here, because a client that
        repeats a refused password must be caught by its tests. An unknown user looks like a wrong password.
        """
        user = self.find(account, name)
        if user is None:
            return SignInProblem.WRONG
        key = (account, name)
        with self._lock:
            if self._is_locked(key):
                return SignInProblem.LOCKED
            matches = hmac.compare_digest(user.password.encode(), password.encode("utf-8", "surrogatepass"))
            if not matches or user.login_protection:
                self._count_failure(key)
                return SignInProblem.WRONG
            self._failures.pop(key, None)
        if not user.enabled:
            return SignInProblem.DISABLED
        return user if user.programmatic_access else SignInProblem.CONSOLE_ONLY

    def edit(
        self,
        account: str,
        name: str,
        *,
        password: str | None = None,
        enabled: bool | None = None,
        programmatic_access: bool | None = None,
        permissions: tuple[str, ...] | None = None,
    ) -> IamUser:
        """Change a user the way its administrator would; None leaves a fact as it is.

        Raises:
            KeyError: there is no such user.
        """
        changes = {
            "password": password,
            "enabled": enabled,
            "programmatic_access": programmatic_access,
            "permissions": permissions,
        }
        with self._lock:
            user = self.find(account, name)
            if user is None:
                raise KeyError(f"{account}/{name}")
            given = {key: value for key, value in changes.items() if value is not None}
            edited = dataclasses.replace(user, **given)  # type: ignore[arg-type]
            self._edited[account, name] = edited
            return edited

    def reset(self) -> None:
        """Return to the users of the world file, nobody locked."""
        with self._lock:
            self._edited.clear()
            self._failures.clear()
            self._locked_until.clear()

    def _is_locked(self, key: tuple[str, str]) -> bool:
        until = self._locked_until.get(key)
        if until is None:
            return False
        if self._clock.now() < until:
            return True
        del self._locked_until[key]
        return False

    def _count_failure(self, key: tuple[str, str]) -> None:
        policy = self._world.lockout
        now = self._clock.now()
        failures = self._failures.setdefault(key, deque())
        failures.append(now)
        while failures[0] < now - timedelta(seconds=policy.window_seconds):
            failures.popleft()
        if len(failures) >= policy.failures:
            self._locked_until[key] = now + timedelta(seconds=policy.lock_seconds)
            failures.clear()
