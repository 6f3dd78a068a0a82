"""How credentials do: one honest state each, in the list, on the page and in the overview's counts."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from omaccess import tokens
from omaccess.actions import credentials
from omaccess.admin.credential_health import health_counts, health_of
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline
from omaccess.meta import Meta
from omaccess.models import IamCredential, IamUserLease
from omaccess.models.credentials import CredentialHealth
from omaccess.sandbox.server import SandboxServer
from tests.factories import IamCredentialFactory
from tests.inventory import Inventory
from tests.omaccess.admin.conftest import page

pytestmark = [pytest.mark.database, pytest.mark.django_db]

NOW = dt.datetime(2026, 5, 4, 3, 2, tzinfo=dt.UTC)
LATER = NOW + dt.timedelta(seconds=1)
META = Meta(address="192.0.2.7")


def of(credential: IamCredential) -> CredentialHealth:
    return health_of(IamCredential.objects.with_health().get(pk=credential.pk)).state


def block(credential: IamCredential, *, minutes: int = 20) -> dt.datetime:
    until = timezone.now() + dt.timedelta(minutes=minutes)
    IamUserLease.objects.create(
        iam_endpoint=credential.iam_endpoint,
        account_name=credential.account_name,
        user_name=credential.user_name,
        blocked_until=until,
    )
    return until


@pytest.mark.parametrize(
    ("values", "state"),
    [
        ({}, "untried"),
        ({"last_success_at": NOW}, "works"),
        (
            {"last_success_at": NOW, "last_error_at": LATER, "failing_since_at": LATER, "last_error": "cloud_timeout"},
            "failing",
        ),
        ({"last_error_at": NOW, "failing_since_at": NOW, "last_error": "cloud_timeout"}, "failing"),
        # A release without `failing_since_at`, running beside this one, had a success since.
        (
            {"last_success_at": LATER, "last_error_at": NOW, "failing_since_at": NOW, "last_error": "cloud_timeout"},
            "works",
        ),
        ({"last_success_at": NOW, "last_error_at": NOW, "last_error": "cloud_timeout"}, "works"),
        ({"secret_ciphertext": "", "last_success_at": NOW}, "no_secret"),
        ({"secret_ciphertext": "", "is_enabled": False}, "disabled"),
    ],
)
def test_each_credential_has_exactly_one_state(values: dict[str, Any], state: str) -> None:
    credential = IamCredentialFactory(secret="x")
    IamCredential.objects.filter(pk=credential.pk).update(**values)

    assert of(credential) == state


def test_a_block_counts_while_it_lasts_and_for_every_credential_of_the_user() -> None:
    first, second, other = (IamCredentialFactory(secret="x", user_name=name) for name in ("u", "u", "v"))
    ended = IamCredentialFactory(secret="x", user_name="w")
    block(first)
    block(ended, minutes=-1)

    assert [of(one) for one in (first, second, other, ended)] == ["blocked", "blocked", "untried", "untried"]
    assert "another credential" in health_of(IamCredential.objects.with_health().get(pk=second.pk)).detail


def test_it_fails_since_the_first_failure_that_no_success_followed(
    inventory: Inventory, sandbox: SandboxServer
) -> None:
    credential, instance = inventory.credentials["portal"], inventory.instances["bastion"]
    sandbox.control.add_fault("iam.token", times=None, status=500)
    moments = []
    for _number in range(2):
        with pytest.raises(CloudError):
            tokens.token_for(credential, instance, deadline=Deadline.after(5))
        credential.refresh_from_db()
        moments.append((credential.failing_since_at, credential.last_error_at))

    sandbox.control.clear_faults()
    tokens.token_for(credential, instance, deadline=Deadline.after(5))

    assert moments[0][0] == moments[1][0]
    assert moments[0][1] != moments[1][1]
    assert of(credential) == "works"


def test_a_new_secret_begins_anew(inventory: Inventory, sandbox: SandboxServer) -> None:
    credential, instance = inventory.credentials["portal"], inventory.instances["bastion"]
    tokens.token_for(credential, instance, deadline=Deadline.after(5))
    worked = of(credential)

    credentials.replace_secret(credential, secret="another", by=None, meta=META)

    assert (worked, of(credential)) == ("works", "untried")


def test_the_list_costs_the_same_however_many_are_blocked(ada: Client, django_assert_max_num_queries: Any) -> None:
    address = page("omaccess_iamcredential_changelist")
    block(IamCredentialFactory(secret="x", user_name="u0"))
    ada.get(address)
    with django_assert_max_num_queries(20) as one:
        ada.get(address)
    for number in range(1, 8):
        block(IamCredentialFactory(secret="x", user_name=f"u{number}"))

    with django_assert_max_num_queries(20) as many:
        ada.get(address)

    assert len(one) == len(many)


def test_the_list_says_the_state_and_its_cause_and_can_be_filtered_by_it(ada: Client) -> None:
    IamCredentialFactory(name="fine one", secret="x", last_success_at=NOW)
    IamCredentialFactory(
        name="sick one",
        secret="x",
        last_success_at=NOW,
        last_error_at=LATER,
        failing_since_at=NOW,
        last_error="credential_rejected",
    )

    everything = ada.get(page("omaccess_iamcredential_changelist")).text
    failing = ada.get(page("omaccess_iamcredential_changelist") + "?health=failing").text
    nonsense = ada.get(page("omaccess_iamcredential_changelist") + "?health=x%00y").text

    assert timezone.localtime(NOW).strftime("since %Y-%m-%d %H:%M") in everything
    assert "Huawei Cloud does not accept" in everything
    assert timezone.localtime(NOW).strftime("last success %Y-%m-%d %H:%M") in everything
    assert "sick one" in failing
    assert "fine one" not in failing
    assert "fine one" in nonsense


def test_the_page_says_it_too(ada: Client) -> None:
    credential = IamCredentialFactory(secret="x")
    until = block(credential)

    body = ada.get(page("omaccess_iamcredential_change", credential.pk)).text

    assert timezone.localtime(until).strftime("%Y-%m-%d %H:%M") in body
    assert "Verify now" not in body


def test_the_overview_counts_them_with_what_needs_somebody_first(django_assert_num_queries: Any) -> None:
    IamCredentialFactory(secret="x", user_name="a", last_success_at=NOW)
    IamCredentialFactory(secret="x", user_name="b", last_success_at=NOW)
    IamCredentialFactory(user_name="c")

    with django_assert_num_queries(1):
        counts = health_counts()

    assert [(count.health.state, count.number) for count in counts] == [("no_secret", 1), ("works", 2)]
    assert counts[0].address.endswith("?health=no_secret")
