"""Transactions that write in turn, and `SELECT … FOR SHARE`, which Django does not have."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler

from omaccess.compiled import Compiled
from omaccess.errors import CannotRecord

WRITE_TURN_SECONDS = 2.0
_write_turn = threading.Lock()

Row = TypeVar("Row", bound=models.Model)


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


def shared(rows: QuerySet[Row, Any]) -> QuerySet[Row, Any]:
    """The same rows; whoever reads them also keeps everybody from changing them until the transaction ends.

    What is read is what was locked, also after waiting for a change: PostgreSQL reads the locked rows again then, but
    not what a subquery asked. So every joined table is locked too, all joins must be inner, and rows that merely depend
    on these (labels, names, addresses) are for the next statement.

    On SQLite nothing is added: a transaction that may write is alone anyway (BEGIN IMMEDIATE).
    """
    rows = rows.all()
    rows.query = rows.query.chain(klass=_SharedQuery)
    return rows


def hold_for_share(ids: Compiled[int], **values: Any) -> Callable[[models.Model], bool]:
    """Hold rows that the next statement reads with what depends on them. Returns: is this one held?

    `ids` reads the ids of `shared` rows. Where there is nothing to hold, nothing is asked.
    """
    if connections[DEFAULT_DB_ALIAS].vendor != "postgresql":
        return lambda row: True
    held = frozenset(ids.rows(**values))
    return lambda row: row.pk in held


class _SharedQuery(Query):
    def get_compiler(
        self, using: str | None = None, connection: BaseDatabaseWrapper | None = None, elide_empty: bool = True
    ) -> SQLCompiler:
        connection = connection or connections[using or DEFAULT_DB_ALIAS]
        if connection.vendor != "postgresql":
            compiler: SQLCompiler = super().get_compiler(using, connection, elide_empty)
            return compiler
        return _SharedCompiler(self, connection, using, elide_empty)  # type: ignore[call-arg] # the stubs lack one


class _SharedCompiler(SQLCompiler):
    def as_sql(self, with_limits: bool = True, with_col_aliases: bool = False) -> Any:
        sql, params = super().as_sql(with_limits, with_col_aliases)
        return f"{sql} FOR SHARE", params
