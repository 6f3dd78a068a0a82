"""Instances and hosts in the admin, as an honest admin and as somebody who forges forms."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from omaccess.models import AuditEvent, BastionInstance, Host, HostAccount, Label, LoginAddress
from omaccess.sandbox.server import SandboxServer
from tests.factories import BastionInstanceFactory, GrantFactory, HostAccountFactory, HostFactory, UserFactory
from tests.inventory import Inventory
from tests.omaccess.admin.conftest import BrowserOf, filled, page, refusal

pytestmark = pytest.mark.database


def host_page(host: Host) -> str:
    return page("omaccess_host_change", host.pk)


def said(response: Any) -> str:
    return " ".join(str(message) for message in get_messages(response.wsgi_request))


# --- hosts -----------------------------------------------------------------------------------------


def test_a_host_with_labels_and_accounts_is_added_in_one_form(ada: Client, admin: User) -> None:
    instance = BastionInstanceFactory(name="bastion")
    form = filled(ada.get(page("omaccess_host_add"))) | {
        "name": "web-01",
        "instance": instance.pk,
        "address": "10.0.0.7",
        "is_enabled": "on",
        "accounts-TOTAL_FORMS": "1",
        "accounts-0-name": "root",
        "accounts-0-is_enabled": "on",
        "labels-TOTAL_FORMS": "1",
        "labels-0-key": "env",
        "labels-0-value": "prod",
    }

    response = ada.post(page("omaccess_host_add"), form)

    assert response.status_code == 302
    host = Host.objects.get()
    assert [account.name for account in host.accounts.all()] == ["root"]
    assert [str(label) for label in host.labels.all()] == ["env=prod"]
    event = AuditEvent.objects.latest("position")
    assert event.kind == "host:created"
    assert (event.actor_name, event.address, event.browser) == (admin.username, "192.0.2.7", "Tests")
    assert event.facts["after"]["accounts"][0]["name"] == "root"
    assert event.facts["after"]["labels"] == ["env=prod"]
    assert LogEntry.objects.filter(user=admin).count() == 1


def test_saving_a_host_as_it_is_records_nothing(ada: Client) -> None:
    host = HostAccountFactory(host=HostFactory(labels={"env": "prod"})).host
    form = filled(ada.get(host_page(host)))
    before = AuditEvent.objects.count()

    response = ada.post(host_page(host), form)

    assert response.status_code == 302
    assert AuditEvent.objects.count() == before


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("accounts-0-name", "root "),
        ("accounts-0-name", " root"),
        ("accounts-0-name", "r" * 65),
        ("address", "10.0.0.1 "),
    ],
)
def test_odd_texts_are_kept_to_the_letter_with_a_warning(ada: Client, field: str, text: str) -> None:
    account = HostAccountFactory()
    form = filled(ada.get(host_page(account.host))) | {field: text}

    response = ada.post(host_page(account.host), form)

    account.refresh_from_db()
    assert text in (account.name, account.host.address)
    assert "space" in said(response) or "longer" in said(response)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("accounts-0-name", "ro\tot"),
        ("accounts-0-name", "root\n"),
        ("accounts-0-name", "\x00"),
        ("accounts-0-name", "   "),
        ("accounts-0-name", "r" * 201),
        ("address", "10.0.0.1\r\n"),
        ("address", "1" * 65),
        ("name", "web\x1b[31m"),
    ],
)
def test_control_characters_and_absurd_lengths_are_refused(ada: Client, field: str, text: str) -> None:
    account = HostAccountFactory()
    form = filled(ada.get(host_page(account.host))) | {field: text}

    response = ada.post(host_page(account.host), form)

    assert response.status_code == 200
    assert HostAccount.objects.get().name == account.name
    assert Host.objects.get().address == account.host.address


def test_what_i_may_open_myself_i_cannot_change_and_see_why(ada: Client, admin: User) -> None:
    account = HostAccountFactory(host=HostFactory(address="10.0.0.1"))
    GrantFactory(user=admin, host=account.host)
    form = filled(ada.get(host_page(account.host))) | {"address": "10.6.6.6", "owner": "typed by hand"}

    response = ada.post(host_page(account.host), form)

    assert response.status_code == 200
    assert "a grant of your own" in refusal(response)
    assert "typed by hand" in response.content.decode()
    assert Host.objects.get().address == "10.0.0.1"
    assert not LogEntry.objects.exists()
    event = AuditEvent.objects.latest("position")
    assert (event.kind, event.actor_name, event.target_name) == ("change:refused", "ada", account.host.name)


def test_a_forged_row_of_another_host_is_not_touched(ada: Client) -> None:
    mine, other = HostAccountFactory(), HostAccountFactory(name="untouched")
    form = filled(ada.get(host_page(mine.host))) | {"accounts-0-id": other.pk, "accounts-0-name": "taken"}

    ada.post(host_page(mine.host), form)

    assert {*HostAccount.objects.values_list("host", "name")} == {
        (mine.host_id, mine.name),
        (other.host_id, "untouched"),
    }


def test_an_account_is_disabled_never_deleted_also_by_a_forged_form(ada: Client) -> None:
    account = HostAccountFactory()
    form = filled(ada.get(host_page(account.host))) | {"accounts-0-DELETE": "on"}

    ada.post(host_page(account.host), form)

    assert HostAccount.objects.filter(pk=account.pk).exists()


def test_a_label_can_be_taken_away_and_that_is_recorded(ada: Client) -> None:
    host = HostFactory(labels={"env": "prod"})
    form = filled(ada.get(host_page(host))) | {"labels-0-DELETE": "on"}

    ada.post(host_page(host), form)

    assert not Label.objects.exists()
    event = AuditEvent.objects.latest("position")
    assert (event.facts["before"]["labels"], event.facts["after"]["labels"]) == (["env=prod"], [])


def test_save_as_new_cannot_be_forged(ada: Client) -> None:
    account = HostAccountFactory()
    form = filled(ada.get(host_page(account.host))) | {"_saveasnew": "1", "address": "10.0.0.99"}

    response = ada.post(host_page(account.host), form)

    assert response.status_code == 403
    assert Host.objects.count() == 1


def test_an_auditor_looks_and_changes_nothing(auditor: User, browser_of: BrowserOf, ada: Client) -> None:
    account = HostAccountFactory()
    form = filled(ada.get(host_page(account.host))) | {"address": "10.6.6.6"}
    auditors = browser_of(auditor)

    assert auditors.get(host_page(account.host)).status_code == 200
    assert auditors.post(host_page(account.host), form).status_code == 403
    assert auditors.post(page("omaccess_host_add"), form).status_code == 403
    assert Host.objects.get().address == account.host.address


def test_a_form_from_elsewhere_is_refused(admin: User, browser_of: BrowserOf) -> None:
    account = HostAccountFactory()
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin, backend="allauth.account.auth_backends.AuthenticationBackend")

    response = strict.post(host_page(account.host), {"name": "x"})

    assert response.status_code == 403


def test_hosts_are_found_by_the_staffs_search_and_by_label(ada: Client) -> None:
    HostFactory(name="web-01", address="10.1.0.1", labels={"env": "prod"})
    HostFactory(name="db-01", address="2001:db8::1", labels={"env": "test"})
    address = page("omaccess_host_changelist")

    def names(query: str) -> list[str]:
        return [host.name for host in ada.get(f"{address}?{query}").context["cl"].result_list]

    assert names("q=web") == ["web-01"]
    assert names("q=10.1") == ["web-01"]
    assert names("q=2001:db8:0:0::1") == ["db-01"]
    assert names("q=eb-0") == ["web-01"]
    assert names("label=env%3Dtest") == ["db-01"]
    assert names("label=env%00") == ["db-01", "web-01"]


@pytest.mark.parametrize("name", ["host", "hostaccount", "bastioninstance", "iamcredential", "grant"])
def test_lists_cost_a_constant_number_of_queries(
    ada: Client, name: str, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(12):
        account = HostAccountFactory(host=HostFactory(labels={"env": str(number)}))
        LoginAddress.objects.create(instance=account.host.instance, origin="https://203.0.113.7")
        GrantFactory(by_labels=True, labels={"env": "prod"}, names=["root"], every_account=False)

    with django_assert_max_num_queries(14):
        response = ada.get(page(f"omaccess_{name}_changelist"))

    assert len(response.context["cl"].result_list) == 12


# --- instances -------------------------------------------------------------------------------------


def test_endpoints_are_only_those_that_the_installation_allows(ada: Client) -> None:
    instance = BastionInstanceFactory()
    address = page("omaccess_bastioninstance_change", instance.pk)
    form = filled(ada.get(address))

    for endpoint in ("https://cbh.evil.example", "http://192.0.2.1", "cbh.cn-north-4.myhuaweicloud.com", "file:///x"):
        response = ada.post(address, form | {"endpoint": endpoint})
        assert "CLOUD_ENDPOINTS" in refusal(response)
    allowed = ada.post(address, form | {"endpoint": "https://cbh.cn-north-4.myhuaweicloud.com/"})

    assert allowed.status_code == 302
    assert BastionInstance.objects.get().endpoint == "https://cbh.cn-north-4.myhuaweicloud.com"


def test_an_instance_needs_a_project(ada: Client) -> None:
    instance = BastionInstanceFactory()
    address = page("omaccess_bastioninstance_change", instance.pk)
    form = filled(ada.get(address)) | {"project_id": "", "project_name": ""}

    response = ada.post(address, form)

    assert "project" in refusal(response)


def test_a_seen_address_is_offered_and_added_with_one_click(
    ada: Client, inventory: Inventory, sandbox: SandboxServer, admin: User
) -> None:
    LoginAddress.objects.all().delete()
    instance = inventory.instances["bastion"]
    address = page("omaccess_bastioninstance_change", instance.pk)
    tested = ada.post(page("omaccess_hostaccount_test", inventory.root.pk), {"back": "host"}, follow=True)
    offered = ada.get(address)

    added = ada.post(page("omaccess_bastioninstance_add_address", instance.pk), {"origin": sandbox.url}, follow=True)

    assert "offers to add" in said(tested)
    assert offered.context["seen_addresses"] == [sandbox.url]
    assert sandbox.url in said(added)
    assert added.context["seen_addresses"] == []
    assert list(instance.login_addresses.values_list("origin", "kind")) == [(sandbox.url, "link")]
    assert AuditEvent.objects.latest("position").kind == "instance:changed"
    again = ada.post(page("omaccess_hostaccount_test", inventory.root.pk), {"back": "account"}, follow=True)
    assert "works" in said(again)


def test_an_address_that_nobody_saw_is_not_added(ada: Client, inventory: Inventory) -> None:
    instance = inventory.instances["bastion"]
    LoginAddress.objects.all().delete()

    ada.post(page("omaccess_bastioninstance_add_address", instance.pk), {"origin": "https://evil.example"})

    assert not LoginAddress.objects.exists()


def test_adding_a_seen_address_is_for_posts_by_admins(
    ada: Client, auditor: User, browser_of: BrowserOf, inventory: Inventory
) -> None:
    address = page("omaccess_bastioninstance_add_address", inventory.instances["bastion"].pk)

    assert ada.get(address).status_code == 405
    assert browser_of(auditor).post(address, {"origin": "https://evil.example"}).status_code == 403


# --- testing an account ----------------------------------------------------------------------------


def test_only_a_post_by_whoever_may_test_asks_the_cloud(
    ada: Client, auditor: User, browser_of: BrowserOf, inventory: Inventory, sandbox: SandboxServer
) -> None:
    address = page("omaccess_hostaccount_test", inventory.root.pk)

    assert ada.get(address).status_code == 405
    assert browser_of(auditor).post(address).status_code == 403
    assert browser_of(UserFactory()).post(address).status_code == 403
    assert ada.post(page("omaccess_hostaccount_test", 999_999)).status_code == 404
    assert not any(sandbox.control.counters().values())
    assert "Test this account" not in browser_of(auditor).get(host_page(inventory.root.host)).content.decode()


def test_a_refused_test_tells_the_remedy(ada: Client, inventory: Inventory) -> None:
    response = ada.post(page("omaccess_hostaccount_test", inventory.account("ghost").pk), follow=True)

    assert "Add the account in the bastion" in said(response)


def test_too_many_tests_say_when_to_try_again(ada: Client, inventory: Inventory, settings: Settings) -> None:
    settings.LAUNCHES_PER_MINUTE = 0

    response = ada.post(page("omaccess_hostaccount_test", inventory.root.pk), follow=True)

    assert "try again in" in said(response)


def test_accounts_are_found_by_host_and_by_account_at_host(ada: Client) -> None:
    HostAccountFactory(name="root", host=HostFactory(name="web-01"))
    HostAccountFactory(name="ops", host=HostFactory(name="db-01"))
    address = page("autocomplete") + "?app_label=omaccess&model_name=launch&field_name=account&term="

    def found(term: str) -> list[str]:
        return [row["text"] for row in ada.get(address + term).json()["results"]]

    assert found("web") == ["root@web-01"]
    assert found("ops@d") == ["ops@db-01"]
    assert found("eb-0") == ["root@web-01"]
    assert found("") == ["root@web-01", "ops@db-01"]


def test_a_form_that_claims_thousands_of_rows_is_answered_like_any_other(ada: Client) -> None:
    instance = BastionInstanceFactory()
    claims = {f"{prefix}-{name}": "0" for prefix in ("accounts", "labels") for name in ("INITIAL_FORMS",)}
    rows = {"accounts-TOTAL_FORMS": "100000", "labels-TOTAL_FORMS": "0"}

    response = ada.post(page("omaccess_host_add"), {"instance": instance.pk, "address": "10.0.0.1", **claims, **rows})

    assert response.status_code == 200
    assert response.text.count('name="accounts-') < 1000
    assert not Host.objects.exists()
