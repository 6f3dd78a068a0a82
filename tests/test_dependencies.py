"""What the dependency audit says, and when it counts as clean."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tests.dependencies import read


def output(*dependencies: Mapping[str, object]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


CLEAN = {"name": "django", "version": "5.2.1", "vulns": []}


def test_every_dependency_looked_up_and_none_with_a_hole_is_clean() -> None:
    result = read(output(CLEAN), "")

    assert result.is_clean
    assert result.lines == ("1 of 1 locked dependencies were looked up, 0 known holes.",)


def test_a_known_hole_is_named_with_its_fix() -> None:
    hole = {"id": "PYSEC-1", "fix_versions": ["3.2"], "aliases": [], "description": ""}

    result = read(output(CLEAN, {"name": "celery", "version": "3.1", "vulns": [hole]}), "")

    assert not result.is_clean
    assert "celery 3.1: PYSEC-1, fixed in 3.2" in result.lines


def test_an_audit_that_knew_nothing_is_not_clean() -> None:
    result = read(output({"name": "django", "skip_reason": "not found"}), "")

    assert not result.is_clean
    assert result.lines[0].startswith("0 of 1 locked dependencies were looked up")
    assert "django" in result.lines[1]


def test_no_answer_is_told_with_the_reason() -> None:
    result = read("", "INFO: asking\nERROR: the service cannot be reached\n")

    assert not result.is_clean
    assert result.lines == ("The dependency audit could not be done: ERROR: the service cannot be reached",)
