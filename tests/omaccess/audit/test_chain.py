"""The canonical bytes. They can never change: every installation's past depends on them."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from omaccess.audit.chain import COVERED, around_position, canonical, event_hash, storable
from omaccess.models import AuditEvent
from omaccess.models.audit import GENESIS_HASH
from tests.omaccess.audit.jcs import jcs, sha256_of

PLAIN: dict[str, Any] = {
    "position": 1,
    "id": uuid.UUID("0f9a1c3e-5b7d-4e21-8a43-6c5d7e8f9012"),
    "at": dt.datetime(2026, 3, 1, 7, 5, 9, 120, tzinfo=dt.UTC),
    "kind": "launch:opened",
    "actor_id": "7",
    "actor_name": "staff",
    "target_type": "hostaccount",
    "target_id": "3",
    "target_name": "root on web-01",
    "reference": "0123456789",
    "cause": "",
    "address": "192.0.2.7",
    "browser": "Mozilla/5.0",
    "request_id": "request-1",
    "facts": {},
}
ODD = PLAIN | {
    "position": 2**53 - 1,
    "at": dt.datetime(2026, 3, 1, 0, 0, tzinfo=dt.timezone(dt.timedelta(hours=8))),
    "actor_name": "Zoë \u4e2d\u6587 \U0001f511",
    "browser": '"quoted" \\ / </script> \x7f \u2028',
    "facts": {
        "\ue000": "private use: after the astral key in UTF-16, before it by code point",
        "\U0001f511": [True, False, None, -1, 0, {"b": "\b\t\n\f\r\x00\x1f", "a": []}],
        "A": {"": ""},
        "a": "e\u0301",
        "é": "not normalised",
    },
}


def test_the_format_of_plain_events_never_changes() -> None:
    assert canonical(PLAIN) == (
        b'{"actor_id":"7","actor_name":"staff","address":"192.0.2.7","at":"2026-03-01T07:05:09.000120Z",'
        b'"browser":"Mozilla/5.0","cause":"","facts":{},"id":"0f9a1c3e-5b7d-4e21-8a43-6c5d7e8f9012",'
        b'"kind":"launch:opened","position":1,"reference":"0123456789","request_id":"request-1","target_id":"3",'
        b'"target_name":"root on web-01","target_type":"hostaccount"}'
    )
    assert event_hash(GENESIS_HASH, PLAIN) == "c9df905d11028c1f4b5759635dfab36923ce29e96b4a2dfc725d0dbb5a9aca7b"


def test_the_format_of_odd_events_never_changes() -> None:
    assert event_hash("ab" * 32, ODD) == "df7ced93c45dcff1bf73f5bfc4c67c826c17e2702ca606cb54504a5dfae9d342"
    assert b'"at":"2026-02-28T16:00:00.000000Z"' in canonical(ODD)
    assert b'"b":"\\b\\t\\n\\f\\r\\u0000\\u001f"' in canonical(ODD)


def test_keys_are_sorted_by_utf_16_units() -> None:
    text = canonical(ODD).decode()

    order = [text.index(f'"{key}":') for key in ("A", "a", "é", "\U0001f511", "\ue000")]
    assert order == sorted(order)


def test_every_column_is_covered_except_the_hashes() -> None:
    columns = {field.name for field in AuditEvent._meta.get_fields()}

    assert columns == {*COVERED, "previous_hash", "hash"}


@pytest.mark.parametrize("column", COVERED)
def test_every_covered_column_changes_the_hash(column: str) -> None:
    other: dict[str, Any] = {
        "position": 2,
        "id": uuid.UUID(int=1),
        "at": PLAIN["at"] + dt.timedelta(microseconds=1),
        "facts": {"a": 1},
    }

    changed = PLAIN | {column: other.get(column, str(PLAIN[column]) + " ")}

    assert event_hash(GENESIS_HASH, changed) != event_hash(GENESIS_HASH, PLAIN)


def test_the_previous_hash_changes_the_hash() -> None:
    assert event_hash("0" * 63 + "1", PLAIN) != event_hash(GENESIS_HASH, PLAIN)


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
any_text = st.text(st.characters(), max_size=20)
numbers = st.integers(-(2**53) + 1, 2**53 - 1)
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=15,
)


@given(
    facts=st.dictionaries(text, values, max_size=5),
    texts=st.lists(text, min_size=11, max_size=11),
    position=numbers,
    at=st.datetimes(min_value=dt.datetime(1000, 1, 1), timezones=st.just(dt.UTC)),
    uid=st.uuids(),
)
def test_an_independent_implementation_gives_the_same_bytes_and_hash(
    facts: Any, texts: list[str], position: int, at: Any, uid: uuid.UUID
) -> None:
    named = iter(texts)
    event: dict[str, Any] = {name: next(named) for name in COVERED if name not in {"position", "id", "at", "facts"}}
    event |= {"position": position, "id": uid, "at": at, "facts": facts}

    found = canonical(event)

    again = event | {"id": str(uid), "at": at.isoformat(timespec="microseconds").replace("+00:00", "Z")}
    assert found == jcs(again).encode()
    assert event_hash(GENESIS_HASH, event) == sha256_of(GENESIS_HASH, found)
    assert json.loads(found) == again


@given(facts=st.dictionaries(text, values, max_size=5), texts=st.lists(text, min_size=11, max_size=11), number=numbers)
@example(facts={"position": 1, "a": ',"position":'}, texts=[',"position":1,"reference":""'] * 11, number=7)
def test_whoever_knows_the_position_alone_can_complete_the_text(facts: Any, texts: list[str], number: int) -> None:
    named = iter(texts)
    event: dict[str, Any] = {name: next(named) for name in COVERED if name not in {"position", "id", "at", "facts"}}
    event |= {"id": PLAIN["id"], "at": PLAIN["at"], "facts": facts}

    before, after = around_position(event)

    assert f"{before}{number}{after}".encode() == canonical(event | {"position": number})


@given(facts=st.dictionaries(text, values, max_size=5), data=st.data())
def test_the_order_in_which_facts_were_given_does_not_matter(facts: Any, data: st.DataObject) -> None:
    shuffled = dict(data.draw(st.permutations(list(facts.items()))))

    assert canonical(PLAIN | {"facts": shuffled}) == canonical(PLAIN | {"facts": facts})


@given(value=values)
def test_what_can_be_stored_is_stored_unchanged_but_for_nul(value: Any) -> None:
    assert storable(value) == json.loads(json.dumps(value).replace("\\u0000", "\\ufffd"))


@given(value=any_text)
@example("\ud800")
@example("\udc00\ud800")
@example("a\x00b")
@example("\ud83d\ude00")
def test_no_text_is_too_odd_to_be_stored(value: Any) -> None:
    found = storable(value)

    assert "\x00" not in found
    assert found.encode().decode() == found
    assert storable(found) == found


@given(number=st.integers())
@example(2**53)
@example(-(2**53))
@example(2**53 - 1)
def test_a_number_that_other_languages_would_round_is_kept_as_text(number: int) -> None:
    found = storable(number)

    assert found == (number if abs(number) < 2**53 else str(number))


@pytest.mark.parametrize("value", [1.5, float("nan"), b"bytes", {1, 2}, object(), {"deep": [0.5]}])
def test_a_fact_of_another_type_is_a_mistake_in_the_code(value: Any) -> None:
    with pytest.raises(TypeError, match="an audit fact cannot be"):
        storable(value)


def test_keys_times_and_ids_become_text() -> None:
    found = storable({1: dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "id": uuid.UUID(int=5), "t": (1, True)})

    assert found == {
        "1": "2026-01-01T00:00:00.000000Z",
        "id": "00000000-0000-0000-0000-000000000005",
        "t": [1, True],
    }
