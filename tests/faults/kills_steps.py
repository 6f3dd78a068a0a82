"""The steps of a piece of work, and a process that kills itself right before one of them. For tests only.

Steps are every SQL statement, every commit or rollback, and every piece sent to the cloud. Between two of them there is
nothing but Python, so right before one is also right after the one before it. The product runs as it is: Django offers
a place around statements, the interpreter reports what HTTP clients send, and the commit is wrapped on the connection.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from django.db import connection

_ENDS = ("_commit", "_rollback")


class Steps(threading.local):
    """What this thread has come past since `begin`, and where it has to die."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self._is_counting = False
        self._kill_at = 0
        self._kill_after = ""

    def begin(self, *, kill_at: int = 0, kill_after: str = "") -> None:
        """Count from now on. Die before the step with this number, or before the one that follows the named one."""
        self.taken, self._kill_at, self._kill_after = [], kill_at, kill_after
        connection.ensure_connection()
        for name in _ENDS:
            setattr(connection, name, self._announcing(name.strip("_").upper(), getattr(connection, name)))
        connection.execute_wrappers.append(self._statement)
        self._is_counting = True

    def end(self) -> None:
        self._is_counting = False
        connection.execute_wrappers.remove(self._statement)
        for name in _ENDS:
            delattr(connection, name)

    def come_to(self, name: str) -> None:
        if not self._is_counting:
            return
        is_after = bool(self.taken) and self.taken[-1] == self._kill_after
        self.taken.append(name)
        if is_after or len(self.taken) == self._kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    def _statement(
        self, execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        """One of Django's execute wrappers."""
        self.come_to(sql.split(None, 1)[0])
        return execute(sql, params, many, context)

    def _announcing(self, name: str, end: Callable[[], None]) -> Callable[[], None]:
        def announced() -> None:
            self.come_to(name)
            end()

        return announced


steps = Steps()


def count_what_is_sent() -> None:
    """Make pieces sent to the cloud steps as well; for the rest of the process, as such a hook cannot be removed."""
    sys.addaudithook(_on_audit_event)


def _on_audit_event(event: str, _arguments: tuple[Any, ...]) -> None:
    if event == "http.client.send":
        steps.come_to("SEND")
