"""Is the audit what it was when it was written? Reads the whole chain, in constant memory.

Rows are read as the database holds them, not through the models, because a model forgives much: a time written in
another form, an upper-case id or bytes where text belongs all look the same through it.

What is found, always: any change to one event or several whose followers' hashes were not computed anew; events that
are missing, repeated, out of order or beyond the head; a head that does not fit. Of `facts` the value is covered. On
SQLite they are text, and white space, the order of keys and escapes in that text may change without a word, since
they read the same everywhere; a repeated key is reported, since readers differ in which of the two they see.

What cannot be found from the chain alone: somebody who may write to the database file, or owns the tables, can change
an event and compute every hash after it again, or cut off the end and move the head back. The chain is then whole,
yet its end is another. So a head noted elsewhere (the log has one every hour) proves everything up to it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from omaccess.audit import triggers
from omaccess.audit.chain import COVERED, event_hash
from omaccess.models.audit import GENESIS_HASH

Head = tuple[int, str]
"""Position and hash of an event."""

CHUNK_ROWS = 2000
_COLUMNS = (*COVERED, "previous_hash", "hash")
_HASH = re.compile(r"[0-9a-f]{64}")


class ProblemKind(StrEnum):
    MISSING = "missing"
    EXTRA = "extra"
    FORM = "form"
    CONTENT = "content"
    LINK = "link"
    HEAD = "head"
    NOTED_HEAD = "noted head"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it was written. `position` is None when it belongs to no event."""

    kind: ProblemKind
    position: int | None
    text: str


@dataclass(slots=True)
class Report:
    """What `verify` found. `end` is position and hash of the last event; `problems` holds the first ones only."""

    events: int = 0
    end: Head = (0, GENESIS_HASH)
    noted_head: Head | None = None
    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    unprotected: list[str] = field(default_factory=list)
    """Triggers that should refuse changes and are missing or altered: no proof of a change, yet the way to one."""

    @property
    def is_whole(self) -> bool:
        return self.problem_count == 0


def parse_head(text: str) -> Head:
    """`POSITION:HASH` as a head. Raises: ValueError with a sentence."""
    position, _colon, digest = text.strip().partition(":")
    if not re.fullmatch(r"[0-9]{1,18}", position, re.ASCII) or not _HASH.fullmatch(digest):
        raise ValueError(_("A head is POSITION:HASH: a number, and 64 hexadecimal digits in lower case."))
    return int(position), digest


def verify(*, head: Head | None = None, most_problems: int = 50) -> Report:
    """Check every event, the chain, its head and the triggers; given `head`, also that the chain still contains it.

    Events appended meanwhile do no harm. Goes on after a problem; keeps the first `most_problems` and counts all.

    Raises: DatabaseError when the tables cannot be read at all.
    """
    return _Verification(head, most_problems).run()


class _Verification:
    """One pass over the chain. `wanted` maps a position to the hashes that have to be found there, and why."""

    def __init__(self, noted_head: Head | None, most_problems: int) -> None:
        self.connection = connections[DEFAULT_DB_ALIAS]
        self.event_of = _postgresql_event if self.connection.vendor == "postgresql" else _sqlite_event
        self.report = Report(noted_head=noted_head)
        self.most_problems = most_problems
        self.wanted: dict[int, list[tuple[ProblemKind, str]]] = {}

    def run(self) -> Report:
        self.report.unprotected = triggers.missing(self.connection)
        before = self._read_head()
        self._want(ProblemKind.HEAD, before)
        self._want(ProblemKind.NOTED_HEAD, self.report.noted_head)
        self._compare(0, GENESIS_HASH)
        for row in self._rows():
            self._check(row)
        for position in sorted(self.wanted):
            self._add_absent(position)
        if before is not None:
            self._check_beyond(self._read_head())
        self._check_count()
        return self.report

    # --- judging -------------------------------------------------------------------------------

    def _check(self, row: Sequence[Any]) -> None:
        report = self.report
        position, (last, last_hash) = row[0], report.end
        report.events += 1
        if type(position) is not int:
            self._add(ProblemKind.EXTRA, None, _("An event has no whole number as its position."))
            return
        if position <= last:
            self._add(ProblemKind.EXTRA, position, _("This position stands more than once, or before the first."))
            return
        if position > last + 1:
            self._add_gap(last + 1, position - 1)
        stored_hash = row[-1]
        if len(row) < len(_COLUMNS) or type(stored_hash) is not str:
            self._add(ProblemKind.UNREADABLE, position, _("The event cannot be read."))
            report.end = (position, "")
            return
        self._check_hash(position, row)
        # After a gap, or an event that could not be read, there is nothing that it could follow.
        if position == last + 1 and last_hash and row[-2] != last_hash:
            self._add(ProblemKind.LINK, position, _("It does not follow from the event before it."))
        report.end = (position, stored_hash)
        if position in self.wanted:
            self._compare(position, stored_hash)

    def _check_hash(self, position: int, row: Sequence[Any]) -> None:
        """The hash that the row carries is that of its content, and every column has the form we write."""
        try:
            event = self.event_of(row)
            is_same = event_hash(row[-2], event) == row[-1]
        except _Malformed as error:
            text = _("The column %(column)s does not have the form in which the portal writes it.")
            self._add(ProblemKind.FORM, position, text % {"column": error.column})
        except (ValueError, TypeError, RecursionError):
            # Lone surrogates, not-a-number, nesting without end: nothing that `record` could have written.
            self._add(ProblemKind.FORM, position, _("It holds something that the portal never writes."))
        else:
            if not is_same:
                self._add(ProblemKind.CONTENT, position, _("Its content was changed: it does not give its hash."))

    def _want(self, kind: ProblemKind, head: Head | None) -> None:
        if head is not None:
            self.wanted.setdefault(head[0], []).append((kind, head[1]))

    def _compare(self, position: int, digest: str) -> None:
        for kind, expected in self.wanted.pop(position, ()):
            if expected == digest:
                continue
            if kind is ProblemKind.HEAD:
                text = _("The head of the chain names another hash for this event.")
            else:
                text = _("The event had another hash when this head was noted: the chain was rewritten since.")
            self._add(kind, position, text)

    def _add_absent(self, position: int) -> None:
        for kind, _digest in self.wanted[position]:
            if kind is ProblemKind.HEAD:
                text = _("The head of the chain names this event, and it is not there.")
            else:
                text = _("This event was there when the head was noted, and it is not there now.")
            self._add(kind, position, text)

    def _check_beyond(self, after: Head | None) -> None:
        """The head is read again, for events may have been appended; the end cannot lie behind it."""
        if after is None:
            return
        last, digest = self.report.end
        if last > after[0]:
            self._add(ProblemKind.HEAD, last, _("There are events beyond the head of the chain."))
        elif last == after[0] and digest != after[1] and not self._has(ProblemKind.HEAD):
            self._add(ProblemKind.HEAD, last, _("The head of the chain names another hash for this event."))

    def _check_count(self) -> None:
        """Rows that no order by position shows, for example those without one."""
        sql = f"SELECT count(*) FROM {triggers.EVENTS} WHERE position <= %s OR position IS NULL"  # noqa: S608
        hidden = self._fetch(sql, [self.report.end[0]])[0][0] - self.report.events
        if hidden > 0:
            text = ngettext(
                "%(number)d row of the table is outside the chain.",
                "%(number)d rows of the table are outside the chain.",
                hidden,
            )
            self._add(ProblemKind.EXTRA, None, text % {"number": hidden})

    def _add_gap(self, first: int, last: int) -> None:
        if first == last:
            self._add(ProblemKind.MISSING, first, _("The event is missing."))
        else:
            text = _("The events from here to position %(last)d are missing.")
            self._add(ProblemKind.MISSING, first, text % {"last": last})

    def _add(self, kind: ProblemKind, position: int | None, text: str) -> None:
        self.report.problem_count += 1
        if len(self.report.problems) < self.most_problems:
            self.report.problems.append(Problem(kind, position, text))

    def _has(self, kind: ProblemKind) -> bool:
        return any(problem.kind is kind for problem in self.report.problems)

    # --- reading -------------------------------------------------------------------------------

    def _read_head(self) -> Head | None:
        rows = self._fetch(f"SELECT position, hash FROM {triggers.HEAD}")  # noqa: S608 - a constant
        if len(rows) != 1 or type(rows[0][0]) is not int or type(rows[0][1]) is not str:
            self._add(ProblemKind.HEAD, None, _("The head of the chain is missing, or there is more than one."))
            return None
        return rows[0][0], rows[0][1]

    def _rows(self) -> Iterator[Sequence[Any]]:
        """Every row by position, in chunks: no transaction that lasts, and no result that has to fit anywhere."""
        last: Sequence[Any] = ()
        while chunk := self._chunk(last):
            yield from chunk
            last = chunk[-1][:2]

    def _chunk(self, after: Sequence[Any]) -> Sequence[Sequence[Any]]:
        # The id as well: a position that stands twice must not end a chunk with its first row.
        where = "WHERE (position, id) > (%s, %s)" if after else ""
        tail = f"{where} ORDER BY position, id LIMIT {CHUNK_ROWS}"
        try:
            return self._fetch(self._select(tail), after)
        except DatabaseError:
            # One row that cannot be read (bytes that are no text, a damaged page) must not hide the others.
            keys = self._fetch(f"SELECT position, id FROM {triggers.EVENTS} {tail}", after)  # noqa: S608
            return [self._single(key) for key in keys]

    def _single(self, key: Sequence[Any]) -> Sequence[Any]:
        """A row, or only its key when that is all that can be read."""
        try:
            return self._fetch(self._select("WHERE (position, id) = (%s, %s)"), key)[0]
        except DatabaseError:
            return key

    def _select(self, tail: str) -> str:
        columns = ", ".join(_COLUMNS)
        if self.connection.vendor == "postgresql":
            # As text at once: a time beyond what Python knows would otherwise end the reading.
            columns = columns.replace(" id,", " id::text,", 1).replace(" at,", f" {_POSTGRESQL_AT},", 1)
        else:
            # The value as it is stored: a plain column would come back as a datetime, in whatever form it was.
            columns = columns.replace(" at,", " +at,", 1)
        return f"SELECT {columns} FROM {triggers.EVENTS} {tail}"  # noqa: S608 - constants

    def _fetch(self, sql: str, params: Sequence[Any] = ()) -> Sequence[Sequence[Any]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql, params)
            rows: list[Sequence[Any]] = cursor.fetchall()
        return rows


# --- rows as the databases hold them ---------------------------------------------------------------

_POSTGRESQL_AT = """to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
_SQLITE_AT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}) ([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{6})?")
_SQLITE_ID = re.compile(r"([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{4})([0-9a-f]{12})")


class _Malformed(Exception):
    """A column does not have the form that the portal writes. Its value stays out: it may be anything."""

    def __init__(self, column: str) -> None:
        super().__init__(column)
        self.column = column


def _postgresql_event(row: Sequence[Any]) -> dict[str, Any]:
    """The covered columns as `chain.canonical` takes them. Raises: _Malformed, ValueError."""
    if set(map(type, row[1:])) != {str}:
        raise _Malformed(
            next(name for name, value in zip(_COLUMNS[1:], row[1:], strict=True) if type(value) is not str)
        )
    event = dict(zip(COVERED, row, strict=False))
    event["facts"] = _facts(event["facts"])
    return event


def _sqlite_event(row: Sequence[Any]) -> dict[str, Any]:
    """As `_postgresql_event`; SQLite stores time and id as texts of its own, and keeps any other text as well."""
    event = _postgresql_event(row)
    at, uid = _SQLITE_AT.fullmatch(event["at"]), _SQLITE_ID.fullmatch(event["id"])
    if at is None or at[3] == ".000000":
        raise _Malformed("at")
    if uid is None:
        raise _Malformed("id")
    event["at"] = f"{at[1]}T{at[2]}{at[3] or '.000000'}Z"
    event["id"] = "-".join(uid.groups())
    return event


def _facts(text: str) -> Any:
    facts = _read_json(text)
    if type(facts) is not dict:
        raise _Malformed("facts")
    return facts


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Malformed("facts")
    return found


_read_json = json.JSONDecoder(object_pairs_hook=_object).decode
