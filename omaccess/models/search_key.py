"""How texts are compared when somebody searches: without case, and always by an index.

A range over a key finds a beginning on both databases, and the same index gives its order. `LIKE` would need an
index of another kind on each, which a database whose collation is not C does not use. What stands in the middle of a
text is found by `omaccess.search_index`, in one column of hosts: their `search_text`, which is folded.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from django.db import models
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


# --- the folded text ---------------------------------------------------------------------------------------

MOST_NAME = 200
"""Of a folded name so many characters are compared by an index: folding can make a text far longer than it was."""


def fold(text: str) -> str:
    """Without case, accents, and the width of letters: both what is searched and what is typed goes through this."""
    return _without_marks(_without_marks(text).casefold())


def _without_marks(text: str) -> str:
    if text.isascii():
        return text
    return "".join(one for one in unicodedata.normalize("NFKD", text) if not unicodedata.combining(one))


def search_text(*, name: str, address: str, address_key: str, owner: str) -> str:
    """What a host is found by, a line each: the name first, which has a key of its own (`FoldedName`)."""
    return "\n".join(fold(part).replace("\n", " ") for part in (name, address, address_key, owner))


class SearchTextField(models.TextField):  # type: ignore[type-arg]  # only the stubs make it generic
    """The `search_text` of a host, made anew whenever a row is saved or inserted, also in bulk."""

    def pre_save(self, model_instance: models.Model, add: bool) -> Any:
        host: Any = model_instance
        host.search_text = search_text(
            name=host.name, address=host.address, address_key=host.address_key, owner=host.owner
        )
        return host.search_text

    def deconstruct(self) -> Any:
        """For migrations a column of text like others: they keep it themselves."""
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.TextField", args, kwargs


class FoldedName(Func):
    """The first line of a `search_text`, cut; sorted by its bytes."""

    template = f"SUBSTR(%(expressions)s, 1, MIN({MOST_NAME}, INSTR(%(expressions)s, CHAR(10)) - 1))"
    arity = 1
    output_field = CharField()

    def __init__(self, expression: str = "search_text") -> None:
        super().__init__(expression)

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = f'(LEFT(SPLIT_PART(%(expressions)s, chr(10), 1), {MOST_NAME}) COLLATE "C")'
        return self.as_sql(compiler, connection, template=template, **context)


def name_begins(folded: str) -> Q:
    """The name begins with this, folded. For all who were saved by a release that has the column."""
    key = folded[:MOST_NAME]
    return Q(GreaterThanOrEqual(FoldedName(), Value(key)), LessThan(FoldedName(), Value(key + LAST_CHARACTER)))
