"""Pages of a list too long to be counted: each begins below or above a row, so that far pages cost what near ones do.

`?below=1234` is the page below the row with the key 1234, `?above=1234` the page above it, and an empty `?above=` the
last page. A key has one value for each column that the list is ordered by, so the parameter may stand several times.
The address names rows and no number of a page: it shows the same to a colleague, however much was appended meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from django.core.exceptions import FieldError, ValidationError
from django.db import models
from django.db.models import Q
from django.db.models.constants import LOOKUP_SEP

BELOW: Final = "below"
ABOVE: Final = "above"

Key = list[str]
"""What a row is ordered by, as texts for an address."""

END: Final[Key] = [""]
"""Above no row: the last page."""


class NoSuchKey(ValueError):
    """Not a key of this list: too many or too few values, or one that its column cannot hold."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of an order. Never nullable: databases do not agree on where NULL stands."""

    path: str
    is_descending: bool
    field: models.Field[Any, Any]

    def text(self, row: models.Model) -> str:
        return str(reduce(getattr, self.path.split(LOOKUP_SEP), row))

    def value(self, text: str) -> Any:
        if "\0" in text:
            raise NoSuchKey(text)
        try:
            value = self.field.to_python(text)
            self.field.run_validators(value)
        except ValidationError as error:
            raise NoSuchKey(text) from error
        return value


@dataclass(frozen=True, slots=True)
class Page:
    """Rows in the list's order, and the keys from which the pages before and after it begin; None when it is an end."""

    rows: list[Any]
    before: Key | None
    after: Key | None
    is_newest_first: bool


def columns(queryset: models.QuerySet[Any]) -> list[Column] | None:
    """The queryset's order; None when it cannot be paged by keys: an expression, or a column that may be NULL."""
    found: dict[str, Column] = {}
    for name in queryset.query.order_by:
        column = _column(queryset, name) if isinstance(name, str) else None
        if column is None:
            return None
        # Django's lists name the same order twice; the second time decides nothing.
        found.setdefault(column.path, column)
    return list(found.values()) or None


def page(
    queryset: models.QuerySet[Any], order: Sequence[Column], size: int, *, below: Key | None, above: Key | None
) -> Page:
    """The page that the keys ask for; without a key the first. One query, or two at the upper end.

    Raises: NoSuchKey.
    """
    if above is None:
        where = _beyond(order, below, is_backwards=False) if below is not None else Q()
        rows = list(queryset.filter(where)[: size + 1])
        after = _key(order, rows[size - 1]) if len(rows) > size else None
        rows = rows[:size]
        # Below a row there is always that row.
        before = None if below is None else _key(order, rows[0]) if rows else END
        return Page(rows, before, after, order[0].is_descending)
    is_last_page = above == END
    where = Q() if is_last_page else _beyond(order, above, is_backwards=True)
    rows = list(queryset.filter(where).reverse()[: size + 1])
    if len(rows) <= size:
        # So near the beginning that the first page holds them, and it is a full one.
        return page(queryset, order, size, below=None, above=None)
    rows = rows[size - 1 :: -1]
    after = None if is_last_page else _key(order, rows[-1])
    return Page(rows, _key(order, rows[0]), after, order[0].is_descending)


def _column(queryset: models.QuerySet[Any], name: str) -> Column | None:
    path = name.removeprefix("-")
    if path in queryset.query.annotations:
        return Column(path, name != path, queryset.query.annotations[path].output_field)
    try:
        parts, final, _targets, lookups = queryset.query.names_to_path(path.split(LOOKUP_SEP), queryset.model._meta)
    except FieldError:
        return None
    if lookups or final.is_relation or any(part.m2m or part.join_field.null for part in parts) or final.null:
        return None
    return Column(path, name != path, final)


def _beyond(order: Sequence[Column], key: Key, *, is_backwards: bool) -> Q:
    """The rows that stand after a key, or before it. The first column's bound stands alone too, for its index."""
    if len(key) != len(order):
        raise NoSuchKey(str(len(key)))
    values = [column.value(text) for column, text in zip(order, key, strict=True)]
    beyond = Q()
    for column, value in reversed(list(zip(order, values, strict=True))):
        sign = "lt" if column.is_descending != is_backwards else "gt"
        strictly = Q(**{f"{column.path}__{sign}": value})
        beyond = strictly if not beyond else Q(**{f"{column.path}__{sign}e": value}) & (strictly | beyond)
    return beyond


def _key(order: Sequence[Column], row: models.Model) -> Key:
    return [column.text(row) for column in order]
