"""A small audit log for tests, and the ways to reach behind its protection."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction

from accounts.models import User
from omaccess.audit import Kind, record, triggers
from omaccess.audit.chain import COVERED
from omaccess.meta import Meta
from omaccess.models import AuditEvent, AuditHead

COLUMNS = (*COVERED, "previous_hash", "hash")
META = Meta(address="192.0.2.7", browser="Tests", request_id="request-1")


def append(kind: Kind = Kind.HOST_CHANGED, *, by: User | None = None, **values: Any) -> AuditEvent:
    """One event in a transaction of its own (in a test with `db`: in a savepoint)."""
    values.setdefault("meta", META)
    values.setdefault("actor_name", "somebody" if by is None else "")
    with transaction.atomic():
        return record(kind, by=by, **values)


def append_many(number: int) -> list[AuditEvent]:
    return [append(number=index) for index in range(number)]


def run(sql: str, *params: Any) -> int:
    """Raw SQL; returns how many rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return int(cursor.rowcount)


def rows() -> list[tuple[Any, ...]]:
    """The whole table, raw."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM {triggers.EVENTS} ORDER BY position")
        return list(cursor.fetchall())


def head() -> tuple[int, str]:
    found = AuditHead.objects.get(pk=1)
    return found.position, found.hash


def drop_triggers() -> None:
    """What somebody who owns the database can do. Never a switch of the product."""
    for name in triggers.triggers(connection):
        table = triggers.HEAD if name.startswith("audit_head") else triggers.EVENTS
        on = f" ON {table}" if connection.vendor == "postgresql" else ""
        run(f"DROP TRIGGER {name}{on}")


@contextlib.contextmanager
def undone() -> Iterator[None]:
    """Everything inside is rolled back, also changes to triggers: both databases do that."""
    with transaction.atomic():
        yield
        transaction.set_rollback(True)
