"""What searches ask, as text: composing it from Django's expressions took longer than the database needs for it.

A condition names a host's columns in braces, which become those of the query that it stands in. Texts that are compared
are always parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import BooleanField, Field, Func

from omaccess.models.search_key import LAST_CHARACTER, MOST_NAME
from omaccess.search_index import HOSTS, PARTS

SEPARATORS = "-_. "
"""Between the words of a name."""
COLUMNS = ("id", "name", "address", "address_key", "search_text")


class Condition(NamedTuple):
    """A text with columns in braces, and a parameter for each `%s`."""

    text: str
    params: tuple[Any, ...] = ()

    def __or__(self, other: Condition) -> Condition:
        return Condition(f"({self.text}) OR ({other.text})", self.params + other.params)

    def __and__(self, other: Condition) -> Condition:
        return Condition(f"({self.text}) AND ({other.text})", self.params + other.params)

    def of_hosts(self) -> Condition:
        """Where nothing but the table of hosts is asked."""
        return Condition(self.text.format(**{column: column for column in COLUMNS}), self.params)


class OnHost(Func):
    """A condition, or a value, within a query of hosts."""

    def __init__(self, condition: Condition, *, output_field: Field[Any, Any] | None = None) -> None:
        self.condition = condition
        super().__init__(*COLUMNS, output_field=output_field or BooleanField())

    def as_sql(self, compiler: Any, connection: Any, *_args: Any, **_context: Any) -> tuple[str, tuple[Any, ...]]:
        columns = (compiler.compile(column)[0] for column in self.get_source_expressions())
        text = self.condition.text.format(**dict(zip(COLUMNS, columns, strict=True)))
        return f"({text})", self.condition.params


def is_postgresql() -> bool:
    return connections[DEFAULT_DB_ALIAS].vendor == "postgresql"


def ids(statement: str, params: Iterable[Any]) -> list[int]:
    """What it selects, some of it perhaps twice."""
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(statement, tuple(params))
        return [row[0] for row in cursor.fetchall()]


# --- comparing -----------------------------------------------------------------------------------


def key(column: str) -> str:
    """As `SearchKey`, the way the indexes have it."""
    return f'(LOWER({column}) COLLATE "C")' if is_postgresql() else f"LOWER({column})"


def folded_name() -> str:
    """As `FoldedName`."""
    if is_postgresql():
        return f'(LEFT(SPLIT_PART({{search_text}}, chr(10), 1), {MOST_NAME}) COLLATE "C")'
    return f"SUBSTR({{search_text}}, 1, MIN({MOST_NAME}, INSTR({{search_text}}, CHAR(10)) - 1))"


def equals(column: str, text: str) -> Condition:
    return Condition(f"{key(column)} = {key('%s')}", (text,))


def begins(column: str, text: str) -> Condition:
    return Condition(f"{key(column)} >= {key('%s')} AND {key(column)} < {key('%s')}", (text, text + LAST_CHARACTER))


def name_is(folded: str) -> Condition:
    return Condition(f"{folded_name()} = %s", (folded[:MOST_NAME],))


def name_begins(folded: str) -> Condition:
    start = folded[:MOST_NAME]
    return Condition(f"{folded_name()} >= %s AND {folded_name()} < %s", (start, start + LAST_CHARACTER))


def word_begins(folded: str) -> Condition:
    """A word of the name begins so, wherever it stands."""
    words = folded_name()
    for separator in SEPARATORS[1:]:
        words = f"REPLACE({words}, '{separator}', '{SEPARATORS[0]}')"
        folded = folded.replace(separator, SEPARATORS[0])
    find = "STRPOS" if is_postgresql() else "INSTR"
    return Condition(f"{find}({words}, %s) > 0", (SEPARATORS[0] + folded,))


def has_address(canonical: str) -> Condition:
    return Condition("{address_key} = %s", (canonical,))


def has_part(folded: str) -> Condition:
    """Of a host that is looked at anyway."""
    find = "STRPOS" if is_postgresql() else "INSTR"
    return Condition(f"{find}({{search_text}}, %s) > 0", (folded,))


def has_label(label: tuple[str, str]) -> Condition:
    """A value, not an EXISTS, which PostgreSQL might answer for all hosts at once by reading every label."""
    same = f"{key('label.key')} = {key('%s')} AND {key('label.value')} = {key('%s')}"
    first = f"SELECT 1 FROM omaccess_label label WHERE label.host_id = {{id}} AND {same} LIMIT 1"  # noqa: S608
    return Condition(f"({first}) = 1", label)


def is_among(pks: Iterable[int]) -> Condition:
    """One of these ids, as one parameter: many are slow to hand over one by one."""
    numbers = ",".join(map(str, pks))
    if is_postgresql():
        return Condition("{id} = ANY(%s::bigint[])", ("{" + numbers + "}",))
    return Condition("{id} IN (SELECT value FROM json_each(%s))", (f"[{numbers}]",))


# --- asking an index -----------------------------------------------------------------------------


def with_parts(parts: Sequence[str], most: int) -> Condition:
    """Selects at most so many hosts with all of these in their text: `id` and `search_text`."""
    if is_postgresql():
        like = " AND ".join(["search_text LIKE %s"] * len(parts))
        patterns = tuple(f"%{_escaped(part)}%" for part in parts)
        return Condition(f"SELECT id, search_text FROM {HOSTS} WHERE {like} LIMIT {most}", patterns)  # noqa: S608
    phrases = " AND ".join('"' + part.replace('"', '""') + '"' for part in parts)
    select = f"SELECT rowid AS id, search_text FROM {PARTS} WHERE {PARTS} MATCH %s LIMIT {most}"  # noqa: S608
    return Condition(select, (phrases,))


def _escaped(text: str) -> str:
    """For LIKE, to which nothing in it shall be a wildcard."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
