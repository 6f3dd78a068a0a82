"""The database's own refusal to change the audit, for PostgreSQL and SQLite.

Installed by the first migration. A later migration of the table goes through `rebuild_around`, because SQLite drops a
table's triggers without a word when Django remakes it. `missing()` is what the start-up check, readiness and tests ask.
"""

from collections.abc import Sequence
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import RunPython
from django.db.migrations.operations.base import Operation

EVENTS = "omaccess_auditevent"
HEAD = "omaccess_audithead"

_SQLITE = {
    "audit_events_no_update": f"""
        BEFORE UPDATE ON {EVENTS} BEGIN
            SELECT RAISE(ABORT, 'the audit cannot be changed');
        END""",
    "audit_events_no_delete": f"""
        BEFORE DELETE ON {EVENTS} BEGIN
            SELECT RAISE(ABORT, 'the audit cannot be changed');
        END""",
    # Before, so that INSERT OR REPLACE is refused too: replacing would skip the two triggers above.
    "audit_events_only_append": f"""
        BEFORE INSERT ON {EVENTS}
        WHEN NEW.position IS NOT (SELECT position + 1 FROM {HEAD} WHERE id = 1)
          OR NEW.previous_hash IS NOT (SELECT hash FROM {HEAD} WHERE id = 1)
          OR EXISTS (SELECT 1 FROM {EVENTS} WHERE position = NEW.position)
          OR EXISTS (SELECT 1 FROM {EVENTS} WHERE id = NEW.id)
          OR EXISTS (SELECT 1 FROM {EVENTS} WHERE hash = NEW.hash)
        BEGIN
            SELECT RAISE(ABORT, 'the audit only takes the next event of its chain');
        END""",
    "audit_events_move_head": f"""
        AFTER INSERT ON {EVENTS} BEGIN
            UPDATE {HEAD} SET position = NEW.position, hash = NEW.hash WHERE id = 1;
        END""",
    "audit_head_follows_events": f"""
        BEFORE UPDATE ON {HEAD}
        WHEN NEW.id IS NOT OLD.id OR NOT EXISTS (
            SELECT 1 FROM {EVENTS}
            WHERE position = NEW.position AND hash = NEW.hash
              AND position = OLD.position + 1 AND previous_hash = OLD.hash)
        BEGIN
            SELECT RAISE(ABORT, 'the head of the audit only follows its events');
        END""",
    "audit_head_no_insert": f"""
        BEFORE INSERT ON {HEAD} BEGIN
            SELECT RAISE(ABORT, 'the audit has one head');
        END""",
    "audit_head_no_delete": f"""
        BEFORE DELETE ON {HEAD} BEGIN
            SELECT RAISE(ABORT, 'the audit keeps its head');
        END""",
}  # fmt: skip

_POSTGRESQL_FUNCTIONS = {
    "audit_refuse": """
BEGIN
    RAISE EXCEPTION 'the audit cannot be changed (% on %)', TG_OP, TG_TABLE_NAME USING ERRCODE = '42501';
END """,
    "audit_only_append": f"""
DECLARE head {HEAD}%ROWTYPE;
BEGIN
    SELECT * INTO head FROM {HEAD} WHERE id = 1 FOR UPDATE;
    IF head.id IS NULL OR NEW.position IS DISTINCT FROM head.position + 1
       OR NEW.previous_hash IS DISTINCT FROM head.hash THEN
        RAISE EXCEPTION 'the audit only takes the next event of its chain' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END """,
    "audit_move_head": f"""
BEGIN
    UPDATE {HEAD} SET position = NEW.position, hash = NEW.hash WHERE id = 1;
    RETURN NULL;
END """,
    "audit_head_follows": f"""
BEGIN
    IF NEW.id <> OLD.id OR NOT EXISTS (
        SELECT 1 FROM {EVENTS}
        WHERE position = NEW.position AND hash = NEW.hash
          AND position = OLD.position + 1 AND previous_hash = OLD.hash) THEN
        RAISE EXCEPTION 'the head of the audit only follows its events' USING ERRCODE = '42501';
    END IF;
    RETURN NEW;
END """,
}

_POSTGRESQL = {
    "audit_events_no_change": f"BEFORE UPDATE OR DELETE ON {EVENTS} FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    "audit_events_no_truncate": f"BEFORE TRUNCATE ON {EVENTS} FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
    "audit_events_only_append": f"BEFORE INSERT ON {EVENTS} FOR EACH ROW EXECUTE FUNCTION audit_only_append()",
    "audit_events_move_head": f"AFTER INSERT ON {EVENTS} FOR EACH ROW EXECUTE FUNCTION audit_move_head()",
    "audit_head_follows_events": f"BEFORE UPDATE ON {HEAD} FOR EACH ROW EXECUTE FUNCTION audit_head_follows()",
    "audit_head_no_other": f"BEFORE INSERT OR DELETE ON {HEAD} FOR EACH ROW EXECUTE FUNCTION audit_refuse()",
    "audit_head_no_truncate": f"BEFORE TRUNCATE ON {HEAD} FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()",
}


def install(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Create every trigger. Safe to call again."""
    remove(schema_editor)
    for statement in _create_statements(schema_editor.connection):
        schema_editor.execute(statement, params=None)


def remove(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop every trigger; only a migration that is about to rebuild or unmake the table may."""
    connection = schema_editor.connection
    for name in triggers(connection):
        table = HEAD if name.startswith("audit_head") else EVENTS
        on = f" ON {table}" if connection.vendor == "postgresql" else ""
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}{on}", params=None)


def triggers(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """The triggers that this database must have: name to definition."""
    return _POSTGRESQL if connection.vendor == "postgresql" else _SQLITE


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """Names of triggers that are absent, disabled or altered (also in their functions); empty when all is well."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            present = _present_on_postgresql(cursor)
        else:
            cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
            wanted = {name: _squeeze(f"CREATE TRIGGER {name} {body}") for name, body in _SQLITE.items()}
            present = {name for name, sql in cursor.fetchall() if _squeeze(sql) == wanted.get(name)}
    return sorted(set(triggers(connection)) - present)


def _present_on_postgresql(cursor: Any) -> set[str]:
    """Triggers that are ENABLE ALWAYS, unconditional, and run the function that we wrote, with our search path."""
    cursor.execute(
        """
        SELECT t.tgname, t.tgtype, r.relname, p.proname, p.prosrc, p.proconfig, quote_ident(n.nspname)
        FROM pg_trigger t
        JOIN pg_class r ON r.oid = t.tgrelid
        JOIN pg_proc p ON p.oid = t.tgfoid
        JOIN pg_namespace n ON n.oid = r.relnamespace AND n.oid = p.pronamespace
        WHERE NOT t.tgisinternal AND t.tgenabled = 'A' AND t.tgqual IS NULL AND t.tgnargs = 0 AND t.tgattr = ''
          AND t.tgrelid IN (to_regclass(%s), to_regclass(%s))
        """,
        [EVENTS, HEAD],
    )
    present = set()
    for name, kind, table, function, source, config, schema in cursor.fetchall():
        body = _POSTGRESQL.get(name, "")
        is_ours = (
            f" ON {table} " in body
            and body.endswith(f"EXECUTE FUNCTION {function}()")
            and kind == _type_bits(body)
            and source == _POSTGRESQL_FUNCTIONS[function]
            and config == [_search_path(schema)]
        )
        if is_ours:
            present.add(name)
    return present


def _type_bits(body: str) -> int:
    """`pg_trigger.tgtype` of a definition. Source: PostgreSQL, src/include/catalog/pg_trigger.h."""
    when = body.partition(" ON ")[0].split()
    bits = {"BEFORE": 2, "INSERT": 4, "DELETE": 8, "UPDATE": 16, "TRUNCATE": 32}
    return sum(bits.get(word, 0) for word in when) + (1 if "FOR EACH ROW" in body else 0)


def _search_path(schema: str) -> str:
    """pg_temp last: otherwise a temporary table named like the head would be found first and could lie about it."""
    return f"search_path={schema}, pg_temp"


def rebuild_around(*operations: Operation) -> list[Operation]:
    """Operations of a migration that touches the audit's tables, with the triggers put back afterwards."""
    return [RunPython(_remove, _install), *operations, RunPython(_install, _remove)]


def _install(_apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    install(schema_editor)


def _remove(_apps: Any, schema_editor: BaseDatabaseSchemaEditor) -> None:
    remove(schema_editor)


def _create_statements(connection: BaseDatabaseWrapper) -> Sequence[str]:
    if connection.vendor != "postgresql":
        return [f"CREATE TRIGGER {name} {body}" for name, body in _SQLITE.items()]
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(current_schema())")
        schema = cursor.fetchone()[0]
    statements = [
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
        f"SET {_search_path(schema)} AS $${source}$$"
        for name, source in _POSTGRESQL_FUNCTIONS.items()
    ]
    for name, body in _POSTGRESQL.items():
        table = HEAD if name.startswith("audit_head") else EVENTS
        statements.append(f"CREATE TRIGGER {name} {body}")
        # ALWAYS: an ordinary trigger sleeps while session_replication_role is replica.
        statements.append(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")
    return statements


def _squeeze(sql: str) -> str:
    return " ".join(sql.split())
