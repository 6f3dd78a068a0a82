"""One more try, when it can do no harm and fits in the deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from secrets import SystemRandom
from typing import TypeVar

from omaccess.cloud.errors import CloudConnectionFailed, CloudServerError, CloudThrottled, CloudUnavailable
from omaccess.cloud.types import Deadline

PAUSE_SECONDS = 0.1
THROTTLED_PAUSE_SECONDS = 1.0
#: What must be left after waiting; a try with less than this would only turn a clear refusal into a timeout.
LEAST_SECONDS_FOR_A_TRY = 0.5

T = TypeVar("T")


def with_one_more_try(
    call: Callable[[], T], *, deadline: Deadline, may_repeat: Callable[[CloudUnavailable], bool]
) -> T:
    """Run `call`, and once more if it failed in a way that `may_repeat` accepts and there is time.

    A 429 is always repeatable: it says that nothing was done. It waits as long as it was told, or about a
    second; other faults wait a moment, spread out so that many callers do not come back together.

    Raises: what the last try raised.
    """
    try:
        return call()
    except CloudUnavailable as error:
        if not (isinstance(error, CloudThrottled) or may_repeat(error)):
            raise
        pause = _pause(error)
        if pause + LEAST_SECONDS_FOR_A_TRY > deadline.remaining():
            raise
    # Outside the handler: the second failure, if any, is not "during handling of" the first.
    time.sleep(pause)
    return call()


def is_gateway_trouble(error: CloudUnavailable) -> bool:
    """502, 503, 504: the request most likely did not reach the service, or the service is restarting."""
    return isinstance(error, CloudServerError) and error.status in (502, 503, 504)


def was_never_sent(error: CloudUnavailable) -> bool:
    return isinstance(error, CloudConnectionFailed) and not error.sent


def _pause(error: CloudUnavailable) -> float:
    if isinstance(error, CloudThrottled) and error.retry_after_seconds is not None:
        return error.retry_after_seconds
    base = THROTTLED_PAUSE_SECONDS if isinstance(error, CloudThrottled) else PAUSE_SECONDS
    return base * SystemRandom().uniform(1.0, 1.25)
