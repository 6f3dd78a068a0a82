"""What a scheduled job leaves behind, run by a real worker, and what happens when that cannot be written."""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery, signals
from django.db import OperationalError, connection
from django.utils import timezone

from omaccess import jobs, tasks
from omaccess.models import JobRun
from portal import startup
from portal.celery import app
from tests.processes import process, sender_for, wait_until

SWEEP = "omaccess.tasks.close_abandoned_launches"


@pytest.fixture
def _noting() -> Iterator[None]:
    """This process notes its jobs, as a worker does."""
    jobs.connect()
    yield
    for signal in (signals.before_task_publish, signals.task_prerun, signals.task_success, signals.task_failure):
        signal.disconnect(dispatch_uid="jobs")


def gone(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    if "omaccess_jobrun" in sql:
        raise OperationalError("no such luck; password=canary")
    return execute(sql, params, many, context)


# --- rows ---------------------------------------------------------------------------------------------


@pytest.mark.database
@pytest.mark.django_db
@pytest.mark.usefixtures("_noting")
def test_a_run_that_ends_well_is_noted_with_its_figures() -> None:
    began = timezone.now()

    tasks.refresh_tokens.apply()
    tasks.refresh_tokens.apply()

    row = JobRun.objects.get()
    assert row.name == "refresh_tokens"
    assert (row.successes, row.failures, row.error) == (2, 0, "")
    assert row.succeeded_at is not None
    assert began <= row.started_at <= row.succeeded_at
    assert row.failed_at is None
    assert row.run_seconds is not None
    assert 0 < row.run_seconds < 10


@pytest.mark.database
@pytest.mark.django_db
@pytest.mark.usefixtures("_noting")
def test_a_run_that_fails_is_noted_by_the_kind_of_its_error_only(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks.log_audit_head.apply()
    succeeded = JobRun.objects.get()

    with connection.execute_wrapper(_no_head):
        tasks.log_audit_head.apply()

    row = JobRun.objects.get()
    assert (row.successes, row.failures, row.error) == (1, 1, "OperationalError")
    assert row.failed_at is not None
    assert row.succeeded_at == succeeded.succeeded_at
    assert "canary" not in repr(vars(row))


@pytest.mark.django_db
@pytest.mark.usefixtures("_noting")
def test_a_run_that_fails_keeps_the_figures_that_its_error_brings() -> None:
    class Found(Exception):
        result = {"position": 41, "problems": 2}

    task = app.tasks["omaccess.tasks.verify_audit"]
    JobRun.objects.create(name="verify_audit", started_at=timezone.now(), result={"position": 40, "problems": 0})

    signals.task_failure.send(sender=task, task_id="x", exception=Found())

    row = JobRun.objects.get()
    assert (row.failures, row.error, row.result) == (1, "Found", {"position": 41, "problems": 2})


def _no_head(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    if "omaccess_audithead" in sql:
        raise OperationalError("password=canary")
    return execute(sql, params, many, context)


@pytest.mark.django_db
@pytest.mark.usefixtures("_noting")
def test_a_row_that_cannot_be_written_does_not_break_the_job(caplog: pytest.LogCaptureFixture) -> None:
    with connection.execute_wrapper(gone):
        ran = tasks.log_audit_head.apply()

    assert ran.successful()
    assert any("job_not_noted" in str(record.msg) for record in caplog.records)
    assert "canary" not in caplog.text


@pytest.mark.django_db
@pytest.mark.usefixtures("_noting")
def test_only_what_is_scheduled_leaves_a_row() -> None:
    app = Celery("tests", set_as_current=False)

    @app.task(name="somebody.elses")
    def other() -> None:
        """Nothing."""

    other.apply()

    assert not JobRun.objects.exists()


@pytest.mark.parametrize(
    ("result", "figures"),
    [
        ({"position": 41, "problems": 0}, {"position": 41, "problems": 0}),
        ({"text": "no", "flag": True, "ratio": 0.5, "number": 3}, {"number": 3}),
        (None, {}),
        (7, {}),
    ],
)
def test_figures_are_whole_numbers_by_name(result: object, figures: dict[str, int]) -> None:
    assert jobs._figures(result) == figures


# --- the schedule -------------------------------------------------------------------------------------


def test_intervals_are_those_of_the_schedule(settings: Any) -> None:
    from celery.schedules import crontab

    settings.CELERY_BEAT_SCHEDULE = {
        "a": {"task": "x.sweep", "schedule": dt.timedelta(seconds=30)},
        "b": {"task": "x.hourly", "schedule": crontab(minute="0")},
        "c": {"task": "x.nightly", "schedule": crontab(minute="15", hour="2")},
        "d": {"task": "x.often", "schedule": crontab(minute="*/15")},
    }

    assert jobs.intervals() == {"sweep": 30, "hourly": 3600, "nightly": 86_400, "often": 900}


def test_two_jobs_never_share_a_row() -> None:
    assert len(set(jobs.names().values())) == len(jobs.names())


# --- through a worker ---------------------------------------------------------------------------------


@pytest.mark.redis
@pytest.mark.database
def test_a_worker_notes_what_it_ran_and_how_long_it_waited(
    fresh_db: None, tmp_path: Path, redis_url: str, redis_prefix: str
) -> None:
    """Sent a while before there is a worker, as when all are busy. With processes, as in production."""
    variables = {"BROKER_URL": redis_url, "BROKER_KEY_PREFIX": redis_prefix, "DATA_DIR": str(tmp_path)}
    sender = sender_for(variables)
    sender.send_task(SWEEP, headers={jobs.SENT_AT: time.time() - 90})
    sender.close()

    with process("celery", "-A", "portal.startup", "worker", "-P", "prefork", "-c", "1", **variables) as worker:
        wait_until(lambda: JobRun.objects.filter(name="close_abandoned_launches", successes=1).exists(), worker)

    row = JobRun.objects.get()
    assert row.queue_seconds is not None
    assert 90 <= row.queue_seconds < 150
    assert row.run_seconds is not None
    assert row.failures == 0


@pytest.mark.usefixtures("_noting")
def test_whoever_sends_says_when(tmp_path: Path) -> None:
    folders = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path)}

    with app.connection_for_write("filesystem://localhost") as connection:
        connection.transport_options = folders
        app.send_task(SWEEP, connection=connection)
        app.send_task("somebody.elses", connection=connection)

    messages = [json.loads(path.read_bytes()) for path in tmp_path.rglob("*.msg")]
    sent = {message["headers"]["task"]: message["headers"].get(jobs.SENT_AT) for message in messages}
    assert sent[SWEEP] == pytest.approx(time.time(), abs=60)
    assert sent["somebody.elses"] is None


@pytest.mark.parametrize("signal", [signals.worker_init, signals.beat_init], ids=["worker", "scheduler"])
def test_worker_and_scheduler_note_their_jobs(signal: Any) -> None:
    """After the check whether they may run at all, which sets Django up."""
    names = [receiver.__name__ for _key, receiver in signal.receivers if receiver.__module__ == startup.__name__]

    assert names.index("_verify_or_exit") < names.index("_note_jobs")
