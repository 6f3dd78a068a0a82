"""Services of a test's own, to be stopped, killed and restarted: never the ones that others use."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections
from pytest_django import DjangoDbBlocker

from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import World
from tests import inventory as inventory_rows
from tests import services
from tests.faults.private import PostgresqlCluster, RedisServer
from tests.processes import process

_TEMPLATE = "sallyport_template"


@pytest.fixture
def private_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that only this test knows; it answers when the test begins."""
    binary = shutil.which("redis-server")
    if binary is None:
        missing("redis-server was not found")
    server = RedisServer(binary, tmp_path)
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="session")
def _private_cluster() -> Iterator[PostgresqlCluster]:
    """One cluster per test process, with a migrated database to copy. Its folder belongs to the user it runs as."""
    binaries = postgresql_binaries()
    user = server_user()
    # Not in pytest's folder: nobody but the tests' user may enter that one, and socket paths must be short.
    folder = Path(tempfile.mkdtemp(prefix="sallyport-pg-"))
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    cluster = PostgresqlCluster(binaries, folder, user.pw_name if user else None)
    try:
        cluster.create()
        cluster.start()
        cluster.execute(f"CREATE DATABASE {_TEMPLATE}")
        migrate(cluster.url(_TEMPLATE))
        yield cluster
    finally:
        cluster.stop("immediate")
        shutil.rmtree(folder)


@pytest.fixture
def private_postgresql(
    _private_cluster: PostgresqlCluster, django_db_blocker: DjangoDbBlocker
) -> Iterator[PostgresqlCluster]:
    """A PostgreSQL cluster that may be restarted; Django's default database is a fresh, migrated one in it.

    Commits are real. Where the server's binaries are missing the test is skipped, or fails with REQUIRE_SERVICES=1.
    """
    cluster = _private_cluster
    cluster.start()
    name = cluster.copy_database(_TEMPLATE)
    with django_db_blocker.unblock(), default_database_is(cluster.settings(name)):
        yield cluster
    cluster.start()
    cluster.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def private_inventory(
    private_postgresql: PostgresqlCluster, sandbox: SandboxServer, world: World
) -> inventory_rows.Inventory:
    """The test world as rows in the private cluster, committed."""
    return inventory_rows.load(world, sandbox.url)


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
