"""Somebody holds the password of the running role and wants the audit to say something else."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege
from pytest_django import DjangoDbBlocker

from omaccess import checks
from omaccess.audit.verify import verify
from tests.database.installation import Installation, Role, database
from tests.faults.private import default_database_is
from tests.omaccess.audit.log import COLUMNS, append_many

pytestmark = pytest.mark.postgresql

Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture(scope="module")
def attacked(_migrated: Installation, django_db_blocker: DjangoDbBlocker) -> Iterator[Installation]:
    """Three events, appended by the running role, which is all that it may do. No attack changes anything in it."""
    with database(_migrated.owner, _migrated.web, template=_migrated.database) as made, django_db_blocker.unblock():
        made.say_what_the_running_role_may()
        with default_database_is(made.settings(made.web)):
            append_many(3)
        yield made


@pytest.fixture
def attacker(attacked: Installation) -> Iterator[Connection]:
    """The running role's own session. Afterwards everything is as it was, whatever was tried."""
    before = state(attacked)
    with attacked.connect(attacked.web) as connection:
        yield connection
        connection.rollback()
    assert state(attacked) == before


def state(installation: Installation) -> tuple[object, ...]:
    """Events, head, what protects them, and whether the chain is whole."""
    with installation.connect(installation.owner) as owner:
        events = owner.execute(f"SELECT {', '.join(COLUMNS)} FROM omaccess_auditevent ORDER BY position").fetchall()
        head = owner.execute("SELECT * FROM omaccess_audithead").fetchall()
        relations = owner.execute("SELECT relname, relowner, relacl::text FROM pg_class ORDER BY oid").fetchall()
    with default_database_is(installation.settings(installation.owner)):
        report = verify()
        assert report.is_whole
        assert report.events == 3
    return events, head, relations, report.unprotected


# --- rights and triggers ---------------------------------------------------------------------------------------------

CHANGES = [
    "UPDATE omaccess_auditevent SET actor_name = 'nobody'",
    "UPDATE omaccess_auditevent SET position = position + 10",
    "WITH changed AS (UPDATE omaccess_auditevent SET kind = 'x' RETURNING 1) SELECT * FROM changed",
    "DELETE FROM omaccess_auditevent WHERE position = 3",
    "TRUNCATE omaccess_auditevent",
    "TRUNCATE omaccess_auditevent, omaccess_audithead CASCADE",
    "SELECT 1 FROM omaccess_auditevent FOR UPDATE",
    "DO 'BEGIN LOCK TABLE omaccess_auditevent IN ACCESS EXCLUSIVE MODE; END'",
    "INSERT INTO omaccess_audithead VALUES (2, 0, repeat('0', 64))",
    "DELETE FROM omaccess_audithead",
    "TRUNCATE omaccess_audithead",
    "UPDATE omaccess_audithead SET position = 2, hash = (SELECT hash FROM omaccess_auditevent WHERE position = 2)",
    "UPDATE omaccess_audithead SET position = 4",
    "UPDATE omaccess_audithead SET hash = repeat('0', 64)",
    "DELETE FROM django_migrations",
]

PROTECTION = [
    "ALTER TABLE omaccess_auditevent DISABLE TRIGGER ALL",
    "ALTER TABLE omaccess_auditevent DISABLE TRIGGER audit_events_no_change",
    "ALTER TABLE omaccess_auditevent ENABLE REPLICA TRIGGER audit_events_no_change",
    "ALTER TABLE omaccess_audithead DISABLE TRIGGER USER",
    "DROP TRIGGER audit_events_no_change ON omaccess_auditevent",
    "CREATE OR REPLACE TRIGGER audit_events_no_change BEFORE UPDATE ON omaccess_auditevent "
    "FOR EACH ROW WHEN (false) EXECUTE FUNCTION audit_refuse()",
    "CREATE TRIGGER mine BEFORE INSERT ON omaccess_auditevent FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "UPDATE pg_trigger SET tgenabled = 'D'",
    "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "ALTER FUNCTION audit_only_append() SET search_path = pg_temp, public",
    "ALTER FUNCTION audit_only_append() RENAME TO elsewhere",
    "DROP FUNCTION audit_refuse() CASCADE",
    "SET session_replication_role = replica",
    "ALTER ROLE CURRENT_USER SET session_replication_role = replica",
    "CREATE RULE mine AS ON INSERT TO omaccess_auditevent DO INSTEAD NOTHING",
    "CREATE POLICY mine ON omaccess_auditevent USING (false)",
    "ALTER TABLE omaccess_auditevent ENABLE ROW LEVEL SECURITY",
    "CREATE EVENT TRIGGER mine ON ddl_command_start EXECUTE FUNCTION audit_refuse()",
]

TABLES = [
    "ALTER TABLE omaccess_auditevent ADD COLUMN more text",
    "ALTER TABLE omaccess_auditevent DROP COLUMN actor_name",
    "ALTER TABLE omaccess_auditevent ALTER COLUMN kind TYPE text USING 'x'",
    "ALTER TABLE omaccess_auditevent RENAME TO elsewhere",
    "ALTER TABLE omaccess_auditevent SET SCHEMA pg_temp",
    "ALTER TABLE omaccess_auditevent OWNER TO CURRENT_USER",
    "DROP TABLE omaccess_auditevent",
    "DROP SCHEMA public CASCADE",
    "CLUSTER omaccess_auditevent USING omaccess_auditevent_pkey",
]

SHADOWS = [
    "CREATE TEMPORARY TABLE omaccess_audithead (id int, position bigint, hash text)",
    "CREATE TEMPORARY VIEW omaccess_auditevent AS SELECT 1 AS position",
    "CREATE TABLE pg_temp.omaccess_auditevent (position bigint)",
    "SELECT * INTO TEMPORARY omaccess_auditevent FROM omaccess_audithead",
    "CREATE FUNCTION pg_temp.audit_refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
    "CREATE TABLE public.mine (id int)",
    "CREATE VIEW public.mine AS SELECT * FROM omaccess_auditevent",
    "CREATE MATERIALIZED VIEW public.mine AS SELECT * FROM omaccess_auditevent",
    "CREATE TABLE public.mine () INHERITS (omaccess_auditevent)",
    "CREATE FUNCTION public.mine(varchar, varchar) RETURNS boolean LANGUAGE sql AS 'SELECT true'",
    "CREATE OPERATOR public.= (LEFTARG = varchar, RIGHTARG = varchar, FUNCTION = texteq)",
    "CREATE DOMAIN public.bigint AS text",
    "CREATE SCHEMA AUTHORIZATION CURRENT_USER",
    "CREATE SCHEMA mine",
]

PEOPLE = [
    "SET ROLE {owner}",
    "SET SESSION AUTHORIZATION {owner}",
    "GRANT {owner} TO CURRENT_USER",
    "ALTER ROLE CURRENT_USER SUPERUSER",
    "ALTER ROLE CURRENT_USER CREATEROLE",
    "ALTER ROLE {owner} PASSWORD 'mine'",
    "CREATE ROLE mine",
    "GRANT pg_write_all_data TO CURRENT_USER",
    "REASSIGN OWNED BY {owner} TO CURRENT_USER",
    "COPY omaccess_auditevent TO PROGRAM 'cat'",
    "COPY omaccess_auditevent FROM '/etc/hostname'",
    "ALTER SYSTEM SET fsync = off",
]


@pytest.mark.parametrize("statement", [*CHANGES, *PROTECTION, *TABLES, *SHADOWS, *PEOPLE])
def test_the_running_role_is_refused(attacker: Connection, attacked: Installation, statement: str) -> None:
    with pytest.raises(InsufficientPrivilege):
        attacker.execute(statement.format(owner=attacked.owner.name).encode())


def test_granting_itself_what_it_may_not_changes_nothing(attacker: Connection) -> None:
    attacker.execute("GRANT UPDATE, DELETE, TRIGGER ON omaccess_auditevent TO CURRENT_USER")

    with pytest.raises(InsufficientPrivilege):
        attacker.execute("UPDATE omaccess_auditevent SET kind = 'x'")


# --- forging events --------------------------------------------------------------------------------------------------

COPIED = "INSERT INTO omaccess_auditevent ({columns}) SELECT {values} FROM omaccess_auditevent WHERE position = 3"


@pytest.mark.parametrize(
    "values",
    [
        {"position": "5", "previous_hash": "hash", "hash": "repeat('1', 64)"},
        {"position": "4", "hash": "repeat('1', 64)"},
        {"position": "4", "previous_hash": "repeat('2', 64)", "hash": "repeat('1', 64)"},
        {"position": "3", "hash": "repeat('1', 64)"},
        {"position": "0", "previous_hash": "repeat('0', 64)", "hash": "repeat('1', 64)"},
        {"position": "-1", "previous_hash": "hash", "hash": "repeat('1', 64)"},
    ],
    ids=["beyond the end", "with the hash before the last", "with another hash", "twice", "before", "far before"],
)
def test_an_event_out_of_the_chain_is_refused(attacker: Connection, values: dict[str, str]) -> None:
    every = {**dict.fromkeys(COLUMNS, ""), "id": "gen_random_uuid()", **values}
    copied = [value or column for column, value in every.items()]

    with pytest.raises(InsufficientPrivilege, match="only takes the next event"):
        attacker.execute(COPIED.format(columns=", ".join(every), values=", ".join(copied)).encode())


@pytest.mark.parametrize("conflict", ["DO UPDATE SET kind = 'x'", "DO UPDATE SET position = EXCLUDED.position + 1"])
def test_a_conflict_is_no_way_to_an_update(attacker: Connection, conflict: str) -> None:
    columns = ", ".join(COLUMNS)
    statement = COPIED.format(columns=columns, values=columns) + f" ON CONFLICT (position) {conflict}"

    with pytest.raises(InsufficientPrivilege):
        attacker.execute(statement.encode())


@pytest.mark.parametrize("table", ["omaccess_auditevent", "omaccess_audithead"])
def test_copying_rows_in_is_no_way_around(attacker: Connection, table: str) -> None:
    with attacker.cursor().copy(f"COPY {table} TO STDOUT".encode()) as out:
        rows = b"".join(bytes(part) for part in out)

    with pytest.raises(InsufficientPrivilege), attacker.cursor().copy(f"COPY {table} FROM STDIN".encode()) as into:
        into.write(rows)


def test_a_prepared_search_path_leads_nowhere(attacker: Connection) -> None:
    """The triggers look where they were told to, not where this session looks."""
    attacker.execute("SET search_path = pg_temp, pg_catalog")

    with pytest.raises(InsufficientPrivilege, match="only follows its events"):
        attacker.execute("UPDATE public.omaccess_audithead SET position = 9")


REFUSED_BY_TRIGGERS = [
    statement for statement in CHANGES if not statement.startswith(("SELECT", "DO", "DELETE FROM dj"))
]


def test_a_superuser_who_plays_the_replica_is_refused_by_the_triggers(attacked: Installation) -> None:
    before = state(attacked)
    with attacked.connect_as_superuser() as superuser:
        superuser.execute("SET session_replication_role = replica")
        for statement in REFUSED_BY_TRIGGERS:
            with pytest.raises(psycopg.Error, match=r"the audit|head of the audit"):
                superuser.execute(statement.encode())

    assert state(attacked) == before


# --- what it can do to itself is found at the next start --------------------------------------------------------------


@pytest.mark.parametrize("whose", ["ALTER ROLE {role} SET", "ALTER DATABASE {database} SET"])
def test_commits_that_are_not_written_are_found_wherever_they_were_switched_on(
    installation: Installation, settings: Any, whose: str
) -> None:
    settings.USE_MIGRATE_ROLE, settings.REQUIRE_AUDIT_ROLE = False, True
    statement = whose.format(role=installation.web.name, database=installation.database)
    with installation.connect_as_superuser() as superuser:
        superuser.execute(f"{statement} synchronous_commit = off".encode())

    with default_database_is(installation.settings(installation.web)):
        found = checks.audit_is_protected(None, databases=["default"])

    with installation.connect_as_superuser() as superuser:
        superuser.execute(f"ALTER ROLE {installation.web.name} RESET ALL".encode())
    assert [message.id for message in found] == ["omaccess.E005"]


# --- the file itself ---------------------------------------------------------------------------------------------


def start_up_errors(installation: Installation, settings: Any) -> list[str]:
    settings.USE_MIGRATE_ROLE, settings.REQUIRE_AUDIT_ROLE = False, True
    with default_database_is(installation.settings(installation.web)):
        return [str(message) for message in checks.audit_is_protected(None, databases=["default"])]


def test_after_the_file_nothing_stands_against_a_start_and_running_it_again_changes_nothing(
    installation: Installation, settings: Any
) -> None:
    rights = "SELECT relname, relacl::text FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY relname"
    with installation.connect(installation.owner) as owner:
        before = owner.execute(rights.encode()).fetchall()
        installation.say_what_the_running_role_may()

        assert owner.execute(rights.encode()).fetchall() == before
    assert start_up_errors(installation, settings) == []


def test_without_the_file_the_start_is_refused_and_the_file_is_named(
    bare_installation: Installation, settings: Any
) -> None:
    (error,) = start_up_errors(bare_installation, settings)

    assert "may not read" in error
    assert "deploy/postgresql-roles.sql" in error


def test_a_table_of_a_later_migration_can_be_used_at_once_and_after_the_file(installation: Installation) -> None:
    use = b"INSERT INTO later (note) VALUES ('x'); UPDATE later SET note = 'y'; DELETE FROM later; SELECT * FROM later"
    with installation.connect(installation.owner) as owner, installation.connect(installation.web) as web:
        owner.execute("CREATE TABLE later (id bigserial PRIMARY KEY, note text)")
        web.execute(use)
        owner.execute(f"REVOKE ALL ON later, later_id_seq FROM {installation.web.name}".encode())
        with pytest.raises(InsufficientPrivilege):
            web.execute(use)

        installation.say_what_the_running_role_may()

        web.execute(use)


def test_rights_that_somebody_gave_too_much_are_taken_back(installation: Installation, settings: Any) -> None:
    web = installation.web.name
    with installation.connect_as_superuser() as superuser:
        superuser.execute(f"GRANT ALL ON omaccess_auditevent, omaccess_audithead TO {web}".encode())
        superuser.execute("GRANT UPDATE (kind) ON omaccess_auditevent TO PUBLIC")
        superuser.execute(f"GRANT ALL ON SCHEMA public TO PUBLIC, {web}".encode())
        superuser.execute(f"GRANT ALL ON DATABASE {installation.database} TO PUBLIC, {web}".encode())
    (found,) = start_up_errors(installation, settings)

    # A superuser grants in the owner's name, so the owner can take it back.
    installation.say_what_the_running_role_may()

    assert "TRUNCATE on omaccess_auditevent" in found
    assert "CREATE in the schema public" in found
    assert "CREATE schemas" in found
    assert start_up_errors(installation, settings) == []


def test_the_file_refuses_a_role_that_could_take_everything_back(installation: Installation) -> None:
    superuser = Role(name_of_the_superuser(installation), "")
    for role in (installation.owner, superuser):
        with pytest.raises(psycopg.errors.RaiseException, match="The portal needs a role of its own"):
            Installation(installation.database, installation.owner, role).say_what_the_running_role_may()


def name_of_the_superuser(installation: Installation) -> str:
    with installation.connect_as_superuser() as superuser:
        row = superuser.execute("SELECT current_user").fetchone()
    assert row is not None
    return str(row[0])


def test_in_another_database_the_file_says_to_migrate_first(empty_database: Installation) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match=r"Run `manage\.py migrate` first"):
        empty_database.say_what_the_running_role_may()
