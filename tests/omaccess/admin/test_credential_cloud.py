"""What an admin lets a credential do in Huawei Cloud, page by page and without JavaScript."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from pytest_django import Settings

from accounts.models import User
from omaccess import tokens
from omaccess.actions import cloud_instances
from omaccess.actions.instance_matching import bastions
from omaccess.admin.credential_cloud import rows_of
from omaccess.admin.place_form import PlaceForm
from omaccess.audit import Kind, record
from omaccess.cloud.types import Deadline
from omaccess.locks import writing
from omaccess.meta import Meta
from omaccess.models import AuditEvent, BastionInstance, IamCredential, LoginAddress
from omaccess.sandbox.server import SandboxServer
from tests.factories import BastionInstanceFactory, GrantFactory, IamCredentialFactory, UserFactory
from tests.inventory import Inventory
from tests.omaccess.actions.test_cloud_instances import PROPOSAL
from tests.omaccess.actions.test_instance_matching import LISTED, PLACE
from tests.omaccess.admin.conftest import BrowserOf, filled, page
from tests.omaccess.cloud.wire import Wire, answer

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def portal(inventory: Inventory) -> IamCredential:
    return inventory.credentials["portal"]


@pytest.fixture
def reader(inventory: Inventory, sandbox: SandboxServer) -> IamCredential:
    sandbox.control.edit_user("acme", "second", permissions=("cbh:instance:list",))
    credential = inventory.credentials["second"]
    credential.purpose = IamCredential.Purpose.READ
    credential.save()
    return credential


def verify(client: Client, credential: IamCredential, **data: str) -> Any:
    return client.post(page("omaccess_iamcredential_verify", credential.pk), data, follow=True)


def listed(client: Client, credential: IamCredential, sandbox: SandboxServer) -> Any:
    form = {"region": "cn-north-4", "project_name": "", "endpoint": sandbox.url}
    return client.post(page("omaccess_iamcredential_instances", credential.pk), form)


def proposals(response: Any) -> list[str]:
    return re.findall(r'name="proposal" value="([^"]+)"', response.text)


# --- after saving ----------------------------------------------------------------------------------


def identity(**values: str) -> dict[str, str]:
    return {
        "name": "new",
        "iam_endpoint": "https://iam.cn-north-4.myhuaweicloud.com",
        "account_name": "acme",
        "user_name": "portal",
        "secret": "s",
        **values,
    }


def test_a_new_credential_leads_to_verify_now(ada: Client) -> None:
    address = page("omaccess_iamcredential_add")

    response = ada.post(address, filled(ada.get(address)) | identity(), follow=True)

    credential = IamCredential.objects.get()
    assert response.redirect_chain[-1][0] == page("omaccess_iamcredential_change", credential.pk)
    assert "Verify now" in response.text
    assert 'value="cn-north-4"' in response.text


def test_a_replaced_secret_leads_there_too_and_another_change_to_the_list(ada: Client, portal: IamCredential) -> None:
    address = page("omaccess_iamcredential_change", portal.pk)
    form = filled(ada.get(address))

    replaced = ada.post(address, form | {"secret": "another"})
    renamed = ada.post(address, form | {"name": "renamed"})

    assert replaced.headers["Location"] == address
    assert renamed.headers["Location"] == page("omaccess_iamcredential_changelist")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"user_name": "acme"}, "User name and account name are the same"),
        ({"user_name": "li.wei@acme.example"}, "probably a HUAWEI ID"),
        ({"account_name": "0a4f5b1c7d2e4c6f8b9a0c1d2e3f4a5b"}, "the account&#x27;s id"),
        ({"secret": "s "}, "begins or ends with a space"),
    ],
)
def test_what_is_probably_wrong_is_said_after_saving(ada: Client, values: dict[str, str], words: str) -> None:
    address = page("omaccess_iamcredential_add")

    response = ada.post(address, filled(ada.get(address)) | identity(**values), follow=True)

    assert words in response.text
    assert IamCredential.objects.exists()


def test_what_cannot_work_is_not_saved(ada: Client) -> None:
    address = page("omaccess_iamcredential_add")
    form = filled(ada.get(address)) | identity(iam_endpoint="https://cbh.cn-north-4.myhuaweicloud.com")

    response = ada.post(address, form)

    assert "Tokens come from IAM" in response.text
    assert not IamCredential.objects.exists()


# --- verifying -------------------------------------------------------------------------------------


def test_verify_now_says_that_it_works_and_for_which_project(
    ada: Client, portal: IamCredential, sandbox: SandboxServer
) -> None:
    response = verify(ada, portal)

    assert "portal works: IAM accepted it" in response.text
    assert "There is a token for the project cn-north-4" in response.text
    assert "by ada" in response.text
    assert sandbox.control.counters().get("cbh.om_url", 0) == 0


def test_a_refusal_spells_out_the_three_mistakes_for_this_credential(
    ada: Client, inventory: Inventory, sandbox: SandboxServer
) -> None:
    credential = IamCredentialFactory(iam_endpoint=sandbox.url, user_name="li.wei@acme.example", secret="x")

    body = verify(ada, credential, project_name="cn-north-4").text

    found = [body.index(words) for words in ("A HUAWEI ID is used", "The account name is mistaken", "A permission is")]
    told = body.index("the likeliest first")
    assert all(told < position for position in found)
    assert found[0] == min(found)
    assert "A portal admin has to act" in body
    assert "The username or password is wrong." in body
    assert "Verify now" not in body


def test_without_an_instance_a_project_name_is_needed(
    ada: Client, inventory: Inventory, sandbox: SandboxServer
) -> None:
    credential = IamCredentialFactory(iam_endpoint=sandbox.url, secret="sandbox-password-portal")

    for name in ("", "  ", "a b", "../x"):
        assert "Type the name of a project" in verify(ada, credential, project_name=name).text
    assert "works: IAM accepted it" in verify(ada, credential, project_name="cn-north-4").text


def test_verifying_twice_at_once_says_to_wait(ada: Client, portal: IamCredential) -> None:
    verify(ada, portal)

    assert "less than 30 seconds ago" in verify(ada, portal).text


def test_verifying_is_limited_per_person(ada: Client, portal: IamCredential, settings: Settings) -> None:
    settings.LAUNCHES_PER_MINUTE = 0

    assert "too many launches and tests" in verify(ada, portal).text


def test_a_powerful_user_is_warned_of(ada: Client, inventory: Inventory) -> None:
    body = {
        "token": {
            "project": {"id": "p1", "name": "<b>odd</b>"},
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "roles": [{"id": "0", "name": "te_admin"}],
        }
    }
    with Wire([answer(body, 201, [("X-Subject-Token", "MIItoken")])]) as wire:
        response = verify(ada, IamCredentialFactory(iam_endpoint=wire.url, secret="s"), project_name="cn-north-4")

    assert "can do far more than it needs" in response.text
    assert "te_admin" in response.text
    assert "&lt;b&gt;odd" in response.text
    assert "<b>odd" not in response.text


def test_only_who_may_change_credentials_may_use_them(
    auditor: User, browser_of: BrowserOf, reader: IamCredential, sandbox: SandboxServer
) -> None:
    client = browser_of(auditor)
    look = client.get(page("omaccess_iamcredential_change", reader.pk))

    answers = [
        client.post(page("omaccess_iamcredential_verify", reader.pk)),
        client.get(page("omaccess_iamcredential_instances", reader.pk)),
        client.post(page("omaccess_iamcredential_instances", reader.pk)),
        client.post(page("omaccess_iamcredential_update_instance", reader.pk)),
    ]

    assert [one.status_code for one in answers] == [403] * 4
    assert "Does it work?" in look.text
    assert "Verify now" not in look.text
    assert not any(sandbox.control.counters().values())


def test_a_look_never_verifies(ada: Client, portal: IamCredential, sandbox: SandboxServer) -> None:
    assert ada.get(page("omaccess_iamcredential_verify", portal.pk)).status_code == 405
    assert ada.get(page("omaccess_iamcredential_update_instance", portal.pk)).status_code == 405
    assert not any(sandbox.control.counters().values())


def test_a_form_from_elsewhere_is_refused(admin: User, portal: IamCredential, sandbox: SandboxServer) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin)

    assert client.post(page("omaccess_iamcredential_verify", portal.pk)).status_code == 403
    assert not any(sandbox.control.counters().values())


def test_a_token_from_before_and_a_cause_of_another_version_are_told_as_what_they_are(
    ada: Client, portal: IamCredential
) -> None:
    facts: dict[str, Any] = {"verification": "v", "version": portal.version}
    with writing():
        record(
            Kind.CREDENTIAL_VERIFY_FAILED,
            by=None,
            meta=Meta(),
            target=portal,
            cause="of_the_future",
            project="one",
            **facts,
        )
        record(Kind.CREDENTIAL_VERIFIED, by=None, meta=Meta(), target=portal, project="two", fresh=False, **facts)

    body = ada.get(page("omaccess_iamcredential_change", portal.pk)).text

    assert "a cause that this version does not know: of_the_future" in body
    assert "For the project two a token from before still stands" in body
    assert "roles were not told" in body
    assert "There is a token for the project two" not in body


def with_permissions(*names: str) -> User:
    user: User = UserFactory()
    user.user_permissions.set(Permission.objects.filter(codename__in=["enter_admin", *names]))
    return user


def test_who_may_not_see_instances_gets_counts_only(
    browser_of: BrowserOf, inventory: Inventory, reader: IamCredential, sandbox: SandboxServer
) -> None:
    client = browser_of(with_permissions("view_iamcredential", "change_iamcredential"))
    portal, instance = inventory.credentials["portal"], inventory.instances["bastion"]
    BastionInstance.objects.filter(pk=instance.pk).update(name="0-not-for-everybody")
    address = page("omaccess_iamcredential_instances", reader.pk)

    body = client.get(page("omaccess_iamcredential_change", portal.pk)).text
    answers = [
        client.get(address),
        client.get(f"{address}?instance={instance.pk}"),
        listed(client, reader, sandbox),
    ]

    assert [one.status_code for one in answers] == [403] * 3
    assert "Verify now" in body
    assert "which use" in body
    assert "0-not-for-everybody" not in body
    assert address not in client.get(page("omaccess_iamcredential_change", reader.pk)).text
    assert not any(sandbox.control.counters().values())


def test_who_may_only_look_at_credentials_learns_nothing_out_of_the_audit(
    ada: Client, auditor: User, browser_of: BrowserOf, portal: IamCredential
) -> None:
    verify(ada, portal)
    address = page("omaccess_iamcredential_change", portal.pk)

    assert "Last verified" not in browser_of(with_permissions("view_iamcredential")).get(address).text
    assert "Last verified" in browser_of(auditor).get(address).text


# --- listing ---------------------------------------------------------------------------------------


def test_the_form_proposes_region_project_and_endpoint(ada: Client, settings: Settings) -> None:
    settings.IS_SANDBOX = False
    credential = IamCredentialFactory(
        purpose="read", secret="s", iam_endpoint="https://iam.cn-north-4.myhuaweicloud.com"
    )

    form = ada.get(page("omaccess_iamcredential_instances", credential.pk)).context["form"]

    assert form.initial == {
        "region": "cn-north-4",
        "project_name": "cn-north-4",
        "endpoint": "https://cbh.cn-north-4.myhuaweicloud.com",
    }


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"endpoint": "https://cbh.evil.example"}, "CLOUD_ENDPOINTS"),
        ({"endpoint": "https://cbh.cn-east-3.myhuaweicloud.com"}, "belongs to the region cn-east-3"),
        ({"region": "a b"}, "Only letters, digits"),
        ({"project_name": "x/../y"}, "Only letters, digits"),
        ({"region": ""}, "required"),
    ],
)
def test_a_wrong_place_is_not_asked(
    ada: Client, reader: IamCredential, sandbox: SandboxServer, values: dict[str, str], words: str
) -> None:
    form = {"region": "cn-north-4", "project_name": "", "endpoint": sandbox.url, **values}

    response = ada.post(page("omaccess_iamcredential_instances", reader.pk), form)

    assert words in response.text
    assert not any(sandbox.control.counters().values())


@pytest.mark.parametrize(
    ("iam", "allowed", "words"),
    [
        ("https://iam.eu-west-101.myhuaweicloud.eu", "https://*.myhuaweicloud.eu", "cannot be told"),
        ("https://ecs.cn-north-4.myhuaweicloud.com", "https://*.myhuaweicloud.com", "cannot be told"),
        ("https://iam.cn-north-4.myhuaweicloud.com", "https://iam.cn-north-4.myhuaweicloud.com", "CLOUD_ENDPOINTS"),
    ],
)
def test_an_endpoint_is_derived_only_where_it_is_certain_and_allowed(
    settings: Settings, iam: str, allowed: str, words: str
) -> None:
    settings.IS_SANDBOX, settings.CLOUD_ENDPOINTS = False, [allowed]
    form = PlaceForm(IamCredentialFactory(iam_endpoint=iam), {"region": "cn-north-4", "endpoint": ""})

    assert not form.is_valid()
    assert words in str(form.errors["endpoint"])


def test_the_list_shows_what_the_inventory_has_and_what_it_has_not(
    ada: Client, reader: IamCredential, inventory: Inventory, sandbox: SandboxServer
) -> None:
    BastionInstance.objects.filter(name="bastion").update(name="renamed here")
    known = BastionInstance.objects.get(name="renamed here")
    BastionInstance.objects.filter(name="old-bastion").update(server_id="gone", name="also renamed")

    response = listed(ada, reader, sandbox)

    assert f'href="{page("omaccess_bastioninstance_change", known.pk)}"' in response.text
    assert "recognised by its server id" in response.text
    assert "Add to the inventory" in response.text
    assert "running" in response.text


def test_a_launch_credential_is_told_that_it_lists_nothing(
    ada: Client, portal: IamCredential, sandbox: SandboxServer
) -> None:
    address = page("omaccess_iamcredential_instances", portal.pk)

    for response in (ada.get(address), listed(ada, portal, sandbox)):
        assert "This is a launch credential" in response.text
        assert "List instances" not in response.text
    assert not any(sandbox.control.counters().values())


def test_a_missing_permission_names_the_one_for_reading(
    ada: Client, reader: IamCredential, sandbox: SandboxServer
) -> None:
    sandbox.control.edit_user("acme", "second", permissions=())

    body = listed(ada, reader, sandbox).text

    assert "may not list instances" in body
    assert "the permission to list CBH instances" in body
    assert "CBH.10020002" in body


def test_a_failure_is_explained_with_whose_move_it_is(
    ada: Client, reader: IamCredential, sandbox: SandboxServer
) -> None:
    sandbox.control.add_fault("cbh.instances", times=None, status=500)

    body = listed(ada, reader, sandbox).text

    assert "Huawei Cloud has to recover" in body


def test_nothing_that_is_listed_gets_into_the_page_as_markup(ada: Client, inventory: Inventory) -> None:
    token = {"token": {"project": {"id": "p1", "name": "p"}, "expires_at": "2099-01-01T00:00:00Z"}}
    entry = {
        "name": "<script>alert(1)</script>",
        "server_id": '"><img src=x>',
        "status_info": {"status": "<b>", "task_status": "<i>x</i>"},
        "bastion_version": "{{ 7 }}<u>",
        "network": {"public_ip": "javascript:alert(1)"},
    }
    replies = [answer(token, 201, [("X-Subject-Token", "MIItoken")]), answer({"total": 1, "instance": [entry]})]
    with Wire(replies) as wire:
        credential = IamCredentialFactory(purpose="read", iam_endpoint=wire.url, secret="s")
        form = {"region": "cn-north-4", "project_name": "", "endpoint": wire.url}
        response = ada.post(page("omaccess_iamcredential_instances", credential.pk), form)

    assert "&lt;script&gt;alert(1)" in response.text
    for markup in ("<script>alert", "<img src=x", "<u>", "<i>x", "javascript:alert"):
        assert markup not in response.text
    assert "Add to the inventory" not in response.text


# --- adding ----------------------------------------------------------------------------------------


def test_add_opens_the_form_filled_in_and_saves_what_the_admin_saves(
    ada: Client, reader: IamCredential, portal: IamCredential, inventory: Inventory
) -> None:
    address = page("omaccess_bastioninstance_add") + f"?found={cloud_instances.signed(PROPOSAL)}"
    shown = ada.get(address)
    form = filled(shown)

    assert form["server_id"] == PROPOSAL.server_id
    assert "credential" not in form or not form["credential"]
    assert "nothing is saved yet" in shown.text
    assert not BastionInstance.objects.filter(name="edge").exists()

    saved = ada.post(address, form | {"credential": str(portal.pk), "is_enabled": "on"})

    assert saved.status_code == 302
    instance = BastionInstance.objects.get(name="edge")
    assert (instance.server_id, instance.instance_id) == (PROPOSAL.server_id, PROPOSAL.instance_id)
    assert {str(one) for one in instance.login_addresses.all()} == set(PROPOSAL.origins)
    assert AuditEvent.objects.latest("position").kind == "instance:created"


def test_the_link_in_the_list_is_the_one_that_adds(ada: Client, reader: IamCredential, sandbox: SandboxServer) -> None:
    BastionInstance.objects.filter(name="bastion").update(server_id="gone", name="another")

    links = re.findall(r'href="(/admin/omaccess/bastioninstance/add/\?found=[^"]+)"', listed(ada, reader, sandbox).text)

    (found,) = parse_qs(urlsplit(unescape(links[0])).query)["found"]
    assert cloud_instances.opened(found).name == "bastion"
    assert filled(ada.get(unescape(links[0])))["name"] == "bastion"


def test_a_proposal_fills_in_nothing_of_an_instance_that_is_there(ada: Client, inventory: Inventory) -> None:
    address = page("omaccess_bastioninstance_change", inventory.instances["bastion"].pk)

    shown = ada.get(f"{address}?found={cloud_instances.signed(PROPOSAL)}")

    assert "nothing is saved yet" not in shown.text
    assert "https://10.1.0.5" not in shown.text
    assert filled(shown) == filled(ada.get(address))


def test_who_may_only_add_is_warned_too(browser_of: BrowserOf) -> None:
    client = browser_of(with_permissions("add_bastioninstance", "add_loginaddress", "view_iamcredential"))

    shown = client.get(page("omaccess_bastioninstance_add") + f"?found={cloud_instances.signed(PROPOSAL)}")

    assert filled(shown)["server_id"] == PROPOSAL.server_id
    assert "keep only login addresses that are this bastion" in shown.text


@pytest.mark.parametrize("found", ["", "x", "a:b:c", "%00"])
def test_a_link_that_is_not_from_here_fills_in_nothing(ada: Client, found: str) -> None:
    response = ada.get(page("omaccess_bastioninstance_add") + f"?found={found}")

    assert response.status_code == 200
    assert not filled(response).get("server_id")


def test_the_instance_id_in_place_of_the_server_id_is_refused(ada: Client, portal: IamCredential) -> None:
    address = page("omaccess_bastioninstance_add")
    form = filled(ada.get(address)) | {
        "name": "wrong",
        "region": "cn-north-4",
        "project_name": "cn-north-4",
        "endpoint": "https://cbh.cn-north-4.myhuaweicloud.com",
        "server_id": PROPOSAL.instance_id,
        "instance_id": PROPOSAL.instance_id,
        "credential": str(portal.pk),
    }

    refused = ada.post(address, form)
    odd = ada.post(address, form | {"server_id": "17", "instance_id": ""}, follow=True)

    assert "This is the instance id once more" in refused.text
    assert "does not look like one of Huawei Cloud" in odd.text


# --- updating --------------------------------------------------------------------------------------


def test_an_update_shows_before_and_after_and_takes_over_what_is_ticked(
    ada: Client, reader: IamCredential, sandbox: SandboxServer
) -> None:
    BastionInstance.objects.filter(name="bastion").update(server_id="before-the-rebuild")
    instance = BastionInstance.objects.get(name="bastion")
    shown = listed(ada, reader, sandbox)
    row = next(one for one in shown.context["rows"] if one.bastion.known == instance)
    assert ("before-the-rebuild", row.bastion.listed.server_id) in {(one.before, one.after) for one in row.changes}
    assert row.update_proposal in map(unescape, proposals(shown))
    before = AuditEvent.objects.count()

    response = ada.post(
        page("omaccess_iamcredential_update_instance", reader.pk),
        {"proposal": row.update_proposal, "chosen": ["server_id", "project_id"]},
        follow=True,
    )

    instance.refresh_from_db()
    assert instance.server_id == row.bastion.listed.server_id
    assert instance.project_id == row.bastion.proposal.project_id
    assert "was updated from Huawei Cloud" in response.text
    assert AuditEvent.objects.count() == before + 1


def test_login_addresses_are_ticked_only_while_there_is_none(
    ada: Client, reader: IamCredential, sandbox: SandboxServer
) -> None:
    instance = BastionInstanceFactory()
    LoginAddress.objects.create(instance=instance, origin="https://192.0.2.1")
    for has_link in (True, False):
        BastionInstance.objects.filter(pk=instance.pk).update(instance_id=LISTED.instance_id)
        (row,) = rows_of(cloud_instances.Listing(PLACE, None, tuple(bastions([LISTED], PLACE))), reader)
        ticks = {change.label: change.is_ticked for change in row.changes}
        assert ticks["login address (link)"] is not has_link
        assert ticks["project id"] is True
        LoginAddress.objects.all().delete()


def test_nothing_is_ticked_for_what_a_name_alone_was_recognised_by(reader: IamCredential) -> None:
    BastionInstanceFactory(name="edge", server_id="elsewhere", endpoint=PLACE.endpoint)

    unknown = replace(LISTED, server_id="s-9", instance_id="i-9")

    (row,) = rows_of(cloud_instances.Listing(PLACE, None, tuple(bastions([unknown], PLACE))), reader)

    assert "by its name only" in str(row.likeness)
    assert len(row.changes) >= 4
    assert not any(change.is_ticked for change in row.changes)


def test_one_of_another_account_is_warned_of(ada: Client, reader: IamCredential, sandbox: SandboxServer) -> None:
    IamCredential.objects.filter(name="portal").update(account_name="another <b>")

    body = listed(ada, reader, sandbox).text

    assert "The inventory has it in the account another &lt;b&gt;; this list is of the account acme." in body


def test_what_was_changed_meanwhile_and_what_does_not_differ_are_said(ada: Client, reader: IamCredential) -> None:
    address = page("omaccess_iamcredential_update_instance", reader.pk)
    instance = BastionInstanceFactory(server_id="before")
    sent = {"proposal": cloud_instances.signed_update(PROPOSAL, instance, reader)}

    nothing = ada.post(address, sent | {"chosen": ["name"]}, follow=True)
    BastionInstance.objects.filter(pk=instance.pk).update(server_id="newer")
    stale = ada.post(address, sent | {"chosen": ["server_id"]}, follow=True)

    assert "so nothing was changed" in nothing.text
    assert "changed meanwhile" in stale.text
    assert BastionInstance.objects.get(pk=instance.pk).server_id == "newer"
    assert not AuditEvent.objects.filter(kind="instance:changed").exists()


def test_what_was_not_listed_for_this_instance_is_not_taken_over(ada: Client, reader: IamCredential) -> None:
    address = page("omaccess_iamcredential_update_instance", reader.pk)

    for proposal in ("", "forged", cloud_instances.signed(PROPOSAL)):
        response = ada.post(address, {"proposal": proposal, "chosen": ["server_id"]}, follow=True)
        assert "List the instances again" in response.text

    assert not AuditEvent.objects.filter(kind="instance:changed").exists()


def test_an_instance_that_is_gone_and_nothing_ticked_are_said(ada: Client, reader: IamCredential) -> None:
    address = page("omaccess_iamcredential_update_instance", reader.pk)
    gone = cloud_instances.signed_update(PROPOSAL, BastionInstanceFactory.build(pk=999_999), reader)

    assert "List the instances again" in ada.post(address, {"proposal": gone, "chosen": ["ha_id"]}, follow=True).text
    assert "Nothing was ticked" in ada.post(address, {"proposal": gone}, follow=True).text


def test_ones_own_way_in_is_not_changed_and_an_odd_value_not_saved(
    ada: Client, admin: User, reader: IamCredential, inventory: Inventory
) -> None:
    address = page("omaccess_iamcredential_update_instance", reader.pk)
    other = BastionInstanceFactory(server_id="before")
    odd = cloud_instances.signed_update(replace(PROPOSAL, server_id=PROPOSAL.instance_id), other, reader)
    GrantFactory(user=admin, host=inventory.root.host)
    own = cloud_instances.signed_update(PROPOSAL, inventory.instances["bastion"], reader)

    refused = ada.post(address, {"proposal": own, "chosen": ["ha_id", "project_id"]}, follow=True)
    invalid = ada.post(address, {"proposal": odd, "chosen": ["server_id", "instance_id"]}, follow=True)

    assert "a grant of your own" in refused.text
    assert "the instance id once more" in invalid.text
    other.refresh_from_db()
    assert other.server_id == "before"


# --- from the instance's page ----------------------------------------------------------------------


def test_an_instance_links_to_the_read_credentials_that_could_fill_it_in(
    ada: Client, auditor: User, browser_of: BrowserOf, reader: IamCredential, inventory: Inventory
) -> None:
    IamCredentialFactory(name="switched off", purpose="read", secret="x", is_enabled=False)
    IamCredentialFactory(name="without password", purpose="read")
    instance = inventory.instances["bastion"]
    address = page("omaccess_bastioninstance_change", instance.pk)

    body = ada.get(address).text
    led = ada.get(f"{page('omaccess_iamcredential_instances', reader.pk)}?instance={instance.pk}")

    assert f"{page('omaccess_iamcredential_instances', reader.pk)}?instance={instance.pk}" in body
    assert "switched off" not in body
    assert "without password" not in body
    assert "Fill in from Huawei Cloud" not in browser_of(auditor).get(address).text
    assert led.context["form"].initial["endpoint"] == instance.endpoint
    assert "To fill in bastion" in led.text


def test_the_number_of_queries_of_a_credentials_page_does_not_grow(
    ada: Client, portal: IamCredential, django_assert_max_num_queries: Any
) -> None:
    address = page("omaccess_iamcredential_change", portal.pk)
    tokens.token_for(portal, portal.instances.all()[0], deadline=Deadline.after(5))
    ada.get(address)
    with django_assert_max_num_queries(30) as few:
        ada.get(address)
    for number in range(5):
        BastionInstanceFactory(credential=portal, project_name=f"p{number}")

    with django_assert_max_num_queries(30) as many:
        ada.get(address)

    assert len(few) == len(many)
