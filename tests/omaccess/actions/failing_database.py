"""A database that fails at one table, as it does when a disk is full or a connection is lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import OperationalError, connection


@contextmanager
def database_failing_at(table: str) -> Iterator[None]:
    """Every statement that names this table of the portal's fails, in this thread."""

    def fail(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if f'"omaccess_{table}"' in sql:
            raise OperationalError("the database is gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(fail):
        yield
