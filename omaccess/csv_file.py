"""CSV for people and their spreadsheets.

It starts with a byte order mark, or Excel takes UTF-8 for something else, and cells that a spreadsheet would run as a
formula get a leading apostrophe.
"""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

CONTENT_TYPE: Final = "text/csv; charset=utf-8"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

# Spreadsheets skip leading blanks and quotes, and take the full-width forms for the plain ones.
_FORMULA: Final = re.compile(r"""[\s"'`\u200b\ufeff]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]|[\t\r\n]""")


def pieces(columns: Sequence[str], chunks: Iterable[Iterable[Sequence[Any]]]) -> Iterator[bytes]:
    """RFC 4180 in UTF-8 with byte order mark, every cell quoted: the header, then a piece of whole lines per chunk.

    Times are written in UTC, dictionaries as JSON, None as nothing.
    """
    buffer = _Lines()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(columns)
    yield _BYTE_ORDER_MARK + buffer.take()
    for chunk in chunks:
        for row in chunk:
            writer.writerow([_cell(value) for value in row])
        yield buffer.take()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    if isinstance(value, dict):
        value = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    text = str(value)
    return f"'{text}" if _FORMULA.match(text) else text


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
