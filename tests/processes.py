"""Real processes of the portal for tests: gunicorn, the worker, commands; on the test's own database."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from celery import Celery
from django.conf import settings
from django.db import connection

from accounts.models import User
from omaccess.models import HostAccount

ROOT = Path(__file__).resolve().parent.parent


def environment(**changes: str) -> dict[str, str]:
    """The variables of this test run, pointing at the database that the test uses now."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        password = f":{database['PASSWORD']}" if database["PASSWORD"] else ""
        host = database["HOST"] or "127.0.0.1"
        url = f"postgres://{database['USER']}{password}@{host}:{database['PORT'] or 5432}/{database['NAME']}"
    return {**os.environ, "DATABASE_URL": url, "REQUIRE_AUDIT_ROLE": "0", "LOG_LEVEL": "WARNING", **changes}


def sender_for(variables: Mapping[str, str]) -> Celery:
    """A scheduler's end of a broker, configured as the settings would be with these variables."""
    broker = variables["BROKER_URL"]
    if broker.startswith("filesystem"):
        spool = Path(variables["DATA_DIR"]) / "celery"
        for name in ("queue", "control"):
            (spool / name).mkdir(parents=True, exist_ok=True)
        options = {
            "data_folder_in": str(spool / "queue"),
            "data_folder_out": str(spool / "queue"),
            "control_folder": str(spool / "control"),
        }
    else:
        options = {"global_keyprefix": variables["BROKER_KEY_PREFIX"]}
    sender = Celery("tests", broker=broker, set_as_current=False)
    sender.conf.broker_transport_options = options
    return sender


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(*command: str, **changes: str) -> Iterator[subprocess.Popen[str]]:
    """A process in a group of its own, ended with all its children when the block ends."""
    running = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield running
    finally:
        kill(running)


def kill(running: subprocess.Popen[str]) -> None:
    """SIGKILL to the whole group, as a crash or an out-of-memory killer would."""
    if running.poll() is None:
        os.killpg(running.pid, signal.SIGKILL)
    running.wait(timeout=10)
    if running.stdout:
        running.stdout.close()


@contextmanager
def web(**changes: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """gunicorn with the product's configuration. Yields the process and its base URL."""
    port = free_port()
    command = ("gunicorn", "-c", "deploy/gunicorn.conf.py", "portal.wsgi")
    with process(*command, BIND=f"127.0.0.1:{port}", **changes) as running:
        url = f"http://127.0.0.1:{port}"
        wait_until(lambda: _answers(f"{url}/healthz"), running)
        yield running, url


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=10).status_code == 200
    except requests.RequestException:
        return False


def wait_until(condition: Any, running: subprocess.Popen[str] | None = None, *, seconds: float = 30) -> None:
    """Poll until the condition holds; fail with the process's output when it does not."""
    ends_at = time.monotonic() + seconds
    while not condition():
        if running is not None and running.poll() is not None:
            raise AssertionError(f"the process ended: {running.stdout.read() if running.stdout else ''}")
        if time.monotonic() > ends_at:
            raise AssertionError("it did not happen in time")
        time.sleep(0.05)


class Browser:
    """A person with a signed-in session, over plain HTTP."""

    def __init__(self, url: str, user: User, session_key: str) -> None:
        self.url, self.user = url, user
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.cookies.set(settings.SESSION_COOKIE_NAME, session_key)

    def get(self, path: str, **options: Any) -> requests.Response:
        return self._http.get(self.url + path, allow_redirects=False, timeout=30, **options)

    def open(self, account: HostAccount) -> requests.Response:
        """Load the host's page and press the button, as a browser does."""
        page = self.get(f"/hosts/{account.host_id}/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)
        assert token, page
        return self._http.post(
            f"{self.url}/launches/",
            data={"account": account.pk, "csrfmiddlewaretoken": token[1]},
            allow_redirects=False,
            timeout=30,
        )
