"""What became of a launch, as pages, lists and the little status window tell it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable
from dataclasses import dataclass

from django.conf import settings

from omaccess.causes import Cause
from omaccess.failures import Explanation, explain
from omaccess.models import Launch, LaunchState

AUTOMATIC = dt.timedelta(minutes=2)
"""How long after the last attempt a waiting page goes on by itself. A tab found next morning must not."""

_LOOKS: dict[str, tuple[str, str]] = {
    LaunchState.PENDING: ("info", "clock"),
    LaunchState.WAITING: ("info", "clock"),
    LaunchState.OPENED: ("ok", "check"),
    LaunchState.REFUSED: ("warn", "stop"),
    LaunchState.FAILED: ("bad", "warn"),
    LaunchState.DENIED: ("warn", "stop"),
    LaunchState.ABANDONED: ("", "stop"),
}
_EXPLAINED = frozenset({LaunchState.REFUSED, LaunchState.FAILED, LaunchState.DENIED, LaunchState.ABANDONED})


@dataclass(frozen=True, slots=True)
class Outcome:
    """A launch with its words. `tone` and `icon` only repeat what the words say."""

    launch: Launch
    explanation: Explanation | None
    tone: str
    icon: str

    @classmethod
    def of(cls, launch: Launch) -> Outcome:
        tone, icon = _LOOKS[launch.state]
        if launch.state not in _EXPLAINED:
            return cls(launch, None, tone, icon)
        return cls(launch, explain(launch.cause or Cause.ABANDONED, launch=launch), tone, icon)

    @property
    def seconds_between_attempts(self) -> int:
        """Patience grows with every attempt, unless Huawei Cloud said how long to wait."""
        return self._pause_after(self.launch.attempt)

    @property
    def attempts_left(self) -> int:
        return max(0, settings.WAITING_ATTEMPTS - self.launch.attempt)

    @property
    def waits_until(self) -> dt.datetime:
        """About when the last attempt is made, if the page goes on by itself."""
        pauses = sum(self._pause_after(number) for number in range(self.launch.attempt, settings.WAITING_ATTEMPTS))
        return self.launch.attempted_at + dt.timedelta(seconds=pauses)

    def seconds_to_next_attempt(self, now: dt.datetime) -> int:
        """Counted from the last attempt. When that time is over the try was not made (too early, portal full): anew."""
        left = self.launch.attempted_at + dt.timedelta(seconds=self.seconds_between_attempts) - now
        return math.ceil(left.total_seconds()) if left.total_seconds() > 0 else self.seconds_between_attempts

    def percent_waited(self, now: dt.datetime) -> int:
        """How much of the whole wait is over; less than all of it while an attempt is left."""
        whole = (self.waits_until - self.launch.created_at).total_seconds()
        return max(0, min(99, int(100 * (now - self.launch.created_at).total_seconds() / whole))) if whole > 0 else 99

    def _pause_after(self, attempt: int) -> int:
        return max(1, min(self.launch.retry_after_seconds or 5 * attempt, 30))

    def automatic_seconds(self, now: dt.datetime) -> int:
        """For how many more seconds the page may go on by itself; 0 when somebody has to press the button."""
        left = self.launch.attempted_at + AUTOMATIC - now
        return max(0, int(left.total_seconds()))

    def wait_seconds(self, now: dt.datetime) -> int:
        """For how many more seconds Huawei Cloud asked to be left alone; 0 when nobody has to wait."""
        launch = self.launch
        if not launch.retry_after_seconds or launch.ended_at is None:
            return 0
        left = launch.ended_at + dt.timedelta(seconds=launch.retry_after_seconds) - now
        return max(0, math.ceil(left.total_seconds()))


def outcomes(launches: Iterable[Launch]) -> list[Outcome]:
    """For launches whose account, host and instance are loaded."""
    return [Outcome.of(launch) for launch in launches]
