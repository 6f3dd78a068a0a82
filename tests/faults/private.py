"""PostgreSQL and Redis as child processes of a test: on free ports, in folders of their own."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Literal

import psycopg
import redis

from tests.processes import free_port

_STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresqlCluster:
    """A PostgreSQL server on loopback that nobody else knows. `user` is whom it runs as; None: whoever we are."""

    def __init__(self, binaries: Path, folder: Path, user: str | None) -> None:
        self._binaries, self._folder, self._user = binaries, folder, user
        self.port = free_port()
        self._running: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        subprocess.run(
            [self._binaries / "initdb", "-D", self._data, *options],
            cwd=self._folder,
            user=self._user,
            env=self._environment,
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        """Start and wait until it answers. Does nothing when it runs."""
        if self._running is not None:
            return
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self._folder),
            "shared_buffers": "16MB",
            "max_connections": "40",
            "autovacuum": "off",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self._folder / "log").open("ab") as log:
            self._running = subprocess.Popen(
                [self._binaries / "postgres", "-D", self._data, *settings],
                cwd=self._folder,
                user=self._user,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_until_it_answers()

    def stop(self, mode: Literal["fast", "immediate"]) -> None:
        """`fast` ends all sessions and writes what it has; `immediate` is a crash from which it recovers."""
        if self._running is None:
            return
        self._running.send_signal(_STOPS[mode])
        self._running.wait(timeout=30)
        self._running = None

    def restart(self, mode: Literal["fast", "immediate"]) -> None:
        self.stop(mode)
        self.start()

    def url(self, database: str) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/{database}"

    def settings(self, database: str) -> dict[str, Any]:
        """For Django: as portal/settings.py would have it for this database."""
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": database,
            "USER": "postgres",
            "HOST": "127.0.0.1",
            "PORT": self.port,
            "CONN_HEALTH_CHECKS": True,
            "OPTIONS": {"options": "-c lock_timeout=2s -c statement_timeout=15s", "connect_timeout": 3},
        }

    def execute(self, sql: str) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(sql.encode())

    def copy_database(self, template: str) -> str:
        name = f"sallyport_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    @property
    def _environment(self) -> dict[str, str]:
        """Nothing of PGDATA, PGPORT and the like that may lead to somebody else's server."""
        return {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}

    def _wait_until_it_answers(self) -> None:
        ends_at = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url("postgres"), connect_timeout=3).close()
                return
            except psycopg.OperationalError:
                ended = self._running is None or self._running.poll() is not None
                if ended or time.monotonic() > ends_at:
                    log = (self._folder / "log").read_text(errors="replace")
                    raise AssertionError(f"the private PostgreSQL does not answer: {log[-2000:]}") from None
            time.sleep(0.05)


class RedisServer:
    """A Redis on loopback that keeps nothing on disk."""

    def __init__(self, binary: str, folder: Path) -> None:
        self._binary, self._folder = binary, folder
        self.port = free_port()
        self._running: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [self._binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
        self._running = subprocess.Popen(
            command,
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        ends_at = time.monotonic() + 10
        with redis.Redis.from_url(self.url) as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.RedisError:
                    if time.monotonic() > ends_at:
                        raise
                time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL: connections are reset, the port refuses. What it held is gone."""
        if self._running is not None:
            self._running.kill()
            self._running.wait(timeout=10)
            self._running = None

    def freeze(self) -> None:
        """It goes on accepting connections and never answers, as behind a firewall that drops."""
        assert self._running is not None
        self._running.send_signal(signal.SIGSTOP)

    def keys(self) -> int:
        with redis.Redis.from_url(self.url) as client:
            return int(client.dbsize())
