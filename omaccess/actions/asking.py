"""What surrounds a question to the cloud: the person's allowance, and a database that has to be able to record it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from django.db import Error
from django.utils import timezone

from accounts.models import User
from omaccess.actions import allowance
from omaccess.errors import CannotRecord, TooManyLaunches
from omaccess.locks import writing

log = structlog.get_logger(__name__)


@contextmanager
def recording() -> Iterator[None]:
    """Whatever the database does to us here means: it cannot be recorded, so nothing may be opened or said.

    Raises: CannotRecord.
    """
    try:
        yield
    except Error as error:
        log.error("cannot_be_recorded", error=type(error).__name__)
        raise CannotRecord(type(error).__name__) from error


def use_allowance(by: User) -> None:
    """Count what an admin asks of the cloud as one of the person's launches of the minute.

    Raises: TooManyLaunches. Only the count is kept then.
    """
    now = timezone.now()
    with writing():
        over = allowance.take(by, at=now)
    if over:
        raise TooManyLaunches(allowance.seconds_left(by, at=now))
