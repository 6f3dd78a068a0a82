"""The database refuses to change the audit, whoever asks and however."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import DatabaseError, connection, transaction

from omaccess.audit import triggers
from omaccess.models import AuditEvent, AuditHead
from omaccess.models.audit import GENESIS_HASH
from tests.omaccess.audit.log import append, append_many, drop_triggers, head, rows, run, undone

pytestmark = [pytest.mark.database, pytest.mark.django_db]

E, H = triggers.EVENTS, triggers.HEAD
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="speaks of PostgreSQL")
on_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="speaks of SQLite")


@pytest.fixture
def log() -> list[AuditEvent]:
    return append_many(3)


def refuse(sql: str, *params: object) -> None:
    """Raw SQL that a trigger has to refuse, leaving every byte where it was."""
    before, head_before = rows(), head()

    with pytest.raises(DatabaseError, match=r"the (head of the )?audit"), transaction.atomic():
        run(sql, *params)

    assert (rows(), head()) == (before, head_before)


CHANGES = [
    f"UPDATE {E} SET kind = 'launch:opened'",
    f"UPDATE {E} SET kind = kind",
    f"UPDATE {E} SET hash = previous_hash WHERE position = (SELECT max(position) FROM {E})",
    f"DELETE FROM {E}",
    f"DELETE FROM {E} WHERE position = (SELECT max(position) FROM {E})",
    f"UPDATE {H} SET position = 0, hash = '{GENESIS_HASH}'",
    f"UPDATE {H} SET position = position + 1",
    f"UPDATE {H} SET position = position",
    f"UPDATE {H} SET hash = '{GENESIS_HASH}'",
    f"DELETE FROM {H}",
    f"INSERT INTO {H} (id, position, hash) VALUES (2, 0, '{GENESIS_HASH}')",
]


@pytest.mark.parametrize("sql", CHANGES)
def test_a_change_by_raw_sql_is_refused(log: list[AuditEvent], sql: str) -> None:
    refuse(sql)


@on_postgresql
@pytest.mark.parametrize("sql", [f"TRUNCATE {E}", f"TRUNCATE {H}", f"TRUNCATE {E}, {H} CASCADE"])
def test_truncate_is_refused(log: list[AuditEvent], sql: str) -> None:
    refuse(sql)


@on_postgresql
@pytest.mark.parametrize("sql", [*CHANGES, f"TRUNCATE {E}"])
def test_a_session_that_plays_the_replica_is_refused_too(log: list[AuditEvent], sql: str) -> None:
    run("SET LOCAL session_replication_role = replica")

    refuse(sql)


@on_sqlite
@pytest.mark.parametrize("word", ["REPLACE", "IGNORE", "ROLLBACK", "FAIL"])
def test_update_with_a_conflict_clause_is_refused(log: list[AuditEvent], word: str) -> None:
    if word == "ROLLBACK":
        pytest.skip("ends the transaction the test itself runs in")

    refuse(f"UPDATE OR {word} {E} SET kind = 'x'")


COLUMNS = (
    "position, id, at, kind, actor_id, actor_name, target_type, target_id, target_name, reference, cause, address, "
    "browser, request_id, facts, previous_hash, hash"
)


def insert(
    *, position: int, previous_hash: str, unique: str = "f" * 64, uid: uuid.UUID | None = None, verb: str = "INSERT"
) -> tuple[str, list[object]]:
    """An INSERT as somebody would write it who knows the table."""
    found = uid or uuid.uuid4()
    values: list[object] = [
        position,
        found.hex if connection.vendor == "sqlite" else str(found),
        "2026-01-01 00:00:00",
        *["x"] * 11,
        "{}",
        previous_hash,
        unique,
    ]
    return f"{verb} INTO {E} ({COLUMNS}) VALUES ({', '.join(['%s'] * len(values))})", values


@pytest.mark.parametrize("offset", [-3, -2, -1, 0, 2, 1000, -1000])
def test_an_insert_anywhere_but_at_the_end_is_refused(log: list[AuditEvent], offset: int) -> None:
    position, digest = head()

    sql, values = insert(position=position + offset, previous_hash=digest)

    refuse(sql, *values)


@pytest.mark.parametrize("previous", [GENESIS_HASH, "", "f" * 64])
def test_an_insert_that_does_not_name_the_hash_before_is_refused(log: list[AuditEvent], previous: str) -> None:
    sql, values = insert(position=head()[0] + 1, previous_hash=previous)

    refuse(sql, *values)


@on_sqlite
@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE", "INSERT OR FAIL"])
@pytest.mark.parametrize("repeated", ["position", "id", "hash"])
def test_replacing_an_event_by_a_unique_value_is_refused(log: list[AuditEvent], verb: str, repeated: str) -> None:
    victim, (position, digest) = log[0], head()

    sql, values = insert(
        verb=verb,
        position=victim.position if repeated == "position" else position + 1,
        previous_hash=digest,
        uid=victim.id if repeated == "id" else None,
        unique=victim.hash if repeated == "hash" else "f" * 64,
    )

    refuse(sql, *values)


@on_sqlite
def test_replacing_the_head_is_refused(log: list[AuditEvent]) -> None:
    refuse(f"INSERT OR REPLACE INTO {H} (id, position, hash) VALUES (1, 0, %s)", GENESIS_HASH)


@pytest.mark.parametrize("column", ["position", "id", "hash"])
def test_on_conflict_do_update_changes_nothing(log: list[AuditEvent], column: str) -> None:
    victim, (position, digest) = log[0], head()
    before = rows()
    sql, values = insert(
        position=victim.position if column == "position" else position + 1,
        previous_hash=digest,
        uid=victim.id if column == "id" else None,
        unique=victim.hash if column == "hash" else "f" * 64,
    )

    refuse(f"{sql} ON CONFLICT ({column}) DO UPDATE SET kind = 'forged'", *values)

    assert rows() == before


@on_postgresql
@pytest.mark.parametrize("column", ["position", "id", "hash"])
def test_a_repeated_unique_value_is_refused(log: list[AuditEvent], column: str) -> None:
    victim, (position, digest) = log[0], head()
    sql, values = insert(
        position=victim.position if column == "position" else position + 1,
        previous_hash=digest,
        uid=victim.id if column == "id" else None,
        unique=victim.hash if column == "hash" else "f" * 64,
    )

    with pytest.raises(DatabaseError), transaction.atomic():
        run(sql, *values)

    assert head() == (position, digest)


@on_postgresql
def test_on_conflict_do_nothing_appends_nothing_and_leaves_the_head(log: list[AuditEvent]) -> None:
    position, digest = head()
    sql, values = insert(position=position + 1, previous_hash=digest, uid=log[0].id)

    touched = run(f"{sql} ON CONFLICT DO NOTHING", *values)

    assert touched == 0
    assert head() == (position, digest)


@pytest.mark.parametrize(
    "change",
    [
        lambda events: events.update(kind="x"),
        lambda events: events.filter(kind="host:changed").delete(),
        lambda events: events.all()._raw_delete("default"),
        lambda events: events.first().delete(),
        lambda events: events.first().save(update_fields=["kind"]),
        lambda events: events.bulk_update([events.first()], ["kind"]),
        lambda events: events.bulk_create([events.first()]),
        lambda events: events.bulk_create(
            [events.last()], update_conflicts=True, unique_fields=["position"], update_fields=["kind"]
        ),
        lambda events: AuditHead.objects.update(position=0),
        lambda events: AuditHead.objects.all().delete(),
    ],
    ids=lambda change: "",
)
def test_a_change_through_the_models_is_refused(log: list[AuditEvent], change: Callable[[Any], object]) -> None:
    before, head_before = rows(), head()

    with pytest.raises(DatabaseError), transaction.atomic():
        change(AuditEvent.objects.order_by("position"))

    assert (rows(), head()) == (before, head_before)


def test_flush_does_not_empty_the_audit(log: list[AuditEvent]) -> None:
    """`manage.py flush` empties every table; this one refuses."""
    before = rows()

    with pytest.raises(Exception, match=r"audit|couldn't be flushed"), transaction.atomic():
        call_command("flush", interactive=False, verbosity=0)

    assert rows() == before


@pytest.mark.parametrize("place", ["TEMP", "TEMPORARY"])
def test_a_temporary_table_of_the_same_name_does_not_lie_to_the_triggers(log: list[AuditEvent], place: str) -> None:
    position, digest = head()
    schema = "public" if connection.vendor == "postgresql" else "main"
    run(f"CREATE {place} TABLE {H} (id smallint PRIMARY KEY, position bigint, hash varchar(64))")
    run(f"INSERT INTO {H} VALUES (1, 99, %s)", GENESIS_HASH)
    sql, values = insert(position=100, previous_hash=GENESIS_HASH)

    with pytest.raises(DatabaseError, match="next event"), transaction.atomic():
        run(sql.replace(E, f"{schema}.{E}", 1), *values)

    run(f"DROP TABLE {'pg_temp' if schema == 'public' else 'temp'}.{H}")
    assert head() == (position, digest)


def test_the_next_event_moves_the_head(log: list[AuditEvent]) -> None:
    event = append()

    assert head() == (event.position, event.hash)
    assert event.position == log[-1].position + 1
    assert event.previous_hash == log[-1].hash


# --- missing() -------------------------------------------------------------------------------------


def test_all_triggers_are_there_after_the_migrations() -> None:
    assert triggers.missing(connection) == []


def test_each_dropped_trigger_is_missed() -> None:
    for name in triggers.triggers(connection):
        table = H if name.startswith("audit_head") else E
        with undone():
            run(f"DROP TRIGGER {name}" + (f" ON {table}" if connection.vendor == "postgresql" else ""))

            assert triggers.missing(connection) == [name]

    assert triggers.missing(connection) == []


@on_sqlite
def test_an_altered_trigger_is_missed() -> None:
    with undone():
        run("DROP TRIGGER audit_events_no_update")
        run(f"CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON {E} BEGIN SELECT 1; END")

        assert triggers.missing(connection) == ["audit_events_no_update"]


ALTERATIONS = [
    ("ALTER TABLE {E} DISABLE TRIGGER audit_events_no_change", ["audit_events_no_change"]),
    ("ALTER TABLE {E} ENABLE TRIGGER audit_events_no_change", ["audit_events_no_change"]),
    ("ALTER TABLE {E} ENABLE REPLICA TRIGGER audit_events_no_change", ["audit_events_no_change"]),
    ("ALTER TABLE {E} DISABLE TRIGGER ALL", [name for name in triggers._POSTGRESQL if name.startswith("audit_events")]),
    ("ALTER FUNCTION audit_refuse() RESET search_path", "audit_refuse"),
    (
        "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql SET search_path = public, pg_temp "
        "AS $$ BEGIN RETURN NEW; END $$",
        "audit_refuse",
    ),
    (
        "DROP TRIGGER audit_events_no_change ON {E};; CREATE TRIGGER audit_events_no_change BEFORE UPDATE OR DELETE "
        "ON {E} FOR EACH ROW WHEN (OLD.position < 0) EXECUTE FUNCTION audit_refuse();; "
        "ALTER TABLE {E} ENABLE ALWAYS TRIGGER audit_events_no_change",
        ["audit_events_no_change"],
    ),
    (
        "DROP TRIGGER audit_events_no_change ON {E};; CREATE TRIGGER audit_events_no_change BEFORE DELETE "
        "ON {E} FOR EACH ROW EXECUTE FUNCTION audit_refuse();; "
        "ALTER TABLE {E} ENABLE ALWAYS TRIGGER audit_events_no_change",
        ["audit_events_no_change"],
    ),
    (
        "DROP TRIGGER audit_events_no_change ON {E};; CREATE TRIGGER audit_events_no_change BEFORE DELETE OR "
        "UPDATE OF kind ON {E} FOR EACH ROW EXECUTE FUNCTION audit_refuse();; "
        "ALTER TABLE {E} ENABLE ALWAYS TRIGGER audit_events_no_change",
        ["audit_events_no_change"],
    ),
    (
        "DROP TRIGGER audit_events_no_change ON {E};; CREATE TRIGGER audit_events_no_change BEFORE UPDATE OR DELETE "
        "ON {H} FOR EACH ROW EXECUTE FUNCTION audit_refuse();; "
        "ALTER TABLE {H} ENABLE ALWAYS TRIGGER audit_events_no_change",
        ["audit_events_no_change"],
    ),
]


@on_postgresql
@pytest.mark.parametrize(("sql", "expected"), ALTERATIONS)
def test_a_disabled_or_altered_trigger_or_function_is_missed(sql: str, expected: Any) -> None:
    if isinstance(expected, str):
        expected = [name for name, body in triggers._POSTGRESQL.items() if f"{expected}()" in body]
    with undone():
        for statement in sql.format(E=E, H=H).split(";; "):
            run(statement)

        assert triggers.missing(connection) == sorted(expected)


def test_dropped_triggers_let_changes_through(log: list[AuditEvent]) -> None:
    """So the refusals above come from the triggers, and not from a test that could not have changed anything."""
    with undone():
        drop_triggers()

        assert run(f"UPDATE {E} SET kind = 'forged'") >= 3
