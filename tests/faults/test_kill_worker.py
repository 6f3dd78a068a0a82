"""The worker killed in the middle of a task, over both brokers: the next one goes on, and launches never stop."""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import time_machine
from celery import Celery
from django.core.cache import caches
from django.utils import timezone

from omaccess import tokens
from omaccess.actions.launch_intent import intend
from omaccess.cloud.types import Deadline
from omaccess.meta import Meta
from omaccess.models import IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from tests.faults.kills_portal import ABANDONED_AFTER, let_lease_run_out, mortal_web
from tests.inventory import Inventory
from tests.launching import in_thread, kinds_of
from tests.processes import process, sender_for, wait_until
from tests.soak import record
from tests.soak.person import Person

pytestmark = pytest.mark.database


@pytest.fixture(params=["filesystem", pytest.param("redis", marks=pytest.mark.redis)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """The variables of both ends of a broker that is this test's own."""
    if request.param == "filesystem":
        return {"BROKER_URL": "filesystem://", "BROKER_KEY_PREFIX": "", "DATA_DIR": str(tmp_path)}
    url, prefix = request.getfixturevalue("redis_url"), request.getfixturevalue("redis_prefix")
    return {"BROKER_URL": url, "BROKER_KEY_PREFIX": prefix, "DATA_DIR": str(tmp_path)}


@pytest.fixture
def scheduler(broker: dict[str, str]) -> Iterator[Celery]:
    sender = sender_for(broker)
    yield sender
    sender.close()


@contextmanager
def worker(broker: dict[str, str], app: str = "portal.startup", **changes: str) -> Iterator[subprocess.Popen[str]]:
    options = ("-P", "threads", "-c", "1", "--without-gossip", "--without-mingle")
    with process("celery", "-A", app, "worker", *options, **broker, **changes) as running:
        yield running


def kill(running: subprocess.Popen[str]) -> None:
    os.killpg(running.pid, signal.SIGKILL)
    running.wait(timeout=10)


def test_a_worker_killed_while_it_holds_the_lease_stops_neither_launches_nor_the_next_refresh(
    committed_inventory: Inventory, sandbox: SandboxServer, broker: dict[str, str], scheduler: Celery
) -> None:
    root = committed_inventory.root
    fetch_token_that_is_due(committed_inventory)
    sandbox.control.add_fault("iam.token", hold="before")
    with worker(broker) as first:
        scheduler.send_task("omaccess.tasks.refresh_tokens")
        assert sandbox.control.wait("iam.token", received=2, held=1, seconds=40)
        kill(first)
    sandbox.control.release()
    links = []
    with mortal_web() as (_server, url), Person(url, committed_inventory.staff) as person, worker(broker) as second:
        # The token that is still there needs no lease.
        links.append(person.press(root).headers["Location"])
        forget_tokens()
        waiting = in_thread(lambda: links.append(person.press(root).headers["Location"]))
        wait_until(lambda: Launch.objects.filter(state="pending").exists())
        let_lease_run_out()
        waiting.join(timeout=20)
        fetch_token_that_is_due(committed_inventory)
        before = IamUserLease.objects.get().outcome

        scheduler.send_task("omaccess.tasks.refresh_tokens")
        wait_until(lambda: IamUserLease.objects.get().outcome > before, second, seconds=40)

    assert len(links) == 2
    assert record.findings(links=links, is_over=True) == []
    assert sandbox.control.most_in_flight()["iam.token"] == 1


def test_a_worker_killed_between_two_launches_of_its_sweep_loses_neither(
    committed_inventory: Inventory, broker: dict[str, str], scheduler: Celery
) -> None:
    first, second = leave_pending(committed_inventory), leave_pending(committed_inventory)
    with worker(broker, "tests.faults.kills_celery", KILL_AFTER="COMMIT") as dying:
        scheduler.send_task("omaccess.tasks.close_abandoned_launches")
        assert dying.wait(timeout=40) == -signal.SIGKILL
    assert list(states(first, second)) == ["abandoned", "pending"]
    with worker(broker) as next_one:
        # The message is lost or comes again; the scheduler sends the next one in any case.
        scheduler.send_task("omaccess.tasks.close_abandoned_launches")

        wait_until(lambda: "pending" not in states(first, second), next_one, seconds=40)

    assert [kinds_of(launch) for launch in (first, second)] == [["launch:requested", "launch:abandoned"]] * 2
    assert record.findings(is_over=True) == []


def states(*those: Launch) -> list[str]:
    return [Launch.objects.get(pk=launch.pk).state for launch in those]


def leave_pending(inventory: Inventory) -> Launch:
    """A launch whose process died after the intent, long enough ago for the sweep."""
    launch = intend(
        account_id=inventory.root.pk,
        reason="",
        ticket="",
        once=None,
        has_slot=True,
        by=inventory.staff,
        meta=Meta(address="192.0.2.7"),
    ).launch
    Launch.objects.filter(pk=launch.pk).update(attempted_at=timezone.now() - ABANDONED_AFTER)
    return launch


def forget_tokens() -> None:
    IamUserLease.objects.update(token_key="", token_ciphertext="")
    caches["tokens"].clear()


def fetch_token_that_is_due(inventory: Inventory) -> None:
    """A token of which so much life is over that the scheduled refresh fetches the next one."""
    forget_tokens()
    instance = inventory.instances["bastion"]
    with time_machine.travel(timezone.now() - dt.timedelta(hours=23, minutes=30)):
        tokens.token_for(instance.credential, instance, deadline=Deadline.after(10))
