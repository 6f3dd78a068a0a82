"""What stops a start, and in which words."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import CheckMessage
from django.db import DatabaseError, connection

from omaccess import checks
from omaccess.audit import triggers
from tests.omaccess.audit.log import append, head, run, undone

pytestmark = [pytest.mark.database, pytest.mark.django_db]

ROOT = Path(__file__).parents[2]
KEY = "Zm9ydHktdHdvIGlzIG5vdCBhIHNlY3JldCBrZXkhISE="
on_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="speaks of PostgreSQL")


def ids(messages: list[CheckMessage]) -> list[str | None]:
    return [message.id for message in messages]


def audit_check() -> list[CheckMessage]:
    return checks.audit_is_protected(None, databases=["default"])


# --- settings --------------------------------------------------------------------------------------


def test_these_settings_are_sound(settings: Any) -> None:
    settings.REQUIRE_AUDIT_ROLE = False

    assert checks.vault_keys(None) == []
    assert checks.cloud_endpoints(None) == []
    assert checks.sandbox_is_no_production(None) == []
    assert audit_check() == []


def test_a_malformed_vault_key_is_an_error_without_the_key(settings: Any) -> None:
    settings.VAULT_KEYS = f"a:{KEY[:-4]}"

    (message,) = checks.vault_keys(None)

    assert message.id == "omaccess.E001"
    assert KEY[:10] not in str(message)


@pytest.mark.parametrize("endpoint", ["http://iam.example.com", "https://", "ftp://x", "https://user@x", "https://x y"])
def test_an_endpoint_rule_that_cannot_be_meant_is_an_error(settings: Any, endpoint: str) -> None:
    settings.CLOUD_ENDPOINTS = [endpoint]

    assert ids(checks.cloud_endpoints(None)) == ["omaccess.E002"]


@pytest.mark.parametrize(
    ("is_sandbox", "is_sqlite", "allowed", "expected"),
    [
        (True, True, False, []),
        (True, False, True, []),
        (True, False, False, ["omaccess.E003"]),
        (False, False, False, []),
    ],
)
def test_the_sandbox_on_postgresql_has_to_be_meant(
    settings: Any, is_sandbox: bool, is_sqlite: bool, allowed: bool, expected: Any
) -> None:
    settings.IS_SANDBOX, settings.IS_SQLITE, settings.ALLOW_SANDBOX = is_sandbox, is_sqlite, allowed

    assert ids(checks.sandbox_is_no_production(None)) == expected


# --- the audit's protection ------------------------------------------------------------------------


def test_without_databases_the_database_is_not_asked(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        assert checks.audit_is_protected(None, databases=None) == []


def test_before_the_first_migration_nothing_is_missing() -> None:
    with undone():
        run(f"ALTER TABLE {triggers.EVENTS} RENAME TO elsewhere")

        assert audit_check() == []


def test_each_missing_trigger_is_an_error_that_names_it(settings: Any) -> None:
    settings.REQUIRE_AUDIT_ROLE = False
    on = f" ON {triggers.EVENTS}" if connection.vendor == "postgresql" else ""
    with undone():
        run(f"DROP TRIGGER audit_events_only_append{on}")

        (message,) = audit_check()

    assert message.id == "omaccess.E004"
    assert "audit_events_only_append" in str(message)


def test_a_database_that_cannot_be_asked_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise DatabaseError("gone: postgres://user:password@host/")

    with connection.execute_wrapper(fail):
        (message,) = audit_check()

    assert message.id == "omaccess.W001"
    assert "password" not in str(message)


@on_postgresql
def test_a_postgresql_that_forgets_what_it_acknowledged_is_an_error(settings: Any) -> None:
    settings.REQUIRE_AUDIT_ROLE = False
    with undone():
        run("SET LOCAL synchronous_commit = off")

        assert ids(audit_check()) == ["omaccess.E005"]


@pytest.fixture
def role() -> Iterator[str]:
    """A role of this test's own; it is gone when the transaction is rolled back."""
    name = f"sallyport_test_{secrets.token_hex(6)}"
    with undone():
        run(f"CREATE ROLE {name}")
        run(f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {name}")
        run(f"GRANT SELECT, INSERT ON {triggers.EVENTS} TO {name}")
        run(f"GRANT SELECT, UPDATE ON {triggers.HEAD} TO {name}")
        yield name
        run("RESET ROLE")


def audit_check_as(role: str) -> list[CheckMessage]:
    run(f"SET ROLE {role}")
    return audit_check()


@on_postgresql
def test_a_role_that_may_only_read_and_append_is_right(settings: Any, role: str) -> None:
    settings.REQUIRE_AUDIT_ROLE, settings.USE_MIGRATE_ROLE = True, False

    assert audit_check_as(role) == []


@on_postgresql
@pytest.mark.parametrize("privilege", ["UPDATE", "DELETE", "TRUNCATE", "TRIGGER"])
def test_a_role_that_may_more_is_an_error_that_names_it(settings: Any, role: str, privilege: str) -> None:
    settings.REQUIRE_AUDIT_ROLE, settings.USE_MIGRATE_ROLE = True, False
    run(f"GRANT {privilege} ON {triggers.EVENTS} TO {role}")

    (message,) = audit_check_as(role)

    assert message.id == "omaccess.E006"
    assert f"may {privilege} on" in str(message)


@on_postgresql
@pytest.mark.parametrize("privilege", ["DELETE", "TRUNCATE", "TRIGGER"])
def test_a_role_that_may_more_on_the_head_is_an_error(settings: Any, role: str, privilege: str) -> None:
    settings.REQUIRE_AUDIT_ROLE, settings.USE_MIGRATE_ROLE = True, False
    run(f"GRANT {privilege} ON {triggers.HEAD} TO {role}")

    assert ids(audit_check_as(role)) == ["omaccess.E006"]


@on_postgresql
def test_a_role_that_owns_the_table_is_an_error_even_after_giving_rights_away(settings: Any, role: str) -> None:
    """An owner takes every right back whenever it likes, and may switch triggers off."""
    settings.REQUIRE_AUDIT_ROLE, settings.USE_MIGRATE_ROLE = True, False
    run(f"GRANT CREATE ON SCHEMA public TO {role}")
    run(f"ALTER TABLE {triggers.EVENTS} OWNER TO {role}")
    run(f"REVOKE UPDATE, DELETE, TRUNCATE, TRIGGER ON {triggers.EVENTS} FROM {role}")

    assert ids(audit_check_as(role)) == ["omaccess.E006"]


@on_postgresql
@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("ALTER ROLE {role} SUPERUSER", "do everything (as a superuser)"),
        ("ALTER ROLE {role} CREATEROLE", "become any other role (CREATEROLE)"),
        ("GRANT {owner} TO {role}", "do everything (as a superuser)"),
        ("ALTER ROLE {role} NOINHERIT; GRANT {owner} TO {role}", "do everything (as a superuser)"),
        ("GRANT pg_write_all_data TO {role}", "UPDATE on omaccess_auditevent"),
        ("ALTER ROLE {role} NOINHERIT; GRANT pg_write_all_data TO {role}", "UPDATE on omaccess_auditevent"),
        ("GRANT pg_execute_server_program TO {role}", "reach the server's own files (pg_execute_server_program)"),
        ("GRANT pg_write_server_files TO {role}", "reach the server's own files (pg_write_server_files)"),
        ("GRANT UPDATE (kind) ON omaccess_auditevent TO {role}", "UPDATE on omaccess_auditevent"),
        ("GRANT UPDATE ON omaccess_auditevent TO PUBLIC", "UPDATE on omaccess_auditevent"),
        ("GRANT CREATE ON SCHEMA public TO {role}", "CREATE in the schema public"),
        ("GRANT CREATE ON SCHEMA public TO PUBLIC", "CREATE in the schema public"),
        ("GRANT CREATE ON DATABASE {database} TO {role}", "CREATE schemas"),
        ("ALTER SCHEMA public OWNER TO {role}", "drop the tables (as the owner of the schema public)"),
        ("ALTER DATABASE {database} OWNER TO {role}", "drop the database (as its owner)"),
        ("ALTER DATABASE {database} OWNER TO {role}", "drop the tables (as the owner of the schema public)"),
        ("ALTER FUNCTION audit_refuse() OWNER TO {role}", "change the function audit_refuse, which it owns"),
    ],
)
def test_each_way_in_which_a_role_is_too_mighty_is_found(settings: Any, role: str, statement: str, words: str) -> None:
    settings.REQUIRE_AUDIT_ROLE, settings.USE_MIGRATE_ROLE = True, False
    database = connection.settings_dict
    run(statement.format(role=role, owner=database["USER"], database=database["NAME"]))

    (message,) = audit_check_as(role)

    assert message.id == "omaccess.E006"
    assert words in str(message)


@on_postgresql
def test_a_role_that_cannot_read_a_table_is_an_error_that_says_what_to_run(settings: Any, role: str) -> None:
    settings.REQUIRE_AUDIT_ROLE, settings.USE_MIGRATE_ROLE = True, False
    run(f"REVOKE SELECT ON omaccess_host FROM {role}")

    (message,) = audit_check_as(role)

    assert message.id == "omaccess.E009"
    assert "may not read omaccess_host. Run deploy/postgresql-roles.sql" in str(message)


@on_postgresql
@pytest.mark.parametrize(("require", "migrating"), [(False, False), (True, True)])
def test_the_role_is_not_judged_when_it_migrates_or_nobody_asks(
    settings: Any, role: str, require: bool, migrating: bool
) -> None:
    settings.REQUIRE_AUDIT_ROLE, settings.USE_MIGRATE_ROLE = require, migrating
    run(f"GRANT ALL ON {triggers.EVENTS} TO {role}")

    assert audit_check_as(role) == []


@on_postgresql
def test_the_role_that_only_appends_can_append_and_nothing_else(role: str) -> None:
    run(f"SET ROLE {role}")

    event = append()

    assert head() == (event.position, event.hash)
    for sql in (f"UPDATE {triggers.EVENTS} SET kind = 'x'", f"DELETE FROM {triggers.EVENTS}"):
        with pytest.raises(DatabaseError), undone():
            run(sql)


# --- a start with wrong variables ------------------------------------------------------------------


def started(tmp_path: Path, **variables: str | None) -> subprocess.CompletedProcess[str]:
    """`manage.py check` in a process of its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "SECRET_KEY": "a-secret-key-for-this-test-that-is-long-enough-0123456789",
        "VAULT_KEYS": f"k1:{KEY}",
        "DATA_DIR": str(tmp_path),
    }
    given = environment | variables
    return subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={name: value for name, value in given.items() if value is not None},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_start_with_everything_set_succeeds(tmp_path: Path) -> None:
    ended = started(tmp_path)

    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"SECRET_KEY": None}, "SECRET_KEY (or SECRET_KEY_FILE) is not set"),
        ({"SECRET_KEY": ""}, "SECRET_KEY (or SECRET_KEY_FILE) is not set"),
        ({"VAULT_KEYS": None}, "VAULT_KEYS (or VAULT_KEYS_FILE) is not set"),
        ({"VAULT_KEYS": f"k1:{KEY[:-4]}"}, "VAULT_KEYS: the key k1 has"),
        ({"VAULT_KEYS": KEY}, "VAULT_KEYS: entry 1 is not of the form id:base64"),
        ({"DEBUG": "1"}, "DEBUG shows tokens on error pages"),
        ({"CLOUD_CA_BUNDLE": "/nope"}, "CLOUD_CA_BUNDLE"),
        ({"CLOUD_PROXY": "foo"}, "CLOUD_PROXY"),
        ({"SECRET_KEY_FILE": "/nope"}, "SECRET_KEY_FILE"),
        ({"DATABASE_URL": "foo"}, "DATABASE_URL"),
        ({"WEB_THREADS": "abc"}, "WEB_THREADS"),
        ({"TIME_ZONE": "Mars/Phobos"}, "TIME_ZONE"),
        ({"LOG_LEVEL": "foo"}, "LOG_LEVEL"),
        ({"LAUNCHES_PER_MINUTE": "-1"}, "LAUNCHES_PER_MINUTE"),
        ({"CLOUD": "aws"}, "it is huawei or sandbox"),
        ({"WEB_THREADS": "1"}, "WEB_THREADS is at least 2"),
        ({"TRUSTED_PROXIES": "everybody"}, "TRUSTED_PROXIES"),
        ({"CLOUD": "aws"}, "CLOUD is 'aws'"),
        ({"TRUSTED_PROXIES": "10.0.0.1/8"}, "TRUSTED_PROXIES"),
        ({"PRODUCTION_LABELS": "env=prod,critical"}, "PRODUCTION_LABELS: 'critical' is no label"),
        ({"ENV_FILE": "/nowhere/env"}, "ENV_FILE names /nowhere/env"),
        ({"CLOUD_ENDPOINTS": "http://iam.example.com"}, "CLOUD_ENDPOINTS"),
    ],
)
def test_a_start_with_a_wrong_variable_stops_and_names_it(
    tmp_path: Path, variables: dict[str, str | None], why: str
) -> None:
    ended = started(tmp_path, **variables)

    assert ended.returncode == 1
    assert why in ended.stderr
    assert KEY[:12] not in ended.stderr


def test_secrets_can_be_given_as_files(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"k1:{KEY}\n")
    (tmp_path / "secret").write_text("a-secret-key-for-this-test-that-is-long-enough-0123456789\n")

    ended = started(
        tmp_path,
        SECRET_KEY=None,
        VAULT_KEYS=None,
        SECRET_KEY_FILE=str(tmp_path / "secret"),
        VAULT_KEYS_FILE=str(tmp_path / "keys"),
    )

    assert ended.returncode == 0, ended.stderr


def test_a_secret_file_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    ended = started(tmp_path, VAULT_KEYS=None, VAULT_KEYS_FILE=str(tmp_path / "nowhere"))

    assert ended.returncode == 1
    assert "VAULT_KEYS" in ended.stderr
