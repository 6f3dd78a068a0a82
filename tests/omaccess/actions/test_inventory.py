"""Changing instances and hosts: recorded with before and after, refused for one's own access."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError

from accounts.models import User
from omaccess.actions import inventory
from omaccess.actions.changes import OwnReach
from omaccess.meta import Meta
from omaccess.models import AuditEvent, BastionInstance, Host, HostAccount, Label, LoginAddress
from tests.factories import (
    BastionInstanceFactory,
    GrantFactory,
    HostAccountFactory,
    HostFactory,
    IamCredentialFactory,
    UserFactory,
)

pytestmark = [pytest.mark.database, pytest.mark.django_db]

META = Meta(address="192.0.2.7", browser="Tests", request_id="request-1")


@pytest.fixture
def admin() -> Any:
    return UserFactory(username="ada")


def events() -> list[AuditEvent]:
    return list(AuditEvent.objects.order_by("position"))


def test_a_changed_host_is_recorded_with_what_it_was_and_is(admin: User) -> None:
    host = HostFactory(name="web-01", address="10.0.0.1", labels={"env": "test"})
    HostAccountFactory(host=host, name="root")

    with inventory.HostChange.of(host, by=admin, meta=META):
        host.address = "10.0.0.2"
        host.save()
        Label.objects.filter(host=host).update(value="prod")
        HostAccountFactory(host=host, name="app ")

    (event,) = events()
    assert event.kind == "host:changed"
    assert (event.actor_name, event.target_name, event.address) == ("ada", "web-01", "192.0.2.7")
    before, after = event.facts["before"], event.facts["after"]
    assert (before["address"], after["address"]) == ("10.0.0.1", "10.0.0.2")
    assert (before["labels"], after["labels"]) == (["env=test"], ["env=prod"])
    assert [account["name"] for account in before["accounts"]] == ["root"]
    assert [account["name"] for account in after["accounts"]] == ["root", "app "]


def test_a_new_host_is_recorded_without_a_before(admin: User) -> None:
    instance = BastionInstanceFactory()

    with inventory.HostChange.of(None, by=admin, meta=META) as change:
        change.subject = Host.objects.create(instance=instance, name="new", address="10.0.0.9")

    (event,) = events()
    assert event.kind == "host:created"
    assert "before" not in event.facts
    assert event.facts["after"]["name"] == "new"


def test_a_change_of_nothing_leaves_no_event(admin: User) -> None:
    host = HostFactory()

    with inventory.HostChange.of(host, by=admin, meta=META):
        host.save()

    assert events() == []


def _move(host: Host) -> None:
    host.address = "10.9.9.9"
    host.save()


def _disable(host: Host) -> None:
    host.is_enabled = False
    host.save()


def _rename_account(host: Host) -> None:
    host.accounts.update(name="other")


def _disable_account(host: Host) -> None:
    host.accounts.update(is_enabled=False)


def _other_credential(host: Host) -> None:
    host.accounts.update(credential=IamCredentialFactory())


def _relabel(host: Host) -> None:
    Label.objects.create(host=host, key="tier", value="1")


def _to_other_instance(host: Host) -> None:
    host.instance = BastionInstanceFactory()
    host.save()


@pytest.mark.parametrize(
    "alter",
    [_move, _disable, _rename_account, _disable_account, _other_credential, _relabel, _to_other_instance],
)
@pytest.mark.parametrize("trait", [{}, {"not_yet": True}, {"everything": True}])
def test_what_ones_own_grant_reaches_is_changed_by_others_only(
    admin: User, alter: Callable[[Any], None], trait: dict[str, Any]
) -> None:
    account = HostAccountFactory(name="root")
    target = trait if "everything" in trait else {"host": account.host, **trait}
    GrantFactory(user=admin, **target)

    with pytest.raises(OwnReach), inventory.HostChange.of(account.host, by=admin, meta=META):
        alter(account.host)

    account.refresh_from_db()
    assert (account.name, account.is_enabled, account.credential) == ("root", True, None)
    assert account.host.labels.count() == 0
    (event,) = events()
    assert event.kind == "change:refused"
    assert event.facts["why"] == "own_reach"
    assert [name.partition("@")[2] for name in event.facts["accounts"]] == [account.host.name]


@pytest.mark.parametrize("trait", [{"expired": True}, {"revoked": True}, {"names": ["other"], "every_account": False}])
def test_a_grant_that_is_over_or_reaches_something_else_hinders_nobody(admin: User, trait: dict[str, Any]) -> None:
    account = HostAccountFactory(name="root")
    GrantFactory(user=admin, host=account.host, **trait)

    with inventory.HostChange.of(account.host, by=admin, meta=META):
        _move(account.host)

    assert [event.kind for event in events()] == ["host:changed"]


def test_a_label_that_would_pull_a_host_into_ones_own_grant_is_refused(admin: User) -> None:
    account = HostAccountFactory()
    GrantFactory(user=admin, by_labels=True, labels={"env": "prod"})

    with pytest.raises(OwnReach), inventory.HostChange.of(account.host, by=admin, meta=META):
        Label.objects.create(host=account.host, key="env", value="prod")

    assert not account.host.labels.exists()


def test_a_label_that_would_push_a_host_out_of_ones_own_grant_is_refused(admin: User) -> None:
    account = HostAccountFactory(host=HostFactory(labels={"env": "prod"}))
    GrantFactory(user=admin, by_labels=True, labels={"env": "prod"})

    with pytest.raises(OwnReach), inventory.HostChange.of(account.host, by=admin, meta=META):
        account.host.labels.all().delete()

    assert account.host.labels.exists()


def test_a_new_account_under_ones_own_group_grant_is_refused(admin: User) -> None:
    host = HostFactory()
    group = Group.objects.create(name="team")
    admin.groups.add(group)
    GrantFactory(user=None, group=group, host=host)

    with pytest.raises(OwnReach), inventory.HostChange.of(host, by=admin, meta=META):
        HostAccount.objects.create(host=host, name="backdoor")

    assert not host.accounts.exists()


def test_words_about_a_host_are_everybodys_to_change(admin: User) -> None:
    account = HostAccountFactory()
    GrantFactory(user=admin, host=account.host)

    with inventory.HostChange.of(account.host, by=admin, meta=META):
        account.host.owner = "Shop team"
        account.host.save()

    assert [event.kind for event in events()] == ["host:changed"]


@pytest.mark.parametrize(
    "values",
    [
        {"endpoint": "http://127.0.0.1:10"},
        {"server_id": "other"},
        {"project_name": "other"},
        {"is_enabled": False},
    ],
)
def test_an_instance_that_ones_own_grant_reaches_is_changed_by_others_only(admin: User, values: dict[str, Any]) -> None:
    account = HostAccountFactory()
    instance = account.host.instance
    GrantFactory(user=admin, everything=True)

    with pytest.raises(OwnReach), inventory.InstanceChange.of(instance, by=admin, meta=META):
        BastionInstance.objects.filter(pk=instance.pk).update(**values)

    fresh = BastionInstance.objects.get(pk=instance.pk)
    assert all(getattr(fresh, name) != value for name, value in values.items())


def test_the_help_text_of_an_instance_is_everybodys_to_change(admin: User) -> None:
    account = HostAccountFactory()
    GrantFactory(user=admin, everything=True)

    with inventory.InstanceChange.of(account.host.instance, by=admin, meta=META):
        account.host.instance.help_text = "Use the VPN."
        account.host.instance.save()

    assert [event.kind for event in events()] == ["instance:changed"]


def test_an_address_that_was_seen_is_added_as_a_link(admin: User) -> None:
    instance = BastionInstanceFactory()

    inventory.add_login_address(instance=instance, origin="https://203.0.113.7", by=admin, meta=META)

    assert list(instance.login_addresses.values_list("origin", "kind")) == [("https://203.0.113.7", "link")]
    (event,) = events()
    assert event.facts["before"]["login_addresses"] == []
    assert event.facts["after"]["login_addresses"] == ["link: https://203.0.113.7"]


@pytest.mark.parametrize(
    "origin", ["", "203.0.113.7", "https://*.example", "http://203.0.113.7", "javascript:alert(1)"]
)
def test_what_is_no_usable_address_is_not_added(admin: User, origin: str) -> None:
    instance = BastionInstanceFactory()

    with pytest.raises(ValidationError):
        inventory.add_login_address(instance=instance, origin=origin, by=admin, meta=META)

    assert not LoginAddress.objects.exists()
    assert events() == []


def test_an_address_under_ones_own_grant_is_added_by_others_only(admin: User) -> None:
    account = HostAccountFactory()
    GrantFactory(user=admin, host=account.host)

    with pytest.raises(OwnReach):
        inventory.add_login_address(instance=account.host.instance, origin="https://203.0.113.7", by=admin, meta=META)

    assert not LoginAddress.objects.exists()
