"""Migrations of the audit's tables keep its triggers."""

from __future__ import annotations

import contextlib

import pytest
from django.db import DatabaseError, connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations import RunPython
from django.db.migrations.state import ProjectState

from omaccess.audit import Kind, triggers
from tests.omaccess.audit.log import append, append_many, rows, run

pytestmark = pytest.mark.database


def _altered_by(operation: migrations.operations.base.Operation) -> set[str]:
    """The audit's tables an operation may rebuild; an index rebuilds none. RunSQL and RunPython are judged by hand."""
    names = {str(getattr(operation, attribute, "")).lower() for attribute in ("model_name", "name", "old_name")}
    is_harmless = isinstance(operation, RunPython | migrations.AddIndex)
    return set() if is_harmless else names & {"auditevent", "audithead"}


@pytest.mark.django_db
def test_no_migration_touches_the_audit_outside_the_helper() -> None:
    loader = MigrationLoader(connection)
    offenders = []
    for (app, name), migration in loader.disk_migrations.items():
        if app != "omaccess" or name.startswith(("0001_", "0002_")):
            continue
        is_open = False
        for operation in migration.operations:
            if isinstance(operation, RunPython) and operation.code is triggers._remove:
                is_open = True
            elif isinstance(operation, RunPython) and operation.code is triggers._install:
                is_open = False
            elif _altered_by(operation) and not is_open:
                offenders.append(f"{name}: {operation.describe()}")
        if is_open:
            offenders.append(f"{name}: the triggers are not put back")

    assert offenders == []


def _migrate(operations: list[migrations.operations.base.Operation], *, backwards: bool = False) -> None:
    before: ProjectState = MigrationLoader(connection).project_state()
    migration = migrations.Migration("9999_throwaway", "omaccess")
    vars(migration)["operations"] = operations
    after = migration.mutate_state(before, preserve=True)
    if backwards:
        with connection.schema_editor() as editor:
            migration.unapply(before.clone(), editor)
    else:
        with connection.schema_editor() as editor:
            migration.apply(before.clone(), editor)
    assert after is not None


def test_a_new_index_keeps_the_triggers(fresh_db: None) -> None:
    index = models.Index(fields=["browser", "-position"], name="thrown_away")

    _migrate([migrations.AddIndex("auditevent", index)])

    assert triggers.missing(connection) == []


def test_a_migration_that_remakes_the_table_keeps_events_and_triggers_with_the_helper(fresh_db: None) -> None:
    append_many(2)
    kept = rows()
    field: models.CharField[str, str] = models.CharField("kind", max_length=100, db_default="")
    operations = triggers.rebuild_around(migrations.AlterField("auditevent", "kind", field))

    _migrate(operations)

    assert triggers.missing(connection) == []
    assert rows() == kept
    assert append(Kind.HOST_CREATED).position == len(kept) + 1
    with pytest.raises(DatabaseError, match="the audit"):
        run(f"UPDATE {triggers.EVENTS} SET kind = 'x'")

    _migrate(operations, backwards=True)

    assert triggers.missing(connection) == []


@pytest.mark.skipif("connection.vendor != 'sqlite'", reason="speaks of SQLite")
def test_without_the_helper_sqlite_loses_triggers_and_the_check_says_so(fresh_db: None) -> None:
    field: models.CharField[str, str] = models.CharField("kind", max_length=100, db_default="")

    # SQLite may notice by itself that the head's trigger would speak of a table that is gone for a moment.
    with contextlib.suppress(DatabaseError):
        _migrate([migrations.AlterField("auditevent", "kind", field)])
        assert triggers.missing(connection) != []

    assert rows() == []


def test_unmaking_the_triggers_and_making_them_again_is_safe(fresh_db: None) -> None:
    with connection.schema_editor() as editor:
        triggers.remove(editor)
    assert triggers.missing(connection) == sorted(triggers.triggers(connection))

    for _twice in range(2):
        with connection.schema_editor() as editor:
            triggers.install(editor)

    assert triggers.missing(connection) == []
