"""Audit events as the database holds them, for verification: raw rows in chunks, and the forms that columns may have.

Not through the models, because a model forgives much: a time written in another form, an upper-case id or bytes where
text belongs all look the same through it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, Final

from django.db import DatabaseError
from django.db.backends.base.base import BaseDatabaseWrapper

from omaccess.audit.chain import COVERED
from omaccess.audit.triggers import EVENTS, HEAD

CHUNK_ROWS = 2000
COLUMNS: Final = (*COVERED, "previous_hash", "hash")
POSTGRESQL_AT: Final = """to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
"""A time as text at once: one beyond what Python knows would otherwise end the reading."""

Row = Sequence[Any]
Key = Sequence[Any]
"""Position and id of a row, which rows are read by. The id as well: a position may stand twice."""


class Malformed(Exception):
    """A column does not have the form that the portal writes. Its value stays out: it may be anything."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


class StoredRows:
    """Reads events and the head. Each call is one short statement: no transaction that lasts, no open cursor."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self.connection = connection
        self.chunk_rows = CHUNK_ROWS
        self.event_of = _postgresql_event if connection.vendor == "postgresql" else _sqlite_event

    def heads(self) -> Sequence[Row]:
        return self.fetch(f"SELECT position, hash FROM {HEAD}")  # noqa: S608 - a constant

    def chunk(self, after: Key) -> Sequence[Row]:
        """The rows that follow a key, as COLUMNS; of one that cannot be read only its key."""
        where = "WHERE (position, id) > (%s, %s)" if after else ""
        tail = f"{where} ORDER BY position, id LIMIT {self.chunk_rows}"
        try:
            return self.fetch(self._select(tail), after)
        except DatabaseError:
            # One row that cannot be read (bytes that are no text, a damaged page) must not hide the others.
            keys = self.fetch(f"SELECT position, id FROM {EVENTS} {tail}", after)  # noqa: S608
            return [self._single(key) for key in keys]

    def number_beside(self, spans: Sequence[tuple[int, int]]) -> int:
        """How many rows there are without a position, before the first span, or within the spans.

        A span is two positions, the first excluded. Span by span, so that no statement grows with the table.
        """
        first = spans[0][0] if spans else 0
        sql = f"SELECT count(*) FROM {EVENTS} WHERE "  # noqa: S608
        number = self.fetch(f"{sql} position IS NULL OR position <= %s", [first])[0][0]
        for span in spans:
            number += self.fetch(f"{sql} position > %s AND position <= %s", span)[0][0]
        return int(number)

    def fetch(self, sql: str, params: Sequence[Any] = ()) -> Sequence[Row]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows: list[Row] = cursor.fetchall()
        return rows

    def _single(self, key: Key) -> Row:
        """A row, or only its key when that is all that can be read."""
        try:
            return self.fetch(self._select("WHERE (position, id) = (%s, %s)"), key)[0]
        except DatabaseError:
            return key

    def _select(self, tail: str) -> str:
        columns = ", ".join(COLUMNS)
        if self.connection.vendor == "postgresql":
            columns = columns.replace(" id,", " id::text,", 1).replace(" at,", f" {POSTGRESQL_AT},", 1)
        else:
            # The value as it is stored: a plain column would come back as a datetime, in whatever form it was.
            columns = columns.replace(" at,", " +at,", 1)
        return f"SELECT {columns} FROM {EVENTS} {tail}"  # noqa: S608 - constants


_SQLITE_AT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{6})?")
_SQLITE_ID = re.compile(r"([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})")


def _sqlite_at(text: str) -> str:
    """SQLite's own form of a time, as it is hashed. Raises: Malformed."""
    at = _SQLITE_AT.fullmatch(text)
    if at is None or at[3] == ".000000":
        raise Malformed("at")
    return f"{at[1]}T{at[2]}{at[3] or '.000000'}Z"


def _sqlite_id(text: str) -> str:
    """SQLite's own form of an id, as it is hashed. Raises: Malformed."""
    uid = _SQLITE_ID.fullmatch(text)
    if uid is None:
        raise Malformed("id")
    return "-".join(uid.groups())


def facts(text: str) -> dict[str, Any]:
    """Raises: Malformed for another shape or a repeated key, for readers differ in which of the two they see;
    ValueError, RecursionError.
    """
    found = _read_json(text)
    if type(found) is not dict:
        raise Malformed("facts")
    return found


def _postgresql_event(row: Row) -> dict[str, Any]:
    """The covered columns as `chain.canonical` takes them. Raises: Malformed, ValueError, RecursionError."""
    if set(map(type, row[1:])) != {str}:
        raise Malformed(next(name for name, value in zip(COLUMNS[1:], row[1:], strict=True) if type(value) is not str))
    event = dict(zip(COVERED, row, strict=False))
    event["facts"] = facts(event["facts"])
    return event


def _sqlite_event(row: Row) -> dict[str, Any]:
    """As `_postgresql_event`; SQLite stores time and id as texts of its own, and keeps any other text as well."""
    event = _postgresql_event(row)
    event["at"], event["id"] = _sqlite_at(event["at"]), _sqlite_id(event["id"])
    return event


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Malformed("facts")
    return found


_read_json = json.JSONDecoder(object_pairs_hook=_object).decode
