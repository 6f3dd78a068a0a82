"""`SELECT … FOR SHARE`, which Django does not have: hold rows still while a decision rests on them."""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet


def rows_for_share(rows: QuerySet[Any, Any]) -> list[tuple[Any, ...]]:
    """Run a `values_list` query whose rows nobody can change until the transaction ends.

    Every table it joins is locked, so all joins must be inner. On SQLite a transaction that may write is alone
    anyway (BEGIN IMMEDIATE), and the query runs as it is.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    sql, params = rows.query.get_compiler(connection=connection).as_sql()
    if connection.vendor == "postgresql":
        sql += " FOR SHARE"
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
