"""Instances from Huawei Cloud: listed with a read credential, proposed, and taken over in one recorded change."""

from __future__ import annotations

import datetime as dt
import logging
from dataclasses import replace
from typing import Any

import pytest
import time_machine
from django.core.exceptions import ValidationError
from pytest_django import Settings

from accounts.models import User
from omaccess import bulkhead
from omaccess.actions import cloud_instances
from omaccess.actions.changes import OwnReach
from omaccess.actions.cloud_instances import Listing, NotForReading, StaleProposal, opened, signed, take_over
from omaccess.actions.instance_matching import Place, Proposal
from omaccess.causes import Cause
from omaccess.errors import TooManyLaunches
from omaccess.meta import Meta
from omaccess.models import AuditEvent, BastionInstance, IamCredential
from omaccess.sandbox.server import SandboxServer
from tests.factories import BastionInstanceFactory, GrantFactory, HostAccountFactory, UserFactory
from tests.inventory import Inventory

pytestmark = [pytest.mark.database, pytest.mark.django_db]

META = Meta(address="192.0.2.7")
PROPOSAL = Proposal(
    name="edge",
    region="cn-north-4",
    endpoint="https://cbh.cn-north-4.myhuaweicloud.com",
    project_id="0a4f5b1c7d2e4c6f8b9a0c1d2e3f4a5b",
    project_name="cn-north-4",
    server_id="5c9a2f7e-1f7b-4a59-8c0e-0f6a4f0b8a11",
    instance_id="6d0b3a8f-2a8c-4b6a-9d1f-1a7b5a1c9b22",
    ha_id="",
    origins=("https://203.0.113.7", "https://10.1.0.5"),
)


@pytest.fixture
def admin() -> Any:
    return UserFactory(username="ada")


@pytest.fixture
def reader(inventory: Inventory, sandbox: SandboxServer) -> IamCredential:
    """An IAM user who may list instances, and nothing else."""
    sandbox.control.edit_user("acme", "second", permissions=("cbh:instance:list",))
    credential = inventory.credentials["second"]
    credential.purpose = IamCredential.Purpose.READ
    credential.save()
    return credential


def ask(credential: IamCredential, sandbox: SandboxServer, admin: User, project: str = "cn-north-4") -> Listing:
    return cloud_instances.ask(credential, Place("cn-north-4", sandbox.url, project), by=admin, meta=META)


def kinds() -> list[str]:
    return [event.kind for event in AuditEvent.objects.order_by("position")]


# --- asking ----------------------------------------------------------------------------------------


def test_a_read_credential_lists_what_there_is_beside_the_inventory(
    reader: IamCredential,
    inventory: Inventory,
    sandbox: SandboxServer,
    admin: User,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    known = inventory.instances["bastion"]

    listing = ask(reader, sandbox, admin)

    assert listing.cause is None
    found = next(one for one in listing.bastions if one.listed.name == "bastion")
    assert found.known == known
    assert found.proposal.server_id == known.server_id
    assert found.proposal.project_id == "0a4f5b1c7d2e4c6f8b9a0c1d2e3f4a5b"
    assert found.is_usable
    event = AuditEvent.objects.get()
    assert (event.kind, event.target_name) == ("credential:listed", "second")
    assert event.facts["instances"] == len(listing.bastions)
    assert event.facts["iam_user"] == "acme/second"
    assert "sandbox-password" not in caplog.text
    assert "MII" not in caplog.text + str(event.facts)


def test_without_the_permission_to_list_it_is_refused_and_recorded(
    reader: IamCredential, sandbox: SandboxServer, admin: User
) -> None:
    sandbox.control.edit_user("acme", "second", permissions=("cbh:instance:getOmUrl",))

    listing = ask(reader, sandbox, admin)

    assert listing.cause is Cause.PERMISSION_MISSING
    assert listing.code == "CBH.10020002"
    event = AuditEvent.objects.get()
    assert (event.kind, event.cause) == ("credential:list_failed", "permission_missing")
    assert event.facts["upstream_code"] == "CBH.10020002"


def test_an_unknown_project_is_said(reader: IamCredential, sandbox: SandboxServer, admin: User) -> None:
    assert ask(reader, sandbox, admin, project="nowhere-1").cause is Cause.PROJECT_NOT_FOUND


def test_a_token_that_cbh_refuses_is_renewed_once(reader: IamCredential, sandbox: SandboxServer, admin: User) -> None:
    ask(reader, sandbox, admin)
    sandbox.control.revoke_tokens()

    again = ask(reader, sandbox, admin)

    assert again.cause is None
    assert sandbox.control.counters()["iam.token"] == 2


def test_a_launch_credential_lists_nothing(inventory: Inventory, sandbox: SandboxServer, admin: User) -> None:
    with pytest.raises(NotForReading):
        ask(inventory.credentials["portal"], sandbox, admin)

    assert not any(sandbox.control.counters().values())
    assert kinds() == []


def test_listing_counts_against_the_persons_minute(
    reader: IamCredential, sandbox: SandboxServer, admin: User, settings: Settings
) -> None:
    settings.LAUNCHES_PER_MINUTE = 1
    ask(reader, sandbox, admin)

    with pytest.raises(TooManyLaunches):
        ask(reader, sandbox, admin)

    assert kinds() == ["credential:listed"]


def test_a_full_portal_says_so_at_once(reader: IamCredential, sandbox: SandboxServer, admin: User) -> None:
    with bulkhead.slot(), bulkhead.slot(), bulkhead.slot(), bulkhead.slot() as last:
        listing = ask(reader, sandbox, admin)

    assert last
    assert listing.cause is Cause.BUSY
    assert not any(sandbox.control.counters().values())
    assert kinds() == ["credential:list_failed"]


# --- on its way through the browser ----------------------------------------------------------------


def test_a_proposal_comes_back_as_it_went() -> None:
    assert opened(signed(PROPOSAL), is_new=True) == (PROPOSAL, None)
    assert opened(signed(PROPOSAL, instance_id=7), is_new=False) == (PROPOSAL, 7)


def test_a_proposal_that_is_altered_old_or_meant_otherwise_is_refused() -> None:
    new, update = signed(PROPOSAL), signed(PROPOSAL, instance_id=7)
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=cloud_instances.PROPOSAL_SECONDS + 1)

    for text, is_new in (("", True), (new + "x", True), ("x" + new, True), (new, False), (update, True)):
        with pytest.raises(StaleProposal):
            opened(text, is_new=is_new)
    with time_machine.travel(later), pytest.raises(StaleProposal):
        opened(new, is_new=True)


# --- taking over -----------------------------------------------------------------------------------


def test_what_was_chosen_is_taken_over_in_one_recorded_change(admin: User) -> None:
    instance = BastionInstanceFactory(server_id="before", ha_id="kept")

    take_over(
        PROPOSAL,
        instance_id=instance.pk,
        chosen={"server_id", "ha_id", "project_id", "https://203.0.113.7", "https://evil.example"},
        by=admin,
        meta=META,
    )

    instance.refresh_from_db()
    assert (instance.server_id, instance.project_id) == (PROPOSAL.server_id, PROPOSAL.project_id)
    assert (instance.instance_id, instance.ha_id) == ("", "kept")
    assert [str(address) for address in instance.login_addresses.all()] == ["https://203.0.113.7"]
    event = AuditEvent.objects.get()
    assert event.kind == "instance:changed"
    assert (event.facts["before"]["server_id"], event.facts["after"]["server_id"]) == ("before", PROPOSAL.server_id)
    assert event.facts["after"]["login_addresses"] == ["link: https://203.0.113.7"]


def test_taking_over_the_same_twice_changes_nothing_more(admin: User) -> None:
    instance = BastionInstanceFactory()
    chosen = {"server_id", "https://203.0.113.7"}

    for _number in range(2):
        take_over(PROPOSAL, instance_id=instance.pk, chosen=chosen, by=admin, meta=META)

    assert instance.login_addresses.count() == 1
    assert kinds() == ["instance:changed"]


def test_what_leads_to_ones_own_sessions_is_changed_by_others_only(admin: User) -> None:
    account = HostAccountFactory(host__instance__server_id="before")
    GrantFactory(user=admin, host=account.host)
    instance = account.host.instance

    with pytest.raises(OwnReach):
        take_over(PROPOSAL, instance_id=instance.pk, chosen={"server_id"}, by=admin, meta=META)

    instance.refresh_from_db()
    assert instance.server_id == "before"
    assert kinds() == ["change:refused"]


@pytest.mark.parametrize(
    "values",
    [
        {"server_id": PROPOSAL.instance_id},
        {"server_id": "x" * 65},
        {"origins": ("http://203.0.113.7",)},
        {"origins": ("https://203.0.113.7/path",)},
    ],
)
def test_the_model_judges_what_the_cloud_says_like_anything_typed(admin: User, values: dict[str, Any]) -> None:
    instance = BastionInstanceFactory(server_id="before")
    proposal = replace(PROPOSAL, **values)
    chosen = {"server_id", "instance_id", *proposal.origins}

    with pytest.raises(ValidationError):
        take_over(proposal, instance_id=instance.pk, chosen=chosen, by=admin, meta=META)

    assert BastionInstance.objects.get(pk=instance.pk).server_id == "before"
    assert not instance.login_addresses.exists()
    assert kinds() == []
