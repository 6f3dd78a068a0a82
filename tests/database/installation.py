"""A PostgreSQL database set up as the RUNBOOK says: one role owns and migrates it, another one runs the portal."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.core.management import call_command
from psycopg import sql

from tests import production, services
from tests.faults.private import default_database_is


@dataclass(frozen=True)
class Role:
    """A login of this test run's own."""

    name: str
    password: str


@dataclass(frozen=True)
class Installation:
    """One database on the server that the tests may use, and the two roles."""

    database: str
    owner: Role
    web: Role

    def url(self, role: Role) -> str:
        server = urlsplit(services.postgresql().at)
        is_socket = not server.hostname or "%2f" in server.netloc.lower()
        host = "127.0.0.1" if is_socket else server.hostname
        return f"postgres://{role.name}:{role.password}@{host}:{server.port or 5432}/{self.database}"

    def connect(self, role: Role) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url(role), autocommit=True)

    def connect_as_superuser(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(services.postgresql().at, dbname=self.database, autocommit=True)

    def settings(self, role: Role) -> dict[str, Any]:
        """For Django: as portal/settings.py would have it."""
        parts = urlsplit(self.url(role))
        seconds = 0 if role is self.owner else 15
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": self.database,
            "USER": role.name,
            "PASSWORD": role.password,
            "HOST": parts.hostname,
            "PORT": parts.port,
            "OPTIONS": {"options": f"-c lock_timeout=2s -c statement_timeout={seconds}s", "connect_timeout": 3},
        }

    def migrate(self) -> None:
        with default_database_is(self.settings(self.owner)):
            call_command("migrate", verbosity=0)

    def say_what_the_running_role_may(self) -> None:
        """Run deploy/postgresql-roles.sql as the owner."""
        production.grant(self.url(self.owner), role=self.web.name)


@contextmanager
def two_roles() -> Iterator[tuple[Role, Role]]:
    """Owner and running role, neither of them anything more than a login. Their databases must be gone at the end."""
    owner, web = (Role(f"sallyport_{what}_{secrets.token_hex(6)}", secrets.token_hex(8)) for what in ("owner", "web"))
    with _administration() as admin:
        for role in (owner, web):
            statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
            admin.execute(statement.format(sql.Identifier(role.name), sql.Literal(role.password)))
    try:
        yield owner, web
    finally:
        with _administration() as admin:
            for role in (owner, web):
                admin.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role.name)))


@contextmanager
def database(owner: Role, web: Role, *, template: str = "template1") -> Iterator[Installation]:
    """A database that the owner owns, empty or a copy; dropped at the end."""
    name = f"sallyport_test_{secrets.token_hex(6)}"
    with _administration() as admin:
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {}")
        admin.execute(statement.format(*map(sql.Identifier, (name, template, owner.name))))
    try:
        yield Installation(name, owner, web)
    finally:
        with _administration() as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


def _administration() -> psycopg.Connection[tuple[Any, ...]]:
    return psycopg.connect(services.postgresql().at, autocommit=True)
