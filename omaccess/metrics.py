"""What this process counts and times for Prometheus. Labels have few values, all of them fixed by the code.

Nothing here names a person, a host, an instance or an address. What all processes share (jobs, open launches, blocked
IAM users) is read from rows instead, by `omaccess.shared_metrics`. Under gunicorn each process writes its numbers into
files and `GET /metrics` adds them up; elsewhere they stay in memory. Celery's processes are not asked: what a job did
is in its row (`omaccess.jobs`).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog
from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics

from omaccess.causes import Cause
from omaccess.cloud.errors import CloudError

log = structlog.get_logger(__name__)

# A series per series that says when it was first seen: twice the text, and nobody asks.
disable_created_metrics()  # type: ignore[no-untyped-call]

_FAST = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_SLOW = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_is_loss_told = False


@contextmanager
def _counting() -> Iterator[None]:
    """What cannot be counted (its folder is gone or full) breaks nothing; a process logs its first loss."""
    global _is_loss_told
    try:
        yield
    except Exception as error:  # whatever prometheus_client meets
        if not _is_loss_told:
            _is_loss_told = True
            log.warning("metric_lost", error=type(error).__name__)


# --- launches ---------------------------------------------------------------------------------------

LAUNCHES = Counter(
    "sallyport_launches",
    "Attempts to open a session that ended or began to wait, by state and by the cause in the failure catalogue.",
    ["state", "cause"],
)
LAUNCHES_REQUESTED = Counter("sallyport_launches_requested", "Attempts to open a session of which the cloud was asked.")
# There from the start: an increase is counted from a series' first value on, so the first failure would not be seen.
with _counting():
    LAUNCHES.labels("opened", "")
    for _cause in Cause:
        for _state in ("refused", "failed"):
            LAUNCHES.labels(_state, _cause.value)


def launch_requested() -> None:
    """A launch is pending: its intent is committed."""
    with _counting():
        LAUNCHES_REQUESTED.inc()


def launch_ended(state: str, cause: str) -> None:
    """A launch went into a state other than pending, and that is committed. `cause` is empty when it opened."""
    with _counting():
        LAUNCHES.labels(state, cause).inc()


# --- the audit --------------------------------------------------------------------------------------

AUDIT_APPEND_SECONDS = Histogram(
    "sallyport_audit_append_seconds", "Time to take the lock on the audit's head and append one event.", buckets=_FAST
)
AUDIT_APPEND_FAILURES = Counter("sallyport_audit_append_failures", "Events that could not be recorded.")


@contextmanager
def audit_append() -> Iterator[None]:
    """Times one append. What did not end well is `audit_append_failed`, and is not timed."""
    began = time.perf_counter()
    yield
    with _counting():
        AUDIT_APPEND_SECONDS.observe(time.perf_counter() - began)


def audit_append_failed() -> None:
    with _counting():
        AUDIT_APPEND_FAILURES.inc()


# --- the cloud --------------------------------------------------------------------------------------

CLOUD_CALL_SECONDS = Histogram(
    "sallyport_cloud_call_seconds",
    "Time of one call to Huawei Cloud, its retries included; outcome is ok or the kind of error.",
    ["service", "call", "outcome"],
    buckets=_SLOW,
)
TOKEN_LOOKUPS = Counter(
    "sallyport_token_lookups",
    "Where a token came from: the cache, the lease's row, or an exchange with IAM (also one that failed).",
    ["source"],
)
LEASE_WAIT_SECONDS = Histogram(
    "sallyport_lease_wait_seconds", "Time that a request waited for another's token exchange.", buckets=_SLOW
)
CLOUD_SLOTS = Gauge(
    "sallyport_cloud_slots", "How many requests may wait for the cloud at once.", multiprocess_mode="livesum"
)
CLOUD_SLOTS_USED = Gauge(
    "sallyport_cloud_slots_used", "How many requests wait for the cloud now.", multiprocess_mode="livesum"
)
CLOUD_SLOTS_REFUSED = Counter(
    "sallyport_cloud_slots_refused", "Requests that were told to come back because all places were taken."
)
with _counting():
    for _source in ("cache", "lease", "exchange"):
        TOKEN_LOOKUPS.labels(_source)


@contextmanager
def cloud_call(service: str, call: str) -> Iterator[None]:
    """Times one call: `iam` and `token`, `cbh` and `om_url` or `instances`. What it raises goes on."""
    began, outcome = time.perf_counter(), "defect"
    try:
        yield
        outcome = "ok"
    except CloudError as error:
        outcome = snake_case(type(error).__name__)
        raise
    finally:
        with _counting():
            CLOUD_CALL_SECONDS.labels(service, call, outcome).observe(time.perf_counter() - began)


def slots_made(number: int) -> None:
    with _counting():
        CLOUD_SLOTS.set(number)


def slot_taken() -> None:
    with _counting():
        CLOUD_SLOTS_USED.inc()


def slot_given_back() -> None:
    with _counting():
        CLOUD_SLOTS_USED.dec()


def slot_refused() -> None:
    with _counting():
        CLOUD_SLOTS_REFUSED.inc()


def token_found(source: str) -> None:
    """`cache`, `lease` or `exchange`."""
    with _counting():
        TOKEN_LOOKUPS.labels(source).inc()


@contextmanager
def lease_wait() -> Iterator[Callable[[], None]]:
    """Yields what is to be called before each pause; times from the first one to the end, if there was one."""
    began: list[float] = []

    def pausing() -> None:
        if not began:
            began.append(time.perf_counter())

    try:
        yield pausing
    finally:
        if began:
            with _counting():
                LEASE_WAIT_SECONDS.observe(time.perf_counter() - began[0])


# --- the web ----------------------------------------------------------------------------------------

HTTP_REQUESTS = Counter(
    "sallyport_http_requests", "Answers to requests, health checks left out.", ["method", "status_class"]
)
HTTP_REQUEST_SECONDS = Histogram(
    "sallyport_http_request_seconds",
    "Time to an answer by the view's name; static is a file, none is an address that leads nowhere.",
    ["view"],
    buckets=_SLOW,
)


def request_answered(*, method: str, view: str, status: int, seconds: float) -> None:
    """`view` is a route's name, never an address: a stranger must not be able to make up series."""
    known = method if method in _METHODS else "other"
    with _counting():
        HTTP_REQUESTS.labels(known, f"{status // 100}xx").inc()
        HTTP_REQUEST_SECONDS.labels(view).observe(seconds)


def snake_case(name: str) -> str:
    """CloudTimeout is cloud_timeout."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
