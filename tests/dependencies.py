"""What the portal is made of: python -m tests.dependencies audit | unused | licences | check-licences | sbom

`audit` says what was found, and what could not be looked up: an audit that knew none of the packages must not look
like a clean one. Its exit code is 1 only with STRICT_AUDIT=1, because a machine without a way to the vulnerability
service must still be able to run the other checks. The others need no network and fail when something is wrong.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RUN_LOCK = ROOT / "requirements.txt"
DEV_LOCK = ROOT / "requirements-dev.txt"

AUDIT = (
    *(sys.executable, "-m", "pip_audit", "-r", str(RUN_LOCK), "-r", str(DEV_LOCK), "--require-hashes"),
    *("--disable-pip", "--format", "json", "--progress-spinner", "off"),
)
DEPTRY = (sys.executable, "-m", "deptry", ".", "--no-ansi")
UNUSED = (
    # The product alone: nothing of the development group may be imported. Then everything, that group included.
    DEPTRY,
    (*DEPTRY, "--non-dev-dependency-groups", "dev", "--exclude", r"\.venv", "--exclude", "var"),
)
LICENCES = (sys.executable, "-m", "piplicenses", "--from=mixed", "--with-system", "--format=json", "--packages")


@dataclass(frozen=True, slots=True)
class Locked:
    """One package of a lock. A `marker` means that not every machine installs it; `needed_by` are package names."""

    name: str
    version: str
    marker: str
    needed_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """`[tool.sallyport.licences]` of pyproject.toml."""

    allowed: frozenset[str]
    reviewed: Mapping[str, str]
    by_hand: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Result:
    """Sentences for people. `is_clean` only when every dependency was looked up and none has a known hole."""

    is_clean: bool
    lines: tuple[str, ...]


_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(?:\[[^]]*\])?==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>.*?))?\s*\\?$")
_VIA = re.compile(r"^\s+#(?:\s+via)?\s+(?P<name>[A-Za-z0-9._-]+)(?:\s+\(pyproject\.toml\))?$")


def normal(name: str) -> str:
    """A package's name as locks write it: Django and django are one package."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_lock(text: str) -> list[Locked]:
    """The packages of a lock, in its order."""
    locked: list[Locked] = []
    for line in text.splitlines():
        if pin := _PIN.match(line):
            locked.append(Locked(normal(pin["name"]), pin["version"], pin["marker"] or "", ()))
        elif locked and (via := _VIA.match(line)) and via["name"] != "via":
            last = locked[-1]
            locked[-1] = Locked(last.name, last.version, last.marker, (*last.needed_by, normal(via["name"])))
    return locked


def policy() -> Policy:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    table = tools["sallyport"]["licences"]
    return Policy(frozenset(table["allowed"]), table["reviewed"], table["by-hand"])


def stated_licences(locked: Sequence[Locked], by_hand: Mapping[str, str]) -> dict[str, str]:
    """Licences by package, as the installed packages state them; parts are separated by `; `.

    A package that not every machine installs is answered from `by_hand`, so that every machine says the same.

    Raises: ValueError when this environment is not the lock's.
    """
    names = [package.name for package in locked]
    done = subprocess.run([*LICENCES, *names], capture_output=True, text=True, check=True)
    installed = {normal(row["Name"]): (row["Version"], row["License"]) for row in json.loads(done.stdout)}
    stated: dict[str, str] = {}
    for package in locked:
        version, licence = installed.get(package.name, ("", ""))
        if package.name in by_hand and package.marker:
            stated[package.name] = by_hand[package.name]
        elif version == package.version:
            stated[package.name] = licence
        else:
            found = version or "nothing"
            raise ValueError(f"{package.name} {package.version} is locked, and {found} is installed.")
    return stated


def refused_licences(stated: Mapping[str, str], rules: Policy) -> list[str]:
    """One sentence for each package that may not be used like this, and for each rule that is about no package."""
    refused = []
    for name, licence in stated.items():
        is_allowed = all(part.strip() in rules.allowed for part in licence.split(";"))
        if not is_allowed and rules.reviewed.get(name) != licence:
            refused.append(f"{name} has the licence {licence!r}, which pyproject.toml neither allows nor has reviewed.")
    for name in (*rules.reviewed, *rules.by_hand):
        if name not in stated:
            refused.append(f"pyproject.toml has a rule about the licence of {name}, which is not locked any more.")
    return refused


def read_audit(output: str, errors: str, run_time: frozenset[str]) -> Result:
    """What pip-audit's JSON says; anything else means that it could not do its work."""
    try:
        dependencies: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (errors.strip().splitlines() or ["no reason was given"])[-1]
        return Result(False, (f"The dependency audit could not be done: {last}",))
    holes = [
        f"{dependency['name']} {dependency['version']}: {hole['id']}, fixed in {', '.join(hole['fix_versions']) or '-'}"
        + ("" if normal(dependency["name"]) in run_time else " (development only)")
        for dependency in dependencies
        for hole in dependency.get("vulns", ())
    ]
    unknown = [dependency["name"] for dependency in dependencies if "skip_reason" in dependency]
    looked_up = len(dependencies) - len(unknown)
    first = f"{looked_up} of {len(dependencies)} locked dependencies were looked up, {len(holes)} known holes."
    if unknown and not looked_up:
        first = f"None of {len(unknown)} locked dependencies could be looked up: the service answers for none of them."
    elif unknown:
        first += f" The service does not answer for {', '.join(unknown)}."
    return Result(not holes and not unknown and bool(dependencies), (first, *holes))


def _audit() -> int:
    run_time = frozenset(package.name for package in read_lock(RUN_LOCK.read_text(encoding="utf-8")))
    done = subprocess.run(AUDIT, capture_output=True, text=True, check=False)
    result = read_audit(done.stdout, done.stderr, run_time)
    _say(*result.lines)
    return 1 if os.environ.get("STRICT_AUDIT", "") == "1" and not result.is_clean else 0


def _unused() -> int:
    for command in UNUSED:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            _say((done.stdout + done.stderr).strip())
            return done.returncode
    _say("Every package that is imported is declared, and every package that is declared is used.")
    return 0


def _licences(*, is_table: bool) -> int:
    locked = read_lock(RUN_LOCK.read_text(encoding="utf-8"))
    rules = policy()
    stated = stated_licences(locked, rules.by_hand)
    if is_table:
        wide = max(len(package.name) for package in locked)
        for package in locked:
            note = "  (reviewed)" if package.name in rules.reviewed else ""
            _say(f"{package.name:{wide}}  {package.version:12}  {stated[package.name]}{note}")
        return 0
    refused = refused_licences(stated, rules)
    _say(*refused or (f"The licences of {len(stated)} run-time packages are allowed or reviewed.",))
    return 1 if refused else 0


def _sbom() -> int:
    # Only here: its library is large, and the other checks must not wait for it.
    from tests.sbom import build

    target = ROOT / "var" / "sbom.cdx.json"
    target.parent.mkdir(exist_ok=True)
    locked = read_lock(RUN_LOCK.read_text(encoding="utf-8"))
    target.write_text(build(RUN_LOCK, stated_licences(locked, policy().by_hand)), encoding="utf-8")
    _say(f"{target.relative_to(ROOT)}: {len(locked)} packages, valid CycloneDX.")
    return 0


def _say(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    raise SystemExit(
        {
            "audit": _audit,
            "unused": _unused,
            "licences": lambda: _licences(is_table=True),
            "check-licences": lambda: _licences(is_table=False),
            "sbom": _sbom,
        }[sys.argv[1]]()
    )
