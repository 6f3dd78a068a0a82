"""What verification finds, and what it says it cannot."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from omaccess.audit import Kind, record, triggers
from omaccess.audit.chain import COVERED, event_hash
from omaccess.audit.heads import parse_head
from omaccess.audit.stored_rows import CHUNK_ROWS
from omaccess.audit.verify import ProblemKind, verify
from omaccess.models import AuditEvent
from omaccess.models.audit import GENESIS_HASH
from tests.omaccess.audit.log import COLUMNS, META, append, append_many, drop_triggers, head, run, undone

pytestmark = [pytest.mark.database, pytest.mark.django_db]

E, H = triggers.EVENTS, triggers.HEAD
on_sqlite = pytest.mark.skipif("connection.vendor != 'sqlite'", reason="only SQLite keeps values in other forms")
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="speaks of PostgreSQL")


@pytest.fixture
def opened() -> list[AuditEvent]:
    """A log of six events whose triggers somebody has dropped."""
    events = append_many(6)
    drop_triggers()
    return events


def kinds(**options: Any) -> list[tuple[ProblemKind, int | None]]:
    return [(problem.kind, problem.position) for problem in verify(**options).problems]


def rehash(first: int) -> None:
    """What a careful forger does: compute every hash anew from a position on, and move the head."""
    previous = GENESIS_HASH
    for event in AuditEvent.objects.order_by("position"):
        digest = event.hash
        if event.position >= first:
            digest = event_hash(previous, {name: getattr(event, name) for name in COVERED})
            run(f"UPDATE {E} SET previous_hash = %s, hash = %s WHERE position = %s", previous, digest, event.position)
        previous = digest
    run(f"UPDATE {H} SET position = (SELECT coalesce(max(position), 0) FROM {E}), hash = %s", previous)


# --- a whole log -----------------------------------------------------------------------------------


def test_an_empty_log_is_whole() -> None:
    report = verify(heads=[(0, GENESIS_HASH)])

    assert report.is_whole
    assert (report.events, report.end, report.unprotected) == (0, (0, GENESIS_HASH), [])


def test_a_log_as_it_was_written_is_whole() -> None:
    events = append_many(5)

    report = verify(heads=[(events[2].position, events[2].hash)])

    assert report.is_whole
    assert (report.events, report.end) == (5, head())


def test_a_log_longer_than_a_chunk_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omaccess.audit.stored_rows.CHUNK_ROWS", 3)
    append_many(10)

    report = verify()

    assert (report.is_whole, report.events) == (True, 10)
    assert CHUNK_ROWS >= 1000


def test_verification_costs_one_query_per_chunk(django_assert_num_queries: Any) -> None:
    append_many(10)

    # Triggers, head, one chunk, the empty one after it, head again, two counts; on PostgreSQL the columns' types.
    with django_assert_num_queries(8 if connection.vendor == "postgresql" else 7):
        verify()


def test_times_without_microseconds_are_in_their_proper_form(time_machine: Any) -> None:
    time_machine.move_to(dt.datetime(2026, 3, 1, 7, 5, 9, tzinfo=dt.UTC), tick=False)

    append()

    assert verify().is_whole


# --- any single change -----------------------------------------------------------------------------

OTHER = {
    "id": uuid.UUID(int=7),
    "at": dt.datetime(2020, 1, 1, tzinfo=dt.UTC),
    "facts": {"number": 99},
    "previous_hash": "a" * 64,
    "hash": "b" * 64,
}


@pytest.mark.parametrize("column", COLUMNS[1:])
@pytest.mark.parametrize("index", [0, 3, 5])
def test_a_changed_column_is_found_at_its_event(opened: list[AuditEvent], column: str, index: int) -> None:
    position = opened[index].position

    AuditEvent.objects.filter(position=position).update(**{column: OTHER.get(column, "other")})

    assert position in [found for _kind, found in kinds()]


@pytest.mark.parametrize("index", [0, 3, 5])
def test_a_changed_event_with_its_own_hash_made_right_is_found_behind_it(opened: list[AuditEvent], index: int) -> None:
    event = opened[index]
    values = {name: getattr(event, name) for name in COVERED} | {"kind": "launch:opened"}
    AuditEvent.objects.filter(position=event.position).update(
        kind="launch:opened", hash=event_hash(event.previous_hash, values)
    )

    expected = (ProblemKind.LINK, event.position + 1) if index < 5 else (ProblemKind.HEAD, event.position)
    assert kinds() == [expected]


def test_events_in_another_order_are_found(opened: list[AuditEvent]) -> None:
    first, second = opened[1].position, opened[2].position
    run(f"UPDATE {E} SET position = -1 WHERE position = {first}")
    run(f"UPDATE {E} SET position = {first} WHERE position = {second}")
    run(f"UPDATE {E} SET position = {second} WHERE position = -1")

    assert {first, second} <= {position for kind, position in kinds() if kind is ProblemKind.CONTENT}


@pytest.mark.parametrize("gap", [(0, 0), (2, 2), (2, 4), (0, 4)])
def test_missing_events_are_found(opened: list[AuditEvent], gap: tuple[int, int]) -> None:
    first, last = opened[gap[0]].position, opened[gap[1]].position

    run(f"DELETE FROM {E} WHERE position BETWEEN {first} AND {last}")

    assert kinds() == [(ProblemKind.MISSING, first)]


def test_a_cut_off_end_is_found_by_the_head(opened: list[AuditEvent]) -> None:
    run(f"DELETE FROM {E} WHERE position >= {opened[4].position}")

    assert kinds() == [(ProblemKind.HEAD, opened[5].position)]


def test_an_emptied_log_is_found_by_the_head(opened: list[AuditEvent]) -> None:
    run(f"DELETE FROM {E}")

    assert kinds() == [(ProblemKind.HEAD, opened[5].position)]


@pytest.mark.parametrize("offset", [1, 5])
def test_an_event_beyond_the_head_is_found(opened: list[AuditEvent], offset: int) -> None:
    last = opened[-1]
    values = {name: getattr(last, name) for name in COVERED}
    values |= {"position": last.position + offset, "id": uuid.uuid4()}
    forged = AuditEvent(**values, previous_hash=last.hash, hash=event_hash(last.hash, values))

    forged.save(force_insert=True)

    assert (ProblemKind.HEAD, forged.position) in kinds()


@pytest.mark.parametrize("position", [0, -4])
def test_an_event_before_the_first_is_found(opened: list[AuditEvent], position: int) -> None:
    values = {name: getattr(opened[0], name) for name in COVERED} | {"position": position, "id": uuid.uuid4()}

    AuditEvent(**values, previous_hash=GENESIS_HASH, hash="c" * 64).save(force_insert=True)

    assert kinds() == [(ProblemKind.EXTRA, position)]


def test_a_position_that_stands_twice_is_found(opened: list[AuditEvent]) -> None:
    _remake_without_constraints()
    run(f"INSERT INTO {E} SELECT * FROM {E} WHERE position = {opened[2].position}")

    assert kinds() == [(ProblemKind.EXTRA, opened[2].position)]


def test_a_twin_at_the_border_of_a_chunk_is_found(opened: list[AuditEvent], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("omaccess.audit.stored_rows.CHUNK_ROWS", 3)
    _remake_without_constraints()
    run(f"INSERT INTO {E} SELECT * FROM {E} WHERE position = {opened[2].position}")

    # Behind the border by its count, before it by its position.
    assert kinds() in ([(ProblemKind.EXTRA, None)], [(ProblemKind.EXTRA, opened[2].position)])


def test_a_row_without_a_position_is_found(opened: list[AuditEvent]) -> None:
    _remake_without_constraints()
    run(f"INSERT INTO {E} SELECT * FROM {E} WHERE position = {opened[2].position}")
    run(f"UPDATE {E} SET position = NULL, id = %s WHERE position = {opened[2].position}", _raw_id(uuid.uuid4()))

    found = kinds()

    assert (ProblemKind.EXTRA, None) in found


def _raw_id(uid: uuid.UUID) -> str:
    return uid.hex if connection.vendor == "sqlite" else str(uid)


def _remake_without_constraints() -> None:
    run(f"CREATE TABLE remade AS SELECT * FROM {E}")
    run(f"DROP TABLE {E}")
    run(f"ALTER TABLE remade RENAME TO {E}")


@pytest.mark.parametrize(
    "sql",
    [
        f"UPDATE {H} SET position = position - 1",
        f"UPDATE {H} SET position = position + 1",
        f"UPDATE {H} SET hash = '{GENESIS_HASH}'",
        f"UPDATE {H} SET position = 0, hash = '{GENESIS_HASH}'",
        f"DELETE FROM {H}",
    ],
)
def test_a_head_that_does_not_fit_is_found(opened: list[AuditEvent], sql: str) -> None:
    run(sql)

    assert {kind for kind, _position in kinds()} == {ProblemKind.HEAD}


def test_an_insert_that_keeps_the_rules_of_the_triggers_but_not_the_hash_is_found() -> None:
    """The role that the portal runs as may insert; without the right hash it is seen."""
    append_many(2)
    position, digest = head()
    values = {name: getattr(AuditEvent.objects.first(), name) for name in COVERED}
    values |= {"position": position + 1, "id": uuid.uuid4(), "kind": "launch:opened"}

    AuditEvent(**values, previous_hash=digest, hash="d" * 64).save(force_insert=True)

    assert kinds() == [(ProblemKind.CONTENT, position + 1)]


@on_postgresql
@pytest.mark.parametrize("at", ["infinity", "-infinity", "0044-03-15 12:00:00 BC", "290000-01-01"])
def test_a_time_that_no_program_can_read_does_not_end_the_verification(opened: list[AuditEvent], at: Any) -> None:
    run(f"UPDATE {E} SET at = %s WHERE position = {opened[2].position}", at)

    assert [position for _kind, position in kinds()] == [opened[2].position]


@on_postgresql
@pytest.mark.parametrize("facts", ["[]", "3", '"text"', '{"number": 2.0}', '{"number": 2, "x": null}'])
def test_facts_of_another_shape_are_found_on_postgresql(opened: list[AuditEvent], facts: Any) -> None:
    run(f"UPDATE {E} SET facts = %s WHERE position = {opened[2].position}", facts)

    assert [position for _kind, position in kinds()] == [opened[2].position]


# --- forms that a model would forgive, on SQLite ---------------------------------------------------

FORMS = [
    ("at", "substr(at, 1, 10) || 'T' || substr(at, 12)"),
    ("at", "at || '+00:00'"),
    ("at", "at || 'Z'"),
    ("at", "substr(at, 1, 19) || '.1'"),
    ("at", "substr(at, 1, 19) || '.000000'"),
    ("at", "CAST(at AS BLOB)"),
    ("at", "1772348709"),
    ("id", "upper(id) || ''"),
    ("id", "substr(id, 1, 8) || '-' || substr(id, 9)"),
    ("id", "CAST(id AS BLOB)"),
    ("kind", "CAST(kind AS BLOB)"),
    ("hash", "upper(hash)"),
    ("hash", "CAST(hash AS BLOB)"),
    ("previous_hash", "upper(previous_hash)"),
    ("kind", "kind || char(0)"),
    ("kind", "CAST(x'ff' AS TEXT)"),
    ("facts", "CAST(facts AS BLOB)"),
    ("facts", """'{"number": 3, "number": 2}'"""),
    ("facts", """'{"number": 2.0}'"""),
    ("facts", """'{"number": 2e0}'"""),
    ("facts", """'{"number": "2"}'"""),
    ("facts", """'{"number": NaN}'"""),
    ("facts", """'{"number": "\\ud800"}'"""),
    ("facts", """'{"number": 2'"""),
    ("facts", """'{"number": 2} '||'{}'"""),
    ("facts", """'{"number": ' || printf('%.*c', 100000, '[') || '}'"""),
    ("facts", """'{"number": ' || printf('%.*c', 5000, '9') || '}'"""),
    ("facts", "''"),
    ("facts", "'[]'"),
]


@on_sqlite
@pytest.mark.parametrize(("column", "expression"), FORMS)
def test_a_value_in_another_form_is_found(opened: list[AuditEvent], column: str, expression: str) -> None:
    position = opened[2].position
    run("PRAGMA ignore_check_constraints = ON")
    before = run_value(column, position)

    try:
        run(f"UPDATE {E} SET {column} = {expression.replace('%', '%%')} WHERE position = {position}")
        changed = run_value(column, position) != before
        found = [problem_position for _kind, problem_position in kinds()]
    finally:
        run("PRAGMA ignore_check_constraints = OFF")

    # An id of digits only is the same in upper case.
    assert (position in found) is changed


def run_value(column: str, position: int) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT typeof({column}), hex({column}) FROM {E} WHERE position = %s",
            [position],
        )
        return cursor.fetchone()


@on_sqlite
@pytest.mark.parametrize(
    "facts", ['{"number":2}', ' { "number" : 2 }\n', '{"\\u006eumber": 2}'], ids=["dense", "wide", "escaped"]
)
def test_facts_that_read_the_same_everywhere_are_no_change(opened: list[AuditEvent], facts: Any) -> None:
    run(f"UPDATE {E} SET facts = %s WHERE position = {opened[2].position}", facts)

    assert kinds() == []


@on_sqlite
def test_one_row_that_cannot_be_read_does_not_hide_the_others(opened: list[AuditEvent]) -> None:
    run(f"UPDATE {E} SET browser = CAST(x'ff' AS TEXT) WHERE position = {opened[1].position}")
    run(f"UPDATE {E} SET browser = 'other' WHERE position = {opened[4].position}")

    assert kinds() == [
        (ProblemKind.UNREADABLE, opened[1].position),
        (ProblemKind.CONTENT, opened[4].position),
    ]


# --- noted heads -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_a_cut_off_end_with_the_head_moved_back_is_found_only_with_a_noted_head(
    opened: list[AuditEvent], cut: int
) -> None:
    noted = head()
    run(f"DELETE FROM {E} WHERE position > {opened[-1].position - cut}")
    rehash(10**9)

    assert kinds() == []
    assert kinds(heads=[noted]) == [(ProblemKind.NOTED_HEAD, noted[0])]


@pytest.mark.parametrize("index", [0, 3, 5])
def test_a_rewritten_end_is_found_only_with_a_head_noted_before(opened: list[AuditEvent], index: int) -> None:
    noted, before = head(), opened[index].position
    run(f"UPDATE {E} SET kind = 'launch:opened' WHERE position = {before}")
    rehash(before)

    assert kinds() == []
    assert kinds(heads=[noted]) == [(ProblemKind.NOTED_HEAD, noted[0])]
    if index:
        earlier = opened[index - 1]
        assert kinds(heads=[(earlier.position, earlier.hash)]) == []


def test_a_rewritten_and_continued_log_is_found_with_the_noted_head(opened: list[AuditEvent]) -> None:
    noted = head()
    run(f"UPDATE {E} SET actor_name = 'nobody' WHERE position = {opened[1].position}")
    rehash(opened[1].position)
    _append_without_triggers()

    assert kinds() == []
    assert kinds(heads=[noted]) == [(ProblemKind.NOTED_HEAD, noted[0])]


def _append_without_triggers() -> None:
    event = append()
    run(f"UPDATE {H} SET position = %s, hash = %s", event.position, event.hash)


@pytest.mark.parametrize("text", ["", "12", "x:y", ":" + "a" * 64, "1:" + "A" * 64, "-1:" + "a" * 64, "1:" + "a" * 63])
def test_rubbish_is_no_head(text: str) -> None:
    with pytest.raises(ValueError, match="POSITION:HASH"):
        parse_head(text)


def test_a_head_reads_as_it_is_printed() -> None:
    assert parse_head(f" 12:{'ab' * 32}\n") == (12, "ab" * 32)


# --- more than one problem -------------------------------------------------------------------------


def test_verification_goes_on_and_counts_what_it_does_not_list(opened: list[AuditEvent]) -> None:
    run(f"UPDATE {E} SET kind = 'forged'")

    report = verify(most_problems=2)

    assert report.problem_count == 6
    assert [problem.position for problem in report.problems] == [event.position for event in opened[:2]]
    assert report.events == 6


def test_dropped_triggers_are_reported_beside_the_chain(opened: list[AuditEvent]) -> None:
    report = verify()

    assert report.is_whole
    assert report.unprotected == sorted(triggers.triggers(connection))


def test_events_appended_meanwhile_do_no_harm(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between any two statements of a verification somebody appends."""
    append_many(3)
    monkeypatch.setattr("omaccess.audit.stored_rows.CHUNK_ROWS", 2)
    busy = False

    def guarded(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        nonlocal busy
        if busy:
            return execute(sql, params, many, context)
        busy = True
        if len(appended) < 8:
            appended.append(append())
        busy = False
        return execute(sql, params, many, context)

    appended: list[AuditEvent] = []

    with connection.execute_wrapper(guarded):
        report = verify()

    assert report.is_whole
    assert len(appended) > 3


# --- any log, any single change --------------------------------------------------------------------

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
facts = st.dictionaries(words, st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | words, max_size=3)
logs = st.lists(st.tuples(st.sampled_from(Kind), words, facts), min_size=1, max_size=6)


def _with_another_start(column: str) -> str:
    return f"CASE WHEN substr({column}, 1, 1) = '~' THEN '^' ELSE '~' END || substr({column}, 2)"


@st.composite
def mutations(draw: st.DrawFn, size: int) -> tuple[str, list[Any]]:
    """SQL that changes exactly one thing of a log with positions 1 to `size`, whatever stands there."""
    position = draw(st.integers(1, size))
    where = f"WHERE position = {position}"
    text = st.sampled_from([name for name in COLUMNS if name not in {"position", "id", "at", "facts"}])
    as_json = "%s" if connection.vendor == "sqlite" else "%s::jsonb"
    later = "datetime(at, '+1 day')" if connection.vendor == "sqlite" else "at + interval '1 microsecond'"
    changes: list[st.SearchStrategy[tuple[str, list[Any]]]] = [
        st.just((f"DELETE FROM {E} {where}", [])),
        st.just((f"UPDATE {E} SET at = {later} {where}", [])),
        st.uuids(version=4).map(lambda uid: (f"UPDATE {E} SET id = %s {where}", [_raw_id(uid)])),
        facts.map(lambda new: (f"UPDATE {E} SET facts = {as_json} {where}", [json.dumps(new | {"forged": True})])),
        text.map(lambda column: (f"UPDATE {E} SET {column} = {_with_another_start(column)} {where}", [])),
        st.integers(1, 9).map(lambda step: (f"UPDATE {E} SET position = {size + step} {where}", [])),
        st.integers(-9, 0).map(lambda new: (f"UPDATE {E} SET position = {new} {where}", [])),
        st.sampled_from([-1, 1, 7]).map(lambda step: (f"UPDATE {H} SET position = position + {step}", [])),
        st.just((f"UPDATE {H} SET hash = '{'e' * 64}'", [])),
        st.just((f"DELETE FROM {H}", [])),
    ]
    return draw(st.one_of(changes))


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120)
@given(data=st.data(), log=logs)
def test_any_single_change_of_any_log_is_found(data: st.DataObject, log: list[Any]) -> None:
    with undone():
        for kind, name, values in log:
            with transaction.atomic():
                record(kind, by=None, actor_name=name, meta=META, reference=name[:10], values=values)
        assert verify().is_whole
        drop_triggers()
        sql, params = data.draw(mutations(AuditEvent.objects.count()))

        run(sql, *params)

        assert not verify().is_whole, (sql, params)


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data(), log=logs)
def test_any_rewritten_log_is_found_with_a_head_noted_before(data: st.DataObject, log: list[Any]) -> None:
    with undone():
        for kind, name, values in log:
            with transaction.atomic():
                record(kind, by=None, actor_name=name, meta=META, values=values)
        noted = head()
        drop_triggers()
        first = data.draw(st.integers(1, noted[0]))
        run(f"UPDATE {E} SET actor_name = substr(actor_name || 'x', 1, 140) || 'y' WHERE position = {first}")
        rehash(first)

        assert verify().is_whole
        assert not verify(heads=[noted]).is_whole
