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


def hold_for_share(rows: QuerySet[Any, Any]) -> None:
    """Nobody can change these rows until the transaction ends; give a `values_list` of every table that counts.

    Every table it joins is locked, so all joins must be inner. On SQLite there is nothing to do: a transaction that may
    write is alone anyway (BEGIN IMMEDIATE).
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.vendor != "postgresql":
        return
    sql, params = rows.query.get_compiler(connection=connection).as_sql()
    with connection.cursor() as cursor:
        cursor.execute(f"{sql} FOR SHARE", params)
