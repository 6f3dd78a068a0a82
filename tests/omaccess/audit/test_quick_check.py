"""The quick path passes what is whole, and the verification says the same with it as without it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from django.db import DatabaseError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omaccess.audit import Kind, record, triggers
from omaccess.audit.quick_check import TEXTS, QuickCheck
from omaccess.audit.stored_rows import StoredRows
from omaccess.audit.verify import verify
from omaccess.models.audit import GENESIS_HASH
from tests.omaccess.audit.log import COLUMNS, META, append, append_many, drop_triggers, run, undone

pytestmark = [pytest.mark.database, pytest.mark.django_db]

E = triggers.EVENTS
on_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only SQLite keeps values in other forms")
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="speaks of PostgreSQL")


def quickly() -> int | None:
    """How many events the quick path passes as one chunk; None when it leaves them to the careful one."""
    rows = QuickCheck(StoredRows(connection)).chunk((), 0, GENESIS_HASH)
    return None if rows is None else len(rows)


def carefully() -> tuple[Any, ...]:
    """What is found by looking at every row column by column."""
    with mock.patch.object(QuickCheck, "chunk", return_value=None):
        return found()


def found() -> tuple[Any, ...]:
    report = verify()
    return report.events, report.end, report.problem_count, report.problems


ODD = ["", 'a "quoted" name', r"DOMAIN\staff", "ünï", "名前", "\N{GRINNING FACE}", "\x7f\x85\u2028", "%s %d {0}"]


@pytest.mark.parametrize("text", ODD)
def test_a_whole_event_is_passed_whatever_is_written_in_it(text: str) -> None:
    append(actor_name=text, values={text: text, "b": [1, None, True, {"z": text, "a": -(2**53) + 1}]})
    append(note=text)

    assert quickly() == 2


def test_keys_above_the_basic_plane_are_in_the_order_of_the_hash() -> None:
    append(values={"\U00010000": 1, "\uffff": 2, "a": 3})

    assert quickly() == 1


def test_a_chunk_with_a_change_is_left_to_the_careful_path() -> None:
    append_many(3)
    drop_triggers()
    run(f"UPDATE {E} SET browser = 'other' WHERE position = 2")

    assert quickly() is None


@on_postgresql
def test_texts_moved_into_another_column_are_no_whole_event() -> None:
    """Joined, the row would look the same: one column without a value, the one before it with two."""
    append(actor_name="somebody")
    drop_triggers()
    run(f"ALTER TABLE {E} ALTER actor_name DROP NOT NULL")
    run(f"UPDATE {E} SET actor_id = actor_id || chr(31) || actor_name, actor_name = NULL")

    assert quickly() is None
    assert found() == carefully()


@on_postgresql
def test_a_column_of_another_type_is_left_to_the_careful_path() -> None:
    """As text it keeps a repeated key, of which readers see one or the other."""
    append(number=2)
    drop_triggers()
    run(f"ALTER TABLE {E} ALTER facts TYPE text")
    run(f"""UPDATE {E} SET facts = '{{"number": 3, "number": 2}}'""")

    assert quickly() is None
    assert found() == carefully()
    assert not verify().is_whole


@on_sqlite
@pytest.mark.parametrize("value", ["CAST(position AS REAL)", "CAST(position AS TEXT)"])
def test_a_position_that_is_no_whole_number_is_left_to_the_careful_path(value: str) -> None:
    """A table that was remade without types holds any value in any column."""
    append_many(2)
    drop_triggers()
    run(f"CREATE TABLE remade ({', '.join(COLUMNS)})")
    run(f"INSERT INTO remade SELECT {', '.join(COLUMNS)} FROM {E}")
    run(f"DROP TABLE {E}")
    run(f"ALTER TABLE remade RENAME TO {E}")
    run(f"UPDATE {E} SET position = {value}")

    assert quickly() is None
    assert found() == carefully()
    assert not verify().is_whole


# --- the same judgement ------------------------------------------------------------------------------

WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | WORDS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(WORDS, inner, max_size=2),
    max_leaves=5,
)
LOGS = st.lists(st.tuples(st.sampled_from(Kind), WORDS, VALUES), min_size=1, max_size=7)
RAW_FACTS = st.sampled_from(
    ['{"values": 1.0}', '{"values": 1e2}', "[]", "3", '{ "values" : null }', '{"values": "\\u00fc"}', "{}"]
)
SQLITE_FACTS = st.sampled_from(['{"a":1,"a":1}', "", '{"values": NaN}', '{"values": "\\ud800"}', '{"values": 1} '])


@st.composite
def changes(draw: st.DrawFn, size: int) -> tuple[str, list[Any]]:
    """SQL that may change anything of a log of `size` events, or nothing."""
    where = f"WHERE position = {draw(st.integers(1, size))}"
    is_sqlite = connection.vendor == "sqlite"
    as_json = "%s" if is_sqlite else "%s::jsonb"
    text = draw(st.sampled_from([name for name in COLUMNS if name not in {"position", "id", "at", "facts"}]))
    options = [
        WORDS.map(lambda new: (f"UPDATE {E} SET {text} = %s {where}", [new])),
        st.just((f"UPDATE {E} SET {text} = {text} || '\x1f' {where}", [])),
        (RAW_FACTS | SQLITE_FACTS if is_sqlite else RAW_FACTS).map(
            lambda new: (f"UPDATE {E} SET facts = {as_json} {where}", [new])
        ),
        VALUES.map(lambda new: (f"UPDATE {E} SET facts = {as_json} {where}", [json.dumps({"values": new})])),
        st.just((f"DELETE FROM {E} {where}", [])),
        st.integers(-3, 12).map(
            lambda new: (
                f"UPDATE {E} SET position = {new} {where} AND NOT EXISTS (SELECT 1 FROM {E} WHERE position = {new})",
                [],
            )
        ),
    ]
    if is_sqlite:
        options += [
            st.just((f"UPDATE {E} SET {text} = CAST({text} AS BLOB) {where}", [])),
            st.just((f"UPDATE {E} SET at = at || 'Z' {where}", [])),
            st.just((f"UPDATE {E} SET at = substr(at, 1, 19) {where}", [])),
            st.just((f"UPDATE {E} SET id = upper(id) || '' {where}", [])),
        ]
    return draw(st.one_of(options))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data(), log=LOGS, chunk_rows=st.sampled_from([1, 2, 3, 2000]))
def test_the_verification_says_the_same_with_the_quick_path_as_without(
    data: st.DataObject, log: list[Any], chunk_rows: int
) -> None:
    with undone(), mock.patch("omaccess.audit.stored_rows.CHUNK_ROWS", chunk_rows):
        for kind, name, value in log:
            with transaction.atomic():
                record(kind, by=None, actor_name=name, meta=META, cause=name[:5], values=value)
        assert found() == carefully()
        drop_triggers()

        for _number in range(data.draw(st.integers(1, 3))):
            sql, params = data.draw(changes(len(log)))
            with contextlib.suppress(DatabaseError), _without_checks(), transaction.atomic():
                run(sql, *params)  # too long or not unique: not changed, then

        assert found() == carefully()


@contextlib.contextmanager
def _without_checks() -> Iterator[None]:
    """SQLite's own check that facts are JSON is put aside, as its owner can."""
    if connection.vendor == "sqlite":
        run("PRAGMA ignore_check_constraints = ON")
    try:
        yield
    finally:
        if connection.vendor == "sqlite":
            run("PRAGMA ignore_check_constraints = OFF")


def test_every_column_is_looked_at() -> None:
    assert {*TEXTS, "position", "facts", "previous_hash", "hash"} == {*COLUMNS}
