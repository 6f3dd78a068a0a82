"""Appending: the one door, its transaction, its lock."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unicodedata import bidirectional, category

import pytest
from django.db import OperationalError, connection, transaction

from omaccess.audit import CannotRecord, Kind, record
from omaccess.audit.chain import COVERED, event_hash
from omaccess.audit.verify import verify
from omaccess.meta import Meta
from omaccess.models import AuditEvent, AuditHead, Label
from tests.factories import HostFactory, UserFactory
from tests.omaccess.audit.log import META, append, drop_triggers, head, run, undone

pytestmark = pytest.mark.database


def test_outside_a_transaction_nothing_is_recorded(fresh_db: None) -> None:
    before = head()

    with pytest.raises(RuntimeError, match="outside a transaction"):
        record(Kind.HOST_CHANGED, by=None, meta=META)

    assert head() == before


def test_an_event_that_is_rolled_back_never_was(db: None) -> None:
    before = head()

    with undone():
        append()

    assert head() == before
    assert append().position == before[0] + 1


def test_foreign_keys_are_checked_before_the_head_is_locked_not_at_the_commit(fresh_db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("speaks of PostgreSQL")
    before = head()

    with undone():
        Label.objects.create(host_id=HostFactory().pk + 1, key="env", value="prod")
        with pytest.raises(CannotRecord):
            append()

    assert head() == before


def test_an_event_holds_copies_of_what_it_is_about(db: None) -> None:
    user, host = UserFactory(username="zoe"), HostFactory(name="web-01")

    event = append(Kind.HOST_CHANGED, by=user, target=host, reference="0123456789", cause="why", size=3)

    event.refresh_from_db()
    assert (event.actor_id, event.actor_name) == (str(user.pk), "zoe")
    assert (event.target_type, event.target_id, event.target_name) == ("host", str(host.pk), str(host))
    assert (event.address, event.browser, event.request_id) == ("192.0.2.7", "Tests", "request-1")
    assert (event.kind, event.reference, event.cause, event.facts) == (
        "host:changed",
        "0123456789",
        "why",
        {"size": 3},
    )


def test_the_stored_row_gives_the_hash_it_carries(db: None) -> None:
    append(text="Zoë \U0001f511 \x00 \ud800", numbers=[1, 2**70], nothing=None, yes=True)

    stored: dict[str, Any] = {**AuditEvent.objects.values().get()}

    assert stored["hash"] == event_hash(stored["previous_hash"], {name: stored[name] for name in COVERED})
    assert stored["facts"]["text"] == "Zoë \U0001f511 \ufffd \ufffd"
    assert verify().is_whole


ODD_FACTS: dict[str, dict[str, Any]] = {
    "quotes and backslashes": {"it's": "\"double\" 'single' \\ \\\\ \\' E'\\x00' $$ $1 --", "\\": "\\u0000 \\n"},
    "percent signs and semicolons": {"100%": "%s %% %(name)s ; DROP TABLE x; {0} {name}"},
    "controls": {"text": "\b\t\n\f\r\x01\x1f\x7f\x80\u2028"},
    "NUL and lone surrogates": {"\x00": "a\x00b", "\ud800": "\udc00"},
    "keys above U+FFFF": {"\ue000": 1, "\U0001f511": 2, "\uffff": 3, "\U00010000": 4, "z": 5, "é": 6, "e\u0301": 7},
    "deep": {"a": [{"\U0001f511": [], "\ue000": {}}, [[None, True, False]], {"b": {"a": {"c": ""}}}]},
    "numbers": {"large": 2**53 - 1, "small": -(2**53) + 1, "huge": 2**70, "zero": 0},
    "what looks like the position": {"position": 1, "a": ',"position":1,"reference":""', "reference": ""},
    "very long": {"text": "Zoë \U0001f511 \\ ' " * 50_000, "list": list(range(20_000))},
}


@pytest.mark.parametrize("facts", ODD_FACTS.values(), ids=ODD_FACTS)
def test_the_database_and_python_hash_the_same_bytes(db: None, facts: dict[str, Any]) -> None:
    first = append(facts=facts, actor_name="O'Brien 100% \\ \U0001f511", meta=Meta(browser="%s '\\' ;"))
    second = append(facts=facts)

    for event in (first, second):
        stored: dict[str, Any] = {**AuditEvent.objects.values().get(position=event.position)}
        assert stored == {name: getattr(event, name) for name in stored}
        assert stored["hash"] == event_hash(stored["previous_hash"], {name: stored[name] for name in COVERED})
    assert (second.position, second.previous_hash) == (first.position + 1, first.hash)
    assert head() == (second.position, second.hash)
    assert verify().is_whole


def test_an_appended_event_is_known_to_be_stored(db: None) -> None:
    event = append()

    assert (event._state.adding, event._state.db) == (False, "default")
    assert AuditEvent.objects.get() == event


def test_nothing_that_turns_or_breaks_a_line_is_left_of_any_character(db: None) -> None:
    every = "".join(map(chr, range(0xD800))) + "".join(map(chr, range(0xE000, 0x11000)))
    forging = {"Cc", "Zl", "Zp"}
    turning = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
    hostile = [char for char in every if category(char) in forging or bidirectional(char) in turning]

    for begin in range(0, len(hostile), 100):
        event = append(actor_name="".join(hostile[begin : begin + 100]))
        assert set(event.actor_name) <= {" ", "\N{REPLACEMENT CHARACTER}"}


@pytest.mark.parametrize(
    "hostile",
    ["line\r\nforged: line", "\x1b[2Jclear", "\x9b2J", "\u2028new line", "\u202eright to left", "\u2066isolate\u2069"],
)
def test_text_that_could_forge_a_line_or_a_screen_is_made_harmless(db: None, hostile: str) -> None:
    event = append(actor_name=hostile, meta=Meta(browser=hostile, address=hostile, request_id=hostile))

    for text in (event.actor_name, event.browser, event.address, event.request_id):
        assert not set(text) & set("\r\n\x1b\x9b\u2028\u202e\u2066\u2069")
        assert text.strip()


def test_long_text_is_cut_to_what_the_column_holds(db: None) -> None:
    huge = "\U0001f511" * 5000

    append(actor_name=huge, meta=Meta(browser=huge, address=huge, request_id=huge))

    assert verify().is_whole


def test_a_database_error_means_it_cannot_be_recorded(db: None) -> None:
    with undone():
        run(f"ALTER TABLE {AuditHead._meta.db_table} RENAME TO elsewhere")

        with pytest.raises(CannotRecord):
            append()


def test_without_a_head_nothing_is_recorded(db: None) -> None:
    with undone():
        drop_triggers()
        AuditHead.objects.all().delete()

        with pytest.raises(CannotRecord):
            append()


def test_a_lock_that_is_not_had_in_time_means_it_cannot_be_recorded(fresh_db: None) -> None:
    """Somebody else holds the head for as long as this takes. On SQLite the transaction itself cannot begin."""
    has_it, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                record(Kind.HOST_CHANGED, by=None, meta=META)
                has_it.set()
                let_go.wait(30)
        finally:
            connection.close()

    holder = threading.Thread(target=hold)
    holder.start()
    assert has_it.wait(10)
    expected = CannotRecord if connection.vendor == "postgresql" else OperationalError

    with pytest.raises(expected), transaction.atomic():
        record(Kind.HOST_CREATED, by=None, meta=META)

    assert holder.is_alive()
    let_go.set()
    holder.join(10)
    assert [event.kind for event in AuditEvent.objects.all()] == ["host:changed"]
    assert verify().is_whole


def test_eight_threads_append_to_one_whole_chain(fresh_db: None) -> None:
    start = threading.Barrier(8)

    def work(number: int) -> int:
        written = 0
        try:
            start.wait(10)
            for turn in range(10):
                try:
                    append(thread=number, turn=turn)
                except (CannotRecord, OperationalError):
                    continue  # waited for more than two seconds on a busy machine: refused, and not written
                written += 1
        finally:
            connection.close()
        return written

    with ThreadPoolExecutor(8) as threads:
        written = list(threads.map(work, range(8)))

    report = verify()
    assert report.is_whole
    assert report.unprotected == []
    assert report.events == sum(written) == AuditEvent.objects.count()
    assert all(written)
    assert report.end == head()
