"""What else reads text that people or files give: keys, ciphertexts, variables, worlds, patterns, addresses."""

from __future__ import annotations

import base64
import os
import time
import tomllib
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from environs import EnvError
from hypothesis import strategies as st

from omaccess import vault
from omaccess.cloud.endpoints import EndpointRules
from omaccess.cloud.errors import EndpointNotAllowed
from omaccess.cloud.login_url import parse_origin
from omaccess.errors import VaultError
from omaccess.models.inventory import address_key
from omaccess.models.launches import normalise_reference
from omaccess.sandbox.world import DEMO_WORLD, World, WorldError, parse_world
from omaccess.ticket_pattern import InvalidTicketPattern, check_ticket_pattern, is_ticket_ok
from portal.env import env
from tests.fuzz.budget import Explorer
from tests.fuzz.urls import links
from tests.fuzz.web import MOST_CPU_SECONDS, texts

KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
PLACE = {"table": "iamcredential", "row": "7", "field": "secret"}

_key_lists = st.lists(
    st.one_of(texts, st.tuples(st.one_of(st.sampled_from(("k1", "k2", "K1", "a" * 32, "a" * 33, "", "k 1")), texts),
        st.one_of(st.just(KEY), st.just(KEY.replace("=", "")),
            st.binary(max_size=40).map(lambda raw: base64.b64encode(raw).decode()), texts)).map(":".join)),
    max_size=3,
).map(",".join)  # fmt: skip


def test_vault_keys_are_read_or_refused_without_quoting_one(settings: Any, explorer: Explorer) -> None:
    def check(text: str) -> None:
        settings.VAULT_KEYS = text
        try:
            found = vault.keys()
        except vault.InvalidKeys as error:
            assert KEY not in str(error)  # noqa: PT017 - not every input raises
            return
        assert found
        assert all(len(key) == 32 for key in found.values())
        sealed = vault.encrypt("plain \ud800", **PLACE)
        assert vault.decrypt(sealed, **PLACE) == "plain \ud800"

    explorer.explore(
        _key_lists, check, few=100, share=0.03, examples=[f"k1:{KEY}", f"k1:{KEY},k1:{KEY}", "k1:\ud800", "", ","]
    )


@st.composite
def _altered(draw: st.DrawFn) -> tuple[str, str, dict[str, str]]:
    """A secret, how its ciphertext is spoilt (one place, a cut, or another text), and where it is opened."""
    plain = draw(texts)
    kind = draw(st.sampled_from(("same", "flip", "cut", "insert", "other", "moved")))
    place = dict(PLACE)
    if kind == "moved":
        place[draw(st.sampled_from(sorted(PLACE)))] = draw(texts)
    return plain, f"{kind} {draw(st.integers(0, 5000))} {draw(st.one_of(texts, st.characters()))}", place


def _spoil(sealed: str, how: str) -> str:
    kind, number, text = how.split(" ", 2)
    at = int(number) % len(sealed)
    return {
        "flip": sealed[:at] + (text[:1] or "A") + sealed[at + 1 :],
        "cut": sealed[:at],
        "insert": sealed[:at] + (text or "=") + sealed[at:],
        "other": text,
    }.get(kind, sealed)


def test_an_altered_or_moved_ciphertext_never_opens(settings: Any, explorer: Explorer) -> None:
    settings.VAULT_KEYS = f"k1:{KEY}"

    def check(case: tuple[str, str, dict[str, str]]) -> None:
        plain, how, place = case
        sealed = vault.encrypt(plain, **PLACE)
        spoilt = _spoil(sealed, how)
        if spoilt == sealed and place == PLACE:
            assert vault.decrypt(spoilt, **place) == plain
            return
        with pytest.raises(VaultError) as caught:
            vault.decrypt(spoilt, **place)
        # The complaint names the key's id, which here may be a text that is written in by the alteration itself.
        assert len(plain) < 12 or plain in spoilt or plain not in str(caught.value)

    examples = [
        ("x", "flip 30 \ud800", PLACE),
        ("x", "other 0 v1.k1.", PLACE),
        ("x", "other 0 v1.k1.AAAA", PLACE),
        ("x", "other 0 v1.k1.\u0661", PLACE),
        ("x", "moved 0 ", {**PLACE, "row": "\ud800"}),
    ]
    explorer.explore(_altered(), check, few=150, share=0.08, examples=examples)


def test_a_variable_of_any_text_is_read_or_refused_in_words(explorer: Explorer) -> None:
    name = "SALLYPORT_FUZZED"
    readers = {
        "int": env.int,
        "float": env.float,
        "bool": env.bool,
        "list": env.list,
        "str": env.str,
        "dj_db_url": env.dj_db_url,
    }

    def check(case: tuple[str, str, bool]) -> None:
        kind, text, is_file = case
        os.environ[f"{name}_FILE" if is_file else name] = text
        try:
            readers[kind](name)
        except (EnvError, ImproperlyConfigured) as error:
            assert name in str(error) or is_file  # noqa: PT017 - not every input raises
        finally:
            os.environ.pop(name, None)
            os.environ.pop(f"{name}_FILE", None)

    storable = texts.filter(lambda text: "\x00" not in text and _is_utf8((text,)))
    inputs = st.tuples(st.sampled_from(sorted(readers)), storable, st.booleans())
    explorer.explore(inputs, check, few=100, share=0.02, examples=[("str", "a" * 300, True)])


_demo = DEMO_WORLD.read_text(encoding="utf-8")
_lines = _demo.splitlines()


@st.composite
def _worlds(draw: st.DrawFn) -> str:
    """The demo's world with lines taken out, doubled, exchanged, or with other values."""
    lines = list(_lines)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        value = draw(
            st.sampled_from(
                (
                    '"x"',
                    '""',
                    "0",
                    "-1",
                    "1e400",
                    "nan",
                    "[]",
                    "{}",
                    "[[]]",
                    "true",
                    "1979-05-27",
                    '"\\u0000"',
                    '"http://[/"',
                    "99999999999999999999",
                    '["a", 1]',
                    '"' + "a" * 400 + '"',
                )
            )
        )
        key = lines[at].split("=")[0]
        lines[at] = draw(
            st.sampled_from(
                (
                    "",
                    lines[at] + "\n" + lines[at],
                    f"{key}= {value}",
                    draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
                    draw(st.sampled_from(_lines)),
                )
            )
        )
    return "\n".join(lines)


def test_a_world_of_any_text_is_loaded_or_refused_in_a_sentence(explorer: Explorer) -> None:
    def check(text: str) -> None:
        try:
            assert isinstance(parse_world(text), World)
        except WorldError as error:
            assert str(error)  # noqa: PT017 - not every input raises

    explorer.explore(_worlds(), check, few=30, share=0.003, examples=["a = " + "[" * 5000, "", "x = 1"])
    assert tomllib.loads(_demo)


def test_a_ticket_pattern_is_refused_or_matches_in_time(explorer: Explorer) -> None:
    def check(case: tuple[str, str]) -> None:
        pattern, ticket = case
        began = time.thread_time()
        try:
            check_ticket_pattern(pattern)
        except InvalidTicketPattern as error:
            assert str(error)  # noqa: PT017 - not every input raises
            return
        is_ticket_ok(pattern, ticket)
        assert time.thread_time() - began < MOST_CPU_SECONDS

    patterns = st.one_of(
        texts,
        st.text("ab(){}[]|*+?.^$\\0123456789,-:pPx", max_size=40),
        st.just("(a*)*" * 30),
        st.just("((a{100}){100}){100}"),
        st.just("(?i)" * 100),
    )
    inputs = st.tuples(patterns, st.one_of(texts, st.just("a" * 100))).filter(_is_utf8)
    explorer.explore(inputs, check, few=150, share=0.05, examples=[("(a+)+$", "a" * 100 + "b"), ("\x00", "\x00")])


def _is_utf8(given: tuple[str, ...]) -> bool:
    """Without lone surrogates: no form and no file can hold one."""
    return not any("\ud800" <= char <= "\udfff" for text in given for char in text)


def test_addresses_and_references_of_any_text_have_one_canonical_form(explorer: Explorer) -> None:
    rules = EndpointRules(["https://*.myhuaweicloud.com"], allow_http_loopback=False)

    def check(text: str) -> None:
        assert normalise_reference(normalise_reference(text)) == normalise_reference(text)
        assert address_key(address_key(text)) == address_key(text)
        try:
            origin = parse_origin(text)
        except ValueError:
            pass
        else:
            assert parse_origin(origin) == origin
        try:
            endpoint = rules.check(text)
        except EndpointNotAllowed:
            return
        assert endpoint.startswith("https://")
        assert endpoint.endswith(".myhuaweicloud.com")

    endpoints = links.map(lambda text: text.replace("example.com", "myhuaweicloud.com"))
    explorer.explore(st.one_of(texts, links, endpoints), check, few=150, share=0.07)
