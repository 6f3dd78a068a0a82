"""Indexes that are made while the portal runs, for migrations."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations


class AddIndexUnderway(AddIndexConcurrently):
    """PostgreSQL: without keeping writers out, however long it waits for old transactions. SQLite: as any index.

    An index that an interrupted run left behind is made again, so that the migration can simply be repeated. The
    migration must not be atomic.
    """

    def database_forwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        name = schema_editor.quote_name(self.index.name)
        if schema_editor.connection.vendor != "postgresql":
            schema_editor.execute(f"DROP INDEX IF EXISTS {name}")
            migrations.AddIndex.database_forwards(self, app_label, schema_editor, from_state, to_state)
            return
        # Waiting here stops nobody. Ended by a limit it would leave an index that is of no use.
        schema_editor.execute("SET lock_timeout = 0")
        schema_editor.execute("SET statement_timeout = 0")
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        super().database_forwards(app_label, schema_editor, from_state, to_state)
        schema_editor.execute("RESET lock_timeout")
        schema_editor.execute("RESET statement_timeout")

    def database_backwards(self, app_label: str, schema_editor: Any, from_state: Any, to_state: Any) -> None:
        if schema_editor.connection.vendor == "postgresql":
            super().database_backwards(app_label, schema_editor, from_state, to_state)
        else:
            migrations.AddIndex.database_backwards(self, app_label, schema_editor, from_state, to_state)
