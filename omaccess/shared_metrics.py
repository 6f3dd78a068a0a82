"""The metrics that all machines share, read from rows at most every few seconds per process.

Every machine that is scraped reports the same; queries take their maximum.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
import time
from collections.abc import Iterator

import structlog
from django.db import Error, connection, transaction
from django.db.models import Count
from django.db.models.functions import Now
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from omaccess import jobs
from omaccess.models import AuditHead, IamUserLease, JobRun, Launch
from omaccess.models.launches import OPEN_STATES

log = structlog.get_logger(__name__)

_STATEMENT_SECONDS = 2


class SharedMetrics(Collector):
    """A collector for a registry. While one thread reads, the others get the last reading, as long as it is fresh."""

    def __init__(self, *, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._read_at: float | None = None
        self._reading: list[Metric] | None = None

    def collect(self) -> Iterator[Metric]:
        """`sallyport_database_up`, and the rest only when it is 1. A database that hangs is one that is down."""
        now = time.monotonic()
        is_old = self._read_at is None or now - self._read_at >= self._seconds
        if is_old and self._lock.acquire(blocking=False):
            try:
                self._reading = _reading()
                self._read_at = time.monotonic()
            finally:
                self._lock.release()
        is_fresh = self._read_at is not None and now - self._read_at <= 3 * self._seconds
        reading = self._reading if is_fresh else None
        yield GaugeMetricFamily(
            "sallyport_database_up", "Whether the database answered.", value=0 if reading is None else 1
        )
        yield from reading or []

    def forget(self) -> None:
        """The next scrape reads anew."""
        self._read_at = None


def _reading() -> list[Metric] | None:
    """None when the database does not answer in time."""
    try:
        with _impatient():
            return [*_launches(), *_audit_head(), *_jobs()]
    except Error as error:
        log.warning("metrics_not_read", error=type(error).__name__)
        return None


@contextlib.contextmanager
def _impatient() -> Iterator[None]:
    """A scrape gives up before Prometheus does. SQLite has no such limit, and a transaction there would lock it."""
    if connection.vendor != "postgresql":
        yield
        return
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(f"SET LOCAL statement_timeout = '{_STATEMENT_SECONDS}s'")
        yield


def _launches() -> Iterator[Metric]:
    states = Launch.objects.open().order_by().values_list("state").annotate(number=Count("pk"))
    numbers = dict.fromkeys(OPEN_STATES, 0) | dict(states)
    family = GaugeMetricFamily("sallyport_launches_open", "Launches that have not ended.", labels=["state"])
    for state, number in numbers.items():
        family.add_metric([str(state)], number)
    yield family
    blocked = IamUserLease.objects.filter(blocked_until__gt=Now()).count()
    yield GaugeMetricFamily(
        "sallyport_iam_users_blocked",
        "IAM users that the portal does not ask for tokens, because IAM refused their password.",
        value=blocked,
    )


def _audit_head() -> Iterator[Metric]:
    position = AuditHead.objects.values_list("position", flat=True).first()
    if position is not None:
        yield GaugeMetricFamily("sallyport_audit_head_position", "The newest event of the audit.", value=position)


def _jobs() -> Iterator[Metric]:
    rows = {row.name: row for row in JobRun.objects.all()}
    intervals = jobs.intervals()
    interval = _gauge("interval_seconds", "Time between two runs as scheduled.")
    succeeded = _gauge("last_success_timestamp_seconds", "When it last ended well.")
    failed = _gauge("last_failure_timestamp_seconds", "When it last failed.")
    queue = _gauge("queue_seconds", "How long the last run waited for a worker.")
    run = _gauge("run_seconds", "How long the last run took.")
    result = _gauge("result", "What the last run that ended well found, in numbers.", "figure")
    successes = CounterMetricFamily("sallyport_job_successes", "Runs that ended well.", labels=["name"])
    failures = CounterMetricFamily("sallyport_job_failures", "Runs that failed.", labels=["name"])
    # Only what is scheduled: rows of jobs that an earlier release had would look late for ever.
    for name, seconds in sorted(intervals.items()):
        row = rows.get(name) or JobRun(name=name)
        interval.add_metric([name], seconds)
        _add(succeeded, name, _timestamp(row.succeeded_at))
        _add(failed, name, _timestamp(row.failed_at))
        _add(queue, name, row.queue_seconds)
        _add(run, name, row.run_seconds)
        successes.add_metric([name], row.successes)
        failures.add_metric([name], row.failures)
        for figure, value in sorted(row.figures.items()):
            result.add_metric([name, figure], value)
    yield from (interval, succeeded, failed, queue, run, successes, failures, result)
    yield from _verified(rows.get("verify_audit"))


def _verified(row: JobRun | None) -> Iterator[Metric]:
    """What the last verification found; nothing before the first."""
    found = row.figures if row is not None else {}
    if "position" in found:
        yield GaugeMetricFamily(
            "sallyport_audit_verified_position", "Up to which event the audit was verified.", value=found["position"]
        )
    if "problems" in found:
        yield GaugeMetricFamily(
            "sallyport_audit_verify_problems", "What the last verification of the audit found.", value=found["problems"]
        )


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    """The label is not `job`: Prometheus writes its own label of that name over it."""
    return GaugeMetricFamily(f"sallyport_job_{name}", text, labels=["name", *labels])


def _add(family: GaugeMetricFamily, name: str, value: float | None) -> None:
    if value is not None:
        family.add_metric([name], value)


def _timestamp(moment: dt.datetime | None) -> float | None:
    return moment.timestamp() if moment is not None else None
