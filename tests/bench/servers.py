"""The processes that are measured: gunicorn with the product's configuration, and the sandbox. Ended by their ids."""

from __future__ import annotations

import contextlib
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import urllib3

from omaccess.sandbox.control_client import SandboxControl
from tests.production import ROOT

WORLD = Path(__file__).with_name("world.toml")
HOST = "portal.example.com"
_SECONDS_TO_ANSWER = 60
_SECONDS_TO_END = 25


class DoesNotStart(Exception):
    """A process ended or did not answer; the text holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Server:
    """A running server: where it answers, and its first process."""

    url: str
    pid: int

    def processor_seconds(self) -> float:
        """What the workers have used so far. Other work on the machine does not count, unlike in wall time."""
        times = [worker.cpu_times() for worker in psutil.Process(self.pid).children(recursive=True)]
        return sum(time.user + time.system for time in times)

    def memory(self) -> list[dict[str, float]]:
        """Of each worker, in MB: resident, its own share of it (PSS), and what is its alone (USS)."""
        found = []
        for worker in psutil.Process(self.pid).children(recursive=True):
            full = worker.memory_full_info()
            found.append({"rss": full.rss / 2**20, "pss": full.pss / 2**20, "uss": full.uss / 2**20})
        return found


@dataclass(frozen=True, slots=True)
class Sandbox:
    """`latency(seconds)` makes every call answer that much later."""

    url: str
    control: SandboxControl

    def latency(self, seconds: float) -> None:
        self.control.clear_faults()
        if seconds:
            self.control.add_fault("*", times=None, latency_seconds=seconds)


@contextlib.contextmanager
def sandbox(env: Mapping[str, str], folder: Path) -> Iterator[Sandbox]:
    """The simulated cloud in a process of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    token, port = folder / "control-token", _free_port()
    token.write_text(secrets.token_urlsafe(32), encoding="ascii")
    command = ["manage.py", "sandbox", "--port", str(port), "--world", str(WORLD), "--control-token-file", str(token)]
    url = f"http://127.0.0.1:{port}"
    with process(command, env, folder / "sandbox.log", answers_at=f"{url}/"):
        yield Sandbox(url, SandboxControl(url, token.read_text(encoding="ascii")))


@contextlib.contextmanager
def portal(
    env: Mapping[str, str], *, processes: int = 1, threads: int = 0, application: str = "portal.wsgi", **changes: str
) -> Iterator[Server]:
    """gunicorn as in production. `threads` 0 leaves the product's own default."""
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    variables = {**env, "BIND": f"127.0.0.1:{port}", "WEB_PROCESSES": str(processes), **changes}
    if threads:
        variables["WEB_THREADS"] = str(threads)
    command = ["-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", application]
    log = Path(env["DATA_DIR"]) / f"web-{port}.log"
    with process(command, variables, log, answers_at=f"{url}/healthz") as running:
        yield Server(url, running.pid)


@contextlib.contextmanager
def process(
    arguments: list[str], env: Mapping[str, str], log: Path, *, answers_at: str
) -> Iterator[subprocess.Popen[bytes]]:
    """One process of Python, ended with its children when the block ends. Raises: DoesNotStart."""
    with log.open("ab") as output:
        running = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=ROOT,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        _wait_for(answers_at, running, log)
        yield running
    finally:
        end(running)


def end(running: subprocess.Popen[Any]) -> None:
    """Ask it to end; what is still there after that is killed, each process by its id."""
    if running.poll() is not None:
        return
    family = psutil.Process(running.pid).children(recursive=True)
    running.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        running.wait(timeout=_SECONDS_TO_END)
    if running.poll() is None:
        running.kill()
        running.wait(timeout=_SECONDS_TO_END)
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()


def _wait_for(url: str, running: subprocess.Popen[bytes], log: Path) -> None:
    http = urllib3.PoolManager(retries=False, timeout=5)
    ends_at = time.monotonic() + _SECONDS_TO_ANSWER
    while True:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if http.request("GET", url, headers={"Host": HOST}).status < 500:
                break
        if running.poll() is not None or time.monotonic() > ends_at:
            raise DoesNotStart(log.read_text(encoding="utf-8", errors="replace")[-2000:])
        time.sleep(0.05)
    http.clear()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
