"""What is said about the packages the portal is made of: known holes, licences, and the bill of materials."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.dependencies import (
    AUDIT,
    DEV_LOCK,
    ROOT,
    RUN_LOCK,
    UNUSED,
    Policy,
    normal,
    policy,
    read_audit,
    read_lock,
    refused_licences,
    stated_licences,
)
from tests.sbom import build, compose

RUN_TIME = read_lock(RUN_LOCK.read_text(encoding="utf-8"))
RUN_TIME_NAMES = frozenset(package.name for package in RUN_TIME)


def output(*dependencies: Mapping[str, object]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


CLEAN = {"name": "django", "version": "5.2.1", "vulns": []}
HOLE = {"id": "PYSEC-1", "fix_versions": ["3.2"], "aliases": [], "description": ""}


def test_every_dependency_looked_up_and_none_with_a_hole_is_clean() -> None:
    result = read_audit(output(CLEAN), "", RUN_TIME_NAMES)

    assert result.is_clean
    assert result.lines == ("1 of 1 locked dependencies were looked up, 0 known holes.",)


def test_a_known_hole_is_named_with_its_fix() -> None:
    result = read_audit(output(CLEAN, {"name": "celery", "version": "3.1", "vulns": [HOLE]}), "", RUN_TIME_NAMES)

    assert not result.is_clean
    assert "celery 3.1: PYSEC-1, fixed in 3.2" in result.lines


def test_a_hole_in_a_development_tool_says_so() -> None:
    result = read_audit(output({"name": "PyTest", "version": "3.1", "vulns": [HOLE]}), "", RUN_TIME_NAMES)

    assert not result.is_clean
    assert result.lines[1].endswith("(development only)")


def test_an_audit_that_knew_nothing_is_one_line_and_not_clean() -> None:
    result = read_audit(output({"name": "django", "skip_reason": "not found"}), "", RUN_TIME_NAMES)

    assert not result.is_clean
    assert result.lines == ("None of 1 locked dependencies could be looked up: the service answers for none of them.",)


def test_an_audit_that_knew_some_names_the_others() -> None:
    result = read_audit(output(CLEAN, {"name": "celery", "skip_reason": "not found"}), "", RUN_TIME_NAMES)

    assert not result.is_clean
    assert len(result.lines) == 1
    assert "celery" in result.lines[0]


def test_no_answer_is_told_with_the_reason() -> None:
    result = read_audit("", "INFO: asking\nERROR: the service cannot be reached\n", RUN_TIME_NAMES)

    assert not result.is_clean
    assert result.lines == ("The dependency audit could not be done: ERROR: the service cannot be reached",)


def test_the_audit_asks_about_both_locks() -> None:
    assert {str(RUN_LOCK), str(DEV_LOCK)} <= set(AUDIT)


def test_every_package_of_the_locks_is_pinned_with_hashes() -> None:
    for lock in (RUN_LOCK, DEV_LOCK):
        blocks = re.split(r"\n(?=[A-Za-z0-9])", lock.read_text(encoding="utf-8"))[1:]

        assert len(blocks) == len(read_lock(lock.read_text(encoding="utf-8"))) > 40
        assert [block for block in blocks if "--hash=sha256:" not in block] == []


def test_every_package_that_pyproject_asks_for_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wanted = {normal(re.split(r"[^A-Za-z0-9._-]", line)[0]) for line in project["project"]["dependencies"]}

    assert wanted
    assert wanted <= RUN_TIME_NAMES


@pytest.fixture(scope="module")
def project_with_faults(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project under this repository's rules: one import undeclared, one borrowed, one package unused."""
    folder = tmp_path_factory.mktemp("project")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    start, end = text.index("dependencies = ["), text.index("[dependency-groups]")
    (folder / "pyproject.toml").write_text(
        f'{text[:start]}dependencies = ["requests", "gunicorn", "environs"]\n{text[end:]}', encoding="utf-8"
    )
    (folder / "module.py").write_text("import hypothesis\nimport requests\nimport urllib3\nimport unheard_of\n")
    return folder


def test_unused_undeclared_and_borrowed_packages_are_found(project_with_faults: Path) -> None:
    done = subprocess.run(UNUSED[0], cwd=project_with_faults, capture_output=True, text=True, check=False)

    found = dict(re.findall(r"(DEP\d+) '([\w-]+)'", done.stdout + done.stderr))
    assert done.returncode == 1
    assert found == {"DEP001": "unheard_of", "DEP002": "environs", "DEP003": "urllib3", "DEP004": "hypothesis"}


RULES = Policy(frozenset({"MIT", "BSD License"}), {"drivers": "LGPL-3.0-only"}, {})


@pytest.mark.parametrize(
    ("stated", "refused"),
    [
        ({"drivers": "LGPL-3.0-only", "one": "MIT"}, []),
        ({"drivers": "LGPL-3.0-only", "one": "MIT; BSD License"}, []),
        ({"drivers": "LGPL-3.0-only", "one": "AGPL-3.0-only"}, ["one"]),
        ({"drivers": "LGPL-3.0-only", "one": "MIT; AGPL-3.0-only"}, ["one"]),
        ({"drivers": "LGPL-3.0-only", "one": "UNKNOWN"}, ["one"]),
        ({"drivers": "LGPL-3.0-only", "one": ""}, ["one"]),
        ({"drivers": "LGPL-3.0-only", "one": "LGPL-3.0-only"}, ["one"]),
        ({"drivers": "GPL-3.0-only", "one": "MIT"}, ["drivers"]),
        ({"one": "MIT"}, ["drivers"]),
    ],
)
def test_a_licence_neither_allowed_nor_reviewed_is_refused(stated: dict[str, str], refused: list[str]) -> None:
    sentences = refused_licences(stated, RULES)

    assert len(sentences) == len(refused)
    assert all(name in sentence for name, sentence in zip(refused, sentences, strict=True))


@pytest.fixture(scope="module")
def licences() -> dict[str, str]:
    return stated_licences(RUN_TIME, policy().by_hand)


def test_the_licences_of_the_run_time_packages_are_all_in_order(licences: dict[str, str]) -> None:
    assert licences.keys() == RUN_TIME_NAMES
    assert refused_licences(licences, policy()) == []


def test_a_package_installed_in_another_version_than_locked_is_no_source_of_licences() -> None:
    [django] = [package for package in RUN_TIME if package.name == "django"]
    other = type(django)(django.name, "1.0", django.marker, django.needed_by)

    with pytest.raises(ValueError, match=re.escape("django 1.0 is locked")):
        stated_licences([other], {})


@pytest.fixture(scope="module")
def bill_text(licences: dict[str, str]) -> str:
    return compose(RUN_LOCK, licences)


@pytest.fixture(scope="module")
def bill(bill_text: str) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(bill_text)
    return read


@pytest.fixture
def small_lock(tmp_path: Path) -> Path:
    """Three packages of the real lock; validating all of them takes long."""
    blocks = re.split(r"\n(?=[A-Za-z0-9])", RUN_LOCK.read_text(encoding="utf-8"))
    lock = tmp_path / "requirements.txt"
    lock.write_text("\n".join(block for block in blocks if block.startswith(("celery=", "idna=", "tzdata="))))
    return lock


def test_the_bill_of_materials_has_the_same_bytes_for_the_same_lock(
    bill_text: str, licences: dict[str, str], tmp_path: Path
) -> None:
    stated = tmp_path / "licences.json"
    stated.write_text(json.dumps(dict(reversed(licences.items()))), encoding="utf-8")
    code = (
        "import json, sys; from pathlib import Path; from tests.sbom import compose;"
        "lock, licences = map(Path, sys.argv[1:]);"
        "sys.stdout.write(compose(lock, json.loads(licences.read_text())))"
    )

    # Another process orders its sets differently.
    other = subprocess.run(
        [sys.executable, "-c", code, str(RUN_LOCK), str(stated)],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert len(other) > 10_000
    assert other == bill_text


def test_the_bill_of_materials_is_valid_and_a_broken_one_is_not(small_lock: Path) -> None:
    text = build(small_lock, {"celery": "BSD-3-Clause", "idna": "BSD License", "tzdata": "MIT; BSD License"})
    validator = JsonStrictValidator(SchemaVersion.V1_6)

    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"type": "library"', '"type": "thing"')) is not None


def test_the_bill_of_materials_lists_exactly_the_lock(bill: dict[str, Any]) -> None:
    listed = {(component["name"], component["version"]) for component in bill["components"]}
    hashes = {
        entry["content"]
        for component in bill["components"]
        for reference in component["externalReferences"]
        for entry in reference["hashes"]
    }

    assert len(bill["components"]) == len(listed)
    assert listed == {(package.name, package.version) for package in RUN_TIME}
    assert hashes == set(re.findall(r"--hash=sha256:(\w+)", RUN_LOCK.read_text(encoding="utf-8")))


def test_the_bill_of_materials_states_every_licence(bill: dict[str, Any]) -> None:
    assert [component["name"] for component in bill["components"] if not component.get("licenses")] == []


def test_the_bill_of_materials_says_who_needs_whom(bill: dict[str, Any]) -> None:
    needs = {entry["ref"]: entry.get("dependsOn", []) for entry in bill["dependencies"]}
    of_requests = {ref.partition("@")[0] for ref in next(v for k, v in needs.items() if "/requests@" in k)}
    reached, todo = set[str](), ["root-component"]
    while todo:
        ref = todo.pop()
        todo += [needed for needed in needs[ref] if needed not in reached]
        reached.add(ref)

    assert {"pkg:pypi/certifi", "pkg:pypi/urllib3", "pkg:pypi/idna"} <= of_requests
    assert len(reached) == len(RUN_TIME) + 1
