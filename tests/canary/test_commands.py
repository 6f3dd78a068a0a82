"""What commands print, also when something is wrong: keys, passwords and addresses with passwords in them."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command, get_commands

from accounts.models import User
from omaccess.sandbox.server import SandboxServer
from tests.canary.conftest import vault_key
from tests.canary.issued import Issued
from tests.canary.sinks import Sinks, add_database
from tests.inventory import Inventory
from tests.launching import open_account
from tests.processes import ROOT, environment

OURS = {name for name, app in get_commands().items() if app in {"omaccess", "accounts", "portal"}}
HERE = {"audit_verify", "audit_export", "rotate_secrets", "doctor", "create_admin", "demo_data", "sendtestemail"}
ELSEWHERE = {"sandbox", "migrate"}
"""Looked at in test_background.py; `migrate` is Django's and knows no secret."""


def output_of(*command: str, sinks: Sinks, **options: Any) -> str:
    """Runs a command here; everything it says, also as it gives up, is a sink."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*command, stdout=out, stderr=err, **options)
    except (CommandError, SystemExit) as error:
        err.write(f"{error!r} {error}")
    sinks.add(f"output of {command[0]}", out.getvalue() + err.getvalue())
    return out.getvalue() + err.getvalue()


def test_every_command_of_the_portal_is_looked_at() -> None:
    assert OURS == HERE | ELSEWHERE


@pytest.mark.database
def test_no_command_prints_a_secret(
    inventory: Inventory,
    sandbox: SandboxServer,
    issued: Issued,
    sinks: Sinks,
    meta_of: Any,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    logged: None,
) -> None:
    open_account(inventory.root, inventory.staff, meta_of(inventory.staff))
    password = issued.add("typed password", secrets.token_urlsafe(18))
    monkeypatch.setenv("ADMIN_PASSWORD", password)
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {"data_folder_in": str(tmp_path)}

    output_of("create_admin", "ada", sinks=sinks)
    output_of("create_admin", "ada", sinks=sinks)
    output_of("create_admin", "ada", "--promote", "--superuser", sinks=sinks)
    monkeypatch.setenv("ADMIN_PASSWORD", "password1234")
    output_of("create_admin", "bob", sinks=sinks)
    monkeypatch.setattr("sys.stdin", io.StringIO(password + "\n"))
    output_of("create_admin", "bob", "--password-stdin", sinks=sinks)
    output_of("audit_verify", sinks=sinks)
    output_of("audit_verify", "--head", "1:" + "0" * 64, sinks=sinks)
    settings.VAULT_KEYS = f"{vault_key(issued, 'c2')},{settings.VAULT_KEYS}"
    rotated = output_of("rotate_secrets", sinks=sinks)
    for form in ("csv", "jsonl"):
        output_of("audit_export", "--format", form, "--output", "-", sinks=sinks)
    monkeypatch.setenv("DEMO_PASSWORD", password)
    refused = output_of("demo_data", "--sandbox-url", sandbox.url, sinks=sinks)
    add_database(sinks)

    assert "2 encrypted anew" in rotated
    assert refused
    assert User.objects.get(username="bob").check_password(password)
    assert sinks.leaks(issued) == []


def test_a_mail_that_cannot_be_sent_shows_no_password_of_the_mail_server(
    issued: Issued, sinks: Sinks, settings: Any, db: None, logged: None
) -> None:
    password = issued.add("mail password", secrets.token_urlsafe(18))
    settings.EMAIL_URL = f"smtp://portal:{password}@127.0.0.1:9"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "portal", password

    text = output_of("sendtestemail", "ops@example.com", sinks=sinks)

    assert "The mail was not sent" in text
    assert sinks.leaks(issued) == []


@pytest.mark.parametrize("broken", ["c1:not-base64-{0}", "{0}", "c1:{0},c1:{0}", "c1:{0}=="])
def test_no_key_is_in_the_complaint_about_a_key(
    broken: str, issued: Issued, sinks: Sinks, settings: Any, db: None
) -> None:
    key = issued.add("vault key", secrets.token_urlsafe(33))
    settings.VAULT_KEYS = broken.format(key)

    text = output_of("doctor", sinks=sinks)

    assert "VAULT_KEYS" in text
    assert sinks.leaks(issued) == []


def test_doctor_says_what_is_wrong_with_secrets_and_shows_none(
    inventory: Inventory, issued: Issued, sinks: Sinks, settings: Any, logged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omaccess.management.commands.doctor._WORKER_ANSWERS_SECONDS", 0.1)
    settings.VAULT_KEYS = vault_key(issued, "other")

    text = output_of("doctor", sinks=sinks)

    assert "no key with the id 'c1' is configured in VAULT_KEYS" in text
    assert sinks.leaks(issued) == []


def test_a_secret_that_a_command_prints_would_be_found(db: None, sinks: Sinks) -> None:
    issued = Issued()
    issued.add("typed password", "twenty-odd-characters-long")

    output_of("create_admin", "twenty-odd-characters-long", "--promote", sinks=sinks)

    assert sinks.leaks(issued)


def started(sinks: Sinks, **variables: str) -> str:
    """A process that starts with these variables and ends; what it says is a sink."""
    ended = subprocess.run(
        [sys.executable, "manage.py", "showmigrations", "auth"],
        cwd=ROOT,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    sinks.add("what a failed start says", ended.stdout + ended.stderr)
    return ended.stdout + ended.stderr


def test_no_password_of_a_database_is_in_what_a_failed_start_says(db: None, sinks: Sinks) -> None:
    issued = Issued()
    password = issued.add("database password", secrets.token_urlsafe(18))
    url = f"postgres://sallyport:{password}@127.0.0.1:9/portal?connect_timeout=1"

    text = started(sinks, DATABASE_URL=url)

    assert "127.0.0.1" in text
    assert sinks.leaks(issued) == []
    assert os.environ.get("DATABASE_URL", "") != url


@pytest.mark.parametrize("name", ["DATABASE_URL", "CACHE_URL", "BROKER_URL"])
def test_half_of_a_password_is_not_in_the_complaint_about_an_address(name: str, db: None, sinks: Sinks) -> None:
    """`#` or `/` in a password that nobody escaped: libraries take what is before it for a port, and quote it."""
    issued = Issued()
    half = issued.add("password", secrets.token_urlsafe(18))
    scheme = "postgres" if name == "DATABASE_URL" else "redis"

    for sign in "#/":
        text = started(sinks, **{name: f"{scheme}://sallyport:{half}{sign}more@127.0.0.1:9/0"})
        assert name in text
        assert "Traceback" not in text

    assert sinks.leaks(issued) == []
