"""Stored secrets open only where they belong, and messages never quote what is secret."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from django.test import override_settings
from hypothesis import assume, example, given
from hypothesis import strategies as st

from omaccess import vault
from omaccess.errors import VaultError

PLACE = {"table": "iamcredential", "row": "7", "field": "secret"}
# Not random: they are part of the names of parametrised tests, which every worker must agree on.
FIRST, SECOND = bytes(range(32)), bytes(range(32, 64))


def listed(**keys: bytes) -> str:
    return ",".join(f"{name}:{base64.b64encode(key).decode()}" for name, key in keys.items())


@contextmanager
def keys(text: str) -> Iterator[None]:
    with override_settings(VAULT_KEYS=text):
        yield


@pytest.fixture(autouse=True)
def _one_key() -> Iterator[None]:
    with keys(listed(first=FIRST)):
        yield


any_text = st.text(st.characters(), max_size=200)
names = st.text(max_size=30)


# --- round trip ------------------------------------------------------------------------------------


@given(plain=any_text, table=names, row=names, field=names)
@example(plain="", table="", row="", field="")
@example(plain="\ud800", table="t", row="r", field="f")
@example(plain="\x00" * 5000, table="t", row="r", field="f")
def test_a_secret_comes_back_as_it_was(plain: str, table: str, row: str, field: str) -> None:
    sealed = vault.encrypt(plain, table=table, row=row, field=field)

    assert vault.decrypt(sealed, table=table, row=row, field=field) == plain


def test_the_ciphertext_names_its_key_and_hides_the_secret() -> None:
    sealed = vault.encrypt("correct horse", **PLACE)

    assert sealed.startswith("v1.first.")
    assert vault.key_id_of(sealed) == "first"
    assert "correct" not in sealed
    assert base64.b64encode(b"correct horse").decode().rstrip("=") not in sealed


def test_the_same_secret_never_looks_the_same() -> None:
    assert len({vault.encrypt("same", **PLACE) for _n in range(50)}) == 50


# --- what must not open ----------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["table", "row", "field"])
def test_a_ciphertext_that_was_moved_does_not_open(part: str) -> None:
    sealed = vault.encrypt("secret", **PLACE)

    with pytest.raises(VaultError, match="does not open"):
        vault.decrypt(sealed, **(PLACE | {part: "other"}))


@given(here=st.tuples(names, names, names), there=st.tuples(names, names, names))
@example(here=("ab", "c", ""), there=("a", "bc", ""))
@example(here=("a", "", "b"), there=("a", "b", ""))
def test_no_two_places_are_the_same(here: tuple[str, str, str], there: tuple[str, str, str]) -> None:
    assume(here != there)
    sealed = vault.encrypt("secret", table=here[0], row=here[1], field=here[2])

    with pytest.raises(VaultError):
        vault.decrypt(sealed, table=there[0], row=there[1], field=there[2])


@given(data=st.data(), plain=st.text(max_size=40))
def test_any_altered_character_keeps_it_shut(data: st.DataObject, plain: str) -> None:
    sealed = vault.encrypt(plain, **PLACE)
    index = data.draw(st.integers(0, len(sealed) - 1))
    other = data.draw(st.characters(min_codepoint=1, max_codepoint=255))
    assume(other != sealed[index])

    with pytest.raises(VaultError):
        vault.decrypt(sealed[:index] + other + sealed[index + 1 :], **PLACE)


@given(data=st.data(), extra=st.sampled_from([" ", "\n", "=", "!", "A", "é", "."]))
def test_any_added_or_lost_character_keeps_it_shut(data: st.DataObject, extra: str) -> None:
    sealed = vault.encrypt("secret", **PLACE)
    index = data.draw(st.integers(0, len(sealed)))

    with pytest.raises(VaultError):
        vault.decrypt(sealed[:index] + extra + sealed[index:], **PLACE)
    with pytest.raises(VaultError):
        vault.decrypt(sealed[: min(index, len(sealed) - 1)], **PLACE)


def test_stray_bits_of_the_last_character_keep_it_shut() -> None:
    """Python's base64 ignores them, so that several texts would stand for one ciphertext."""
    sealed = vault.encrypt("a", **PLACE)
    assert sealed.endswith("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = len(sealed.rstrip("=")) - 1
    neighbour = alphabet[alphabet.index(sealed[last]) ^ 1]

    with pytest.raises(VaultError, match="does not open"):
        vault.decrypt(sealed[:last] + neighbour + sealed[last + 1 :], **PLACE)


@given(text=st.text(max_size=80))
@example("")
@example("v1.first.")
@example("v1.first.AAAA")
@example("v1..AAAA")
@example("v2.first.AAAA")
@example("my plain password")
def test_rubbish_does_not_open_and_is_not_quoted(text: str) -> None:
    with pytest.raises(VaultError) as caught:
        vault.decrypt(text, **PLACE)

    assert len(text) < 4 or text not in str(caught.value)


# --- several keys ----------------------------------------------------------------------------------


def test_the_first_key_encrypts_and_all_decrypt() -> None:
    old = vault.encrypt("secret", **PLACE)

    with keys(listed(second=SECOND, first=FIRST)):
        new = vault.encrypt("secret", **PLACE)

        assert vault.primary_key_id() == "second"
        assert (vault.key_id_of(old), vault.key_id_of(new)) == ("first", "second")
        assert vault.decrypt(old, **PLACE) == vault.decrypt(new, **PLACE) == "secret"


def test_a_key_that_is_gone_is_named() -> None:
    sealed = vault.encrypt("secret", **PLACE)

    with keys(listed(second=SECOND)), pytest.raises(VaultError, match="no key with the id 'first'"):
        vault.decrypt(sealed, **PLACE)


def test_another_key_under_the_same_id_does_not_open() -> None:
    sealed = vault.encrypt("secret", **PLACE)

    with keys(listed(first=SECOND)), pytest.raises(VaultError, match="does not open"):
        vault.decrypt(sealed, **PLACE)


def test_a_ciphertext_relabelled_for_another_key_does_not_open() -> None:
    with keys(listed(first=FIRST, again=FIRST)):
        sealed = vault.encrypt("secret", **PLACE)

        with pytest.raises(VaultError, match="does not open"):
            vault.decrypt(sealed.replace(".first.", ".again."), **PLACE)


# --- VAULT_KEYS ------------------------------------------------------------------------------------

GOOD = base64.b64encode(FIRST).decode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds no key"),
        (" , ,", "holds no key"),
        (GOOD, "entry 1 is not of the form id:base64"),
        (f"a:{GOOD},{GOOD}", "entry 2 is not of the form id:base64"),
        (f":{GOOD}", "entry 1"),
        (f"{GOOD}:a", "entry 1"),
        (f"a.b:{GOOD}", "entry 1"),
        (f"a b:{GOOD}", "entry 1"),
        (f"{'x' * 33}:{GOOD}", "entry 1"),
        (f"a:{GOOD},a:{GOOD}", "the id a stands twice"),
        (f"a:{GOOD[:-1]}", "the key a is not base64"),
        (f"a:{GOOD[:20]} {GOOD[20:]}", "the key a is not base64"),
        (f"a:{GOOD[:-1]}é", "the key a is not base64"),
        (f"a:{base64.b64encode(FIRST[:16]).decode()}", "the key a has 16 bytes; 32 are needed"),
        (f"a:{base64.b64encode(FIRST * 2).decode()}", "the key a has 64 bytes"),
        ("a:", "the key a has 0 bytes"),
    ],
)
def test_a_malformed_list_says_what_is_wrong_and_quotes_no_key(text: str, why: str) -> None:
    with keys(text), pytest.raises(vault.InvalidKeys, match=why) as caught:
        vault.keys()

    said = str(caught.value)
    assert "VAULT_KEYS" in said
    assert not any(GOOD[start : start + 8] in said for start in range(len(GOOD) - 8))


def test_keys_may_be_base64url_and_stand_on_lines() -> None:
    raw = b"\xfb\xff" * 16

    with keys(f"\n a:{base64.urlsafe_b64encode(raw).decode()} ,\n b:{base64.b64encode(raw).decode()}\n"):
        assert vault.keys() == {"a": raw, "b": raw}
