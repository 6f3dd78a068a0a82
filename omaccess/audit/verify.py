"""Is the audit what it was when it was written? Reads the whole chain, in constant memory.

Chunks that are whole are passed quickly (quick_check.py). Every other is judged here, row by row and column by column.

What is found, always: any change to one event or several whose followers' hashes were not computed anew; events that
are missing, repeated, out of order or beyond the head; a head that does not fit. Of `facts` the value is covered. On
SQLite they are text, and white space, the order of keys and escapes in that text may change without a word, since
they read the same everywhere; a repeated key is reported, since readers differ in which of the two they see.

What cannot be found from the chain alone: somebody who may write to the database file, or owns the tables, can change
an event and compute every hash after it again, or cut off the end and move the head back. The chain is then whole,
yet its end is another. So a head noted elsewhere (the log has one every hour) proves everything up to it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from omaccess.audit import triggers
from omaccess.audit.chain import event_hash
from omaccess.audit.heads import Head
from omaccess.audit.quick_check import QuickCheck
from omaccess.audit.stored_rows import COLUMNS, Key, Malformed, Row, StoredRows
from omaccess.models.audit import GENESIS_HASH

COUNTED_AT_ONCE = 1_000_000
"""Rows of the table are counted in spans of so many events, each within a statement's time."""


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
    """What `verify` found. `end` is position and hash of the last event; `problems` holds the first ones only.

    `noted_head` is the furthest of the heads that it was given to compare with.
    """

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


def verify(*, heads: Iterable[Head] = (), most_problems: int = 50) -> Report:
    """Check every event, the chain, its head and the triggers; given `heads`, also that the chain still contains them.

    Events appended meanwhile do no harm. Goes on after a problem; keeps the first `most_problems` and counts all.

    Raises: DatabaseError when the tables cannot be read at all.
    """
    return _Verification(list(heads), most_problems).run()


class _Verification:
    """One pass over the chain. `wanted` maps a position to the hashes that have to be found there, and why."""

    def __init__(self, noted_heads: Sequence[Head], most_problems: int) -> None:
        self.rows = StoredRows(connections[DEFAULT_DB_ALIAS])
        self.noted_heads = noted_heads
        self.report = Report(noted_head=max(noted_heads, default=None))
        self.most_problems = most_problems
        self.wanted: dict[int, list[tuple[ProblemKind, str]]] = {}
        self.spans: list[tuple[int, int]] = []
        self.events_in_spans = 0

    def run(self) -> Report:
        self.report.unprotected = triggers.missing(self.rows.connection)
        before = self._read_head()
        self._want(ProblemKind.HEAD, before)
        for noted in self.noted_heads:
            self._want(ProblemKind.NOTED_HEAD, noted)
        self._compare(0, GENESIS_HASH)
        self._check_rows()
        for position in sorted(self.wanted):
            self._add_absent(position)
        if before is not None:
            self._check_beyond(self._read_head())
        self._check_count()
        return self.report

    def _check_rows(self) -> None:
        quick = QuickCheck(self.rows)
        after: Key = ()
        while True:
            rows: Sequence[Row] | None = quick.chunk(after, *self.report.end)
            if rows:
                self._pass(rows)
            elif rows is None:
                rows = self.rows.chunk(after)
                for row in rows:
                    self._check(row)
            if not rows:
                return
            after = rows[-1][:2]
            if self.report.events - self.events_in_spans >= COUNTED_AT_ONCE:
                self._end_span()

    # --- judging -------------------------------------------------------------------------------

    def _pass(self, rows: Sequence[Row]) -> None:
        """A whole chunk: its positions follow each other."""
        first, last = rows[0][0], rows[-1][0]
        for position in self.wanted.keys() & set(range(first, last + 1)):
            self._compare(position, rows[position - first][-1])
        self.report.events += len(rows)
        self.report.end = (last, rows[-1][-1])

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
        if len(row) < len(COLUMNS) or type(stored_hash) is not str:
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
            event = self.rows.event_of(row)
            is_same = event_hash(row[-2], event) == row[-1]
        except Malformed as error:
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
        self._end_span()
        hidden = self.rows.number_beside(self.spans) - self.report.events
        if hidden > 0:
            text = ngettext(
                "%(number)d row of the table is outside the chain.",
                "%(number)d rows of the table are outside the chain.",
                hidden,
            )
            self._add(ProblemKind.EXTRA, None, text % {"number": hidden})

    def _end_span(self) -> None:
        begin, end = self.spans[-1][1] if self.spans else 0, self.report.end[0]
        self.spans.append((begin, end))
        self.events_in_spans = self.report.events

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

    def _read_head(self) -> Head | None:
        rows = self.rows.heads()
        if len(rows) != 1 or type(rows[0][0]) is not int or type(rows[0][1]) is not str:
            self._add(ProblemKind.HEAD, None, _("The head of the chain is missing, or there is more than one."))
            return None
        return rows[0][0], rows[0][1]
