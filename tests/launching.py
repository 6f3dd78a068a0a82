"""Tools for tests that launch: asking, looking at the audit, and standing in somebody's way."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable

from django.db import connection, connections
from django.utils import timezone

from accounts.models import User
from omaccess.actions import launches
from omaccess.audit import triggers
from omaccess.meta import Meta
from omaccess.models import (
    AuditEvent,
    Grant,
    HostAccount,
    Launch,
)
from tests.inventory import Inventory

MetaOf = Callable[[User], Meta]


def open_account(
    account: HostAccount,
    user: User,
    meta: Meta,
    *,
    reason: str = "",
    ticket: str = "",
    once: uuid.UUID | None = None,
) -> launches.Result:
    return launches.launch(account_id=account.pk, reason=reason, ticket=ticket, once=once, by=user, meta=meta)


def kinds_of(launch: Launch) -> list[str]:
    events = AuditEvent.objects.filter(reference=launch.reference).order_by("position")
    return [event.kind for event in events]


def revoke(inventory: Inventory) -> None:
    Grant.objects.update(revoked_at=timezone.now(), revoked_by=inventory.staff)


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Run on another thread with a database connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def wait_until_somebody_waits_for_us(seconds: float = 10) -> None:
    """Until another connection waits for a lock that this transaction holds; SQLite cannot tell, its writers queue."""
    if connection.vendor == "sqlite":
        return
    ends_at = time.monotonic() + seconds
    with connection.cursor() as cursor:
        while time.monotonic() < ends_at:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits for this transaction")


class HeadHeldByAnother:
    """Somebody else holds the lock on the audit's head (on SQLite: the one write transaction)."""

    def __enter__(self) -> None:
        self._held, self._release = threading.Event(), threading.Event()
        self._thread = in_thread(self._hold)
        assert self._held.wait(timeout=10)

    def __exit__(self, *_exception: object) -> None:
        self._release.set()
        self._thread.join(timeout=10)

    def _hold(self) -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("BEGIN")
                cursor.execute(f"SELECT 1 FROM {triggers.HEAD} FOR UPDATE")
            else:
                cursor.execute("BEGIN IMMEDIATE")
            self._held.set()
            self._release.wait(timeout=30)
            cursor.execute("ROLLBACK")
