"""PostgreSQL, Redis, Chromium, promtool: which of them are on this machine, and what becomes of tests that need them.

Tests say what they need by a mark: `redis`, `e2e` (Chromium), `promtool`, `postgresql` for those that bring a database
of their own there, and `database` for those that run on every supported database. `python -m tests` (what `make test`
runs) runs the latter on PostgreSQL first, by setting `TEST_STAGE=postgresql` and `DATABASE_URL`, then the whole suite
on SQLite.

What does not answer makes its tests skip with the reason, or fail with it when REQUIRE_SERVICES=1. Nothing that
belongs to somebody is touched: databases have random names, keys in Redis a random prefix.
"""

from __future__ import annotations

import functools
import os
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
import redis

_USUAL_POSTGRESQL = (
    "postgres://postgres@127.0.0.1:5432/postgres",
    "postgres:///postgres",
    "postgres://postgres@%2Fvar%2Frun%2Fpostgresql/postgres",
)
_USUAL_REDIS = ("redis://127.0.0.1:6379/15",)
_USUAL_CHROMIUM = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True, slots=True)
class Service:
    """`at` is where it answers (a URL or a path), empty when it does not; `why` then says what was tried."""

    name: str
    at: str
    why: str = ""

    @property
    def line(self) -> str:
        return f"{self.name} answers." if self.at else f"{self.why}."


@functools.cache
def postgresql() -> Service:
    """A PostgreSQL in which this user may make databases: TEST_DATABASE_URL, else the usual local ones."""
    given = os.environ.get("TEST_DATABASE_URL", "")
    problems = []
    for url in [given] if given else _USUAL_POSTGRESQL:
        try:
            with psycopg.connect(url, connect_timeout=3) as connection:
                row = connection.execute(
                    "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
                ).fetchone()
            if row and row[0]:
                return Service("PostgreSQL", url)
            problems.append("its user may not make databases")
        except psycopg.Error as error:
            problems.append(str(error).splitlines()[0])
    where = "TEST_DATABASE_URL" if given else "the usual local address"
    return Service("PostgreSQL", "", f"PostgreSQL does not answer at {where} ({problems[0]})")


@functools.cache
def redis_server() -> Service:
    """A Redis: TEST_REDIS_URL, else the local one."""
    given = os.environ.get("TEST_REDIS_URL", "")
    problem = ""
    for url in [given] if given else _USUAL_REDIS:
        client = redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2)
        try:
            client.ping()
            return Service("Redis", url)
        except redis.RedisError as error:
            problem = type(error).__name__
        finally:
            client.close()
    where = "TEST_REDIS_URL" if given else "the usual local address"
    return Service("Redis", "", f"Redis does not answer at {where} ({problem})")


CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@functools.cache
def chromium() -> Service:
    """A Chromium: CHROMIUM_PATH, else the usual names."""
    given = os.environ.get("CHROMIUM_PATH", "")
    for name in [given] if given else _USUAL_CHROMIUM:
        path = shutil.which(name)
        if path:
            return Service("Chromium", path)
    looked = given or ", ".join(_USUAL_CHROMIUM)
    return Service("Chromium", "", f"Chromium was not found ({looked}; CHROMIUM_PATH names another)")


@functools.cache
def promtool() -> Service:
    """Prometheus's tool that judges rules: PROMTOOL_PATH, else the usual name. No server is needed."""
    given = os.environ.get("PROMTOOL_PATH", "")
    path = shutil.which(given or "promtool")
    if path:
        return Service("promtool", path)
    return Service("promtool", "", f"promtool was not found ({given or 'promtool'}; PROMTOOL_PATH names another)")


def required() -> bool:
    return os.environ.get("REQUIRE_SERVICES", "") == "1"


def postgresql_stage() -> bool:
    """Is this the run of the `database` tests on PostgreSQL?"""
    return os.environ.get("TEST_STAGE", "") == "postgresql"


# --- what pytest is told -----------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "redis: needs a Redis")
    config.addinivalue_line("markers", "promtool: needs Prometheus's promtool")
    config.addinivalue_line("markers", "postgresql: needs a PostgreSQL, whatever the suite itself runs on")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of the test: skip or fail when something that it needs does not answer."""
    needed = []
    if item.get_closest_marker("redis"):
        needed.append(redis_server())
    if item.get_closest_marker("e2e"):
        needed.append(chromium())
    if item.get_closest_marker("promtool"):
        needed.append(promtool())
    if postgresql_stage() or item.get_closest_marker("postgresql"):
        needed.append(postgresql())
    for service in needed:
        if not service.at:
            if required():
                pytest.fail(f"{service.why}, and REQUIRE_SERVICES=1.", pytrace=False)
            pytest.skip(service.why)


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """The browser's executable; for tests marked `e2e`."""
    return Path(chromium().at)


@pytest.fixture
def redis_url() -> str:
    """For tests marked `redis`; use it with `redis_prefix` only."""
    return redis_server().at


@pytest.fixture
def redis_prefix(redis_url: str) -> Iterator[str]:
    """A prefix of this test's own. Its keys are deleted one by one afterwards; nothing is ever flushed."""
    prefix = f"sallyport-test-{secrets.token_hex(6)}:"
    yield prefix
    with redis.Redis.from_url(redis_url) as client:
        for key in client.scan_iter(match=f"{prefix}*"):
            client.delete(key)
