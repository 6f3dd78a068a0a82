"""Two machines in production mode. They are started once for all tests here; each test has an empty database."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from pytest_django import DjangoDbBlocker

from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import World
from tests import inventory as inventory_rows
from tests.faults.private import default_database_is, missing
from tests.inventory import Inventory
from tests.machines.machine import Machine, start
from tests.machines.shared import SharedServers, shared_servers
from tests.processes import sender_for

_FOLDER = Path(__file__).parent
_COMMON = {
    "CLOUD": "sandbox",
    "ALLOW_SANDBOX": "1",
    "HTTPS": "false",
    "ALLOWED_HOSTS": "127.0.0.1",
    "STATICFILES_BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage",
    "LOG_LEVEL": "WARNING",
    "WEB_PROCESSES": "2",
    "WEB_THREADS": "8",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process runs them all, so that the machines are started once."""
    for item in items:
        if item.path.is_relative_to(_FOLDER):
            item.add_marker(pytest.mark.xdist_group("machines"))


@pytest.fixture(scope="session")
def _servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServers]:
    binary = shutil.which("redis-server")
    if binary is None:
        missing("redis-server was not found")
    with shared_servers(binary, tmp_path_factory.mktemp("shared")) as servers:
        yield servers


@pytest.fixture(scope="session")
def _machines(_servers: SharedServers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Machine]]:
    env = {**_servers.variables(), **_COMMON}
    folder = tmp_path_factory.mktemp("machines")
    machines = Machine(folder / "one", env), Machine(folder / "two", env)
    try:
        yield machines
    finally:
        for machine in machines:
            machine.kill()


@pytest.fixture
def servers(_servers: SharedServers, django_db_blocker: DjangoDbBlocker) -> Iterator[SharedServers]:
    """What the machines share, as new. Django's default database is theirs; commits are real."""
    _servers.make_new()
    with django_db_blocker.unblock(), default_database_is(_servers.settings()):
        yield _servers


@pytest.fixture
def two_machines(servers: SharedServers, _machines: tuple[Machine, Machine]) -> tuple[Machine, Machine]:
    """Two machines that serve."""
    start(*(machine.web for machine in _machines))
    return _machines


@pytest.fixture
def machine(two_machines: tuple[Machine, Machine]) -> Machine:
    """One of them, with its worker and its scheduler."""
    one = two_machines[0]
    start(one.worker, one.scheduler)
    return one


@pytest.fixture
def scheduler(machine: Machine) -> Iterator[Celery]:
    """Sends tasks as the scheduler would, over the machines' broker, without waiting for their time."""
    sender = sender_for(machine.env)
    yield sender
    sender.close()


@pytest.fixture
def inventory(servers: SharedServers, sandbox: SandboxServer, world: World) -> Inventory:
    """The test world as rows in the machines' database, committed."""
    return inventory_rows.load(world, sandbox.url)
