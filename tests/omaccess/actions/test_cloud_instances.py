"""Instances from Huawei Cloud: listed with a read credential, proposed, and taken over in one recorded change."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
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
from omaccess.actions.cloud_instances import (
    Listing,
    NotForReading,
    StaleProposal,
    Update,
    opened,
    opened_update,
    signed,
    signed_update,
    take_over,
)
from omaccess.actions.instance_matching import Place, Proposal
from omaccess.causes import Cause
from omaccess.errors import CannotRecord, TooManyLaunches
from omaccess.meta import Meta
from omaccess.models import AuditEvent, BastionInstance, IamCredential, LoginAddress
from omaccess.sandbox.server import SandboxServer
from tests.factories import BastionInstanceFactory, GrantFactory, HostAccountFactory, IamCredentialFactory, UserFactory
from tests.inventory import Inventory
from tests.omaccess.actions.failing_database import database_failing_at

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
    event = AuditEvent.objects.latest("position")
    assert kinds() == ["credential:list_requested", "credential:listed"]
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
    event = AuditEvent.objects.latest("position")
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

    assert kinds() == ["credential:list_requested", "credential:listed"]


def test_a_full_portal_says_so_at_once(reader: IamCredential, sandbox: SandboxServer, admin: User) -> None:
    with bulkhead.slot(), bulkhead.slot(), bulkhead.slot(), bulkhead.slot() as last:
        listing = ask(reader, sandbox, admin)

    assert last
    assert listing.cause is Cause.BUSY
    assert not any(sandbox.control.counters().values())
    assert kinds() == ["credential:list_requested", "credential:list_failed"]


@pytest.mark.parametrize("table", ["launchallowance", "auditevent", "iamuserlease", "bastioninstance"])
def test_a_database_that_fails_anywhere_means_that_it_cannot_be_recorded(
    reader: IamCredential, sandbox: SandboxServer, admin: User, table: str
) -> None:
    with database_failing_at(table), pytest.raises(CannotRecord):
        ask(reader, sandbox, admin)


# --- on its way through the browser ----------------------------------------------------------------


def test_a_proposal_comes_back_as_it_went() -> None:
    instance, reader = BastionInstanceFactory(), IamCredentialFactory(name="lister")

    update = opened_update(signed_update(PROPOSAL, instance, reader))

    assert opened(signed(PROPOSAL)) == PROPOSAL
    assert (update.proposal, update.instance_id) == (PROPOSAL, instance.pk)
    assert update.reader == "lister (acme/portal)"


def test_a_proposal_that_is_altered_old_or_meant_otherwise_is_refused() -> None:
    new = signed(PROPOSAL)
    update = signed_update(PROPOSAL, BastionInstanceFactory(), IamCredentialFactory())
    later = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=cloud_instances.PROPOSAL_SECONDS + 1)

    for text in ("", new + "x", "x" + new, update):
        with pytest.raises(StaleProposal):
            opened(text)
    for text in ("", update + "x", new):
        with pytest.raises(StaleProposal):
            opened_update(text)
    with time_machine.travel(later), pytest.raises(StaleProposal):
        opened(new)


# --- taking over -----------------------------------------------------------------------------------


def update_of(instance: BastionInstance, proposal: Proposal = PROPOSAL) -> Update:
    """As the admin was shown it just now."""
    return opened_update(signed_update(proposal, instance, IamCredentialFactory(name=f"lister {uuid.uuid4().hex}")))


def test_what_was_chosen_is_taken_over_in_one_recorded_change(admin: User) -> None:
    instance = BastionInstanceFactory(server_id="before", ha_id="kept")

    update = update_of(instance)
    taken, is_changed = take_over(
        update,
        chosen={"server_id", "ha_id", "project_id", "https://203.0.113.7", "https://evil.example"},
        by=admin,
        meta=META,
    )

    instance.refresh_from_db()
    assert (taken, is_changed) == (instance, True)
    assert (instance.server_id, instance.project_id) == (PROPOSAL.server_id, PROPOSAL.project_id)
    assert (instance.instance_id, instance.ha_id) == ("", "kept")
    assert [str(address) for address in instance.login_addresses.all()] == ["https://203.0.113.7"]
    event = AuditEvent.objects.get()
    assert event.kind == "instance:changed"
    assert (event.facts["before"]["server_id"], event.facts["after"]["server_id"]) == ("before", PROPOSAL.server_id)
    assert event.facts["after"]["login_addresses"] == ["link: https://203.0.113.7"]
    assert event.facts["after"]["values_from"] == f"Huawei Cloud, listed with {update.reader}"
    assert "values_from" not in event.facts["before"]


def test_taking_over_the_same_twice_changes_nothing_more(admin: User) -> None:
    instance = BastionInstanceFactory()
    chosen = {"server_id", "https://203.0.113.7"}

    changes = []
    for _number in range(2):
        instance.refresh_from_db()
        changes.append(take_over(update_of(instance), chosen=chosen, by=admin, meta=META)[1])

    assert changes == [True, False]
    assert instance.login_addresses.count() == 1
    assert kinds() == ["instance:changed"]


@pytest.mark.parametrize("chosen", [set(), {"https://evil.example", "name"}, {"project_id"}])
def test_nothing_that_differs_chosen_is_nothing_changed_and_no_event(admin: User, chosen: set[str]) -> None:
    instance = BastionInstanceFactory(server_id="before", project_id=PROPOSAL.project_id)

    _instance, is_changed = take_over(update_of(instance), chosen=chosen, by=admin, meta=META)

    assert not is_changed
    assert kinds() == []


@pytest.mark.parametrize(
    "meanwhile", [{"server_id": "newer"}, {"project_name": "another"}, {"endpoint": "http://127.0.0.1:7"}]
)
def test_a_change_that_was_made_after_the_list_is_never_overwritten(admin: User, meanwhile: dict[str, str]) -> None:
    instance = BastionInstanceFactory(server_id="before")
    update = update_of(instance)
    BastionInstance.objects.filter(pk=instance.pk).update(**meanwhile)

    with pytest.raises(StaleProposal) as caught:
        take_over(update, chosen={"server_id"}, by=admin, meta=META)

    assert "changed meanwhile" in str(caught.value.message)
    assert BastionInstance.objects.get(pk=instance.pk).server_id == meanwhile.get("server_id", "before")
    assert kinds() == []


def test_a_login_address_that_came_meanwhile_counts_as_a_change(admin: User) -> None:
    instance = BastionInstanceFactory(server_id="before")
    update = update_of(instance)
    LoginAddress.objects.create(instance=instance, origin="https://192.0.2.1")

    with pytest.raises(StaleProposal):
        take_over(update, chosen={"server_id"}, by=admin, meta=META)


def test_a_database_that_fails_while_taking_over_means_that_it_cannot_be_recorded(admin: User) -> None:
    instance = BastionInstanceFactory(server_id="before")
    update = update_of(instance)

    with database_failing_at("loginaddress"), pytest.raises(CannotRecord):
        take_over(update, chosen={"server_id"}, by=admin, meta=META)

    assert BastionInstance.objects.get(pk=instance.pk).server_id == "before"


def test_what_leads_to_ones_own_sessions_is_changed_by_others_only(admin: User) -> None:
    account = HostAccountFactory(host__instance__server_id="before")
    GrantFactory(user=admin, host=account.host)
    instance = account.host.instance

    with pytest.raises(OwnReach):
        take_over(update_of(instance), chosen={"server_id"}, by=admin, meta=META)

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
    update = update_of(instance, proposal)

    with pytest.raises(ValidationError):
        take_over(update, chosen=chosen, by=admin, meta=META)

    assert BastionInstance.objects.get(pk=instance.pk).server_id == "before"
    assert not instance.login_addresses.exists()
    assert kinds() == []
