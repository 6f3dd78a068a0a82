"""What the PostgreSQL role of this connection may do that it should not, and may not do that it must.

The triggers refuse change to everybody. This finds out who could switch them off, go around them, or put something in
front of what they mean: `deploy/postgresql-roles.sql` makes a role of which it finds nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from omaccess.audit import triggers

# Each role that this one is or may become by SET ROLE counts, whether or not it inherits that role's rights.
_EXCESSES = """
WITH mine AS (
    SELECT oid, rolname, rolsuper, rolcreaterole FROM pg_roles WHERE pg_has_role(current_user, oid, 'MEMBER')
), audit AS (
    SELECT oid, relname, relowner, relnamespace FROM pg_class
    WHERE oid IN (to_regclass(%(events)s), to_regclass(%(head)s))
), place AS (
    SELECT oid, nspname, nspowner FROM pg_namespace WHERE oid IN (SELECT relnamespace FROM audit)
), excess (place, what) AS (
    SELECT 1, privilege || ' on ' || relation
    FROM mine, (VALUES
        (%(events)s, 'UPDATE'), (%(events)s, 'DELETE'), (%(events)s, 'TRUNCATE'), (%(events)s, 'TRIGGER'),
        (%(head)s, 'DELETE'), (%(head)s, 'TRUNCATE'), (%(head)s, 'TRIGGER')) AS rights (relation, privilege)
    WHERE has_table_privilege(mine.oid, relation, privilege)
        OR privilege = 'UPDATE' AND has_any_column_privilege(mine.oid, relation, privilege)
    UNION
    SELECT 2, 'take everything (as the owner) on ' || relname FROM mine JOIN audit ON relowner = mine.oid
    UNION
    SELECT 3, 'drop the tables (as the owner of the schema ' || nspname || ')'
    FROM mine JOIN place ON nspowner = mine.oid
    UNION
    SELECT 4, 'drop the database (as its owner)'
    FROM mine JOIN pg_database ON datdba = mine.oid WHERE datname = current_database()
    UNION
    SELECT 5, 'CREATE in the schema ' || nspname
    FROM mine, place WHERE has_schema_privilege(mine.oid, place.oid, 'CREATE')
    UNION
    SELECT 6, 'CREATE schemas' FROM mine WHERE has_database_privilege(mine.oid, current_database(), 'CREATE')
    UNION
    SELECT 7, 'change ' || kind || ' ' || name || ', which it owns'
    FROM mine JOIN (
        SELECT 'the function' AS kind, proname AS name, proowner AS owner, pronamespace AS namespace FROM pg_proc
        UNION ALL SELECT 'the operator', oprname, oprowner, oprnamespace FROM pg_operator
        UNION ALL SELECT 'the relation', relname, relowner, relnamespace FROM pg_class
        WHERE relkind IN ('r', 'v', 'm', 'p', 'f') AND oid NOT IN (SELECT oid FROM audit)
    ) AS thing ON owner = mine.oid JOIN place ON place.oid = namespace
    UNION
    SELECT 8, 'become any other role (CREATEROLE)' FROM mine WHERE rolcreaterole
    UNION
    SELECT 9, 'reach the server''s own files (' || rolname || ')'
    FROM mine WHERE rolname IN ('pg_execute_server_program', 'pg_write_server_files')
)
SELECT 'do everything (as a superuser)' FROM mine WHERE rolsuper
UNION ALL
SELECT what FROM (SELECT what FROM excess ORDER BY place, what LIMIT 10) AS listed
WHERE NOT EXISTS (SELECT 1 FROM mine WHERE rolsuper)
"""


def excesses(cursor: Any) -> list[str]:
    """What it may do and should not, each as the words after "may", at most ten; empty when all is well.

    Args:
        cursor: of a connection to PostgreSQL in which the audit's tables exist.
    """
    cursor.execute(_EXCESSES, {"events": triggers.EVENTS, "head": triggers.HEAD})
    return list(dict.fromkeys(row[0] for row in cursor.fetchall()))


def tables_out_of_reach(cursor: Any, tables: Sequence[str]) -> list[str]:
    """Which of these existing tables it may not read: somebody migrated and did not run the roles file."""
    cursor.execute(
        """
        SELECT name FROM unnest(%s::text[]) AS name
        WHERE NOT has_table_privilege(current_user, quote_ident(name), 'SELECT') ORDER BY name
        """,
        [list(tables)],
    )
    return [row[0] for row in cursor.fetchall()]
