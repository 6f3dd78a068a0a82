"""Transactions that write in turn, and `SELECT … FOR SHARE`, which Django does not have."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.models import QuerySet

from omaccess.errors import CannotRecord

WRITE_TURN_SECONDS = 2.0
_write_turn = threading.Lock()


@contextmanager
def writing() -> Iterator[None]:
    """A transaction that writes. On SQLite the threads of a process queue for it here.

    SQLite's own wait is a sleep without a queue: under load some writers never get their turn within the two seconds
    after which something counts as impossible to record.

    Raises: CannotRecord when the turn does not come in time.
    """
    if connections[DEFAULT_DB_ALIAS].vendor != "sqlite":
        with transaction.atomic():
            yield
        return
    if not _write_turn.acquire(timeout=WRITE_TURN_SECONDS):
        raise CannotRecord("the database was not free in time")
    try:
        with transaction.atomic():
            yield
    finally:
        _write_turn.release()


def rows_for_share(rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """Run a `values_list` query whose rows nobody can change until the transaction ends.

    Every table it joins is locked, so all joins must be inner. On SQLite a transaction that may write is alone
    anyway (BEGIN IMMEDIATE), and the query runs as it is.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    sql, params = rows.query.get_compiler(connection=connection).as_sql()
    if connection.vendor == "postgresql":
        sql += " FOR SHARE"
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
