"""Exports: formulas that do not run, lines that prove themselves, streams that stay small."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest

from omaccess.audit import Kind, triggers
from omaccess.audit.export import csv_rows, jsonl_rows
from omaccess.models import AuditEvent
from omaccess.models.audit import GENESIS_HASH
from tests.omaccess.audit.jcs import sha256_of
from tests.omaccess.audit.log import COLUMNS, append, append_many, drop_triggers, run

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def read_csv(pieces: Iterator[bytes]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(b"".join(pieces).decode("utf-8-sig"), newline="")))


def verified(lines: bytes) -> list[str]:
    """What the module's documentation tells a third party to do, with nothing of ours; returns the hashes."""
    hashes = []
    previous = GENESIS_HASH
    for line in lines.splitlines():
        event, _comma, rest = line.rpartition(b',"hash":"')
        found, _between, given_previous = rest.decode().rstrip('"}').partition('","previous_hash":"')
        assert event.startswith(b'{"event":')
        assert given_previous == previous
        assert sha256_of(given_previous, event.removeprefix(b'{"event":')) == found
        hashes.append(found)
        previous = found
    return hashes


# --- JSON Lines ------------------------------------------------------------------------------------


def test_a_third_party_can_prove_every_line() -> None:
    append(actor_name="Zoë \U0001f511", note='quotes " and \n lines', text=',"hash":"' + "0" * 64)
    append(nested={"list": [1, None, True, {"\ue000": 1, "\U0001f511": 2}]})

    found = verified(b"".join(jsonl_rows(AuditEvent.objects.all())))

    assert found == [event.hash for event in AuditEvent.objects.order_by("position")]


def test_a_line_holds_every_column() -> None:
    event = append(size=3)

    line = json.loads(b"".join(jsonl_rows(AuditEvent.objects.all())))

    assert {*line["event"], "hash", "previous_hash"} == {*COLUMNS}
    assert line["event"]["facts"] == {"size": 3}
    assert line["event"]["id"] == str(event.id)


def test_an_altered_event_is_exported_as_it_is_and_does_not_prove_itself() -> None:
    append_many(1)
    drop_triggers()
    run(f"UPDATE {triggers.EVENTS} SET kind = 'forged'")

    lines = b"".join(jsonl_rows(AuditEvent.objects.all()))

    with pytest.raises(AssertionError):
        verified(lines)


# --- CSV -------------------------------------------------------------------------------------------

DANGEROUS = [
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "|calc",
    "%0A",
    ' =HYPERLINK("http://evil.example")',
    '"=1+1',
    "'=1",
    "\uff1d1+1",
    "\u200b=1",
    "\ufeff=1",
]


@pytest.mark.parametrize("text", DANGEROUS)
def test_a_cell_that_a_spreadsheet_would_run_is_made_text(text: str) -> None:
    append(actor_name=text)

    (row,) = read_csv(csv_rows(AuditEvent.objects.all()))

    assert row["actor_name"] == f"'{text}"


@pytest.mark.parametrize("text", ["plain", "a=b", "zoe@example.org", "10.0.0.1", "Zoë 中文", 'say "hi"', "a,b;c", ""])
def test_any_other_cell_is_as_it_was(text: str) -> None:
    append(actor_name=text)

    (row,) = read_csv(csv_rows(AuditEvent.objects.all()))

    assert row["actor_name"] == text


def test_a_cell_that_begins_with_a_tab_or_a_new_line_is_made_text() -> None:
    """`record` lets none into these columns; somebody who reached behind the triggers might."""
    events = append_many(3)
    drop_triggers()
    for start, event in zip("\t\r\n", events, strict=True):
        run(f"UPDATE {triggers.EVENTS} SET browser = %s WHERE position = {event.position}", f"{start}=1")

    found = read_csv(csv_rows(AuditEvent.objects.all()))

    assert [row["browser"] for row in found] == ["'\t=1", "'\r=1", "'\n=1"]


def test_facts_with_new_lines_and_quotes_stay_in_their_cell() -> None:
    append(note='one\r\n=two,"three"')

    (row,) = read_csv(csv_rows(AuditEvent.objects.all()))

    assert json.loads(row["facts"]) == {"note": 'one\r\n=two,"three"'}


def test_the_file_starts_with_a_byte_order_mark_and_its_header() -> None:
    first = next(csv_rows(AuditEvent.objects.all()))

    assert first.startswith(b'\xef\xbb\xbf"position","id","at"')
    assert first.endswith(b"\r\n")


def test_times_are_utc_and_say_so() -> None:
    event = append()

    (row,) = read_csv(csv_rows(AuditEvent.objects.all()))

    assert row["at"] == event.at.isoformat(timespec="microseconds").replace("+00:00", "Z")


# --- streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [csv_rows, jsonl_rows])
def test_an_export_comes_in_pieces_oldest_first(
    rows: Any, monkeypatch: pytest.MonkeyPatch, django_assert_num_queries: Any
) -> None:
    monkeypatch.setattr("omaccess.audit.export.CHUNK_ROWS", 2)
    events = append_many(5)

    # The head, three chunks and the empty one after them.
    with django_assert_num_queries(5):
        pieces = list(rows(AuditEvent.objects.order_by("-at")))

    text = b"".join(pieces).decode()
    assert len(pieces) >= 3
    assert [text.index(str(event.id)) for event in events] == sorted(text.index(str(event.id)) for event in events)


def test_only_what_was_asked_for_is_exported() -> None:
    append(Kind.HOST_CREATED)
    wanted = append(Kind.HOST_CHANGED)

    lines = b"".join(jsonl_rows(AuditEvent.objects.filter(kind="host:changed"))).splitlines()

    assert [json.loads(line)["event"]["position"] for line in lines] == [wanted.position]


def test_what_is_appended_while_somebody_downloads_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omaccess.audit.export.CHUNK_ROWS", 1)
    append_many(2)
    pieces = jsonl_rows(AuditEvent.objects.all())

    first = next(pieces)
    append_many(3)

    assert len([first, *pieces]) == 2


def test_nothing_makes_an_empty_file_or_a_lone_header() -> None:
    assert b"".join(jsonl_rows(AuditEvent.objects.all())) == b""
    assert read_csv(csv_rows(AuditEvent.objects.all())) == []
