"""Heads of the chain, noted outside the database: what an owner of the database cannot rewrite along with it.

A file of heads has a line for each, `TIME POSITION:HASH`, the time in ISO 8601. Lines are only ever added.
"""

from __future__ import annotations

import datetime as dt
import os
import re
from collections import deque
from pathlib import Path
from typing import Final

from django.utils.translation import gettext as _

Head = tuple[int, str]
"""Position and hash of an event."""

MOST_HEADS: Final = 1000
"""The last so many of a file are compared with: six weeks of hours. The very last proves all that those before it do;
they say when it went wrong."""

_HASH = re.compile(r"[0-9a-f]{64}")


def parse_head(text: str) -> Head:
    """`POSITION:HASH` as a head. Raises: ValueError with a sentence."""
    position, _colon, digest = text.strip().partition(":")
    if not re.fullmatch(r"[0-9]{1,18}", position, re.ASCII) or not _HASH.fullmatch(digest):
        raise ValueError(_("A head is POSITION:HASH: a number, and 64 hexadecimal digits in lower case."))
    return int(position), digest


def note(path: Path, head: Head, at: dt.datetime) -> None:
    """Add a line, on the disk before this returns; the file is made when it is missing, readable by its owner only.

    Raises: OSError.
    """
    line = "{} {}:{}\n".format(at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), *head)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(handle, "ab", buffering=0) as file:
        # After a power cut the last line may have no end; a new one must not be glued to it.
        written = f"\n{line}" if _ends_within_a_line(path) else line
        file.write(written.encode())
        os.fsync(file.fileno())


def noted(path: Path) -> list[Head]:
    """The last heads of a file, oldest first. A last line without its end is left out: it was cut off in writing.

    Raises: OSError; ValueError with a sentence that names the line.
    """
    with path.open(encoding="ascii", errors="replace", newline="\n") as file:
        lines = deque(enumerate(file, 1), MOST_HEADS)
    return [_parse_line(number, line) for number, line in lines if line.endswith("\n") and line.strip()]


def _parse_line(number: int, line: str) -> Head:
    try:
        return parse_head(line.split()[-1])
    except ValueError as error:
        raise ValueError(_("Line {number}: {problem}").format(number=number, problem=error)) from None


def _ends_within_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
