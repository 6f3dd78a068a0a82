"""Migrations under a running portal: none that would stop it passes `make check`, and none waits for long."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from omaccess.audit import triggers
from omaccess.models import Host
from tests import production
from tests.database import lint
from tests.database.installation import Installation
from tests.faults.private import default_database_is
from tests.processes import wait_until

# --- the linter ------------------------------------------------------------------------------------------------------


@pytest.mark.database
def test_no_migration_of_ours_would_stop_the_release_before_but_for_known_exceptions(fresh_db: None) -> None:
    found = {problem[:3] for problem in lint.problems()}

    assert found <= set(lint.EXCEPTIONS)
    if connection.vendor == "sqlite":
        assert found == set(lint.EXCEPTIONS)  # each is still needed, some of them on SQLite alone


HEADER = """
from django.db import migrations, models

class Migration(migrations.Migration):
    dependencies = [("omaccess", "{newest}")]
    operations = [{operation}]
"""


@pytest.fixture
def with_another_migration(
    fresh_db: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> Iterator[Callable[[str], None]]:
    """Ours, and one more after the newest."""

    def add(operation: str) -> None:
        folder = tmp_path / "copied_migrations"
        newest = copied_migrations(folder)
        (folder / "9999_another.py").write_text(HEADER.format(newest=newest, operation=operation))
        settings.MIGRATION_MODULES = {"omaccess": "copied_migrations"}

    monkeypatch.syspath_prepend(str(tmp_path))
    yield add
    for name in [name for name in sys.modules if name.split(".")[0] == "copied_migrations"]:
        del sys.modules[name]


def copied_migrations(folder: Path) -> str:
    """Copies ours there and returns the newest one's name."""
    original = production.ROOT / "omaccess" / "migrations"
    shutil.copytree(original, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return max(path.stem for path in folder.glob("[0-9]*.py"))


@pytest.mark.database
@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ('migrations.AddField("host", "rack", models.CharField(max_length=9, default=""))', "NOT_NULL"),
        ('migrations.RemoveField("host", "owner")', "DROP_COLUMN"),
        ('migrations.RenameField("host", "owner", "keeper")', "RENAME_COLUMN"),
        ('migrations.RenameModel("label", "mark")', "RENAME_TABLE"),
        ('migrations.DeleteModel("launchallowance")', "DROP_TABLE"),
        ('migrations.AddIndex("host", models.Index(fields=["owner"], name="by_owner"))', "CREATE_INDEX"),
        ("migrations.RunPython(lambda apps, schema_editor: None)", "RUNPYTHON_REVERSIBLE"),
    ],
)
def test_a_migration_that_would_stop_it_is_named(
    with_another_migration: Callable[[str], None], operation: str, code: str
) -> None:
    with_another_migration(operation)

    codes = {problem.code for problem in lint.problems(only="9999_another")}

    if connection.vendor == "postgresql":
        assert code in codes
    else:
        # There every writer waits for any other anyhow, and most changes make the table anew.
        assert codes or code == "CREATE_INDEX"


@pytest.mark.database
@pytest.mark.parametrize(
    "operation",
    [
        'migrations.AddField("host", "rack", models.CharField(max_length=9, null=True))',
        'migrations.CreateModel("Rack", [("id", models.BigAutoField(primary_key=True))])',
    ],
)
def test_a_migration_that_disturbs_nobody_passes(with_another_migration: Callable[[str], None], operation: str) -> None:
    with_another_migration(operation)

    assert list(lint.problems(only="9999_another")) == []


# --- locks -----------------------------------------------------------------------------------------------------------

SETTINGS = """
from portal.settings import *
MIGRATION_MODULES = {"omaccess": "copied_migrations"}
"""


@pytest.fixture
def next_release(tmp_path: Path, installation: Installation) -> dict[str, str]:
    """The variables of a deployment whose newest migration adds a column to the hosts."""
    newest = copied_migrations(tmp_path / "copied_migrations")
    operation = 'migrations.AddField("host", "rack", models.CharField(max_length=9, null=True))'
    (tmp_path / "copied_migrations" / "9999_another.py").write_text(HEADER.format(newest=newest, operation=operation))
    (tmp_path / "next_release.py").write_text(SETTINGS)
    return production.variables(tmp_path) | {
        "DJANGO_SETTINGS_MODULE": "next_release",
        "PYTHONPATH": str(tmp_path),
        "DATABASE_URL": installation.url(installation.web),
        "MIGRATE_DATABASE_URL": installation.url(installation.owner),
        "USE_MIGRATE_ROLE": "1",
    }


@pytest.fixture
def migrating(next_release: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    running = subprocess.Popen(
        [sys.executable, "manage.py", "migrate", "--no-color"],
        cwd=production.ROOT,
        env=next_release,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield running
    if running.poll() is None:
        running.kill()
    running.communicate()


@pytest.mark.postgresql
def test_a_migration_that_does_not_get_its_lock_gives_way_says_so_and_can_be_run_again(
    installation: Installation, next_release: dict[str, str], request: pytest.FixtureRequest
) -> None:
    waiting = b"SELECT 1 FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'"
    columns = b"SELECT 1 FROM pg_attribute WHERE attrelid = 'omaccess_host'::regclass AND attname = 'rack'"
    with installation.connect(installation.web) as report, installation.connect(installation.owner) as owner:
        report.execute("BEGIN; SELECT * FROM omaccess_host")
        running = request.getfixturevalue("migrating")
        wait_until(lambda: owner.execute(waiting).fetchone() is not None, running)
        began = time.monotonic()
        with default_database_is(installation.settings(installation.web)):
            assert Host.objects.count() == 0  # queued behind the migration, which gives up before anybody else
        waited = time.monotonic() - began
        output = running.communicate(timeout=20)[0]
        unchanged = owner.execute(columns).fetchone() is None
        report.execute("ROLLBACK")

        again = production.manage("migrate", env=next_release, is_quiet=True)

        assert running.returncode == 1
        assert "was in use for more than 2 s" in output
        assert "Applying omaccess.9999_another" in output
        assert "Traceback" not in output
        assert waited < 3
        assert unchanged
        assert again.returncode == 0, again.stderr
        assert owner.execute(columns).fetchone() is not None
    with default_database_is(installation.settings(installation.web)):
        assert triggers.missing(connection) == []
