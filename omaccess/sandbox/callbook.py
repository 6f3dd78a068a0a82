"""What the sandbox was asked, counted and waitable, so that tests assert on facts and never sleep."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

_REMEMBERED_CALLS: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call as it arrived. Bodies and the values of secret headers are not kept."""

    call: str
    method: str
    path: str
    query: str
    """The raw query string; blank for the session page, whose query is a secret."""
    headers: Mapping[str, str]
    connection: str
    """The client's port: the same for calls that share a kept-alive connection."""
    request_id: str


class CallBook:
    """Counts calls, remembers the latest, and holds those a fault tells it to; safe for threads."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._closed = False
        self._start_over()

    def _start_over(self) -> None:
        self._received: Counter[str] = Counter()
        self._in_flight: Counter[str] = Counter()
        self._most_in_flight: Counter[str] = Counter()
        self._statuses: dict[str, Counter[str]] = {}
        self._held: list[tuple[str, threading.Event]] = []
        self._records: deque[CallRecord] = deque(maxlen=_REMEMBERED_CALLS)

    @contextmanager
    def arriving(self, record: CallRecord) -> Iterator[None]:
        """Count a call while it is being answered."""
        call = record.call
        with self._changed:
            in_flight = self._in_flight  # a reset in between must not see our departure
            self._received[call] += 1
            in_flight[call] += 1
            self._most_in_flight[call] = max(self._most_in_flight[call], in_flight[call])
            self._records.append(record)
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                in_flight[call] -= 1
                self._changed.notify_all()

    def answered(self, call: str, outcome: str) -> None:
        """Note how a call ended: its HTTP status, or `dropped`."""
        with self._changed:
            self._statuses.setdefault(call, Counter())[outcome] += 1

    def hold(self, call: str, seconds: float) -> None:
        """Keep the calling thread until `release`, `reset` or `close`, at most `seconds`."""
        gate = threading.Event()
        with self._changed:
            if self._closed:
                return
            self._held.append((call, gate))
            self._changed.notify_all()
        gate.wait(seconds)
        with self._changed:
            self._held = [entry for entry in self._held if entry[1] is not gate]
            self._changed.notify_all()

    def release(self, call: str = "*") -> int:
        """Let held calls go on; returns how many there were."""
        with self._changed:
            going = [entry for entry in self._held if call in ("*", entry[0])]
            for _, gate in going:
                gate.set()
            self._held = [entry for entry in self._held if entry not in going]
            self._changed.notify_all()
            return len(going)

    def wait(self, call: str, *, received: int = 0, held: int = 0, seconds: float = 10) -> bool:
        """Wait until that many calls have arrived and are held; False when the time is up first."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while self._received[call] < received or self._held_now(call) < held:
                remaining = deadline - time.monotonic()
                if remaining <= 0 or self._closed:
                    return False
                self._changed.wait(remaining)
            return True

    def _held_now(self, call: str) -> int:
        return sum(1 for name, _ in self._held if name == call)

    def counters(self) -> dict[str, int]:
        """Calls received, by name; a call never received counts 0."""
        with self._changed:
            return Counter(self._received)

    def most_in_flight(self) -> dict[str, int]:
        """The largest number of calls of one name that were being answered at the same time."""
        with self._changed:
            return Counter(self._most_in_flight)

    def in_flight(self) -> dict[str, int]:
        with self._changed:
            return Counter(self._in_flight)

    def held(self) -> dict[str, int]:
        with self._changed:
            return Counter(name for name, _ in self._held)

    def statuses(self) -> dict[str, dict[str, int]]:
        """How calls ended: name → status → count."""
        with self._changed:
            return {call: dict(counts) for call, counts in self._statuses.items()}

    def calls(self, call: str = "*") -> list[CallRecord]:
        """The latest calls, oldest first."""
        with self._changed:
            return [record for record in self._records if call in ("*", record.call)]

    def reset(self) -> None:
        """Release what is held and count from zero."""
        with self._changed:
            self.release()
            self._start_over()
            self._changed.notify_all()

    def close(self) -> None:
        """Release what is held, and hold nothing any more."""
        with self._changed:
            self._closed = True
            self.release()

    def reopen(self) -> None:
        with self._changed:
            self._closed = False
