"""Where launch forms may lead."""

from __future__ import annotations

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from omaccess.csp import MAX_BYTES, form_origins
from omaccess.models import LoginAddress
from omaccess.reach import Openable
from tests.factories import BastionInstanceFactory, GrantFactory, HostAccountFactory, HostFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_only_addresses_of_instances_with_something_to_open_are_listed() -> None:
    user = UserFactory()
    mine, others = HostAccountFactory(), HostAccountFactory()
    GrantFactory(user=user, host=mine.host)
    GrantFactory(user=user, host=others.host, expired=True)
    LoginAddress.objects.create(instance=mine.host.instance, origin="https://bastion.example")
    LoginAddress.objects.create(instance=mine.host.instance, origin="https://sso.example:8443", kind="redirect")
    LoginAddress.objects.create(instance=others.host.instance, origin="https://secret.example")

    sources = form_origins(Openable(user, at=timezone.now()))

    assert sources == ["'self'", "https://bastion.example", "https://sso.example:8443"]


@pytest.mark.parametrize(
    ("is_sandbox", "expected"), [(False, ["'self'", "https:"]), (True, ["'self'", "https:", "http:"])]
)
def test_too_many_addresses_become_a_scheme(is_sandbox: bool, expected: list[str], settings: Settings) -> None:
    settings.IS_SANDBOX = is_sandbox
    user = UserFactory()
    host = HostFactory(instance=BastionInstanceFactory())
    HostAccountFactory(host=host)
    GrantFactory(user=user, host=host)
    for number in range(MAX_BYTES // 30 + 1):
        LoginAddress.objects.create(instance=host.instance, origin=f"https://bastion-{number:04}.acme.example")

    assert form_origins(Openable(user, at=timezone.now())) == expected


def test_an_ipv6_address_becomes_a_scheme_because_chromium_never_matches_it(settings: Settings) -> None:
    settings.IS_SANDBOX = False
    account = HostAccountFactory()
    grant = GrantFactory(host=account.host)
    LoginAddress.objects.create(instance=account.host.instance, origin="https://[2001:db8::1]")

    assert grant.user is not None
    assert form_origins(Openable(grant.user, at=timezone.now())) == ["'self'", "https:"]


def test_pages_with_launch_forms_name_the_addresses_and_others_do_not(client: Client) -> None:
    account = HostAccountFactory()
    grant = GrantFactory(host=account.host)
    LoginAddress.objects.create(instance=account.host.instance, origin="https://bastion.example")
    assert grant.user is not None
    client.force_login(grant.user)

    policies = {
        path: client.get(path)["Content-Security-Policy"] for path in ("/", f"/hosts/{account.host_id}/", "/activity/")
    }

    assert "form-action 'self' https://bastion.example;" in policies["/"] + ";"
    assert "form-action 'self' https://bastion.example;" in policies[f"/hosts/{account.host_id}/"] + ";"
    assert "form-action 'self';" in policies["/activity/"] + ";"
    assert all("unsafe" not in policy for policy in policies.values())
