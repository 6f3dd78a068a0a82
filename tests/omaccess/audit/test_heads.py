"""Heads in a file: noted so that a power cut loses at most the last, and read back as they were."""

from __future__ import annotations

import datetime as dt
import stat
from pathlib import Path

import pytest

from omaccess.audit.heads import MOST_HEADS, note, noted

AT = dt.datetime(2026, 3, 1, 7, 5, 9, 123456, tzinfo=dt.UTC)
HASH = "ab" * 32


def test_a_head_is_one_line_with_its_time(tmp_path: Path) -> None:
    path = tmp_path / "heads"

    note(path, (1, HASH), AT)
    note(path, (2, HASH), AT.astimezone(dt.timezone(dt.timedelta(hours=8))))

    assert path.read_text() == f"2026-03-01T07:05:09Z 1:{HASH}\n2026-03-01T07:05:09Z 2:{HASH}\n"
    assert noted(path) == [(1, HASH), (2, HASH)]


def test_only_its_owner_reads_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "heads"

    note(path, (1, HASH), AT)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_line_that_was_cut_off_in_writing_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    note(path, (1, HASH), AT)
    whole = path.read_text()
    path.write_text(whole + whole[:50])

    assert noted(path) == [(1, HASH)]

    path.write_text(whole + whole[:20])
    note(path, (3, HASH), AT)
    with pytest.raises(ValueError, match="Line 2: "):  # no longer the last: somebody has to look at it
        noted(path)


def test_of_a_long_file_the_last_heads_are_read(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    path.write_text("".join(f"2026-03-01T07:05:09Z {number}:{HASH}\n" for number in range(MOST_HEADS + 5)))

    assert [position for position, _hash in noted(path)] == list(range(5, MOST_HEADS + 5))


def test_heads_without_times_are_read_too(tmp_path: Path) -> None:
    path = tmp_path / "heads"
    path.write_text(f"1:{HASH}\n\n2:{HASH}\n")

    assert noted(path) == [(1, HASH), (2, HASH)]


@pytest.mark.parametrize("line", ["rubbish", f"1:{HASH[:-1]}", f"{HASH}", "1:\x00", "é"])
def test_what_is_no_head_is_named_by_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "heads"
    path.write_text(f"1:{HASH}\n{line}\n")

    with pytest.raises(ValueError, match=r"Line 2: .*POSITION:HASH"):
        noted(path)


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        note(tmp_path / "absent" / "heads", (1, HASH), AT)
