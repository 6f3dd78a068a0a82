"""Testing an account: the exchange of a launch, recorded, and the link thrown away."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from pytest_django import Settings

from accounts.models import User
from omaccess import bulkhead
from omaccess.actions import account_test
from omaccess.causes import Cause
from omaccess.errors import CannotRecord, TooManyLaunches
from omaccess.meta import Meta
from omaccess.models import AuditEvent, Launch, LoginAddress
from omaccess.sandbox.server import SandboxServer
from tests.factories import UserFactory
from tests.inventory import Inventory
from tests.omaccess.actions.failing_database import database_failing_at

pytestmark = [pytest.mark.database, pytest.mark.django_db]

META = Meta(address="192.0.2.7")


@pytest.fixture
def admin() -> Any:
    return UserFactory(username="ada")


def kinds() -> list[str]:
    return [event.kind for event in AuditEvent.objects.order_by("position")]


def test_an_account_that_works_says_where_the_link_leads_and_keeps_none(
    inventory: Inventory, sandbox: SandboxServer, admin: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    outcome = account_test.run(inventory.root, by=admin, meta=META)

    assert outcome.cause is None
    assert outcome.origin == sandbox.url
    assert outcome.explanation is None
    assert kinds() == ["test:requested", "test:succeeded"]
    succeeded = AuditEvent.objects.get(kind="test:succeeded")
    assert succeeded.facts["login_origin"] == sandbox.url
    assert "fingerprint" not in succeeded.facts
    everything = caplog.text + repr(outcome) + str(list(AuditEvent.objects.values()))
    assert "cbhinfo" not in everything  # what the sandbox's links carry
    assert not Launch.objects.exists()


def test_a_refusal_is_recorded_with_its_cause_and_explained(inventory: Inventory, admin: User) -> None:
    outcome = account_test.run(inventory.account("ghost"), by=admin, meta=META)

    assert outcome.cause is Cause.HOST_ACCOUNT_UNKNOWN
    assert outcome.explanation is not None
    assert outcome.explanation.admin_remedy
    assert kinds() == ["test:requested", "test:refused"]
    refused = AuditEvent.objects.get(kind="test:refused")
    assert refused.cause == "host_account_unknown"
    assert refused.facts["upstream_state"]
    assert refused.target_name == "ghost@web-01"


def test_an_unknown_login_address_is_told_so_that_it_can_be_added(
    inventory: Inventory, sandbox: SandboxServer, admin: User
) -> None:
    LoginAddress.objects.all().delete()

    outcome = account_test.run(inventory.root, by=admin, meta=META)

    assert outcome.cause is Cause.LOGIN_ADDRESS_UNKNOWN
    assert outcome.origin == sandbox.url
    assert AuditEvent.objects.get(kind="test:failed").facts["login_origin"] == sandbox.url


def test_what_is_disabled_can_be_tested_before_it_is_enabled(inventory: Inventory, admin: User) -> None:
    host = inventory.hosts["web-01"]
    host.is_enabled = False
    host.save()

    outcome = account_test.run(inventory.root, by=admin, meta=META)

    assert outcome.cause is None


def test_a_credential_without_secret_is_refused_before_anything_is_asked(
    inventory: Inventory, sandbox: SandboxServer, admin: User
) -> None:
    credential = inventory.instances["bastion"].credential
    credential.secret_ciphertext = ""
    credential.save()

    outcome = account_test.run(inventory.root, by=admin, meta=META)

    assert outcome.cause is Cause.CREDENTIAL_WITHOUT_SECRET
    assert kinds() == ["test:requested", "test:refused"]
    assert not any(sandbox.control.counters().values())


def test_tests_count_against_the_persons_minute(inventory: Inventory, admin: User, settings: Settings) -> None:
    settings.LAUNCHES_PER_MINUTE = 1
    account_test.run(inventory.root, by=admin, meta=META)

    with pytest.raises(TooManyLaunches):
        account_test.run(inventory.root, by=admin, meta=META)

    assert kinds() == ["test:requested", "test:succeeded"]


def test_a_full_portal_says_so_at_once(
    inventory: Inventory, sandbox: SandboxServer, admin: User, settings: Settings
) -> None:
    with bulkhead.slot(), bulkhead.slot(), bulkhead.slot(), bulkhead.slot() as last:
        outcome = account_test.run(inventory.root, by=admin, meta=META)

    assert last
    assert outcome.cause is Cause.BUSY
    assert kinds() == ["test:requested", "test:failed"]
    assert not any(sandbox.control.counters().values())


@pytest.mark.parametrize("table", ["launchallowance", "auditevent", "iamuserlease"])
def test_a_database_that_fails_anywhere_means_that_it_cannot_be_recorded(
    inventory: Inventory, admin: User, table: str
) -> None:
    with database_failing_at(table), pytest.raises(CannotRecord):
        account_test.run(inventory.root, by=admin, meta=META)
