"""Databases of the benchmark's own: migrated once, copied as often as needed, dropped at the end."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests import production, services

Variables = dict[str, str]


@dataclass(frozen=True, slots=True)
class Installation:
    """`env` is what the portal runs with; `owner` what migrates, and fills tables in bulk."""

    vendor: str
    env: Variables
    owner: Variables

    @property
    def role(self) -> str:
        """The restricted role; empty on SQLite."""
        return unquote(urlsplit(self.env["DATABASE_URL"]).username or "")


class Databases:
    """Makes installations of one kind of database, each with a database and a data folder of its own."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._env, self._folder = dict(env), folder

    def migrate(self) -> None:
        """Make the database that the others are copies of."""
        raise NotImplementedError

    def make(self) -> Installation:
        """A copy of the migrated, otherwise empty database."""
        raise NotImplementedError

    def _variables(self, url: str, folder: Path) -> Variables:
        folder.mkdir(parents=True, exist_ok=True)
        return {**self._env, "DATA_DIR": str(folder), "METRICS_DIR": str(folder / "metrics"), "DATABASE_URL": url}


class SqliteDatabases(Databases):
    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        super().__init__(env, folder)
        self._migrated = folder / "migrated.sqlite3"

    def migrate(self) -> None:
        _migrate(self._variables(f"sqlite:///{self._migrated}", self._folder / "migrated"))

    def make(self) -> Installation:
        folder = self._folder / secrets.token_hex(4)
        env = self._variables(f"sqlite:///{folder / 'portal.sqlite3'}", folder)
        with (
            contextlib.closing(sqlite3.connect(self._migrated)) as source,
            contextlib.closing(sqlite3.connect(folder / "portal.sqlite3")) as copy,
        ):
            source.backup(copy)
        return Installation("sqlite", env, env)


class PostgresqlDatabases(Databases):
    """On the running server, with random names and a role that deploy/postgresql-roles.sql restricts."""

    def __init__(self, env: Mapping[str, str], folder: Path, admin: psycopg.Connection, admin_url: str) -> None:
        super().__init__(env, folder)
        self._admin, self._admin_url = admin, admin_url
        self._names: list[str] = []
        self._role, self._password = f"sallyport_bench_{secrets.token_hex(6)}", secrets.token_hex(12)
        self._migrated = ""

    def migrate(self) -> None:
        role, password = sql.Identifier(self._role), sql.Literal(self._password)
        self._admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, password))
        self._migrated = self._create()
        owner = self._owner(self._migrated, self._folder / "migrated")
        _migrate(owner)
        production.grant(owner["DATABASE_URL"], role=self._role)

    def make(self) -> Installation:
        name = self._create(template=self._migrated)
        folder = self._folder / name
        url = _at(self._admin_url, database=name, user=self._role, password=self._password)
        return Installation("postgresql", self._variables(url, folder), self._owner(name, folder))

    def drop_all(self) -> None:
        for name in reversed(self._names):
            self._admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        self._admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(self._role)))

    def _create(self, template: str = "template1") -> str:
        name = f"sallyport_bench_{secrets.token_hex(6)}"
        self._names.append(name)
        self._admin.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
        )
        return name

    def _owner(self, name: str, folder: Path) -> Variables:
        url = _at(self._admin_url, database=name)
        return {
            **self._variables(url, folder),
            "MIGRATE_DATABASE_URL": url,
            "USE_MIGRATE_ROLE": "1",
            "REQUIRE_AUDIT_ROLE": "0",
        }


@contextlib.contextmanager
def databases(vendor: str, env: Mapping[str, str], folder: Path) -> Iterator[Databases]:
    """Databases that are gone when the block ends, however it ends."""
    if vendor == "sqlite":
        on_sqlite = SqliteDatabases(env, folder / "sqlite")
        try:
            on_sqlite.migrate()
            yield on_sqlite
        finally:
            shutil.rmtree(folder / "sqlite", ignore_errors=True)
        return
    url = services.postgresql().at
    with psycopg.connect(url, autocommit=True) as admin:
        on_postgresql = PostgresqlDatabases(env, folder / "postgresql", admin, url)
        try:
            on_postgresql.migrate()
            yield on_postgresql
        finally:
            on_postgresql.drop_all()


def _migrate(env: Variables) -> None:
    production.manage("migrate", "--verbosity", "0", env=env).check_returncode()


def _at(url: str, *, database: str, user: str = "", password: str = "") -> str:
    """The same server, another database; with `user`, by TCP and password, as a service would come."""
    parts = urlsplit(url)
    netloc = parts.netloc
    if user:
        is_socket = not parts.hostname or "%2f" in netloc.lower()
        netloc = f"{quote(user)}:{quote(password)}@{'127.0.0.1' if is_socket else parts.hostname}:{parts.port or 5432}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}"))
