"""Fixtures shared by all tests. The cloud is the sandbox over real HTTP; nothing of ours is replaced."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import connections
from django.test.utils import setup_databases, teardown_databases
from pytest_django import DjangoDbBlocker
from werkzeug.serving import make_server

from accounts.models import User
from omaccess.meta import Meta
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import World, load_world
from tests import inventory as inventory_rows

pytest_plugins = ["tests.services", "tests.browser"]

WORLD = Path(__file__).parent / "world.toml"


@pytest.fixture(scope="session")
def django_db_modify_db_settings(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> None:
    """SQLite in a file, not in memory: threads and processes must meet in it."""
    settings = connections["default"].settings_dict
    if settings["ENGINE"].endswith("sqlite3"):
        settings["TEST"]["NAME"] = str(tmp_path_factory.mktemp("db") / "tests.sqlite3")
    else:
        settings["TEST"]["NAME"] = f"sallyport_test_{secrets.token_hex(6)}"


@pytest.fixture(scope="session")
def django_db_setup(
    django_test_environment: None, django_db_blocker: DjangoDbBlocker, django_db_modify_db_settings: None
) -> Iterator[None]:
    """pytest-django makes only the databases that collected `db` tests ask for; `fresh_db` copies one anyway."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default": connections["default"]})
    yield
    with django_db_blocker.unblock():
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def world() -> World:
    return load_world(WORLD)


@pytest.fixture(scope="session")
def _sandbox_server(world: World) -> Iterator[SandboxServer]:
    with SandboxServer(world, control_token=secrets.token_urlsafe(16)) as server:
        yield server


@pytest.fixture
def sandbox(_sandbox_server: SandboxServer) -> Iterator[SandboxServer]:
    """Huawei Cloud, simulated, as new: no faults, no tokens, counters at zero. `sandbox.control` steers it."""
    _sandbox_server.control.reset()
    yield _sandbox_server
    _sandbox_server.control.release()
    _sandbox_server.control.reset()


@pytest.fixture
def inventory(db: None, sandbox: SandboxServer, world: World) -> inventory_rows.Inventory:
    """The test world as rows; `inventory.staff` may open all of it."""
    return inventory_rows.load(world, sandbox.url)


@pytest.fixture
def meta_of() -> Callable[[User], Meta]:
    """Signs a person in and returns what a request of theirs would carry."""

    def sign_in(user: User) -> Meta:
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        return Meta(
            address="192.0.2.7",
            browser="Tests",
            request_id="request-1",
            session_key=session.session_key or "",
        )

    return sign_in


@pytest.fixture
def fresh_db(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    """A copy of the migrated database, with real commits, for tests with threads or processes.

    Emptying tables afterwards is not an option: the audit refuses it, in tests as anywhere.
    """
    with django_db_blocker.unblock():
        connection = connections["default"]
        original = connection.settings_dict["NAME"]
        connections.close_all()
        copy = _copy_database(connection)
        connection.settings_dict["NAME"] = copy
        try:
            yield
        finally:
            connections.close_all()
            connection.settings_dict["NAME"] = original
            _drop_copy(connection, copy)


@pytest.fixture
def committed_inventory(fresh_db: None, sandbox: SandboxServer, world: World) -> inventory_rows.Inventory:
    """As `inventory`, but really committed, in a database of its own."""
    return inventory_rows.load(world, sandbox.url)


@pytest.fixture
def portal_server(fresh_db: None) -> Iterator[str]:
    """The portal over real HTTP, in threads, on the copied database. Yields its base URL on `localhost`."""
    from django.contrib.staticfiles.handlers import StaticFilesHandler

    from portal.wsgi import application

    server = make_server("localhost", 0, StaticFilesHandler(application), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


def _copy_database(connection: Any) -> str:
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        copy = str(Path(name).with_name(f"copy-{secrets.token_hex(6)}.sqlite3"))
        source, target = sqlite3.connect(name), sqlite3.connect(copy)
        with source, target:
            source.backup(target)
        target.execute("PRAGMA journal_mode=WAL")
        source.close()
        target.close()
        return copy
    copy = f"sallyport_copy_{secrets.token_hex(6)}"
    _administer(connection, f'CREATE DATABASE "{copy}" TEMPLATE "{name}"')
    return copy


def _drop_copy(connection: Any, copy: str) -> None:
    if connection.vendor == "sqlite":
        for suffix in ("", "-wal", "-shm"):
            Path(copy + suffix).unlink(missing_ok=True)
    else:
        _administer(connection, f'DROP DATABASE "{copy}" WITH (FORCE)')


def _administer(connection: Any, sql: str) -> None:
    """Run one statement in the maintenance database, outside any transaction."""
    with connection._nodb_cursor() as cursor:
        cursor.execute(sql)
