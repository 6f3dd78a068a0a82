"""`manage.py audit_export`: files that are not overwritten, and a record of every export."""

from __future__ import annotations

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from omaccess.audit import Kind, triggers
from omaccess.models import AuditEvent, AuditHead
from tests.omaccess.audit.log import append, append_many, drop_triggers, run, undone

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "audit.export"


def exported(path: Path) -> list[int]:
    return [json.loads(line)["event"]["position"] for line in path.read_bytes().splitlines()]


def test_json_lines_hold_every_event_before_the_export_itself(target: Path) -> None:
    append_many(3)

    call_command("audit_export", "--output", str(target))

    assert exported(target) == [1, 2, 3]
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_the_export_is_in_the_audit_with_what_was_asked(target: Path) -> None:
    call_command(
        "audit_export", "--format=csv", "--output", str(target), "--since=2026-01-31", "--kind=host:changed",
        "--kind=host:created", "--person=zoe",
    )  # fmt: skip

    event = AuditEvent.objects.get(kind=Kind.AUDIT_EXPORTED)
    assert (event.actor_id, event.actor_name) == ("", "system: audit_export")
    assert event.facts == {
        "format": "csv",
        "since": "2026-01-31T00:00:00.000000Z",
        "until": None,
        "kinds": ["host:changed", "host:created"],
        "person": "zoe",
    }


def test_only_what_was_asked_for_is_exported(target: Path, time_machine: Any) -> None:
    wanted = []
    for at, kind, person in [
        ("2026-01-31T23:59:59Z", Kind.HOST_CHANGED, "zoe"),
        ("2026-02-01T00:00:00Z", Kind.HOST_CHANGED, "zoe"),
        ("2026-02-01T12:00:00Z", Kind.HOST_CREATED, "zoe"),
        ("2026-02-01T12:00:01Z", Kind.HOST_CHANGED, "Zoe"),
        ("2026-02-01T23:59:59Z", Kind.HOST_CHANGED, "zoe"),
        ("2026-02-02T00:00:00Z", Kind.HOST_CHANGED, "zoe"),
    ]:
        time_machine.move_to(at, tick=False)
        wanted.append(append(kind, actor_name=person).position)

    call_command(
        "audit_export", "--output", str(target), "--since", "2026-02-01", "--until", "2026-02-02T00:00:00+00:00",
        "--kind", "host:changed", "--person", "zoe",
    )  # fmt: skip

    assert exported(target) == [wanted[1], wanted[4]]


def test_standard_output_gets_the_rows_and_nothing_else() -> None:
    append_many(2)
    out = io.StringIO()

    call_command("audit_export", "--output", "-", stdout=out)

    assert [json.loads(line)["event"]["position"] for line in out.getvalue().splitlines()] == [1, 2]


def test_a_binary_standard_output_gets_bytes() -> None:
    append(actor_name="Zoë")
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")

    call_command("audit_export", "--format", "csv", "--output", "-", stdout=out)

    assert "Zoë".encode() in raw.getvalue()


def test_a_file_that_exists_is_neither_overwritten_nor_is_an_export_recorded(target: Path) -> None:
    target.write_text("precious")

    with pytest.raises(CommandError, match="exists"):
        call_command("audit_export", "--output", str(target))

    assert target.read_text() == "precious"
    assert not AuditEvent.objects.filter(kind=Kind.AUDIT_EXPORTED).exists()


def test_a_link_to_nowhere_is_not_followed(target: Path, tmp_path: Path) -> None:
    target.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(CommandError, match="exists"):
        call_command("audit_export", "--output", str(target))

    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_is_not_there_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="could not be written: No such file"):
        call_command("audit_export", "--output", str(tmp_path / "no" / "file"))


def test_an_export_that_cannot_be_recorded_leaves_no_file(target: Path) -> None:
    append_many(1)
    with undone():
        drop_triggers()
        AuditHead.objects.all().delete()

        with pytest.raises(CommandError, match="cannot be recorded"):
            call_command("audit_export", "--output", str(target))

    assert not target.exists()


def test_an_export_that_breaks_off_leaves_no_half_file(target: Path) -> None:
    append_many(2)
    with undone():
        drop_triggers()
        run(f"ALTER TABLE {triggers.EVENTS} RENAME COLUMN browser TO other")

        with pytest.raises(CommandError):
            call_command("audit_export", "--output", str(target))

    assert not target.exists()


def test_an_event_of_another_shape_is_exported_as_it_is(target: Path) -> None:
    append_many(1)
    drop_triggers()
    run(f"UPDATE {triggers.EVENTS} SET facts = '3'")

    call_command("audit_export", "--output", str(target))

    assert json.loads(target.read_bytes())["event"]["facts"] == 3


@pytest.mark.parametrize("when", ["yesterday", "2026-02-30", "2026-13-01T00:00", ""])
def test_a_moment_that_is_none_is_a_mistake_in_the_call(target: Path, when: str) -> None:
    with pytest.raises(CommandError, match="neither a date"):
        call_command("audit_export", "--output", str(target), "--since", when)

    assert not target.exists()


def test_an_unknown_kind_is_a_mistake_in_the_call(target: Path) -> None:
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("audit_export", "--output", str(target), "--kind", "nothing:such")
