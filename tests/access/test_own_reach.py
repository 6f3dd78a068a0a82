"""Nobody changes what their own grants reach: every change, in every way in which it can be made."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from accounts.models import User
from omaccess.models import (
    AuditEvent,
    BastionInstance,
    Grant,
    Host,
    HostAccount,
    IamCredential,
    Label,
    Launch,
    LoginAddress,
)
from omaccess.sandbox.server import SandboxServer
from tests.access.people import People, launched
from tests.factories import GrantFactory
from tests.inventory import Inventory
from tests.omaccess.admin.conftest import filled, page

pytestmark = pytest.mark.database

WAYS: list[dict[str, str]] = [{}, {"_continue": "1"}, {"_addanother": "1"}, {"_popup": "1"}]
"""The buttons of a form. Each is one more path through Django's code."""

Change = Callable[[Inventory], dict[str, Any]]


HOST_CHANGES: dict[str, Change] = {
    "address": lambda inventory: {"address": "10.9.9.9"},
    "instance": lambda inventory: {"instance": str(inventory.instances["old-bastion"].pk)},
    "disabled": lambda inventory: {"is_enabled": None},
    "account renamed": lambda inventory: {"accounts-0-name": "toor"},
    "account disabled": lambda inventory: {"accounts-0-is_enabled": None},
    "account's own credential": lambda inventory: {"accounts-0-credential": str(inventory.credentials["second"].pk)},
    "account added": lambda inventory: {
        "accounts-TOTAL_FORMS": "7",
        "accounts-6-id": "",
        "accounts-6-name": "fresh",
        "accounts-6-is_enabled": "on",
    },
    "label changed": lambda inventory: {"labels-0-value": "other"},
    "label removed": lambda inventory: {"labels-0-DELETE": "on"},
    "label added": lambda inventory: {
        "labels-TOTAL_FORMS": "3",
        "labels-2-id": "",
        "labels-2-key": "more",
        "labels-2-value": "reach",
    },
}
INSTANCE_CHANGES: dict[str, Change] = {
    "project id": lambda inventory: {"project_id": "f" * 32},
    "project name": lambda inventory: {"project_name": "elsewhere"},
    "server id": lambda inventory: {"server_id": "00000000-0000-4000-8000-000000000000"},
    "endpoint": lambda inventory: {"endpoint": "http://127.0.0.1:9"},
    "credential": lambda inventory: {"credential": str(inventory.credentials["second"].pk)},
    "disabled": lambda inventory: {"is_enabled": None},
    "login address changed": lambda inventory: {"login_addresses-0-origin": "http://127.0.0.1:7"},
    "login address's kind": lambda inventory: {"login_addresses-0-kind": "redirect"},
    "login address removed": lambda inventory: {"login_addresses-0-DELETE": "on"},
    "login address added": lambda inventory: {
        "login_addresses-TOTAL_FORMS": "2",
        "login_addresses-1-id": "",
        "login_addresses-1-origin": "http://127.0.0.1:7",
        "login_addresses-1-kind": "link",
    },
}
CREDENTIAL_CHANGES: dict[str, Change] = {
    "endpoint": lambda inventory: {"iam_endpoint": "http://127.0.0.1:9"},
    "account": lambda inventory: {"account_name": "other"},
    "user": lambda inventory: {"user_name": "other"},
    "disabled": lambda inventory: {"is_enabled": None},
    "secret": lambda inventory: {"secret": "another password of theirs"},
}
SUBJECTS = {"host": HOST_CHANGES, "bastioninstance": INSTANCE_CHANGES, "iamcredential": CREDENTIAL_CHANGES}

GRANTS: dict[str, Callable[[User, Inventory], Grant]] = {
    "directly": lambda admin, inventory: GrantFactory(user=admin, host=inventory.root.host),
    "by a group and labels": lambda admin, inventory: GrantFactory(
        user=None, group=_group_of(admin), by_labels=True, labels={"env": "prod"}
    ),
    "only in future": lambda admin, inventory: GrantFactory(user=admin, everything=True, not_yet=True),
}


def _group_of(admin: User) -> Group:
    group = Group.objects.create(name="on call")
    admin.groups.add(group)
    return group


def subject_of(kind: str, inventory: Inventory) -> int:
    account = inventory.root
    return {
        "host": account.host_id,
        "bastioninstance": account.host.instance_id,
        "iamcredential": account.host.instance.credential_id,
    }[kind]


def everything() -> list[Any]:
    """All that a grant could reach, as it stands."""
    return [list(model.objects.order_by("pk").values()) for model in (Host, HostAccount, Label, LoginAddress, Grant)]


def send(people: People, address: str, changes: dict[str, Any], way: dict[str, str]) -> Any:
    form = filled(people["admin"].get(address)) | changes | way
    return people["admin"].post(address, {name: value for name, value in form.items() if value is not None})


CASES = [
    (number, kind, what) for number, (kind, what) in enumerate((k, w) for k, found in SUBJECTS.items() for w in found)
]


@pytest.mark.parametrize(("number", "kind", "what"), CASES)
def test_nobody_changes_what_their_own_grants_reach(
    people: People, inventory: Inventory, number: int, kind: str, what: str
) -> None:
    """Refused while a grant of their own reaches it; made by the same person without that grant.

    Kinds of grants and buttons take turns: they do not depend on each other.
    """
    grant = list(GRANTS.values())[number % len(GRANTS)](people.users["admin"], inventory)
    way = WAYS[number % len(WAYS)]
    address = page(f"omaccess_{kind}_change", subject_of(kind, inventory))
    before = everything()

    refused = send(people, address, SUBJECTS[kind][what](inventory), way)
    event = AuditEvent.objects.latest("position")
    after_refusal = everything()
    Grant.objects.filter(pk=grant.pk).update(revoked_at=timezone.now(), revoked_by=inventory.staff)
    made = send(people, address, SUBJECTS[kind][what](inventory), {})

    assert refused.status_code == 200
    assert "Nobody changes their own access" in refused.text
    assert after_refusal == before
    assert (event.kind, event.facts["why"]) == ("change:refused", "own_reach")
    assert made.status_code == 302
    assert AuditEvent.objects.latest("position").kind in MADE


MADE = {"host:changed", "instance:changed", "credential:changed", "credential:secret_replaced"}


def test_a_host_that_would_come_into_ones_own_reach_is_not_added(people: People, inventory: Inventory) -> None:
    """Before it there was nothing to reach; after it there would be."""
    GrantFactory(user=people.users["admin"], by_labels=True, labels={"env": "prod"})
    address = page("omaccess_host_add")
    form = {
        "instance": str(inventory.instances["bastion"].pk),
        "name": "mine",
        "address": "10.8.8.8",
        "is_enabled": "on",
        "accounts-TOTAL_FORMS": "1",
        "accounts-0-name": "root",
        "accounts-0-is_enabled": "on",
        "labels-TOTAL_FORMS": "1",
        "labels-0-key": "env",
        "labels-0-value": "prod",
    }

    assert send(people, address, form, {}).status_code == 200
    assert send(people, address, form, {"_popup": "1"}).status_code == 200
    assert not Host.objects.filter(name="mine").exists()
    assert send(people, address, form | {"labels-0-value": "test"}, {}).status_code == 302


def test_the_click_that_adds_an_address_is_refused_as_well(people: People, inventory: Inventory) -> None:
    GrantFactory(user=people.users["admin"], host=inventory.root.host)
    launch = launched(inventory.staff, inventory.root, "0123456789", state="failed")
    Launch.objects.filter(pk=launch.pk).update(cause="login_address_unknown", login_origin="http://127.0.0.1:7777")
    address = page("omaccess_bastioninstance_add_address", inventory.root.host.instance_id)

    people["admin"].post(address, {"origin": "http://127.0.0.1:7777"})

    assert AuditEvent.objects.latest("position").kind == "change:refused"
    assert not LoginAddress.objects.filter(origin="http://127.0.0.1:7777").exists()


def test_what_huawei_cloud_lists_is_not_taken_over_into_one_s_own_reach(
    people: People, inventory: Inventory, sandbox: SandboxServer
) -> None:
    sandbox.control.edit_user("acme", "second", permissions=("cbh:instance:list",))
    IamCredential.objects.filter(name="second").update(purpose=IamCredential.Purpose.READ)
    BastionInstance.objects.filter(name="bastion").update(server_id="00000000-0000-4000-8000-000000000000")
    grant = GrantFactory(user=people.users["admin"], host=inventory.root.host)
    reader = inventory.credentials["second"].pk
    place = {"region": "cn-north-4", "project_name": "", "endpoint": sandbox.url}
    listed = people["admin"].post(page("omaccess_iamcredential_instances", reader), place).text
    proposals = [unescape(found) for found in re.findall(r'name="proposal" value="([^"]+)"', listed)]
    take_over = page("omaccess_iamcredential_update_instance", reader)

    def take_all() -> None:
        for proposal in proposals:
            people["admin"].post(take_over, {"proposal": proposal, "chosen": ["server_id", "instance_id"]})

    take_all()
    refused = AuditEvent.objects.filter(kind="change:refused").count()
    unchanged = BastionInstance.objects.get(name="bastion").server_id
    grant.delete()
    take_all()

    assert proposals
    assert refused == 1
    assert unchanged.startswith("00000000")
    assert not BastionInstance.objects.get(name="bastion").server_id.startswith("00000000")


def test_a_row_of_another_host_is_not_changed_through_this_one_s_form(people: People, inventory: Inventory) -> None:
    """The host of the form is out of one's reach; the account named in its row is not of that host."""
    GrantFactory(user=people.users["admin"], host=inventory.root.host)
    other, mine = inventory.hosts["unmanaged"], inventory.root
    rows = HostAccount.objects.order_by("pk").values_list("pk", "host", "name", "is_enabled", "credential")
    before = list(rows)
    address = page("omaccess_host_change", other.pk)

    send(people, address, {"accounts-0-id": str(mine.pk), "accounts-0-name": "toor"}, {})
    send(people, address, {"accounts-0-host": str(mine.host_id)}, {})

    assert list(rows.all()) == before


@pytest.mark.parametrize("way", range(len(WAYS)))
@pytest.mark.parametrize("subject", ["user", "group"])
def test_nobody_grants_to_themselves(people: People, inventory: Inventory, subject: str, way: int) -> None:
    admin = people.users["admin"]
    chosen = str(admin.pk if subject == "user" else _group_of(admin).pk)
    form = {"target": "all", "every_account": "on", subject: chosen}
    number = Grant.objects.count()

    response = send(people, page("omaccess_grant_add"), form, WAYS[way])

    assert response.status_code == 200
    assert "nobody grants anything to themselves" in response.text
    assert Grant.objects.count() == number
    assert AuditEvent.objects.latest("position").facts["why"] == "own_grant"


@pytest.mark.parametrize(
    "changes",
    [
        {"every_account": None, "account_names-TOTAL_FORMS": "1", "account_names-0-name": "root"},
        {"valid_until_0": "2099-01-01", "valid_until_1": "00:00:00"},
        {"valid_from_0": "2020-01-01", "valid_from_1": "00:00:00"},
        {"is_reason_required": None},
        {"ticket_pattern": ""},
        {"is_step_up_required": "on"},
        {"note": "mine"},
        {"user": "1", "host": "1", "target": "all", "note": "mine, too"},
    ],
)
def test_nobody_changes_a_grant_of_their_own(people: People, inventory: Inventory, changes: dict[str, Any]) -> None:
    admin = people.users["admin"]
    grant = GrantFactory(
        user=admin,
        host=inventory.root.host,
        valid_until=timezone.now() + dt.timedelta(days=3),
        is_reason_required=True,
        ticket_pattern="INC[0-9]+",
    )
    before = everything()

    response = send(people, page("omaccess_grant_change", grant.pk), changes, {})

    assert response.status_code == 200
    assert everything() == before


@pytest.mark.parametrize("changes", [{"groups": "GROUP"}, {"groups": []}, {"is_active": None}])
def test_nobody_changes_their_own_groups_or_switches_themselves_off(people: People, changes: dict[str, Any]) -> None:
    admin = people.users["admin"]
    group = Group.objects.create(name="oncall")
    if changes.get("groups") == "GROUP":
        changes = {"groups": [str(group.pk), *map(str, admin.groups.values_list("pk", flat=True))]}
    before = list(admin.groups.values_list("pk", flat=True))

    response = send(people, page("accounts_user_change", admin.pk), changes, {})

    assert response.status_code == 200
    fresh = User.objects.get(pk=admin.pk)
    assert fresh.is_active
    assert list(fresh.groups.values_list("pk", flat=True)) == before


def test_one_s_own_grant_may_be_given_up(people: People, inventory: Inventory) -> None:
    grant = GrantFactory(user=people.users["admin"], host=inventory.root.host)

    people["admin"].post(page("omaccess_grant_revoke", grant.pk))

    grant.refresh_from_db()
    assert grant.revoked_at is not None
