"""An installation as in production, for checks: python -m tests.production mypy | migrations | deploy

Keys are random, the database is SQLite in a temporary folder or a PostgreSQL database of its own with a random name
and a running role that deploy/postgresql-roles.sql restricts, exactly as the RUNBOOK says.
"""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests import services

ROOT = Path(__file__).resolve().parent.parent
ROLES = ROOT / "deploy" / "postgresql-roles.sql"
SOURCES = ("portal", "accounts", "omaccess", "tests", "manage.py")


def variables(folder: Path) -> dict[str, str]:
    """What an operator would set: keys and the host name. All else is the default, SQLite included."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR"}}
    return {
        **kept,
        "SECRET_KEY": secrets.token_urlsafe(64),
        "VAULT_KEYS": f"check:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "DATA_DIR": str(folder),
        "ALLOWED_HOSTS": "portal.example.com",
        "DJANGO_SETTINGS_MODULE": "portal.settings",
    }


def manage(*arguments: str, env: Mapping[str, str], is_quiet: bool = False) -> subprocess.CompletedProcess[str]:
    """Run manage.py with exactly these variables."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=dict(env),
        text=True,
        check=False,
        capture_output=is_quiet,
    )


@contextlib.contextmanager
def postgresql(env: Mapping[str, str]) -> Iterator[dict[str, str]]:
    """A migrated PostgreSQL database: yields the variables of an installation that runs as a restricted role.

    Needs `services.postgresql()` to answer. Database and role are dropped at the end.
    """
    admin_url = services.postgresql().at
    name, role, password = (f"sallyport_check_{secrets.token_hex(6)}" for _ in range(3))
    with psycopg.connect(admin_url, autocommit=True) as admin:
        admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(password)))
        admin.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        owner_url = _url(admin_url, database=name)
        try:
            migrating = {**env, "MIGRATE_DATABASE_URL": owner_url, "USE_MIGRATE_ROLE": "1"}
            migrating |= {"DATABASE_URL": owner_url}
            manage("migrate", "--verbosity", "0", env=migrating).check_returncode()
            grant(owner_url, role=role)
            yield {**env, "DATABASE_URL": _url(admin_url, database=name, user=role, password=password)}
        finally:
            admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            admin.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(role)))


def grant(owner_url: str, *, role: str) -> None:
    """What `psql -v role=… -f deploy/postgresql-roles.sql` does, without needing psql."""
    text = ROLES.read_text(encoding="utf-8").replace(':"role"', f'"{role}"')
    with psycopg.connect(owner_url) as connection:
        connection.execute(text.encode())


def _url(url: str, *, database: str, user: str = "", password: str = "") -> str:
    """The same server, another database; with `user`, by TCP and password, as a service would come."""
    parts = urlsplit(url)
    netloc = parts.netloc
    if user:
        is_socket = not parts.hostname or "%2f" in parts.netloc.lower()
        host = "127.0.0.1" if is_socket else parts.hostname
        netloc = f"{quote(user)}:{quote(password)}@{host}:{parts.port or 5432}"
    return urlunsplit(parts._replace(netloc=netloc, path=f"/{database}"))


def check_deploy() -> int:
    """Django's deployment checks, warnings being errors, with the database's checks. Returns an exit code."""
    check = ("check", "--deploy", "--database", "default", "--fail-level", "WARNING")
    with tempfile.TemporaryDirectory(prefix="sallyport-check-") as folder:
        env = variables(Path(folder))
        code = manage("migrate", "--verbosity", "0", env=env).returncode or manage(*check, env=env).returncode
        if code:
            return code
        if services.postgresql().at:
            with postgresql(env) as on_postgresql:
                return manage(*check, env=on_postgresql).returncode
        _say(f"Not on PostgreSQL: {services.postgresql().why}.")
        return 1 if services.required() else 0


def check_migrations() -> int:
    with tempfile.TemporaryDirectory(prefix="sallyport-check-") as folder:
        return manage("makemigrations", "--check", "--dry-run", env=variables(Path(folder))).returncode


def check_types() -> int:
    """mypy imports the settings (by its plugin for Django), so it needs an installation as well."""
    with tempfile.TemporaryDirectory(prefix="sallyport-check-") as folder:
        command = [sys.executable, "-m", "mypy", *SOURCES]
        return subprocess.run(command, cwd=ROOT, env=variables(Path(folder)), check=False).returncode


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit({"mypy": check_types, "migrations": check_migrations, "deploy": check_deploy}[sys.argv[1]]())
