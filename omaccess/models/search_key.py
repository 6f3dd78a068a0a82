"""How texts are compared when somebody searches: without case, from the beginning, and always by an index.

A range over this key finds a beginning on both databases, and the same index gives its order. `LIKE` would need an
index of another kind on each, which a database whose collation is not C does not use.
"""

from __future__ import annotations

from typing import Any

from django.db.models import CharField, Func, Q, Value
from django.db.models.lookups import Exact, GreaterThanOrEqual, LessThan

LAST_CHARACTER = "\U0010ffff"
"""Sorts after every other, bytewise in UTF-8; no text holds it, for it is no character."""


class SearchKey(Func):
    """A text in lower case that sorts by its bytes: SQLite's own order, and PostgreSQL's collation C."""

    function = "LOWER"
    arity = 1
    output_field = CharField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template='(%(function)s(%(expressions)s) COLLATE "C")', **context)


def begins(field: str, text: str) -> Q:
    """The field begins with this text, whatever the case."""
    key = SearchKey(field)
    end = SearchKey(Value(text + LAST_CHARACTER))
    return Q(GreaterThanOrEqual(key, SearchKey(Value(text))), LessThan(key, end))


def equals(field: str, text: str) -> Q:
    """The field is this text, whatever the case."""
    return Q(Exact(SearchKey(field), SearchKey(Value(text))))
