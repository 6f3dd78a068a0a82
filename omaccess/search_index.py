"""The index that finds a host by any part of its `search_text`: trigrams, which each database keeps in its own way.

PostgreSQL: a GIN index of the extension pg_trgm, for `search_text__contains`. SQLite: a table of its own (FTS5) that
triggers keep, for `MATCH`. Both are made by a migration. SQLite drops a table's triggers without a word when Django
remakes it, so `mend` looks after every `migrate` whether they are still there.
"""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import DatabaseError, NotSupportedError, ProgrammingError

HOSTS = "omaccess_host"
PARTS = "omaccess_host_search"
"""On SQLite: the table of trigrams, by the ids of hosts."""
INDEX = "host_by_part"
"""On PostgreSQL: the index."""

_ADD = f"INSERT INTO {PARTS}(rowid, search_text) VALUES (NEW.id, NEW.search_text)"  # noqa: S608 - our own names
_TAKE = f"INSERT INTO {PARTS}({PARTS}, rowid, search_text) VALUES ('delete', OLD.id, OLD.search_text)"  # noqa: S608
TRIGGERS = {
    "host_search_insert": f"AFTER INSERT ON {HOSTS} BEGIN {_ADD}; END",
    "host_search_delete": f"AFTER DELETE ON {HOSTS} BEGIN {_TAKE}; END",
    "host_search_update": f"""
        AFTER UPDATE OF id, search_text ON {HOSTS}
        WHEN OLD.search_text IS NOT NEW.search_text OR OLD.id IS NOT NEW.id
        BEGIN {_TAKE}; {_ADD}; END""",
}  # fmt: skip
# The text is folded already, and LIKE has to find the same. The rows stay where they are; only trigrams are stored.
_TABLE = f"""
    CREATE VIRTUAL TABLE {PARTS} USING fts5(
        search_text, content='{HOSTS}', content_rowid='id', tokenize='trigram case_sensitive 1')"""


def install(schema_editor: Any) -> None:
    """For a migration that is not atomic. Can be repeated after it was interrupted.

    Raises: CommandError when the database lacks what it takes.
    """
    connection = schema_editor.connection
    if connection.vendor == "postgresql":
        _install_on_postgresql(schema_editor)
        return
    if not _has_table(connection):
        try:
            schema_editor.execute(_TABLE, params=None)
        except DatabaseError as error:
            raise CommandError(
                "Search needs SQLite 3.34 or newer with FTS5; use another Python, or PostgreSQL."
            ) from error
    mend(connection)


def remove(schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        # The extension stays: others may use it, and it disturbs nobody.
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
        return
    for name in TRIGGERS:
        schema_editor.execute(f"DROP TRIGGER IF EXISTS {name}")
    schema_editor.execute(f"DROP TABLE IF EXISTS {PARTS}")


def mend(connection: BaseDatabaseWrapper) -> bool:
    """SQLite: make the triggers that are missing, and then the trigrams anew. Returns whether any was missing."""
    if connection.vendor != "sqlite" or not _has_table(connection) or not missing(connection):
        return False
    with connection.cursor() as cursor:
        for name, body in TRIGGERS.items():
            cursor.execute(f"DROP TRIGGER IF EXISTS {name}")
            cursor.execute(f"CREATE TRIGGER {name} {body}")
        cursor.execute(f"INSERT INTO {PARTS}({PARTS}) VALUES ('rebuild')")  # noqa: S608
    return True


def missing(connection: BaseDatabaseWrapper) -> list[str]:
    """What of the index is not there, or not as it was made; empty when all is well."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND indisvalid", [INDEX])
            return [] if cursor.fetchone() else [INDEX]
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE name = %s OR name LIKE 'host_search%%'", [PARTS])
        present = {name: " ".join(sql.split()) for name, sql in cursor.fetchall()}
    lost = [
        name
        for name, body in TRIGGERS.items()
        if present.get(name) != " ".join(f"CREATE TRIGGER {name} {body}".split())
    ]
    return lost if PARTS in present else [PARTS, *lost]


def _has_table(connection: BaseDatabaseWrapper) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = %s", [PARTS])
        return cursor.fetchone() is not None


def _install_on_postgresql(schema_editor: Any) -> None:
    schema = schema_editor.quote_name(_schema_of_the_extension(schema_editor.connection))
    # Waiting here stops nobody. Ended by a limit it would leave an index that is of no use.
    schema_editor.execute("SET lock_timeout = 0")
    schema_editor.execute("SET statement_timeout = 0")
    schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {INDEX}")
    # Hosts are read far more often than changed, so every change goes into the index at once.
    schema_editor.execute(
        f"CREATE INDEX CONCURRENTLY {INDEX} ON {HOSTS} "
        f"USING gin (search_text {schema}.gin_trgm_ops) WITH (fastupdate = off)"
    )
    schema_editor.execute("RESET lock_timeout")
    schema_editor.execute("RESET statement_timeout")


def _schema_of_the_extension(connection: BaseDatabaseWrapper) -> str:
    """Where pg_trgm is, which is made if it is not there."""
    where = "SELECT nspname FROM pg_extension e JOIN pg_namespace n ON n.oid = extnamespace WHERE extname = 'pg_trgm'"
    with connection.cursor() as cursor:
        cursor.execute(where)
        row = cursor.fetchone()
        if row is None:
            try:
                cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            except (ProgrammingError, NotSupportedError) as error:
                raise CommandError(
                    "Search needs PostgreSQL's extension pg_trgm, and this role may not make it, or the server does "
                    "not have it (package postgresql-contrib). Have a superuser run, in this database: "
                    "CREATE EXTENSION pg_trgm;  Then migrate again. Nothing is lost; the portal goes on meanwhile."
                ) from error
            cursor.execute(where)
            row = cursor.fetchone()
    return str(row[0])
