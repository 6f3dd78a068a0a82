"""`manage.py audit_verify`: its words, its exit codes, its last line."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from omaccess.audit import triggers
from omaccess.audit.heads import note
from omaccess.models.audit import GENESIS_HASH
from tests.omaccess.audit.log import append_many, drop_triggers, head, run, undone

pytestmark = [pytest.mark.database, pytest.mark.django_db]

ROOT = Path(__file__).parents[3]


def verify(*args: str) -> tuple[int, list[str]]:
    out = io.StringIO()
    code = 0
    try:
        call_command("audit_verify", *args, stdout=out)
    except SystemExit as end:
        code = int(end.code or 0)
    return code, out.getvalue().splitlines()


def test_a_whole_log_ends_with_its_head_and_says_what_is_not_proven() -> None:
    append_many(3)

    code, lines = verify()

    assert code == 0
    assert lines[0].startswith("3 events were checked")
    assert "No change was found" in lines[1]
    assert "cannot prove" in lines[2]
    assert "--head" in lines[3]
    assert lines[-1] == "{}:{}".format(*head())


def test_an_empty_log_has_a_head_too() -> None:
    code, lines = verify()

    assert (code, lines[-1]) == (0, f"0:{GENESIS_HASH}")


def test_the_last_line_can_be_given_back() -> None:
    append_many(3)
    _code, before = verify()
    append_many(2)

    code, lines = verify("--head", before[-1])

    assert code == 0
    assert any("Everything up to event 3" in line for line in lines)
    assert any("For the events after it" in line for line in lines)


def test_the_newest_head_leaves_nothing_unproven() -> None:
    append_many(3)

    code, lines = verify("--head", "{}:{}".format(*head()))

    assert code == 0
    assert not any("cannot prove" in line for line in lines)


def test_a_change_is_named_with_its_position() -> None:
    append_many(3)
    drop_triggers()
    run(f"UPDATE {triggers.EVENTS} SET kind = 'forged' WHERE position = 2")

    code, lines = verify()

    assert code == 1
    assert "THE AUDIT WAS CHANGED." in lines
    assert any(line.startswith("- Event 2: ") for line in lines)
    assert not any("No change" in line or "cannot prove" in line for line in lines)


def test_a_rewritten_log_fails_with_a_head_noted_before() -> None:
    append_many(3)
    position, _hash = head()

    code, lines = verify("--head", f"{position}:{'a' * 64}")

    assert code == 1
    assert any("rewritten" in line for line in lines)


def test_many_problems_are_counted_and_not_all_listed() -> None:
    append_many(60)
    drop_triggers()
    run(f"UPDATE {triggers.EVENTS} SET kind = 'forged'")

    code, lines = verify()

    assert code == 1
    assert "… and 10 more problems." in lines


def test_missing_triggers_fail_the_check_although_nothing_was_changed() -> None:
    append_many(1)
    drop_triggers()

    code, lines = verify()

    assert code == 1
    assert any("NO LONGER REFUSES CHANGES" in line for line in lines)


def test_a_database_without_the_tables_could_not_be_checked() -> None:
    with undone():
        drop_triggers()
        run(f"ALTER TABLE {triggers.HEAD} RENAME TO elsewhere")

        with pytest.raises(CommandError, match="could not be read") as caught:
            call_command("audit_verify", stdout=io.StringIO())

    assert caught.value.returncode == 2


@pytest.mark.parametrize("text", ["rubbish", "12", "1:" + "Z" * 64])
def test_a_malformed_head_is_a_mistake_in_the_call(text: str) -> None:
    with pytest.raises(CommandError, match="POSITION:HASH"):
        call_command("audit_verify", "--head", text)


# --- a file of heads -------------------------------------------------------------------------------


@pytest.fixture
def heads(tmp_path: Path, settings: Any) -> Path:
    """The installation's own file of heads, not there yet."""
    path = tmp_path / "heads"
    settings.AUDIT_HEAD_FILE = str(path)
    return path


def test_the_installations_own_heads_are_compared_with(heads: Path) -> None:
    for _number in range(3):
        append_many(2)
        note(heads, head(), timezone.now())
    append_many(1)

    code, lines = verify()

    assert code == 0
    assert any("Everything up to event 6" in line for line in lines)


def test_each_head_of_a_file_that_the_chain_does_not_contain_is_named(heads: Path) -> None:
    for _number in range(3):
        append_many(2)
        note(heads, head(), timezone.now())
    heads.write_text(heads.read_text().replace(head()[1], "a" * 64).replace(" 2:", " 1:"))

    code, lines = verify()

    assert code == 1
    assert sum("rewritten" in line for line in lines) == 2


def test_a_copy_of_the_heads_is_given_with_the_call(heads: Path, tmp_path: Path) -> None:
    append_many(2)
    copy = tmp_path / "copy"
    copy.write_text(f"2:{'a' * 64}\n")

    assert verify("--heads", str(copy))[0] == 1
    assert verify("--head", "{}:{}".format(*head()))[0] == 0


def test_before_the_first_head_was_noted_there_is_nothing_to_compare_with(heads: Path) -> None:
    append_many(1)

    code, lines = verify()

    assert code == 0
    assert lines[0] == f"No head has been noted in {heads} yet, so there is nothing to compare with."
    heads.write_text("")
    assert "nothing to compare with" in verify()[1][0]


def test_a_file_that_holds_no_heads_is_a_mistake(heads: Path, tmp_path: Path) -> None:
    heads.write_text("rubbish\n")

    with pytest.raises(CommandError, match="Line 1: A head is POSITION:HASH") as caught:
        call_command("audit_verify")
    assert caught.value.returncode == 2
    with pytest.raises(CommandError, match="No such file"):
        call_command("audit_verify", "--heads", str(tmp_path / "absent"))


def test_a_file_named_with_the_call_that_has_no_head_could_not_be_compared_with(tmp_path: Path) -> None:
    emptied = tmp_path / "emptied"
    emptied.write_text("")

    with pytest.raises(CommandError, match=r"There is no head in .*emptied") as caught:
        call_command("audit_verify", "--heads", str(emptied))

    assert caught.value.returncode == 2


def test_the_exit_code_of_a_malformed_head_is_two() -> None:
    environment = {name: os.environ[name] for name in ("PATH", "SECRET_KEY", "VAULT_KEYS", "DATA_DIR", "CLOUD")}

    ended = subprocess.run(
        [sys.executable, "manage.py", "audit_verify", "--head", "rubbish"],
        cwd=ROOT,
        env=environment | {"DJANGO_SETTINGS_MODULE": "portal.settings"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert ended.returncode == 2
    assert "POSITION:HASH" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_verification_asks_with_plain_selects_only() -> None:
    append_many(1)

    with CaptureQueriesContext(connection) as queries:
        verify()

    assert len(queries) > 5
    assert all(query["sql"].lstrip().startswith("SELECT") for query in queries.captured_queries)
    assert connection.in_atomic_block
