"""At most half of a process's request threads may wait for the cloud, so that the rest goes on serving pages."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from omaccess import metrics


@functools.cache
def _slots() -> threading.BoundedSemaphore:
    number = max(1, settings.WEB_THREADS // 2)
    metrics.slots_made(number)
    return threading.BoundedSemaphore(number)


def prepare() -> None:
    """Make the places, so that the metrics know them before the first launch."""
    _slots()


@contextmanager
def slot() -> Iterator[bool]:
    """Whether a place was free; it is held until the block ends. Never waits."""
    slots = _slots()
    if not slots.acquire(blocking=False):
        metrics.slot_refused()
        yield False
        return
    metrics.slot_taken()
    try:
        yield True
    finally:
        metrics.slot_given_back()
        slots.release()
