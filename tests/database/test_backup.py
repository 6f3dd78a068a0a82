"""The drill: what was backed up becomes a portal again, and what is missing or altered in it is found."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import connection
from django.test import Client

from accounts.models import ADMINS
from omaccess.models import AuditHead, Launch
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import World
from portal.startup import StartRefused, verify
from tests import inventory as inventory_rows
from tests import production
from tests.database.installation import Installation
from tests.factories import PASSWORD, UserFactory
from tests.faults.private import default_database_is, missing
from tests.launching import MetaOf, open_account
from tests.omaccess.audit.log import append

RUNBOOK = production.ROOT / "deploy" / "RUNBOOK.md"
OTHER_KEY = "c1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="


@pytest.fixture(autouse=True)
def _no_worker_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omaccess.management.commands.doctor._WORKER_ANSWERS_SECONDS", 0.1)


def fill(world: World, sandbox: SandboxServer, meta_of: MetaOf) -> inventory_rows.Inventory:
    """A portal in use: an inventory, an admin, one launch."""
    inventory = inventory_rows.load(world, sandbox.url)
    UserFactory(username="ada", groups=[Group.objects.get(name=ADMINS)])
    open_account(inventory.root, inventory.staff, meta_of(inventory.staff))
    return inventory


def noted_head() -> str:
    return str(AuditHead.objects.get(pk=1))


def audit_verify(*, head: str) -> tuple[int, str]:
    """Exit code and what it says, as on the command line."""
    out = io.StringIO()
    try:
        call_command("audit_verify", "--head", head, stdout=out)
    except SystemExit as end:
        return int(str(end.code)), out.getvalue()
    return 0, out.getvalue()


def doctor() -> str:
    out = io.StringIO()
    with contextlib.suppress(SystemExit):  # no worker and no web server run beside this test
        call_command("doctor", stdout=out)
    return out.getvalue()


def sign_in_and_launch(account: Any) -> str:
    """Where the browser is led; empty when it is not."""
    browser = Client()
    signed_in = browser.post("/accounts/login/", {"login": "staff", "password": PASSWORD})
    assert signed_in.status_code == 302
    answer = browser.post("/launches/", {"account": account.pk})
    return str(answer.headers.get("Location", ""))


def assert_it_is_a_portal_again(inventory: inventory_rows.Inventory, sandbox: SandboxServer, head: str) -> None:
    code, text = audit_verify(head=head)
    assert (code, "Everything up to event" in text) == (0, True), text
    assert Launch.objects.count() == 1
    assert sign_in_and_launch(inventory.root).startswith(sandbox.url)
    said = doctor()
    for subject in ("Database", "Audit", "Credentials", "Bastion instances", "People and grants"):
        assert f"ok     {subject}" in said, said


# --- SQLite ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def backed_up(fresh_db: None, tmp_path: Path) -> Path:
    """Where the backup goes; the test's own database is SQLite."""
    if connection.vendor != "sqlite":
        pytest.skip("speaks of SQLite")
    return tmp_path / "backup.sqlite3"


def back_up_as_the_runbook_says(to: Path) -> None:
    """While connections are open, by the very lines that the operator is given."""
    lines = re.search(r"-c '\n(import sqlite3.*?)\n' ", RUNBOOK.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert lines is not None, "the RUNBOOK no longer says how to copy a running SQLite database"
    command = [sys.executable, "-c", lines[1], str(connection.settings_dict["NAME"]), str(to)]
    copied = subprocess.run(command, capture_output=True, text=True, check=True)
    assert copied.stdout == "ok\n"


def restored_on_sqlite(backup: Path) -> dict[str, Any]:
    restored = backup.with_name("restored.sqlite3")
    shutil.copy(backup, restored)
    return {**connection.settings_dict, "NAME": str(restored)}


def test_a_copy_of_a_running_sqlite_database_becomes_a_portal_again(
    backed_up: Path, world: World, sandbox: SandboxServer, meta_of: MetaOf
) -> None:
    inventory = fill(world, sandbox, meta_of)
    head = noted_head()
    back_up_as_the_runbook_says(backed_up)
    append()  # lost with the database that is restored over

    with default_database_is(restored_on_sqlite(backed_up)):
        call_command("migrate", verbosity=0)

        assert_it_is_a_portal_again(inventory, sandbox, head)


def test_a_head_noted_after_the_backup_says_that_events_are_missing(
    backed_up: Path, world: World, sandbox: SandboxServer, meta_of: MetaOf
) -> None:
    fill(world, sandbox, meta_of)
    back_up_as_the_runbook_says(backed_up)
    append()
    head = noted_head()

    with default_database_is(restored_on_sqlite(backed_up)):
        code, text = audit_verify(head=head)

    assert code == 1
    assert "THE AUDIT WAS CHANGED" in text
    assert f"Event {head.partition(':')[0]}" in text


def test_keys_that_do_not_fit_the_backup_are_said_by_the_doctor(
    backed_up: Path, world: World, sandbox: SandboxServer, meta_of: MetaOf, settings: Any
) -> None:
    fill(world, sandbox, meta_of)
    back_up_as_the_runbook_says(backed_up)
    settings.VAULT_KEYS = OTHER_KEY

    with default_database_is(restored_on_sqlite(backed_up)):
        said = doctor()

    assert "WRONG  Credentials" in said
    assert "no key with the id 't1' is configured in VAULT_KEYS" in said


# --- PostgreSQL ------------------------------------------------------------------------------------------------------


def tool(name: str, *arguments: str) -> str:
    """One of PostgreSQL's own; what it writes to standard output."""
    path = shutil.which(name)
    if path is None:
        missing(f"PostgreSQL's client {name} was not found")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    ended = subprocess.run([path, *arguments], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture
def in_use(
    installation: Installation, world: World, sandbox: SandboxServer, meta_of: MetaOf
) -> Iterator[inventory_rows.Inventory]:
    """The running role filled it."""
    with default_database_is(installation.settings(installation.web)):
        yield fill(world, sandbox, meta_of)


def dump(installation: Installation, to: Path) -> Path:
    tool("pg_dump", "--format=custom", f"--file={to}", installation.url(installation.owner))
    return to


def restore(file: Path, into: Installation) -> None:
    """As the RUNBOOK says, into a database that has nothing to clean."""
    options = ["--clean", "--if-exists", "--exit-on-error", f"--dbname={into.url(into.owner)}"]
    tool("pg_restore", *options, str(file))


def say_what_the_running_role_may(installation: Installation) -> None:
    """By psql, as an operator does."""
    variables = ["-v", "ON_ERROR_STOP=1", "-v", f"role={installation.web.name}"]
    tool("psql", installation.url(installation.owner), *variables, "-f", str(production.ROLES))


@pytest.mark.postgresql
def test_a_dump_restored_into_an_empty_database_becomes_a_portal_again(
    installation: Installation,
    in_use: inventory_rows.Inventory,
    empty_database: Installation,
    sandbox: SandboxServer,
    tmp_path: Path,
    settings: Any,
) -> None:
    settings.REQUIRE_AUDIT_ROLE = True
    head = noted_head()
    file = dump(installation, tmp_path / "dump")
    append()
    later = noted_head()

    restore(file, empty_database)
    empty_database.migrate()
    say_what_the_running_role_may(empty_database)

    with default_database_is(empty_database.settings(empty_database.web)):
        verify()  # what every process asks before it serves
        code, text = audit_verify(head=later)
        assert (code, "THE AUDIT WAS CHANGED" in text) == (1, True)
        assert_it_is_a_portal_again(in_use, sandbox, head)


@pytest.mark.postgresql
def test_a_dump_that_somebody_altered_is_found(
    installation: Installation, in_use: inventory_rows.Inventory, empty_database: Installation, tmp_path: Path
) -> None:
    head = noted_head()
    file = dump(installation, tmp_path / "dump")
    script = tool("pg_restore", "--file=-", str(file))
    (event,) = re.findall(r"^\d+\t.*\tlaunch:opened\t.*$", script, flags=re.MULTILINE)
    altered = tmp_path / "altered.sql"
    altered.write_text(script.replace(event, event.replace("\tstaff\t", "\tnobody\t")), encoding="utf-8")
    tool("psql", empty_database.url(empty_database.owner), "-q", "-v", "ON_ERROR_STOP=1", "-f", str(altered))

    with default_database_is(empty_database.settings(empty_database.owner)):
        code, text = audit_verify(head=head)

    assert altered.read_text(encoding="utf-8") != script
    assert code == 1
    assert "THE AUDIT WAS CHANGED" in text


@pytest.mark.postgresql
def test_a_restored_database_without_the_roles_file_is_no_start_but_a_sentence(
    installation: Installation,
    in_use: inventory_rows.Inventory,
    empty_database: Installation,
    tmp_path: Path,
) -> None:
    file = dump(installation, tmp_path / "dump")
    options = ["--no-privileges", "--exit-on-error", f"--dbname={empty_database.url(empty_database.owner)}"]
    tool("pg_restore", *options, str(file))

    with (
        default_database_is(empty_database.settings(empty_database.web)),
        pytest.raises(StartRefused, match=r"may not read .* Run deploy/postgresql-roles\.sql after every migrate"),
    ):
        verify()
