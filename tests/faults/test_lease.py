"""Whoever holds the lease of an IAM user dies, or comes back too late."""

from __future__ import annotations

import datetime as dt
import os
import signal
from collections.abc import Callable

import pytest
from django.core.cache import caches
from django.db.models.functions import Now
from django.utils import timezone

from omaccess import tokens
from omaccess.actions import launches
from omaccess.models import IamCredential, IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.visitor import Visitor, assert_opened, in_background
from tests.inventory import Inventory
from tests.launching import MetaOf, in_thread, open_account
from tests.processes import kill, wait_until, web

pytestmark = pytest.mark.database


def expire_the_lease() -> str:
    """Move its end into the past of the database's clock, instead of waiting; returns who held it."""
    lease = IamUserLease.objects.exclude(holder="").get()
    IamUserLease.objects.filter(pk=lease.pk).update(holder_expires_at=Now() - dt.timedelta(seconds=1))
    return lease.holder


def test_whoever_waits_for_a_dead_process_gets_the_lease_when_it_runs_out(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    staff, account, dead = committed_inventory.staff, committed_inventory.root, list[object]()
    waited: list[launches.Result] = []
    meta = meta_of(staff)
    with web(WEB_THREADS="2") as (server, url):
        visitor = Visitor(url, staff, meta.session_key)
        sandbox.control.add_fault("iam.token", hold="before")
        pressed = in_background(lambda: visitor.open(account), dead)
        assert sandbox.control.wait("iam.token", held=1)
        kill(server)
        pressed.join(timeout=30)
    waiting = in_thread(lambda: waited.append(open_account(account, staff, meta)))
    wait_until(lambda: Launch.objects.filter(state="pending").count() == 2)
    asked_meanwhile = sandbox.control.counters()["iam.token"]

    expire_the_lease()
    waiting.join(timeout=20)
    sandbox.control.release()
    launches.close_abandoned(now=timezone.now() + dt.timedelta(seconds=71))

    assert links_in(dead) == []
    assert asked_meanwhile == 1
    assert sandbox.control.counters()["iam.token"] == 2
    assert waited[0].url is not None
    assert list(Launch.objects.order_by("pk").values_list("state", flat=True)) == ["abandoned", "opened"]
    assert_record_is_true([waited[0].url.value])


def refuse_the_password(sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("iam.token", hold="after", status=401)


def answer_late(sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("iam.token", hold="after")


@pytest.mark.parametrize("late", [answer_late, refuse_the_password])
def test_a_process_that_was_stopped_beyond_its_lease_writes_nothing_into_it(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, late: Callable[[SandboxServer], None]
) -> None:
    """SIGSTOP while IAM thinks; meanwhile another process gets the lease and a token; then the first one goes on."""
    staff, account, answers = committed_inventory.staff, committed_inventory.root, list[object]()
    meta = meta_of(staff)
    with web(WEB_THREADS="2", ATTEMPT_SECONDS="30") as (server, url):
        visitor = Visitor(url, staff, meta.session_key)
        late(sandbox)
        pressed = in_background(lambda: visitor.open(account), answers)
        assert sandbox.control.wait("iam.token", held=1)
        os.killpg(server.pid, signal.SIGSTOP)

        late_holder = expire_the_lease()
        other = open_account(account, staff, meta)
        after_other = IamUserLease.objects.values().get()
        sandbox.control.release()
        os.killpg(server.pid, signal.SIGCONT)
        pressed.join(timeout=30)
        after_late = IamUserLease.objects.values().get()
        again = visitor.open(account)

    assert other.url is not None
    assert late_holder
    assert after_late == after_other
    assert tokens.blocked_until(IamCredential.objects.get(name="portal")) is None
    assert_opened(again)
    assert sandbox.control.counters()["iam.token"] == 2
    assert_record_is_true([other.url.value, *links_in([*answers, again])])


def test_a_lease_that_nobody_gave_back_is_taken_by_exactly_one(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    staff, account, results = committed_inventory.staff, committed_inventory.root, list[launches.Result]()
    meta = meta_of(staff)
    open_account(account, staff, meta)
    caches["tokens"].clear()
    IamUserLease.objects.update(
        token_key="", token_ciphertext="", holder="died", holder_expires_at=Now() + dt.timedelta(minutes=1)
    )

    threads = [in_thread(lambda: results.append(open_account(account, staff, meta))) for _number in range(3)]
    wait_until(lambda: Launch.objects.filter(state="pending").count() == 3)
    expire_the_lease()
    for thread in threads:
        thread.join(timeout=20)

    assert [result.launch.state for result in results] == ["opened"] * 3
    assert sandbox.control.counters()["iam.token"] == 2
    assert sandbox.control.most_in_flight()["iam.token"] == 1
    assert_record_is_true([result.url.value for result in results if result.url])
