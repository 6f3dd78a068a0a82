"""Whatever deploy/ sets is a variable that exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from tests.deploy import tools

# Of Python, of the images and of compose itself; not the portal's.
FOREIGN = {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED", "PATH", "PORTAL_NAME"}
SERVICES = ("web-1", "web-2", "worker", "scheduler", "migrate")


def explained() -> set[str]:
    text = (tools.DEPLOY / "env.example").read_text(encoding="utf-8")
    return set(re.findall(r"^#?([A-Z][A-Z0-9_]*)=", text, flags=re.MULTILINE))


def unknown(names: Iterator[str]) -> set[str]:
    return {name.removesuffix("_FILE") if name != "ENV_FILE" else name for name in names} - explained() - FOREIGN


def in_manifests() -> Iterator[str]:
    def walk(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            if node.get("kind") == "ConfigMap":
                yield from node["data"]
            for variable in node.get("env", []) if isinstance(node.get("env"), list) else []:
                yield variable["name"]
            for value in node.values():
                yield from walk(value)
        elif isinstance(node, list):
            for value in node:
                yield from walk(value)

    for path in (tools.DEPLOY / "kubernetes").rglob("*.yaml"):
        for document in tools.documents(path):
            yield from walk(document)


def test_units_set_variables_that_exist() -> None:
    lines = [
        pair
        for unit in (tools.DEPLOY / "systemd").glob("*.service")
        for line in re.findall(r"^Environment=(.*)$", unit.read_text(), flags=re.MULTILINE)
        for pair in line.split()
    ]

    assert lines
    assert unknown(pair.split("=")[0] for pair in lines) == set()


def test_the_image_sets_variables_that_exist() -> None:
    last = (tools.DEPLOY / "Dockerfile").read_text(encoding="utf-8").split("FROM ")[-1]
    block = re.search(r"^ENV ((?:.*\\\n)*.*)$", last, flags=re.MULTILINE)

    assert block is not None
    assert unknown(iter(re.findall(r"\b([A-Z][A-Z_]+)=", block[1]))) == set()


def test_compose_sets_variables_that_exist() -> None:
    compose = tools.documents(tools.DEPLOY / "compose.yaml")[0]

    for name in SERVICES:
        assert unknown(iter(compose["services"][name]["environment"])) == set(), name


def test_manifests_set_variables_that_exist() -> None:
    assert len(set(in_manifests())) > 8
    assert unknown(in_manifests()) == set()
