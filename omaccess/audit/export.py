"""The audit as files: CSV to read in a spreadsheet, JSON Lines to process and to prove.

A line of JSON Lines is

    {"event":<canonical bytes>,"hash":"<64 hex digits>","previous_hash":"<64 hex digits>"}

with nothing between or around, so a third party checks it without this code and without sorting keys: cut the line
before `,"hash":"`, drop the leading `{"event":`, and take the SHA-256 that chain.py describes. Each line proves
itself; lines whose positions follow each other also prove that nothing was between them.

CSV is for people. It starts with a byte order mark, or Excel takes UTF-8 for something else, and cells that a
spreadsheet would run as a formula get a leading apostrophe. So it proves nothing; JSON Lines does.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db.models import QuerySet

from omaccess.audit.chain import COVERED, canonical
from omaccess.models.audit import AuditEvent, AuditHead

CHUNK_ROWS: Final = 1000
_COLUMNS: Final = (*COVERED, "previous_hash", "hash")
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

# Spreadsheets skip leading blanks and quotes, and take the full-width forms for the plain ones.
_FORMULA: Final = re.compile(r"""[\s"'`\u200b\ufeff]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]|[\t\r\n]""")


def csv_rows(queryset: QuerySet[AuditEvent]) -> Iterator[bytes]:
    """The events as CSV (RFC 4180, UTF-8 with byte order mark), header first, one piece of whole lines at a time.

    Every cell is quoted. Oldest first; events appended after the start are left out.
    """
    buffer = _Lines()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    yield _BYTE_ORDER_MARK + buffer.take()
    for chunk in _chunks(queryset):
        for event in chunk:
            writer.writerow([_cell(event[name]) for name in _COLUMNS])
        yield buffer.take()


def jsonl_rows(queryset: QuerySet[AuditEvent]) -> Iterator[bytes]:
    """The events as JSON Lines, one line each as the module says; oldest first, as `csv_rows`."""
    for chunk in _chunks(queryset):
        yield b"".join(map(_line, chunk))


FORMATS: Final[dict[str, Callable[[QuerySet[AuditEvent]], Iterator[bytes]]]] = {
    "csv": csv_rows,
    "jsonl": jsonl_rows,
}


def _line(event: dict[str, Any]) -> bytes:
    # The hashes are what the row says; json.dumps, because a row that was tampered with may say anything.
    hashes = (json.dumps(event[name]).encode() for name in ("hash", "previous_hash"))
    return b'{"event":%b,"hash":%b,"previous_hash":%b}\n' % (canonical(event), *hashes)


def _cell(value: Any) -> str:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = str(value)
    return f"'{text}" if _FORMULA.match(text) else text


def _chunks(queryset: QuerySet[AuditEvent]) -> Iterator[list[dict[str, Any]]]:
    """By position in chunks, not one open cursor: a slow download must hold no transaction and no snapshot."""
    end = AuditHead.objects.values_list("position", flat=True).get(pk=1)
    rows = queryset.order_by("position").filter(position__lte=end).values(*_COLUMNS)
    last = 0
    while chunk := list(rows.filter(position__gt=last)[:CHUNK_ROWS].iterator(CHUNK_ROWS)):
        yield chunk
        last = chunk[-1]["position"]


class _Lines:
    """Where csv writes to; handed on and emptied after each chunk."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def write(self, line: str) -> None:
        self._lines.append(line)

    def take(self) -> bytes:
        text = "".join(self._lines)
        self._lines.clear()
        return text.encode("utf-8", "backslashreplace")
