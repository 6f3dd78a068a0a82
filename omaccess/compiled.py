"""Queries that always have the same shape: composed and compiled once, run with the values of the moment.

Django composes and compiles a query anew each time, and for the dozen of a launch that took half of its processor time.
Here a query is written as everywhere else, with `given(…)` in place of each value that changes:

    _BY_NAME = Compiled(lambda: Host.objects.filter(name=given("name", CharField())))
    _BY_NAME.rows(name="web-01")

What the lambda itself reads, such as the time, is frozen with the query: it belongs into `given`, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, Field, QuerySet
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler

Row = TypeVar("Row")


def given(name: str, field: Field[Any, Any]) -> Any:
    """A place for a value of this kind; stands wherever the query's text has a parameter.

    Not for what decides the query's shape: a list of ids, None, how many rows.
    """
    return _Given(name, output_field=field)


class Compiled(Generic[Row]):
    """One query, compiled by each thread when it first runs it: what is compiled belongs to a thread's connection."""

    def __init__(self, compose: Callable[[], QuerySet[Any, Row]]) -> None:
        self._compose = compose
        self._local = threading.local()

    def rows(self, **values: Any) -> list[Row]:
        """Run it. Raises: KeyError for a value that is missing."""
        connection = connections[DEFAULT_DB_ALIAS]
        query: _Ready | None = getattr(self._local, "query", None)
        if query is None or query.compiled.connection is not connection:
            rows = self._compose()
            query = self._local.query = _Ready.of(rows.query, connection)
            shape = rows._iterable_class
            rows.query = query
            rows._iterable_class = shape  # a query that is set forgets whether single values were asked for
            self._local.read = lambda: list(iter(shape(rows)))  # type: ignore[arg-type, call-overload]
        query.values_given = values
        try:
            found: list[Row] = self._local.read()
            return found
        finally:
            query.values_given = {}

    def first(self, **values: Any) -> Row | None:
        """The first row of a query that finds few."""
        return next(iter(self.rows(**values)), None)


class _Given(Expression):
    def __init__(self, name: str, output_field: Field[Any, Any]) -> None:
        super().__init__(output_field=output_field)
        self.name = name

    def as_sql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper) -> Any:
        return "%s", [self]


class _Ready(Query):
    """A query whose one compiler has done its work, and from then on only puts values in their places."""

    compiled: SQLCompiler
    values_given: dict[str, Any]

    @classmethod
    def of(cls, query: Query, connection: BaseDatabaseWrapper) -> _Ready:
        ready = cast("_Ready", query.chain(klass=cls))
        ready.compiled = query.get_compiler(connection=connection)
        sql, params = ready.compiled.as_sql()

        def in_place(param: Any) -> Any:
            if not isinstance(param, _Given):
                return param
            return param.output_field.get_db_prep_value(ready.values_given[param.name], connection)

        ready.compiled.as_sql = lambda *args, **kwargs: (sql, tuple(map(in_place, params)))  # type: ignore[method-assign]
        return ready

    def get_compiler(self, *args: Any, **kwargs: Any) -> SQLCompiler:
        return self.compiled
