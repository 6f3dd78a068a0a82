"""A disk that fills up: at each write of a launch, under a running portal, and where the log goes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from django.db import connection, connections
from django.db.models.functions import Now

from accounts.models import User
from omaccess.errors import CannotRecord
from omaccess.models import AuditEvent, IamUserLease, Launch, LaunchAllowance
from omaccess.sandbox.server import SandboxServer
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.visitor import Visitor, assert_is_the_page_without_a_database, assert_opened, in_background
from tests.inventory import Inventory
from tests.launching import MetaOf, open_account
from tests.processes import ROOT, environment, free_port, kill, wait_until, web

on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="only SQLite's files are on the portal's disk")
can_limit = pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process need Linux")


# --- a launch, write by write ------------------------------------------------------------------------


@on_sqlite
def test_a_disk_that_fills_up_before_any_write_of_a_launch_leaves_no_link_off_the_record(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    staff, account = committed_inventory.staff, committed_inventory.root
    arguments = [str(account.pk), str(staff.pk), meta_of(staff).session_key]

    ran = subprocess.run(
        [sys.executable, "-m", "tests.faults.full_disk", *arguments],
        cwd=ROOT,
        env=environment(LAUNCHES_PER_MINUTE="1000"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert ran.returncode == 0, ran.stderr
    launches = [json.loads(line) for line in ran.stdout.splitlines()]
    for is_brief in (False, True):
        outcomes = [found["outcome"] for found in launches if found["is_brief"] is is_brief]
        assert set(outcomes) == {"opened", "cannot be recorded"}
        # The last one of each round met no full disk: space is back, and the same process goes on.
        assert outcomes[-1] == "opened"
    assert launches[0]["outcome"] == "cannot be recorded"
    assert len(launches) > 20
    links = [found["link"] for found in launches if found.get("link")]
    assert len(links) == Launch.objects.filter(state="opened").count()
    assert_record_is_true(links)


@on_sqlite
def test_a_database_at_its_largest_refuses_honestly_and_goes_on_when_it_may_grow(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    staff, account = committed_inventory.staff, committed_inventory.root
    meta = meta_of(staff)
    links, refused = [], 0
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA max_page_count = 1")  # SQLite takes it as: not one page more than now
        for number in range(60):
            LaunchAllowance.objects.update(used=0)
            browser = "x" * (300 if number % 2 else 1)
            try:
                result = open_account(
                    account, staff, dataclasses.replace(meta, browser=browser), reason="y" * (number % 500)
                )
            except CannotRecord:
                refused += 1
            else:
                assert result.url is not None
                links.append(result.url.value)
        cursor.execute("PRAGMA max_page_count = 1000000")

    again = open_account(account, staff, meta)

    assert refused > 0
    assert again.url is not None
    assert sandbox.control.counters()["cbh.om_url"] == AuditEvent.objects.filter(kind="launch:requested").count()
    assert_record_is_true([*links, again.url.value])


# --- a portal that runs ------------------------------------------------------------------------------


class Disk:
    """The disk of a gunicorn and its workers, as their limit on the size of files; full means not a byte more."""

    def __init__(self, server: subprocess.Popen[str]) -> None:
        children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
        self._processes = [server.pid, *map(int, children)]
        assert len(self._processes) > 1

    def fill(self) -> None:
        self._limit(0)

    def empty(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, soft: int) -> None:
        for number in self._processes:
            resource.prlimit(number, resource.RLIMIT_FSIZE, (soft, resource.RLIM_INFINITY))


@on_sqlite
@can_limit
def test_a_full_disk_under_a_running_portal_opens_nothing_and_needs_no_restart_afterwards(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    """Full before the intent, while a token is fetched, and while the bastion is asked; in between all is well."""
    account, answers = committed_inventory.root, list[object]()
    with web(WEB_THREADS="2") as (server, url):
        visitor = Visitor(url, committed_inventory.staff, meta_of(committed_inventory.staff).session_key)
        disk, form = Disk(server), visitor.form(account)

        disk.fill()
        answers.append(visitor.send(form))
        asked_without_intent = sandbox.control.counters().get("iam.token", 0)
        disk.empty()
        for call in ("iam.token", "cbh.om_url"):
            sandbox.control.add_fault(call, hold="after")
            pressed = in_background(lambda: visitor.send(form), answers)
            assert sandbox.control.wait(call, held=1)
            disk.fill()
            sandbox.control.release()
            pressed.join(timeout=30)
            disk.empty()
            let_the_lease_run_out()
        opened = visitor.send(form)

    assert asked_without_intent == 0
    assert len(answers) == 3
    for answer in answers:
        assert_is_the_page_without_a_database(answer)
    assert_opened(opened)
    assert list(Launch.objects.order_by("pk").values_list("state", flat=True)) == ["pending", "pending", "opened"]
    assert_record_is_true(links_in([opened]))


@on_sqlite
@can_limit
def test_with_a_full_disk_and_nobody_else_at_the_database_pages_are_shown_or_apologise(
    committed_inventory: Inventory, meta_of: MetaOf
) -> None:
    """The last connection to leave takes the write-ahead log with it; the next has to make one, and cannot."""
    with web(WEB_THREADS="2") as (server, url):
        visitor = Visitor(url, committed_inventory.staff, meta_of(committed_inventory.staff).session_key)
        disk, form = Disk(server), visitor.form(committed_inventory.root)
        connections.close_all()

        disk.fill()
        pages = {path: visitor.get(path).status_code for path in ("/", "/activity/", "/healthz")}
        refused = visitor.send(form)
        disk.empty()
        opened = visitor.send(form)

    assert pages.pop("/healthz") == 200
    assert set(pages.values()) <= {200, 503}
    assert_is_the_page_without_a_database(refused)
    assert_opened(opened)
    assert_record_is_true(links_in([opened]))


def let_the_lease_run_out() -> None:
    """By the database's clock, and without waiting for it."""
    IamUserLease.objects.exclude(holder="").update(holder_expires_at=Now() - dt.timedelta(seconds=1))


# --- where the log goes ------------------------------------------------------------------------------


def full_device() -> IO[bytes]:
    return open("/dev/full", "wb", buffering=0)


def closed_pipe() -> IO[bytes]:
    """A pipe whose reader has gone: every write is EPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "wb", buffering=0)


@contextmanager
def web_logging_to(log: IO[bytes], staff: User) -> Iterator[str]:
    """gunicorn as the product configures it, saying everything, to nobody. Yields its base URL."""
    port = free_port()
    variables = {"BIND": f"127.0.0.1:{port}", "LOG_LEVEL": "DEBUG"}
    running = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "portal.wsgi"],
        cwd=ROOT,
        env=environment(**variables),
        stdout=log,
        stderr=log,
        text=True,
        start_new_session=True,
    )
    try:
        visitor = Visitor(f"http://127.0.0.1:{port}", staff, "")
        wait_until(lambda: visitor.answers("/healthz"), running)
        yield visitor.url
    finally:
        kill(running)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("log", [full_device, closed_pipe])
def test_a_log_that_cannot_be_written_breaks_no_launch_and_no_refusal(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, log: Callable[[], IO[bytes]]
) -> None:
    account = committed_inventory.root
    with log() as nowhere, web_logging_to(nowhere, committed_inventory.staff) as url:
        visitor = Visitor(url, committed_inventory.staff, meta_of(committed_inventory.staff).session_key)
        first = visitor.open(account)
        sandbox.control.add_fault("cbh.om_url", status=500, body="")
        failed = visitor.open(account)
        missing = visitor.get("/nowhere/")

    assert_opened(first)
    assert links_in([failed]) == []
    assert missing.status_code == 404
    assert list(Launch.objects.order_by("pk").values_list("state", flat=True)) == ["opened", "failed"]
    assert_record_is_true(links_in([first]))
