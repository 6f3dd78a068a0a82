"""SECURITY.md says what tests show: each test that it names exists, and nothing that it must speak of is missing."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from django.urls import get_resolver

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")

INCIDENTS = (
    "tokens listed by an API",
    "predictable secrets",
    "limits keyed on spoofed addresses",
    "open redirects",
    "CRLF and control characters in parameters",
    "SSRF through endpoints",
    "TLS not verified",
    "format strings on user text",
    "roles that replace instead of add",
    "default users",
    "health pages that talk",
    "clickjacking",
    "checks skipped for young tokens",
    "user switched between two steps",
)


@cache
def collected_from(path: str) -> frozenset[str]:
    """The test functions that pytest collects from a file, by syntax: nothing is imported or run."""
    if not (ROOT / path).is_file():
        return frozenset()
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    functions = (node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(name for name in functions if name.startswith("test_"))


def missing(text: str) -> list[str]:
    return [f"{path}::{name}" for path, name in NAMED.findall(text) if name not in collected_from(path)]


def rows_of(heading: str) -> list[list[str]]:
    """The cells of a section's table, without its head."""
    section = TEXT.split(f"\n{heading}\n", 1)[1].split("\n## ")[0].split("\n### ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_every_test_that_is_named_exists() -> None:
    assert len(NAMED.findall(TEXT)) > 100
    assert missing(TEXT) == []


@pytest.mark.parametrize(
    "named",
    [
        "`tests/test_security_document.py::test_that_nobody_wrote`",
        "`tests/test_nowhere.py::test_every_test_that_is_named_exists`",
        "`tests/test_security_document.py::rows_of`",
    ],
)
def test_a_test_that_does_not_exist_would_be_found(named: str) -> None:
    assert len(missing(named)) == 1


def test_every_word_that_looks_like_a_test_is_one() -> None:
    without = NAMED.sub("", TEXT)

    assert re.findall(r"tests/\S+|::\w*test_\w+", without) == []


def test_every_incident_of_the_list_has_its_row_and_a_test() -> None:
    rows = {row[0]: row for row in rows_of("## Incidents of comparable portals")}

    assert list(rows) == list(INCIDENTS)
    assert [name for name, row in rows.items() if not NAMED.search(row[-1])] == []


@pytest.mark.parametrize(
    "heading",
    [
        *("### A. The decision", "### B. The record", "### C. Passwords, tokens, links, keys"),
        *("### D. Sign-ins and sessions", "### E. The inventory", "### F. That it works"),
    ],
)
def test_every_threat_names_its_kind_what_stops_it_and_a_test(heading: str) -> None:
    rows = rows_of(heading)

    assert len(rows) >= 4
    for kind, threat, stop, shown in rows:
        assert kind in set("STRIDE")
        assert threat
        assert stop
        assert NAMED.search(shown), threat


def test_every_family_of_addresses_is_an_entry_point() -> None:
    entries = " ".join(row[0] for row in rows_of("## Entry points"))
    families = {_family(pattern) for pattern in get_resolver().url_patterns}
    families |= {_family(pattern) for pattern in _inner(get_resolver().url_patterns[-1])}

    assert len(families) >= 8
    assert [family for family in sorted(families) if f"`{family}`" not in entries] == []


def _family(pattern: Any) -> str:
    """`/accounts/` for everything below it."""
    first, slash, _rest = str(pattern.pattern).partition("/")
    return f"/{first}{slash}"


def _inner(pattern: Any) -> list[Any]:
    inner: list[Any] = pattern.url_patterns
    return inner


def test_every_command_is_an_entry_point() -> None:
    commands = {
        path.stem
        for app in ("accounts", "omaccess", "portal")
        for path in (ROOT / app).glob("management/commands/*.py")
        if path.stem != "__init__"
    }
    entries = " ".join(row[0] for row in rows_of("## Entry points"))

    assert len(commands) >= 7
    assert [name for name in sorted(commands) if f"`{name}`" not in entries] == []


def test_the_document_stays_readable() -> None:
    assert len(TEXT.splitlines()) <= 350
