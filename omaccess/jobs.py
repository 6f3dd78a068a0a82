"""What the scheduled jobs leave behind: one `JobRun` row each, written around every run by Celery's signals.

The worker and the scheduler connect it when they start (`portal.startup`). A row that cannot be written is logged; the
job itself goes on, for its work counts and the note about it does not.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterable
from typing import Any, cast

import structlog
from celery import Task, signals
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, InterfaceError, OperationalError, connections
from django.db.models import F
from django.utils import timezone

from omaccess.errors import CannotRecord
from omaccess.locks import writing
from omaccess.models import JobRun

log = structlog.get_logger(__name__)

SENT_AT = "sallyport_sent_at"
"""The header of a message that says when it was sent, in seconds since 1970."""

_began: dict[str, float] = {}
"""By the id of a task that runs in this process: when it began, by the clock that only goes forward."""


def connect() -> None:
    """From now on this process notes what it sends and runs. Safe to call twice."""
    signals.before_task_publish.connect(_note_sending, dispatch_uid="jobs", weak=False)
    signals.task_prerun.connect(_note_start, dispatch_uid="jobs", weak=False)
    signals.task_success.connect(_note_success, dispatch_uid="jobs", weak=False)
    signals.task_failure.connect(_note_failure, dispatch_uid="jobs", weak=False)


def names() -> dict[str, str]:
    """Each scheduled task by its name in Celery, and what its row is called: the last word of that."""
    return {entry["task"]: entry["task"].rpartition(".")[2] for entry in _schedule()}


def intervals() -> dict[str, float]:
    """By the name of its row, the seconds between two runs of each job."""
    known = names()
    return {known[entry["task"]]: _seconds(entry["schedule"]) for entry in _schedule()}


def _schedule() -> Iterable[dict[str, Any]]:
    schedule: Any = settings.CELERY_BEAT_SCHEDULE
    return cast(Iterable[dict[str, Any]], schedule.values())


def _seconds(schedule: Any) -> float:
    """Of a timedelta, or a crontab that names hours and minutes only; ours name no days."""
    if isinstance(schedule, dt.timedelta):
        return schedule.total_seconds()
    times: int = len(schedule.hour) * len(schedule.minute)
    return 86_400 / times


# --- around a run ------------------------------------------------------------------------------------


def _note_sending(*, sender: str, headers: dict[str, Any], **_signal: Any) -> None:
    if sender in names():
        headers[SENT_AT] = time.time()


def _note_start(*, task_id: str, task: Task[Any, Any], **_signal: Any) -> None:
    name = names().get(task.name)
    if name is None:
        return
    _began[task_id] = time.monotonic()
    sent_at = (task.request.headers or {}).get(SENT_AT)
    # Two machines' clocks may differ by more than a message takes.
    queue_seconds = max(0.0, time.time() - sent_at) if isinstance(sent_at, int | float) else None
    row = JobRun(name=name, started_at=timezone.now(), queue_seconds=queue_seconds)
    _write(
        name,
        lambda: JobRun.objects.bulk_create(
            [row], update_conflicts=True, unique_fields=["name"], update_fields=["started_at", "queue_seconds"]
        ),
    )


def _note_success(*, sender: Task[Any, Any], result: Any, **_signal: Any) -> None:
    name = names().get(sender.name)
    if name is not None:
        values = {"succeeded_at": timezone.now(), "successes": F("successes") + 1, "result": _figures(result)}
        _note_end(name, sender, values)


def _note_failure(*, sender: Task[Any, Any], exception: BaseException, **_signal: Any) -> None:
    name = names().get(sender.name)
    if name is not None:
        # The kind only: a text may quote what nobody should read.
        error = type(exception).__name__[:100]
        values = {"failed_at": timezone.now(), "failures": F("failures") + 1, "error": error}
        # A verification that finds something fails, and says in numbers what it found.
        if figures := _figures(getattr(exception, "result", None)):
            values["result"] = figures
        _note_end(name, sender, values)


def _note_end(name: str, task: Task[Any, Any], values: dict[str, Any]) -> None:
    began = _began.pop(task.request.id or "", None)
    if began is not None:
        values["run_seconds"] = time.monotonic() - began
    _write(name, lambda: JobRun.objects.filter(name=name).update(**values))


def _figures(result: object) -> dict[str, int]:
    """What a task returned, when that is whole numbers by name."""
    if not isinstance(result, dict):
        return {}
    return {str(key): value for key, value in result.items() if type(value) is int}


def _write(name: str, write: Callable[[], object]) -> None:
    """Once more over a new connection: the database may have been restarted during a long job."""
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        try:
            with writing():
                write()
        except (OperationalError, InterfaceError):
            if connection.in_atomic_block:
                raise
            connection.close()
            with writing():
                write()
    except (Error, CannotRecord) as error:
        log.warning("job_not_noted", job=name, error=type(error).__name__)
