"""The units: systemd understands them, keeps them locked in, and they start what the rest of deploy/ configures."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from typing import Any

import pytest

from tests.deploy import tools

UNITS = tools.DEPLOY / "systemd"
SERVICES = ("sallyport-web", "sallyport-worker", "sallyport-scheduler")
MOST_EXPOSED = 20
"""Tenths: `systemd-analyze security` says 0 (locked in) to 100 (an ordinary root service is at 96)."""
HOME = "/srv/sallyport/current"


def settings_of(unit: str) -> dict[str, list[str]]:
    """Each setting with its values, in the order of the file."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text(encoding="utf-8").splitlines():
        if "=" in line and not line.startswith("#"):
            name, _, value = line.partition("=")
            found.setdefault(name, []).append(value)
    return found


@pytest.fixture
def gunicorn_settings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """gunicorn.conf.py with the longest launch that the settings allow."""
    monkeypatch.delenv("ENV_FILE", raising=False)
    monkeypatch.setenv("ATTEMPT_SECONDS", "60")
    return runpy.run_path(str(tools.DEPLOY / "gunicorn.conf.py"))


def test_systemd_understands_every_unit(tmp_path: Path) -> None:
    """Verified as if installed; only the programs, which are not on this machine, have a stand-in."""
    analyze = tools.find("systemd-analyze")
    units = [*UNITS.glob("*.service"), *UNITS.glob("*.socket"), *UNITS.glob("*.target")]
    for unit in units:
        text = re.sub(rf"^ExecStart={HOME}/\S+", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text, encoding="utf-8")

    verified = tools.run(analyze, "verify", *(tmp_path / unit.name for unit in units))

    ours = [line for line in verified.stderr.splitlines() if "sallyport" in line]
    assert ours == []
    assert verified.returncode == 0, verified.stderr
    assert len(units) == 5


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_is_locked_in(service: str) -> None:
    analyze = tools.find("systemd-analyze")

    judged = tools.run(
        analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", UNITS / f"{service}.service"
    )

    assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_runs_a_program_of_ours_as_its_own_user_and_writes_into_its_data_only(service: str) -> None:
    unit = settings_of(f"{service}.service")

    assert unit["User"] == ["sallyport"]
    assert unit["WorkingDirectory"] == [HOME]
    assert unit["ReadWritePaths"] == ["/srv/sallyport/data"]
    assert unit["KillMode"] == ["mixed"]
    assert unit["Restart"] == ["always"]
    program = unit["ExecStart"][0].split()[0].removeprefix(f"{HOME}/.venv/bin/")
    assert program in {"gunicorn", "celery"}


def test_a_launch_under_way_may_finish_before_systemd_loses_patience(gunicorn_settings: dict[str, Any]) -> None:
    unit = settings_of("sallyport-web.service")

    assert int(unit["TimeoutStopSec"][0]) > gunicorn_settings["graceful_timeout"] > 60


def test_the_socket_listens_where_gunicorn_would(gunicorn_settings: dict[str, Any]) -> None:
    assert settings_of("sallyport-web.socket")["ListenStream"] == gunicorn_settings["bind"]


def test_the_socket_stays_open_while_everything_else_restarts() -> None:
    """Else `systemctl restart sallyport.target` would refuse whoever waits in its queue."""
    socket = settings_of("sallyport-web.socket")

    assert not {"PartOf", "BindsTo", "Requires", "StopWhenUnneeded"} & set(socket)
    assert all(settings_of(f"{service}.service")["PartOf"] == ["sallyport.target"] for service in SERVICES)


def confinement(service: str) -> list[str]:
    text = (UNITS / f"{service}.service").read_text().split("# What it may do")[1].split("[Install]")[0]
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_all_services_are_locked_in_alike() -> None:
    """The three files differ in what they start and in how they are stopped, not in what they may do.

    But for one line: what the web processes say of themselves in /metrics needs /proc/stat, which it would hide.
    """
    web, worker, scheduler = (confinement(service) for service in SERVICES)

    assert worker == scheduler
    assert "ProcSubset=pid" not in web
    assert web == [line for line in worker if line != "ProcSubset=pid"]
