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

from omaccess.audit import triggers
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


def test_verification_asks_with_plain_selects_only(django_assert_num_queries: Any) -> None:
    append_many(1)

    with django_assert_num_queries(6) as queries:
        verify()

    assert all(query["sql"].lstrip().startswith("SELECT") for query in queries.captured_queries)
    assert connection.in_atomic_block
