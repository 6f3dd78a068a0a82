"""Part `demo`: from a fresh clone to the first link, as somebody who tries the portal does it, the packages cached."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import requests

from tests.bench.report import Row
from tests.bench.servers import end
from tests.bench.workbench import Workbench
from tests.production import ROOT

PART = "demo"
PASSWORD = "sallyport-demo"
_SECONDS = 150
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_OPENS = re.compile(r'href="(/hosts/[0-9]+/)[^"]*"')
_ACCOUNT = re.compile(r'<button[^>]*name="account"[^>]*value="([0-9]+)"|<input[^>]*name="account"[^>]*value="([0-9]+)"')


class _DidNotWork(Exception):
    """A step failed; the text says which and how."""


def run(bench: Workbench, _vendor: str) -> None:
    with tempfile.TemporaryDirectory(prefix="sallyport-clone-") as folder:
        try:
            _measure(bench, Path(folder))
        except (_DidNotWork, requests.RequestException) as problem:
            bench.report.note(f"{PART}: no row, because {problem}.")


def _measure(bench: Workbench, folder: Path) -> None:
    clone = folder / "sallyport"
    _run(["git", "clone", "--quiet", str(ROOT), str(clone)], folder)
    _warm(clone, folder)
    port, sandbox_port = _free_port(), _free_port()
    began = time.perf_counter()
    running = subprocess.Popen(
        ["make", "demo", f"PORT={port}", f"SANDBOX_PORT={sandbox_port}"],
        cwd=clone,
        env={"PATH": _path(), "HOME": str(Path.home()), "PORT": str(port), "SANDBOX_PORT": str(sandbox_port)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        seen = _Output(running, began)
        installed, ready = seen.wait_for("Preparing the demo"), seen.wait_for("Sallyport is ready")
        _first_link(f"http://localhost:{port}")
        done = time.perf_counter() - began
    finally:
        end(running)
    measured = f"{done:.1f} s: installing {installed:.1f}, data and start {ready - installed:.1f}, "
    measured += f"sign-in and first link {done - ready:.1f}"
    facts = {"installed": installed, "ready": ready, "first_link": done}
    what = "make demo, from a fresh clone to the first link"
    bench.report.add(Row(PART, "sqlite", what, measured, "packages in pip's cache", done, unit="s", facts=facts))


class _Output:
    """What a process says, and when it said it first."""

    def __init__(self, running: subprocess.Popen[bytes], began: float) -> None:
        self._running, self._began = running, began
        self._lines: list[tuple[float, str]] = []
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for(self, words: str) -> float:
        """Seconds after the beginning. Raises: _DidNotWork."""
        while time.perf_counter() - self._began < _SECONDS:
            for moment, line in list(self._lines):
                if words in line:
                    return moment
            if self._running.poll() is not None:
                break
            time.sleep(0.05)
        last = " / ".join(line for _moment, line in self._lines[-5:])
        raise _DidNotWork(f"`make demo` did not come to “{words}”: {last}")

    def _read(self) -> None:
        assert self._running.stdout is not None
        for line in self._running.stdout:
            self._lines.append((time.perf_counter() - self._began, line.decode(errors="replace").strip()))


def _warm(clone: Path, folder: Path) -> None:
    """Have every package in pip's cache. Raises: _DidNotWork."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--require-hashes", "-r", "requirements.txt", "-d", str(folder / "packages")]
    _run(command, clone)


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _DidNotWork(f"{command[0]}: {error}") from None
    if done.returncode:
        raise _DidNotWork(f"{' '.join(command[:4])} failed: {done.stderr.strip()[-300:]}")


def _first_link(url: str) -> None:
    """Sign in as `staff`, and open the first account that opens. Raises: _DidNotWork."""
    http = requests.Session()
    http.trust_env = False
    page = http.get(f"{url}/accounts/login/", timeout=30).text
    fields = {"login": "staff", "password": PASSWORD, "csrfmiddlewaretoken": _token(page)}
    page = http.post(f"{url}/accounts/login/", data=fields, timeout=30).text
    for host in dict.fromkeys(_OPENS.findall(page)):
        page = http.get(url + host, timeout=30).text
        for one, other in _ACCOUNT.findall(page):
            fields = {"account": one or other, "csrfmiddlewaretoken": _token(page)}
            answer = http.post(f"{url}/launches/", data=fields, allow_redirects=False, timeout=30)
            if answer.status_code == 303 and answer.headers["Location"].startswith("http"):
                return
    raise _DidNotWork("no account of the demo opened for staff")


def _token(page: str) -> str:
    found = _TOKEN.search(page)
    if found is None:
        raise _DidNotWork("a page of the demo has no form")
    return found[1]


def _path() -> str:
    """Without the environment of the benchmark's own Python in front: a newcomer has none."""
    import os

    own = str(Path(sys.executable).parent)
    return os.pathsep.join(part for part in os.environ.get("PATH", "").split(os.pathsep) if part != own)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
