"""The sandbox's own time, which tests move instead of waiting."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta


class SandboxClock:
    """Wall-clock time plus an offset.

    Everything that ages in the sandbox (tokens, lockouts, the trustlist, login URLs) and the `Date` header
    read this clock. Moving it expires things at once, and shows a client a cloud whose clock is wrong.
    """

    def __init__(self) -> None:
        self._offset = timedelta(0)
        self._lock = threading.Lock()

    def now(self) -> datetime:
        """The sandbox's time, aware, UTC."""
        with self._lock:
            return datetime.now(UTC) + self._offset

    def advance(self, seconds: float) -> None:
        """Move the sandbox's time by `seconds`; negative values move it back."""
        with self._lock:
            self._offset += timedelta(seconds=seconds)

    def reset(self) -> None:
        """Return to wall-clock time."""
        with self._lock:
            self._offset = timedelta(0)
