"""What lies on disks: the database as a dump and as bytes, the cache in rows and in Redis."""

from __future__ import annotations

import secrets
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection
from django.test import Client

from accounts.models import User
from omaccess import vault
from omaccess.actions import credentials
from omaccess.meta import Meta
from omaccess.models import IamCredential, IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from tests.canary.conftest import signed_in, vault_key
from tests.canary.issued import Issued
from tests.canary.life import REFUSALS, forget_tokens, password_of
from tests.canary.sinks import Sinks, add_database, add_files, add_redis
from tests.factories import PASSWORD
from tests.inventory import Inventory


def live(inventory: Inventory, sandbox: SandboxServer, issued: Issued, settings: Any) -> None:
    """Launches, a renewed token, a replaced secret, a rotation, signing in, a changed password; committed."""
    settings.LAUNCHES_PER_MINUTE = 10_000
    staff = signed_in(inventory.staff)
    for _round in range(2):
        assert staff.post("/launches/", {"account": inventory.root.pk})["Location"].startswith(sandbox.url)
        sandbox.control.revoke_tokens()
    for host, account in REFUSALS:
        staff.post("/launches/", {"account": inventory.account(account, host).pk})
    credential = inventory.credentials["second"]
    replaced = issued.add("typed password", secrets.token_urlsafe(18))
    credentials.replace_secret(credential, secret=replaced, by=None, meta=Meta())
    settings.VAULT_KEYS = f"{vault_key(issued, 'c9')},{settings.VAULT_KEYS}"
    credentials.rotate(meta=Meta.system("rotate_secrets"))
    person, typed = Client(), issued.add("typed password", secrets.token_urlsafe(18))
    person.post("/accounts/login/", {"login": "staff", "password": PASSWORD})
    person.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": typed, "password2": typed})
    assert User.objects.get(username="staff").check_password(typed)
    assert staff.post("/launches/", {"account": inventory.root.pk}).status_code == 302  # that session has ended


@pytest.mark.database
def test_no_secret_is_in_a_dump_of_the_database_or_in_its_files(
    committed: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks, settings: Any
) -> None:
    """Also not in SQLite's log of changes and in pages that were given free: deleted is not erased."""
    live(committed, sandbox, issued, settings)
    add_database(sinks)
    forget_tokens()
    if connection.vendor == "sqlite":
        base = str(connection.settings_dict["NAME"])
        names = [Path(base + suffix) for suffix in ("", "-wal", "-shm")]
        size = add_files(sinks, "database file", [name for name in names if name.exists()])
        assert size > 500_000
        assert sinks.holds("database file", "launch:opened")
        assert sinks.holds("database file", "v1.c9.")

    assert len(issued.tokens) >= 2
    assert Launch.objects.filter(state="opened").count() == 2
    assert vault.key_id_of(IamCredential.objects.get(name="second").secret_ciphertext) == "c9"
    assert sinks.leaks(issued) == []


def test_a_secret_that_was_deleted_from_the_file_would_be_found(
    committed: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks
) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("PostgreSQL's files are not for the portal to read")
    base = str(connection.settings_dict["NAME"])
    with sqlite3.connect(base) as file:
        file.execute("PRAGMA secure_delete = OFF")  # some builds of SQLite overwrite what is deleted
        file.execute("CREATE TABLE planted (content text)")
        file.executemany("INSERT INTO planted VALUES (?)", [(password_of(sandbox),)] * 200)
        file.execute("DELETE FROM planted")
    file.close()

    add_files(sinks, "database file", [Path(base + suffix) for suffix in ("", "-wal") if Path(base + suffix).exists()])

    assert any("IAM password" in leak for leak in sinks.leaks(issued))


@pytest.mark.database
def test_the_cache_in_rows_holds_tokens_only_sealed(
    staff: Client, inventory: Inventory, issued: Issued, sinks: Sinks
) -> None:
    staff.post("/launches/", {"account": inventory.root.pk})
    add_database(sinks)

    assert sinks.holds("table portal_cache, decoded", "v1.c1.")
    assert IamUserLease.objects.get().token_ciphertext.startswith("v1.c1.")
    assert issued.tokens
    assert sinks.leaks(issued) == []


@pytest.mark.redis
def test_the_cache_in_redis_holds_tokens_only_sealed(
    staff: Client,
    inventory: Inventory,
    sandbox: SandboxServer,
    issued: Issued,
    sinks: Sinks,
    settings: Any,
    redis_url: str,
    redis_prefix: str,
) -> None:
    in_redis = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": redis_url,
        "KEY_PREFIX": redis_prefix,
    }
    settings.CACHES = {**settings.CACHES, "tokens": in_redis}
    staff.post("/launches/", {"account": inventory.root.pk})
    sandbox.control.revoke_tokens()
    staff.post("/launches/", {"account": inventory.root.pk})

    number = add_redis(sinks, redis_url, redis_prefix)
    caches["tokens"].close()

    assert number == 1
    assert sinks.holds("redis, unpickled", "v1.c1.")
    assert len(issued.tokens) == 2
    assert sinks.leaks(issued) == []
