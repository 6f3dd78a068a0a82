"""Secrets of this test run, listened to at their sources, and the places they are looked for in."""

from __future__ import annotations

import base64
import logging
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import World
from tests import inventory as inventory_rows
from tests.canary.issued import Issued
from tests.canary.sinks import Everything, OncePerName, Sinks
from tests.factories import PASSWORD, UserFactory
from tests.inventory import Inventory


@pytest.fixture
def issued(sandbox: SandboxServer, settings: Any, monkeypatch: pytest.MonkeyPatch) -> Issued:
    """Listens to the sandbox, which does what it always does, and gives this installation keys of its own."""
    cloud = sandbox.app.cloud
    noted = Issued()
    for user in cloud.world.users:
        noted.add("IAM password", user.password)
    noted.add("password of a person", PASSWORD)
    issue_token, issue_ticket = cloud.tokens.issue, cloud.tickets.issue

    def token(**facts: Any) -> Any:
        result = issue_token(**facts)
        noted.add_token(result.value)
        return result

    def ticket(**facts: Any) -> str:
        return noted.add("link", issue_ticket(**facts))

    monkeypatch.setattr(cloud.tokens, "issue", token)
    monkeypatch.setattr(cloud.tickets, "issue", ticket)
    settings.SECRET_KEY = noted.add("SECRET_KEY", secrets.token_urlsafe(50))
    settings.VAULT_KEYS = ",".join(vault_key(noted, key_id) for key_id in ("c1", "c0"))
    return noted


def vault_key(noted: Issued, key_id: str) -> str:
    """One entry of VAULT_KEYS, noted as text and as the 32 bytes that it stands for."""
    raw = noted.add("vault key", secrets.token_urlsafe(24))
    return f"{key_id}:{noted.add('vault key', base64.b64encode(raw.encode()).decode())}"


@pytest.fixture
def inventory(db: None, sandbox: SandboxServer, world: World, issued: Issued) -> Inventory:
    """As everywhere; after `issued`, whose keys seal what is stored."""
    return inventory_rows.load(world, sandbox.url)


@pytest.fixture
def committed(fresh_db: None, sandbox: SandboxServer, world: World, issued: Issued) -> Inventory:
    """As `committed_inventory`, sealed with the keys of `issued`."""
    return inventory_rows.load(world, sandbox.url)


@pytest.fixture
def staff(inventory: Inventory, settings: Any) -> Client:
    settings.LAUNCHES_PER_MINUTE = 10_000
    return signed_in(inventory.staff)


@pytest.fixture
def root(inventory: Inventory) -> Client:
    """A superuser, who sees every page of the admin. Their own grants reach nothing."""
    return signed_in(UserFactory(username="root", is_superuser=True))


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def sinks() -> Sinks:
    return Sinks()


@pytest.fixture
def logged(sinks: Sinks) -> Iterator[None]:
    """All loggers at DEBUG, also those that keep their records to themselves.

    Asked for after `inventory`: the factories that make the rows log what they are given, passwords too.
    """
    handler, templates, once = Everything(sinks), logging.getLogger("django.template"), OncePerName()
    templates.addFilter(once)
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
        if logger is logging.getLogger() or not logger.propagate:
            logger.addHandler(handler)
    yield
    templates.removeFilter(once)
    for logger, level, disabled in before:
        logger.setLevel(level)
        logger.disabled = disabled
        logger.removeHandler(handler)
