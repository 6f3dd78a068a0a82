"""The audit under any facts: the same bytes as a second implementation, the same hash after a database had them."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.db import transaction
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from accounts.models import User
from omaccess.audit import Kind, record
from omaccess.audit.chain import COVERED, canonical, event_hash, storable
from omaccess.audit.verify import verify
from omaccess.meta import Meta
from omaccess.models import AuditEvent
from tests.factories import UserFactory
from tests.fuzz.budget import Explorer
from tests.fuzz.web import texts
from tests.omaccess.audit.jcs import jcs, sha256_of

_keys = st.one_of(
    st.text(st.characters(), max_size=6),
    st.sampled_from(("a", "A", "\ue000", "\U0001f511", "\ud800", "\u0000", "", "e\u0301", "\u00e9", "at", "id")),
)
_numbers = st.one_of(
    st.integers(-(2**53), 2**53), st.integers(), st.sampled_from((2**53 - 1, 2**53, -(2**53), 10**40, 0, -1))
)
_good = st.one_of(
    st.none(),
    st.booleans(),
    _numbers,
    texts,
    st.text(st.characters(), max_size=10),
    st.uuids(),
    st.datetimes(timezones=st.just(dt.UTC)),
)


def _nested(leaves: SearchStrategy[Any]) -> SearchStrategy[Any]:
    return st.recursive(
        leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_keys, inner, max_size=4), max_leaves=12
    )


_names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8).map("fact_{}".format)
good_facts: SearchStrategy[dict[str, Any]] = st.dictionaries(_names, _nested(_good), max_size=4)
bad_facts: SearchStrategy[dict[str, Any]] = st.dictionaries(
    _names,
    _nested(st.one_of(st.floats(), st.binary(max_size=4), st.sets(st.integers(), max_size=2), st.complex_numbers())),
    min_size=1,
    max_size=3,
).filter(lambda facts: not _is_storable(facts))


def _is_storable(facts: object) -> bool:
    """Without any fraction, bytes or set in it."""
    if isinstance(facts, dict):
        return all(_is_storable(value) for value in facts.values())
    if isinstance(facts, list):
        return all(map(_is_storable, facts))
    return isinstance(facts, str | bool | int | None)


_events = st.fixed_dictionaries(
    {
        "position": st.integers(1, 2**53 - 1),
        "id": st.uuids(),
        "at": st.datetimes(min_value=dt.datetime(1000, 1, 1), timezones=st.just(dt.UTC)),
        "facts": good_facts.map(storable),
        **{name: texts.map(storable) for name in COVERED if name not in ("position", "id", "at", "facts")},
    }
)


def _plain(event: dict[str, Any]) -> dict[str, Any]:
    return event | {"id": str(event["id"]), "at": event["at"].isoformat(timespec="microseconds").replace("+00:00", "Z")}


def test_the_bytes_are_those_of_a_second_implementation(explorer: Explorer) -> None:
    def check(event: dict[str, Any]) -> None:
        found = canonical(event)

        assert found == jcs(_plain(event)).encode()
        assert json.loads(found) == _plain(event)
        assert event_hash("ab" * 32, event) == sha256_of("ab" * 32, found)

    explorer.explore(_events, check, few=150, share=0.03)


def test_different_events_have_different_bytes(explorer: Explorer) -> None:
    """Two events that differ in one column, however alike the texts: nothing in one column can pass for another."""

    def check(pair: tuple[dict[str, Any], str, Any]) -> None:
        event, column, value = pair
        other = event | {column: value}

        assert (canonical(other) == canonical(event)) == (_plain(other) == _plain(event))

    columns = st.sampled_from([name for name in COVERED if name not in ("position", "id", "at", "facts")])
    other_facts = st.tuples(_events, st.just("facts"), good_facts.map(storable))
    explorer.explore(
        st.one_of(st.tuples(_events, columns, texts.map(storable)), other_facts), check, few=100, share=0.015
    )


@pytest.mark.database
@pytest.mark.django_db
def test_what_a_database_gives_back_hashes_the_same(explorer: Explorer) -> None:
    user = UserFactory()

    def check(told: tuple[dict[str, Any], str, str]) -> None:
        facts, reference, text = told
        with transaction.atomic():
            event = _record(user, facts, text, reference)

            stored: dict[str, Any] = dict(AuditEvent.objects.filter(pk=event.pk).values().get())
            assert stored["facts"] == storable(facts)
            assert event_hash(stored["previous_hash"], stored) == stored["hash"] == event.hash
            assert (
                sha256_of(stored["previous_hash"], jcs(_plain({name: stored[name] for name in COVERED})).encode())
                == event.hash
            )
            transaction.set_rollback(True)

    references = st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=0, max_size=10)
    explorer.explore(st.tuples(good_facts, references, texts), check, few=100, share=0.03)


@pytest.mark.database
@pytest.mark.django_db
def test_a_chain_of_any_facts_verifies(explorer: Explorer) -> None:
    user = UserFactory()

    def check(many: list[tuple[dict[str, Any], str]]) -> None:
        with transaction.atomic():
            for facts, text in many:
                _record(user, facts, text, "")

            report = verify()

            assert report.is_whole, report
            transaction.set_rollback(True)

    explorer.explore(st.lists(st.tuples(good_facts, texts), min_size=1, max_size=4), check, few=10, share=0.001)


@pytest.mark.database
@pytest.mark.django_db
def test_what_has_no_canonical_form_is_refused_before_anything_is_written(explorer: Explorer) -> None:
    user = UserFactory()
    count = AuditEvent.objects.count()

    def check(facts: dict[str, Any]) -> None:
        with transaction.atomic(), pytest.raises(TypeError, match="an audit fact cannot be a"):
            _record(user, facts, "", "")

        assert AuditEvent.objects.count() == count

    examples: list[dict[str, Any]] = [{"a": 0.5}, {"a": [{"b": float("nan")}]}]
    explorer.explore(bad_facts, check, few=30, share=0.01, examples=examples)


def _record(user: User, facts: dict[str, Any], text: str, reference: str) -> AuditEvent:
    meta = Meta(address=text, browser=text, request_id=text)
    return record(Kind.LAUNCH_DENIED, by=user, meta=meta, target=user, reference=reference, cause="no_grant", **facts)
