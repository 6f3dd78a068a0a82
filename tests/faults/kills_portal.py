"""Real gunicorn processes for tests that kill them, and what has to be true afterwards."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from django.utils import timezone

from omaccess.actions import launches
from omaccess.models import IamUserLease
from tests.processes import free_port, process, wait_until

ABANDONED_AFTER = dt.timedelta(seconds=71)


@contextmanager
def mortal_web(**changes: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """gunicorn with the product's configuration and two workers that die on request: see `kills_wsgi`.

    The application is loaded before the workers are forked, so a new one costs milliseconds.
    """
    port = free_port()
    command = ("gunicorn", "-c", "deploy/gunicorn.conf.py", "--preload", "tests.faults.kills_wsgi")
    variables = {"WEB_PROCESSES": "2", "LAUNCHES_PER_MINUTE": "1000000", "LOG_LEVEL": "CRITICAL", **changes}
    with process(*command, BIND=f"127.0.0.1:{port}", **variables) as running:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: answers(url), running)
        yield running, url


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=10).status_code == 200
    except requests.RequestException:
        return False


def workers_of(master: subprocess.Popen[str]) -> list[int]:
    """The processes that this one has forked and that still run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == master.pid and state != "Z":
                found.append(int(stat.parent.name))
    return sorted(found)


def is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


def kill_workers(master: subprocess.Popen[str]) -> None:
    """SIGKILL to every worker; the master forks new ones."""
    for worker in workers_of(master):
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)


def sweep() -> int:
    """What the scheduled sweep does, in the time when pending launches count as left."""
    return launches.close_abandoned(now=timezone.now() + ABANDONED_AFTER)


def let_lease_run_out() -> bool:
    """Move the time when a dead holder's lease ends into the past. Whether there was one."""
    held = IamUserLease.objects.exclude(holder="")
    return bool(held.update(holder_expires_at=timezone.now() - dt.timedelta(seconds=1)))
