"""At most half of a process's request threads may wait for the cloud, so that the rest goes on serving pages."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings


@functools.cache
def _slots() -> threading.BoundedSemaphore:
    return threading.BoundedSemaphore(max(1, settings.WEB_THREADS // 2))


@contextmanager
def slot() -> Iterator[bool]:
    """Whether a place was free; it is held until the block ends. Never waits."""
    slots = _slots()
    has_slot = slots.acquire(blocking=False)
    try:
        yield has_slot
    finally:
        if has_slot:
            slots.release()
