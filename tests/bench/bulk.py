"""Filling tables by the hundred thousand: COPY on PostgreSQL, one prepared INSERT on SQLite. Runs inside Django."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection, models


def insert(model: type[models.Model], rows: Iterable[models.Model]) -> None:
    """Rows with their ids already given. Defaults and automatic times are the model's own."""
    fields = model._meta.concrete_fields
    columns = [field.column for field in fields]
    values = (
        [field.get_db_prep_save(field.pre_save(row, True), connection=connection) for field in fields] for row in rows
    )
    insert_values(model._meta.db_table, columns, values)


def insert_values(table: str, columns: Sequence[str], values: Iterable[Sequence[Any]]) -> None:
    """Values as the database's own driver takes them."""
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            with cursor.copy(f'COPY "{table}" ({names}) FROM STDIN') as copy:
                for row in values:
                    copy.write_row(row)
        else:
            places = ", ".join("?" * len(columns))
            cursor.connection.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({places})', values)


def settle(*tables: type[models.Model]) -> None:
    """What a database that has grown over years has: sequences behind the last id, and statistics."""
    with connection.cursor() as cursor:
        for model in tables:
            table, key = model._meta.db_table, model._meta.pk.column if model._meta.pk else ""
            if connection.vendor == "postgresql" and isinstance(model._meta.pk, models.AutoField | models.BigAutoField):
                cursor.execute(
                    f"SELECT setval(pg_get_serial_sequence('{table}', '{key}'), "
                    f'(SELECT COALESCE(MAX("{key}"), 1) FROM "{table}"))'
                )
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")
