"""What machines share: a PostgreSQL that can fail over to a standby, a Redis, and the keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import redis

from tests import production
from tests.faults.private import PostgresqlCluster, RedisServer, migrate, own_cluster
from tests.processes import wait_until

DATABASE, ROLE = "sallyport", "sallyport_web"
_TEMPLATE = "sallyport_template"
_SETTINGS = {
    "max_connections": "100",
    "wal_level": "replica",
    # Processes die in these tests, the machine under them does not: what was handed to the kernel stays.
    "fsync": "off",
    "full_page_writes": "off",
    "hot_standby": "on",
}


class SharedServers:
    """The portal reaches `primary` and, after a fail-over, `other`: its DATABASE_URL names both."""

    def __init__(self, first: PostgresqlCluster, second: PostgresqlCluster, cache: RedisServer) -> None:
        self.primary, self.other, self.redis = first, second, cache
        self._hosts = {"host": "127.0.0.1,127.0.0.1", "port": f"{first.port},{second.port}"}

    def prepare(self) -> None:
        """A migrated database to copy, and the restricted role."""
        self.primary.execute(f"CREATE DATABASE {_TEMPLATE}")
        migrate(self.primary.url(_TEMPLATE))
        self.primary.execute(f"CREATE ROLE {ROLE} LOGIN")
        production.grant(self.primary.url(_TEMPLATE), role=ROLE)

    def make_new(self) -> None:
        """Everything runs, the database is as after the installation, and Redis has no token."""
        self.primary.start()
        self.redis.start()
        self.primary.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
        self.primary.execute(f"CREATE DATABASE {DATABASE} TEMPLATE {_TEMPLATE}")
        self.forget_tokens()

    def forget_tokens(self) -> None:
        """Those in Redis; the lease's row may still have one."""
        with redis.Redis.from_url(self._cache_url) as client:
            client.flushdb()

    def add_standby(self) -> None:
        """From now on whatever is acknowledged is on two servers."""
        self.other.create_as_standby_of(self.primary, name="standby")
        self.other.start()
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        self.primary.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.primary.value("SELECT sync_state FROM pg_stat_replication") == "sync")

    def fail_over(self) -> None:
        """The primary dies without a word, and the standby takes its place."""
        self.primary.kill()
        self.other.promote()
        self.primary, self.other = self.other, self.primary

    def variables(self) -> dict[str, str]:
        """For a machine's processes."""
        hosts = "&".join(f"{name}={value}" for name, value in self._hosts.items())
        return {
            "DATABASE_URL": f"postgres://{ROLE}@/{DATABASE}?{hosts}&target_session_attrs=read-write",
            "CACHE_URL": self._cache_url,
            "BROKER_URL": self.redis.url,
            "BROKER_KEY_PREFIX": "sallyport:",
            "SECRET_KEY": os.environ["SECRET_KEY"],
            "VAULT_KEYS": os.environ["VAULT_KEYS"],
        }

    def settings(self) -> dict[str, Any]:
        """For the tests' own connection, which finds the primary as well."""
        settings = self.primary.settings(DATABASE)
        settings |= {name.upper(): value for name, value in self._hosts.items()}
        settings["OPTIONS"]["target_session_attrs"] = "read-write"
        return settings

    @property
    def _cache_url(self) -> str:
        """Beside the broker's keys, which are left alone: workers hold on to them."""
        return self.redis.url.removesuffix("/0") + "/1"


@contextmanager
def shared_servers(redis_binary: str, folder: Path) -> Iterator[SharedServers]:
    with ExitStack() as stack:
        first = stack.enter_context(own_cluster(_SETTINGS))
        second = stack.enter_context(own_cluster(_SETTINGS, is_empty=True))
        cache = RedisServer(redis_binary, folder)
        stack.callback(cache.kill)
        cache.start()
        servers = SharedServers(first, second, cache)
        servers.prepare()
        yield servers
