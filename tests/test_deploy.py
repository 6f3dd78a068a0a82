"""What operators are given: the list of variables, gunicorn's configuration, the refusal to start, the Makefile."""

from __future__ import annotations

import ast
import json
import os
import re
import runpy
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import production

ROOT = Path(__file__).resolve().parent.parent
READERS = [
    "portal/settings.py",
    "portal/env.py",
    "portal/startup.py",
    "deploy/gunicorn.conf.py",
    *(str(path.relative_to(ROOT)) for path in ROOT.glob("*/management/commands/*.py")),
]


def variables_read(path: Path) -> Iterator[str]:
    """Names given to env.str("NAME"), required("NAME"), labels("NAME") and os.environ.get("NAME")."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant)):
            continue
        function = ast.unparse(node.func)
        if re.fullmatch(r"env\.\w+|required|labels|os\.environ\.get", function) and isinstance(node.args[0].value, str):
            yield node.args[0].value


def variables_explained() -> list[str]:
    text = (ROOT / "deploy" / "env.example").read_text(encoding="utf-8")
    return re.findall(r"^#?([A-Z][A-Z0-9_]*)=", text, flags=re.MULTILINE)


# --- variables -------------------------------------------------------------------------------------


def test_every_variable_is_explained_and_every_explained_one_is_read() -> None:
    read = {name for path in READERS for name in variables_read(ROOT / path)}

    explained = variables_explained()

    assert set(explained) == read
    assert len(explained) == len(set(explained))


def test_the_example_only_lacks_the_keys(tmp_path: Path) -> None:
    example = (ROOT / "deploy" / "env.example").read_text(encoding="utf-8")
    (tmp_path / "env").write_text(example, encoding="utf-8")
    bare = {"PATH": os.environ["PATH"], "ENV_FILE": str(tmp_path / "env"), "DATA_DIR": str(tmp_path)}
    check = ["check", "--fail-level", "WARNING"]

    without = production.manage(*check, env=bare, is_quiet=True)
    keys = {
        name: value for name, value in production.variables(tmp_path).items() if name in {"SECRET_KEY", "VAULT_KEYS"}
    }
    with_keys = production.manage(*check, env={**bare, **keys}, is_quiet=True)

    assert "SECRET_KEY (or SECRET_KEY_FILE) is not set" in without.stderr
    assert with_keys.returncode == 0, with_keys.stderr


# --- gunicorn ----------------------------------------------------------------------------------------


@pytest.fixture
def gunicorn_settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    for name, value in {"BIND": "127.0.0.1:8000,[::1]:8000", "WEB_THREADS": "6", "ATTEMPT_SECONDS": "20"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("ENV_FILE", raising=False)
    return runpy.run_path(str(ROOT / "deploy" / "gunicorn.conf.py"))


def test_gunicorn_takes_what_can_be_chosen_from_the_environment(gunicorn_settings: dict[str, Any]) -> None:
    assert gunicorn_settings["bind"] == ["127.0.0.1:8000", "[::1]:8000"]
    assert gunicorn_settings["threads"] == 6
    assert gunicorn_settings["graceful_timeout"] > 20


def test_gunicorn_trusts_no_proxy_by_itself_and_keeps_no_access_log(gunicorn_settings: dict[str, Any]) -> None:
    assert gunicorn_settings["forwarded_allow_ips"] == ""
    assert gunicorn_settings["accesslog"] is None
    assert gunicorn_settings["control_socket_disable"] is True


# --- refusing to start ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broken_installation(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Somebody dropped one of the audit's triggers. Nothing starts in it, so nothing changes it further."""
    folder = tmp_path_factory.mktemp("installation")
    env = production.variables(folder)
    production.manage("migrate", "--verbosity", "0", env=env).check_returncode()
    with sqlite3.connect(folder / "sallyport.sqlite3") as database:
        database.execute("DROP TRIGGER audit_events_no_update")
    database.close()
    return env


@pytest.mark.parametrize(
    "command",
    [
        ["gunicorn", "-c", "deploy/gunicorn.conf.py", "portal.wsgi"],
        ["celery", "-A", "portal.startup", "worker", "--pool", "threads", "--concurrency", "1"],
        ["celery", "-A", "portal.startup", "beat", "--pidfile="],
    ],
    ids=["web", "worker", "scheduler"],
)
def test_nothing_starts_when_the_audit_can_be_changed(
    command: list[str], broken_installation: dict[str, str], tmp_path: Path
) -> None:
    schedule = ["--schedule", str(tmp_path / "schedule")] if "beat" in command else []

    process = subprocess.run(
        [sys.executable, "-m", *command, *schedule],
        cwd=ROOT,
        env={**broken_installation, "BIND": f"unix:{tmp_path}/web"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert process.returncode != 0
    assert "The audit's trigger audit_events_no_update is missing or altered." in process.stdout + process.stderr
    if "gunicorn" in command:
        (refusal,) = [line for line in map(json.loads, process.stderr.splitlines()) if "audit_events" in line["event"]]
        assert (refusal["logger"], refusal["level"]) == ("gunicorn.error", "error")


# --- PostgreSQL's two roles ------------------------------------------------------------------------------


@pytest.mark.postgresql
def test_the_restricted_role_can_run_the_portal_and_cannot_change_the_audit(tmp_path: Path) -> None:
    sandbox = {**production.variables(tmp_path), "CLOUD": "sandbox", "ALLOW_SANDBOX": "1"}
    change = "UPDATE omaccess_auditevent SET actor_name = 'nobody'"
    shell = f"from django.db import connection; connection.cursor().execute({change!r})"

    with production.postgresql(sandbox) as env:
        demo_data = production.manage("demo_data", env=env, is_quiet=True)
        verify = "from portal.startup import verify; verify()"
        verified = production.manage("shell", "--no-imports", "-c", verify, env=env, is_quiet=True)
        changed = production.manage("shell", "--no-imports", "-c", shell, env=env, is_quiet=True)

    assert demo_data.returncode == 0, demo_data.stderr
    assert verified.returncode == 0, verified.stderr
    assert "permission denied" in changed.stderr


# --- the Makefile ------------------------------------------------------------------------------------------


def make_with(tmp_path: Path, pythons: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`make venv-made` on a machine with these interpreters only; each is a shell script."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in ("sh", "rm", "cat", "test"):
        found = shutil.which(tool)
        assert found is not None
        (tools / tool).symlink_to(found)
    for name, script in pythons.items():
        (tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (tools / name).chmod(0o755)
    shutil.copy(ROOT / "Makefile", tmp_path)
    make = shutil.which("make")
    assert make is not None
    return subprocess.run(
        [make, "-s", "venv-made"], cwd=tmp_path, env={"PATH": str(tools)}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(
    ("pythons", "sentence"),
    [
        ({}, "Python 3.11 or newer is needed, and neither python3.11 nor python3 is here."),
        (
            {"python3": 'case "$2" in *print*) echo 3.9;; *) exit 1;; esac'},
            "Python 3.11 or newer is needed; python3 is 3.9. Set PYTHON to another one.",
        ),
        (
            {"python3": 'case "$2" in *print*) echo 3.11;; *ensurepip*) exit 1;; esac'},
            "python3 lacks the module venv; install it (on Debian and Ubuntu: python3.11-venv).",
        ),
    ],
    ids=["no Python", "too old", "no venv"],
)
@pytest.mark.skipif(shutil.which("make") is None, reason="make is not here")
def test_a_missing_python_is_one_clear_sentence(pythons: dict[str, str], sentence: str, tmp_path: Path) -> None:
    made = make_with(tmp_path, pythons)

    assert made.returncode != 0
    assert made.stderr.splitlines()[0] == sentence


def test_no_lock_and_no_makefile_names_a_package_index() -> None:
    for name in ("requirements.txt", "requirements-dev.txt", "Makefile", "pyproject.toml"):
        text = (ROOT / name).read_text(encoding="utf-8")

        assert not re.search(r"--(extra-)?index-url|--find-links|https?://[^\s]*simple", text), name


def test_the_development_lock_contains_the_running_one() -> None:
    def pinned(name: str) -> set[str]:
        return set(re.findall(r"^([a-z0-9._\[\]-]+==[^\s;]+)", (ROOT / name).read_text(), flags=re.MULTILINE))

    assert pinned("requirements.txt") <= pinned("requirements-dev.txt")
