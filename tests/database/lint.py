"""Would a migration stop the release before, or hold the portal up? python -m tests.database.lint

Asks django-migration-linter about every migration of ours, as PostgreSQL and as SQLite would run it. Warnings count as
errors. While an upgrade goes on, the release before runs against the new schema: nothing may be renamed or taken away,
no new column may insist on a value, and no index may lock a table out of a running portal.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import django

from tests import production, services

APPS = ("accounts", "omaccess")

EXCEPTIONS: dict[tuple[str, str, str], str] = {
    ("accounts", "0002_preferences", "NOT_NULL"): "On SQLite it remakes the table; there is a default.",
    ("accounts", "0002_preferences", "ADD_UNIQUE"): "On SQLite it remakes the table; what is unique was so before.",
    ("omaccess", "0001_initial", "NOT_NULL"): "On SQLite it makes tables in two steps; all are empty.",
    ("omaccess", "0010_host_search_text", "NOT_NULL"): "On SQLite it remakes the table; there is a default.",
    ("omaccess", "0004_roles", "RUNPYTHON_MODEL_VARIABLE_NAME"): "It takes the name of any model.",
}
"""App, migration and the linter's code, with the reason why it is no trouble there."""


class Problem(NamedTuple):
    app: str
    migration: str
    code: str
    text: str


def problems(*, only: str = "") -> Iterator[Problem]:
    """What the linter says of each migration on the default database, or of the one with this name.

    Needs Django to be set up. Reads the migrations from disk; the database need not be migrated.
    """
    from django_migration_linter import MigrationLinter
    from django_migration_linter.sql_analyser.analyser import analyse_sql_statements

    linter = MigrationLinter(no_cache=True, no_output=True)
    for (app, name), migration in sorted(linter.migration_loader.disk_migrations.items()):
        if app not in APPS or only not in {"", name}:
            continue
        errors, _ignored, warnings = analyse_sql_statements(linter.sql_analyser_class, linter.get_sql(app, name))
        data_errors, _ignored, data_warnings = linter.analyse_data_migration(migration)
        for issue in (*errors, *warnings, *data_errors, *data_warnings):
            yield Problem(app, name, issue.code, issue.message)


def _here() -> int:
    django.setup()
    from django.db import connection

    found = [problem for problem in problems() if problem[:3] not in EXCEPTIONS]
    for app, name, code, text in found:
        sys.stdout.write(f"{app}.{name} on {connection.vendor}: {text} ({code})\n")
    return 1 if found else 0


def _everywhere() -> int:
    with tempfile.TemporaryDirectory(prefix="sallyport-lint-") as folder:
        env = production.variables(Path(folder)) | {"LOG_LEVEL": "WARNING"}
        codes = [_asked(env)]
        if services.postgresql().at:
            # Nothing is written: the linter lets Django say which statements it would run.
            codes.append(_asked({**env, "DATABASE_URL": services.postgresql().at}))
        else:
            sys.stdout.write(f"Not as PostgreSQL: {services.postgresql().why}.\n")
            codes.append(1 if services.required() else 0)
    return max(codes)


def _asked(env: dict[str, str]) -> int:
    command = [sys.executable, "-m", "tests.database.lint", "here"]
    return subprocess.run(command, cwd=production.ROOT, env=env, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(_here() if sys.argv[1:] == ["here"] else _everywhere())
