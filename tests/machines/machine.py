"""A web machine in production mode: gunicorn, the worker and the scheduler, as the RUNBOOK starts them.

Machines have nothing in common but PostgreSQL and Redis, to which their variables lead, and the keys.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psutil
import requests

from tests import production
from tests.processes import ROOT, free_port, wait_until

START_SECONDS = 60
"""A process of the portal starts within two or three; a machine that is busy with other tests takes its time."""


class Part:
    """One of a machine's processes, with its children in a group of its own; what it says goes to a file."""

    def __init__(self, name: str, command: list[str], env: Mapping[str, str], folder: Path) -> None:
        self.name, self._command, self._env = name, command, dict(env)
        self._log, self._ready = folder / f"{name}.log", folder / f"{name}.ready"
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._running is not None, f"the {self.name} is not running"
        return self._running

    @property
    def is_running(self) -> bool:
        return self._running is not None and self._running.poll() is None

    def start(self) -> None:
        """Does nothing when it runs. It is not waited for: see `wait_until_ready`."""
        if self.is_running:
            return
        self._ready.unlink(missing_ok=True)
        with self._log.open("ab") as log:
            self._running = subprocess.Popen(
                [sys.executable, "-m", *self._command],
                cwd=ROOT,
                env={**self._env, "READY_PATH": str(self._ready)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.is_ready() or not self.is_running, seconds=START_SECONDS)
        assert self.is_running, f"the {self.name} ended: {self.said()[-3000:]}"

    def is_ready(self) -> bool:
        return self._ready.exists()

    def stop(self, *, seconds: float = 40) -> None:
        """SIGTERM: it ends what it has begun."""
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=seconds)

    def kill(self) -> None:
        """SIGKILL to it and all its children, as when the machine loses power."""
        if self.is_running:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(timeout=10)

    def children(self) -> set[int]:
        """The ids of the processes that it has forked and that still run."""
        return {
            child.pid
            for child in psutil.Process(self.process.pid).children()
            if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        }

    def said(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""


class Web(Part):
    """gunicorn with the product's configuration; ready when /readyz says so."""

    def __init__(self, env: Mapping[str, str], folder: Path, port: int) -> None:
        super().__init__("web", ["gunicorn", "-c", "deploy/gunicorn.conf.py", "portal.wsgi"], env, folder)
        self.url = f"http://127.0.0.1:{port}"

    def is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/readyz", timeout=10).status_code == 200
        except requests.RequestException:
            return False


class Machine:
    """`env` is what all machines have in common; folder, port and processes are its own."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        folder.mkdir()
        port = free_port()
        self.env = {**production.variables(folder), **env, "BIND": f"127.0.0.1:{port}"}
        (folder / "static").mkdir()
        celery = ["celery", "--quiet", "-A", "portal.startup"]
        self.web = Web(self.env, folder, port)
        self.worker = Part("worker", [*celery, "worker", "--pool", "threads", "--concurrency", "2"], self.env, folder)
        self.scheduler = self._scheduler("portal.startup", folder)
        # Its intervals are seconds instead of minutes; see `hasty`.
        self.hasty_scheduler = self._scheduler("tests.machines.hasty", folder, "hasty-scheduler")

    def _scheduler(self, app: str, folder: Path, name: str = "scheduler") -> Part:
        schedule = str(folder / f"{name}-schedule")
        command = ["celery", "--quiet", "-A", app, "beat", "--schedule", schedule, "--pidfile="]
        return Part(name, command, self.env, folder)

    @property
    def url(self) -> str:
        return self.web.url

    @property
    def parts(self) -> list[Part]:
        return [self.web, self.worker, self.scheduler, self.hasty_scheduler]

    def kill(self) -> None:
        """End all of it at once."""
        for part in self.parts:
            part.kill()


def start(*parts: Part) -> None:
    """All at once, then wait for each."""
    for part in parts:
        part.start()
    for part in parts:
        part.wait_until_ready()
