"""Services of a test's own, to be stopped, killed and restarted: never the ones that others use."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django import DjangoDbBlocker

from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import World
from tests import inventory as inventory_rows
from tests.faults.private import (
    PostgresqlCluster,
    RedisServer,
    default_database_is,
    migrate,
    missing,
    own_cluster,
)

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
    """One cluster per test process, with a migrated database to copy."""
    with own_cluster() as cluster:
        cluster.execute(f"CREATE DATABASE {_TEMPLATE}")
        migrate(cluster.url(_TEMPLATE))
        yield cluster


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
