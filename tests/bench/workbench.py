"""What every part of the benchmark works with: options, report, and installations that are gone at the end."""

from __future__ import annotations

import contextlib
import json
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import redis

from omaccess.sandbox.world import load_world
from tests import production, services
from tests.bench import servers
from tests.bench.browser import BareCloud, Browser, Form
from tests.bench.databases import Databases, Installation, databases
from tests.bench.options import Options
from tests.bench.report import Report
from tests.bench.servers import Sandbox, Server

METRICS_TOKEN = secrets.token_urlsafe(24)
_SECONDS_TO_PREPARE = 200


class TookTooLong(Exception):
    """A part did not end in its time."""


class CouldNotPrepare(Exception):
    """A step inside Django failed; the text holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Stocked:
    """An installation with its inventory: sessions by person, and the host and account that the sandbox opens."""

    installation: Installation
    sessions: dict[str, str]
    host: int
    account: int
    exact: str

    def browser(self, server: Server, person: str) -> Browser:
        return Browser(server.url, self.sessions[person])

    def form(self, server: Server, person: str) -> Form:
        return self.browser(server, person).form(self.host, self.account)


class Workbench:
    """A context manager: at its end databases, keys, processes and files are gone, however it ends."""

    def __init__(self, options: Options, report: Report) -> None:
        self.options, self.report = options, report
        self.memory: list[dict[str, Any]] = []
        """Of workers after what they served: `part`, `database`, and megabytes."""
        self._ending = contextlib.ExitStack()
        self._databases: dict[str, Databases] = {}
        self._audited: dict[tuple[str, int], tuple[Installation, str]] = {}
        self._sandbox: Sandbox | None = None
        self._prefix = f"sallyport-bench-{secrets.token_hex(6)}:"
        self._made = 0

    def __enter__(self) -> Workbench:
        self._folder = Path(self._ending.enter_context(tempfile.TemporaryDirectory(prefix="sallyport-bench-")))
        self._env = {
            **production.variables(self._folder),
            "ALLOWED_HOSTS": servers.HOST,
            "CLOUD": "sandbox",
            "ALLOW_SANDBOX": "1",
            "TRUSTED_PROXIES": "127.0.0.1",
            "LAUNCHES_PER_MINUTE": "1000000",
            "METRICS_TOKEN": METRICS_TOKEN,
            "STATIC_ROOT": str(self._folder / "static"),
        }
        self._ending.callback(self._forget_keys)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._ending.close()

    # --- what there is -------------------------------------------------------------------------

    def vendors(self, part: str) -> list[str]:
        """The databases that answer, of those asked for; the report says of the others why not."""
        found = []
        for vendor in self.options.databases:
            why = self._why_not(vendor)
            if why:
                self.report.note(f"{part}: no rows for {vendor}, because {why}.")
            else:
                found.append(vendor)
        return found

    def _why_not(self, vendor: str) -> str:
        if vendor == "sqlite":
            return ""
        return next((service.why for service in (services.postgresql(), services.redis_server()) if not service.at), "")

    @property
    def sandbox(self) -> Sandbox:
        """The one sandbox; it answers at once until it is told otherwise."""
        if self._sandbox is None:
            self._sandbox = self._ending.enter_context(servers.sandbox(self._env, self._folder / "sandbox"))
        return self._sandbox

    def bare_cloud(self) -> BareCloud:
        return BareCloud(self.sandbox.url, load_world(servers.WORLD))

    def install(self, vendor: str) -> Installation:
        """A migrated, empty installation as in production: with Redis beside PostgreSQL, without beside SQLite."""
        if vendor not in self._databases:
            if not self._databases:
                self._manage("collectstatic", "--no-input", "--verbosity", "0")
            self._databases[vendor] = self._ending.enter_context(databases(vendor, self._env, self._folder))
        made = self._databases[vendor].make()
        self._made += 1
        cache = {"CACHE_URL": services.redis_server().at, "CACHE_KEY_PREFIX": f"{self._prefix}{self._made}"}
        if vendor == "postgresql":
            made.env.update(cache)
            made.owner.update(cache)
        return made

    def stocked(self, vendor: str, hosts: int) -> Stocked:
        """An installation with so many hosts, the sandbox's own among them."""
        installation = self.install(vendor)
        facts = prepare(installation, "inventory", "--number", str(hosts), "--sandbox", self.sandbox.url)
        return Stocked(installation, facts["sessions"], facts["host"], facts["account"], facts["exact"])

    def audited(self, vendor: str, events: int) -> tuple[Installation, str]:
        """An installation whose audit has so many events, and an auditor's session. Made once, for whoever reads it."""
        if (vendor, events) not in self._audited:
            installation = self.install(vendor)
            facts = prepare(installation, "events", "--number", str(events))
            self._audited[vendor, events] = installation, facts["sessions"]["auditor"]
        return self._audited[vendor, events]

    def note_memory(self, part: str, vendor: str, server: Server) -> None:
        """Remember what the server's workers hold now."""
        self.memory += [{"part": part, "database": vendor, **worker} for worker in server.memory()]

    def _manage(self, *arguments: str) -> None:
        production.manage(*arguments, env=self._env).check_returncode()

    def _forget_keys(self) -> None:
        if not services.redis_server().at:
            return
        with redis.Redis.from_url(services.redis_server().at) as client:
            for key in client.scan_iter(match=f"{self._prefix}*"):
                client.delete(key)


def prepare(installation: Installation, *arguments: str) -> dict[str, Any]:
    """Run `tests.bench.prepare` as the database's owner. Raises: CouldNotPrepare."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.prepare", *arguments],
        cwd=production.ROOT,
        env=installation.owner,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS_TO_PREPARE,
    )
    if done.returncode:
        raise CouldNotPrepare(f"{arguments[0]}: {done.stderr[-2000:]}")
    facts: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return facts


@contextlib.contextmanager
def at_most_seconds(seconds: int) -> Iterator[None]:
    """Raises: TookTooLong in the middle of whatever the block does then. For the main thread."""

    def too_long(_signal: int, _frame: FrameType | None) -> None:
        raise TookTooLong(f"it did not end within {seconds} s")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
