"""Tables that only the benchmark knows. Runs inside Django, as the owner."""

from __future__ import annotations

from django.db import connection, transaction

from omaccess.audit import triggers

BARE = "bench_bare"
PLAIN = "bench_plain"


def make(role: str) -> None:
    """`role` may use them; "" where there are no roles."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"CREATE TABLE {BARE} (id bigserial PRIMARY KEY, state text, at timestamptz DEFAULT now())")
            cursor.execute(f"CREATE TABLE {PLAIN} (LIKE {triggers.EVENTS} INCLUDING ALL)")
            cursor.execute(f'GRANT ALL ON {BARE}, {PLAIN} TO "{role}"')
            cursor.execute(f'GRANT ALL ON SEQUENCE {BARE}_id_seq TO "{role}"')
            return
        cursor.execute(f"CREATE TABLE {BARE} (id integer PRIMARY KEY, state text, at text DEFAULT CURRENT_TIMESTAMP)")
        cursor.execute(
            "SELECT sql FROM sqlite_master WHERE tbl_name = %s AND type IN ('table', 'index') AND sql IS NOT NULL "
            "ORDER BY type DESC",
            [triggers.EVENTS],
        )
        for (statement,) in cursor.fetchall():
            renamed = statement.replace(triggers.EVENTS, PLAIN).replace('INDEX "', 'INDEX "bench_')
            cursor.execute(renamed)
