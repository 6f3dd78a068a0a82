"""PostgreSQL and Redis as child processes of a test: on free ports, in folders of their own."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NoReturn

import psutil
import psycopg
import pytest
import redis
from django.contrib.contenttypes.models import ContentType
from django.db import connections

from tests import services
from tests.processes import free_port, process

_STOPS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}


class PostgresqlCluster:
    """A PostgreSQL server on loopback that nobody else knows. `user` is whom it runs as; None: whoever we are.

    `settings` are added to, or replace, what it is started with.
    """

    def __init__(
        self, binaries: Path, folder: Path, user: str | None, settings: Mapping[str, str] | None = None
    ) -> None:
        self._binaries, self._folder, self._user = binaries, folder, user
        self._settings = dict(settings or {})
        self.port = free_port()
        self._running: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"]
        self._run("initdb", "-D", str(self._data), *options)

    def create_as_standby_of(self, primary: PostgresqlCluster, *, name: str) -> None:
        """A copy of a running server that follows it once it is started; `name` is what the primary knows it by.

        Whatever this one held before is gone.
        """
        shutil.rmtree(self._data, ignore_errors=True)
        source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={name}"
        options = ["--wal-method", "stream", "--checkpoint", "fast", "--write-recovery-conf", "--no-sync"]
        self._run("pg_basebackup", "-D", str(self._data), "-d", source, *options)

    def promote(self) -> None:
        """A standby becomes the primary; returns when it is."""
        self.execute("SELECT pg_promote(true, 30)")

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
            **self._settings,
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

    def kill(self) -> None:
        """SIGKILL to the server and all of its sessions, as when its machine loses power."""
        if self._running is None:
            return
        # Each child is a session of its own to the kernel, so the group does not reach it.
        children = psutil.Process(self._running.pid).children(recursive=True)
        self._running.kill()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
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

    def value(self, sql: str) -> Any:
        """The first column of the first row; None without one."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            row = connection.execute(sql.encode()).fetchone()
        return row[0] if row else None

    def copy_database(self, template: str) -> str:
        name = f"sallyport_{secrets.token_hex(6)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def _run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's own programs, as the server's user."""
        done = subprocess.run(
            [self._binaries / program, *arguments],
            cwd=self._folder,
            user=self._user,
            env=self._environment,
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr

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
        """Start and wait until it answers. Does nothing when it runs."""
        if self._running is not None:
            return
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


@contextmanager
def own_cluster(settings: Mapping[str, str] | None = None, *, is_empty: bool = False) -> Iterator[PostgresqlCluster]:
    """A PostgreSQL cluster that runs until the block ends. With `is_empty` it is neither created nor started.

    Where the server's binaries are missing the test is skipped, or fails with REQUIRE_SERVICES=1.
    """
    binaries = postgresql_binaries()
    user = server_user()
    # Not in pytest's folder: nobody but the tests' user may enter that one, and socket paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="sallyport-pg-"))
    if user is not None:
        # The folder belongs to the user whom the server runs as.
        os.chown(folder, user.pw_uid, user.pw_gid)
    cluster = PostgresqlCluster(binaries, folder, user.pw_name if user else None, settings)
    try:
        if not is_empty:
            cluster.create()
            cluster.start()
        yield cluster
    finally:
        cluster.stop("immediate")
        shutil.rmtree(folder)


@contextmanager
def default_database_is(settings: dict[str, Any]) -> Iterator[None]:
    """Every thread's default connection leads to another database, of another engine even, until the block ends."""
    usual, usual_connection = connections.settings["default"], connections["default"]
    usual_connection.close()
    connections.settings["default"] = connections.configure_settings({"default": settings})["default"]
    del connections["default"]
    ContentType.objects.clear_cache()
    try:
        yield
    finally:
        connections["default"].close()
        connections.settings["default"] = usual
        connections["default"] = usual_connection
        ContentType.objects.clear_cache()


def migrate(url: str) -> None:
    variables = {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "portal.settings"}
    with process("django", "migrate", "--verbosity", "0", **variables) as migration:
        output = migration.communicate(timeout=120)[0]
        assert migration.returncode == 0, output


def postgresql_binaries() -> Path:
    """The folder with initdb and postgres, which is seldom on the path."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    config = shutil.which("pg_config")
    if config is not None:
        said = subprocess.run([config, "--bindir"], capture_output=True, text=True, check=False).stdout.strip()
        folders.insert(0, Path(said))
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    missing("the binaries of a PostgreSQL server (initdb, postgres) were not found")


def server_user() -> pwd.struct_passwd | None:
    """Whom the server runs as: PostgreSQL refuses root. None means whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        missing("the tests run as root, and there is no user postgres to run a server as")


def missing(why: str) -> NoReturn:
    """Skip, or fail when services are required."""
    if services.required():
        pytest.fail(f"{why}, and REQUIRE_SERVICES=1.", pytrace=False)
    pytest.skip(why)
