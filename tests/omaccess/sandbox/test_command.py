"""`manage.py sandbox`, as the process it is."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from django.core.management import CommandError, call_command

from omaccess.sandbox.control_client import SandboxControl
from omaccess.sandbox.server import SandboxServer
from tests.omaccess.sandbox.worlds import SMALL_WORLD, small_world

ROOT = Path(__file__).resolve().parents[3]
START = "import django; django.setup(); from django.core.management import call_command as c; import sys; "


@contextmanager
def running(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and the address it prints."""
    code = f"{START}c('sandbox', '--port', '0', *sys.argv[1:])"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}  # with the settings of this test run
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert "http://127.0.0.1:" in line, process.communicate(timeout=20)[1]
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate(timeout=20)


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_the_command_serves_until_it_is_told_to_end(ending: signal.Signals, tmp_path: Path) -> None:
    world, token_file = tmp_path / "small.toml", tmp_path / "token"
    world.write_text(SMALL_WORLD, encoding="utf-8")

    with running("--world", str(world), "--control-token-file", str(token_file)) as (process, url):
        page = requests.get(url, timeout=20).text
        SandboxControl(url, token_file.read_text()).reset()
        process.send_signal(ending)
        _, errors = process.communicate(timeout=20)

    assert "Small &lt;world&gt;" in page
    assert process.returncode == 0
    assert errors == ""
    assert stat.S_IMODE(token_file.stat().st_mode) == 0o600


def test_a_busy_port_is_reported_with_the_way_out() -> None:
    with SandboxServer(small_world()) as server:
        port = server.url.rsplit(":", 1)[1]

        with pytest.raises(CommandError, match=r"cannot use port .* Choose another with --port or SANDBOX_PORT"):
            call_command("sandbox", "--port", port)


def test_a_broken_world_is_reported(tmp_path: Path) -> None:
    world = tmp_path / "broken.toml"
    world.write_text("nam = 'x'", encoding="utf-8")

    with pytest.raises(CommandError, match=r"broken.toml: 'name' is missing"):
        call_command("sandbox", "--world", str(world))


def test_a_port_that_is_none_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SANDBOX_PORT", "eighty")

    with pytest.raises(CommandError, match="SANDBOX_PORT must be a port number"):
        call_command("sandbox")


@pytest.mark.parametrize("content", ["short", "spaces and\nnew lines and more", ""])
def test_a_weak_control_token_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "token"
    path.write_text(content, encoding="utf-8")

    with pytest.raises(CommandError, match="at least 20 printable ASCII characters"):
        call_command("sandbox", "--port", "0", "--control-token-file", str(path))
