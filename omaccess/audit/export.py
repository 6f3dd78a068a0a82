"""The audit as files: CSV to read in a spreadsheet, JSON Lines to process and to prove.

A line of JSON Lines is

    {"event":<canonical bytes>,"hash":"<64 hex digits>","previous_hash":"<64 hex digits>"}

with nothing between or around, so a third party checks it without this code and without sorting keys: cut the line
before `,"hash":"`, drop the leading `{"event":`, and take the SHA-256 that chain.py describes. Each line proves
itself; lines whose positions follow each other also prove that nothing was between them.

CSV is for people: it changes cells that a spreadsheet would run. So it proves nothing; JSON Lines does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

from django.db.models import QuerySet

from omaccess import csv_file
from omaccess.audit.chain import COVERED, canonical
from omaccess.models.audit import AuditEvent, AuditHead

CHUNK_ROWS: Final = 1000
_COLUMNS: Final = (*COVERED, "previous_hash", "hash")


def csv_rows(queryset: QuerySet[AuditEvent]) -> Iterator[bytes]:
    """The events as CSV, header first, one piece of whole lines at a time; format: see `csv_file.pieces`.

    Oldest first; events appended after the start are left out.
    """
    rows = ([[event[name] for name in _COLUMNS] for event in chunk] for chunk in _chunks(queryset))
    return csv_file.pieces(_COLUMNS, rows)


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


def _chunks(queryset: QuerySet[AuditEvent]) -> Iterator[list[dict[str, Any]]]:
    """By position in chunks, not one open cursor: a slow download must hold no transaction and no snapshot."""
    end = AuditHead.objects.values_list("position", flat=True).get(pk=1)
    rows = queryset.order_by("position").filter(position__lte=end).values(*_COLUMNS)
    last = 0
    while chunk := list(rows.filter(position__gt=last)[:CHUNK_ROWS].iterator(CHUNK_ROWS)):
        yield chunk
        last = chunk[-1]["position"]
