"""A PostgreSQL that restarts, orderly or by a crash, at each step of a launch; the portal goes on without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial
from typing import Literal

import psycopg
import pytest
from django.db import connections

from omaccess.audit import triggers
from omaccess.models import AuditEvent, IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.private import PostgresqlCluster
from tests.faults.visitor import Visitor, assert_is_the_page_without_a_database, assert_opened, in_background
from tests.inventory import Inventory
from tests.launching import MetaOf
from tests.processes import wait_until, web

Mode = Literal["fast", "immediate"]
MODES: tuple[Mode, ...] = ("fast", "immediate")


@pytest.fixture
def visitor(private_inventory: Inventory, meta_of: MetaOf) -> Iterator[Visitor]:
    """Staff at a portal whose every connection to the database is open: each thread has served a page."""
    with web(WEB_THREADS="2") as (_server, url):
        session_key = meta_of(private_inventory.staff).session_key
        # Our own connection would make an orderly stop wait for nothing, and be cut itself.
        connections.close_all()
        staff = Visitor(url, private_inventory.staff, session_key)
        for _number in range(3):
            assert staff.get("/").status_code == 200
        yield staff


def test_a_restart_before_the_intent_is_not_noticed(
    private_postgresql: PostgresqlCluster, private_inventory: Inventory, visitor: Visitor
) -> None:
    account, answers = private_inventory.root, list[object]()

    for mode in MODES:
        connections.close_all()
        private_postgresql.restart(mode)
        pages = [visitor.get("/").status_code for _number in range(3)]
        answers.append(visitor.open(account))
        assert pages == [200, 200, 200]

    for answer in answers:
        assert_opened(answer)
    assert_record_is_true(links_in(answers))


def test_a_restart_while_the_bastion_is_asked_drops_the_link_and_says_so(
    private_postgresql: PostgresqlCluster, private_inventory: Inventory, visitor: Visitor, sandbox: SandboxServer
) -> None:
    account, answers, again = private_inventory.root, list[object](), list[object]()
    for mode in MODES:
        sandbox.control.add_fault("cbh.om_url", hold="after")
        pressed = in_background(lambda: visitor.open(account), answers)
        assert sandbox.control.wait("cbh.om_url", held=1)
        connections.close_all()
        private_postgresql.restart(mode)
        sandbox.control.release()
        pressed.join(timeout=30)
        again.append(visitor.open(account))

    assert len(answers) == len(again) == 2
    for answer in answers:
        assert_is_the_page_without_a_database(answer)
    for answer in again:
        assert_opened(answer)
    assert list(Launch.objects.order_by("pk").values_list("state", flat=True)) == ["pending", "opened"] * 2
    assert_record_is_true(links_in([*answers, *again]))


def test_a_restart_while_a_token_is_fetched_costs_nothing(
    private_postgresql: PostgresqlCluster, private_inventory: Inventory, visitor: Visitor, sandbox: SandboxServer
) -> None:
    """No transaction is open then. The lease is given back over a new connection, and the launch goes on over it."""
    account, answers = private_inventory.root, list[object]()
    sandbox.control.add_fault("iam.token", hold="after")
    pressed = in_background(lambda: visitor.open(account), answers)
    assert sandbox.control.wait("iam.token", held=1)

    connections.close_all()
    private_postgresql.restart("immediate")
    sandbox.control.release()
    pressed.join(timeout=30)
    again = visitor.open(account)

    for answer in (answers[0], again):
        assert_opened(answer)
    assert IamUserLease.objects.get().holder == ""
    assert sandbox.control.counters()["iam.token"] == 1
    assert_record_is_true(links_in([*answers, again]))


def test_a_restart_during_the_outcome_leaves_no_link_without_its_event(
    private_postgresql: PostgresqlCluster, private_inventory: Inventory, visitor: Visitor, sandbox: SandboxServer
) -> None:
    """The outcome's transaction waits for the head, with its row already changed, when the server goes."""
    account, answers, again = private_inventory.root, list[object](), list[object]()
    for mode in MODES:
        sandbox.control.add_fault("cbh.om_url", hold="after")
        pressed = in_background(lambda: visitor.open(account), answers)
        assert sandbox.control.wait("cbh.om_url", held=1)
        connections.close_all()
        with closing(psycopg.connect(private_url(private_postgresql))) as in_the_way:
            in_the_way.execute(f"SELECT 1 FROM {triggers.HEAD} FOR UPDATE".encode())
            sandbox.control.release()
            wait_until(partial(somebody_waits, in_the_way), seconds=10)
            private_postgresql.restart(mode)
        pressed.join(timeout=30)
        again.append(visitor.open(account))

    assert len(answers) == len(again) == 2
    for answer in answers:
        assert_is_the_page_without_a_database(answer)
    for answer in again:
        assert_opened(answer)
    kinds = AuditEvent.objects.exclude(reference="").order_by("position").values_list("kind", flat=True)
    assert list(kinds) == ["launch:requested", "launch:requested", "launch:opened"] * 2
    assert_record_is_true(links_in([*answers, *again]))


def test_while_the_database_is_down_every_page_says_so_and_the_process_lives(
    private_postgresql: PostgresqlCluster, private_inventory: Inventory, visitor: Visitor, sandbox: SandboxServer
) -> None:
    account = private_inventory.root
    form = visitor.form(account)
    connections.close_all()

    private_postgresql.stop("immediate")
    down = {path: visitor.get(path).status_code for path in ("/", "/activity/", "/admin/", "/healthz")}
    refused = visitor.send(form)
    private_postgresql.start()
    again = visitor.open(account)

    assert down == {"/": 503, "/activity/": 503, "/admin/": 503, "/healthz": 200}
    assert_is_the_page_without_a_database(refused)
    assert sandbox.control.counters().get("iam.token", 0) == 1
    assert_opened(again)
    assert_record_is_true(links_in([refused, again]))


def private_url(cluster: PostgresqlCluster) -> str:
    return cluster.url(str(connections["default"].settings_dict["NAME"]))


def somebody_waits(connection: psycopg.Connection) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    ).fetchone()
    return row is not None and row[0] > 0
