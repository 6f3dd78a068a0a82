"""The token cache, the lease per IAM user and the block after a refused credential."""

from __future__ import annotations

import datetime as dt
import threading
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connections
from django.db.models import F
from django.utils import timezone

from omaccess import clients, leases, tokens, vault
from omaccess.cloud.errors import CloudError, CloudTimeout, CredentialRejected, TokenRejected
from omaccess.cloud.types import Deadline, IamToken
from omaccess.errors import CredentialBlocked, CredentialUnusable
from omaccess.models import IamCredential, IamUserLease
from omaccess.sandbox.server import SandboxServer
from tests.inventory import Inventory

pytestmark = pytest.mark.database


def token_for(inventory: Inventory, *, seconds: float = 10, instance: str = "bastion") -> IamToken:
    credential = IamCredential.objects.get(name="portal")
    return tokens.token_for(credential, inventory.instances[instance], deadline=Deadline.after(seconds))


def exchanges(sandbox: SandboxServer) -> int:
    return sandbox.control.counters().get("iam.token", 0)


def replace_secret(name: str, secret: str) -> None:
    credential = IamCredential.objects.get(name=name)
    credential.secret_ciphertext = vault.encrypt(secret, table="iamcredential", row=str(credential.pk), field="secret")
    credential.version += 1
    credential.save()
    tokens.forget_block(credential)


# --- the cache ---------------------------------------------------------------------------------------


def test_a_second_call_is_answered_from_the_cache(inventory: Inventory, sandbox: SandboxServer) -> None:
    first = token_for(inventory)

    second = token_for(inventory)

    assert first == second
    assert exchanges(sandbox) == 1


def test_without_the_cache_the_leases_row_still_has_the_token(inventory: Inventory, sandbox: SandboxServer) -> None:
    first = token_for(inventory)
    caches["tokens"].clear()

    second = token_for(inventory)

    assert second.value == first.value
    assert exchanges(sandbox) == 1


def test_a_cache_that_is_gone_costs_nothing_but_time(
    inventory: Inventory, sandbox: SandboxServer, settings: Any
) -> None:
    settings.CACHES = {
        "default": settings.CACHES["default"],
        "tokens": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": "redis://127.0.0.1:1/0",
            "OPTIONS": {"socket_connect_timeout": 0.2},
        },
    }

    values = {token_for(inventory).value for _number in range(2)}

    assert len(values) == 1


def test_what_is_cached_and_stored_does_not_contain_the_token(inventory: Inventory) -> None:
    token = token_for(inventory)

    lease = IamUserLease.objects.get()

    assert token.value not in lease.token_ciphertext
    assert token.value not in repr(token)
    assert token.value not in str(caches["tokens"].get(lease.token_key))


def test_another_project_gets_a_token_of_its_own(inventory: Inventory, sandbox: SandboxServer) -> None:
    token_for(inventory)
    other = inventory.instances["old-bastion"]
    other.project_name, other.project_id = "", "0a4f5b1c7d2e4c6f8b9a0c1d2e3f4a5b"
    other.save()

    token = token_for(inventory, instance="old-bastion")

    assert token.project_id == "0a4f5b1c7d2e4c6f8b9a0c1d2e3f4a5b"
    assert exchanges(sandbox) == 2


def test_a_replaced_secret_makes_the_old_token_unused(inventory: Inventory, sandbox: SandboxServer) -> None:
    token_for(inventory)

    replace_secret("portal", "sandbox-password-portal")
    token_for(inventory)

    assert exchanges(sandbox) == 2


def test_a_token_that_is_about_to_expire_is_not_used(
    inventory: Inventory, sandbox: SandboxServer, time_machine: Any
) -> None:
    token = token_for(inventory)

    time_machine.move_to(token.expires_at - dt.timedelta(seconds=30))
    later = token_for(inventory)

    assert later.value != token.value


def test_the_scheduled_refresh_fetches_the_next_token_only_when_it_is_due(
    inventory: Inventory, sandbox: SandboxServer, time_machine: Any
) -> None:
    token = token_for(inventory)
    credential, instance = IamCredential.objects.get(name="portal"), inventory.instances["bastion"]

    early = tokens.refresh(credential, instance, deadline=Deadline.after(10))
    time_machine.move_to(token.expires_at - dt.timedelta(minutes=50))
    due = tokens.refresh(credential, instance, deadline=Deadline.after(10))

    assert (early, due) == (False, True)
    assert token_for(inventory).value != token.value


def test_nothing_is_refreshed_for_a_credential_nobody_used(inventory: Inventory, sandbox: SandboxServer) -> None:
    credential = IamCredential.objects.get(name="portal")

    assert not tokens.refresh(credential, inventory.instances["bastion"], deadline=Deadline.after(10))
    assert exchanges(sandbox) == 0


# --- the lease ---------------------------------------------------------------------------------------


def test_a_herd_on_a_cold_cache_makes_one_exchange(committed_inventory: Inventory, sandbox: SandboxServer) -> None:
    sandbox.control.add_fault("iam.token", hold="before")

    herd = Herd(committed_inventory, 6)
    assert sandbox.control.wait("iam.token", held=1)
    sandbox.control.release()
    results = herd.results()

    assert exchanges(sandbox) == 1
    assert len({result.value for result in results if isinstance(result, IamToken)}) == 1
    assert len(results) == 6


def test_whoever_looked_before_an_exchange_ended_does_not_start_another(
    inventory: Inventory, sandbox: SandboxServer
) -> None:
    credential = IamCredential.objects.get(name="portal")
    looked_early = leases.read(credential)
    token_for(inventory)

    assert not leases.acquire(looked_early, credential, "late", Deadline.after(10), is_forced=False)


def test_those_who_waited_get_the_holders_failure_and_do_not_ask_again(
    committed_inventory: Inventory, sandbox: SandboxServer
) -> None:
    sandbox.control.edit_user("acme", "portal", password="changed behind our back")
    sandbox.control.add_fault("iam.token", hold="before")

    herd = Herd(committed_inventory, 4)
    assert sandbox.control.wait("iam.token", held=1)
    sandbox.control.release()
    results = herd.results()

    assert exchanges(sandbox) == 1
    assert all(isinstance(result, CredentialRejected | CredentialBlocked) for result in results)


def test_a_holder_that_died_is_replaced_after_its_lease(inventory: Inventory, sandbox: SandboxServer) -> None:
    token_for(inventory)
    caches["tokens"].clear()
    lease = IamUserLease.objects.get()
    IamUserLease.objects.update(
        token_key="", holder="died", holder_expires_at=timezone.now() + dt.timedelta(milliseconds=300)
    )

    token_for(inventory)

    assert exchanges(sandbox) == 2
    assert IamUserLease.objects.get(pk=lease.pk).holder == ""


def test_whoever_waits_for_a_lease_in_vain_ends_with_the_deadline(inventory: Inventory) -> None:
    token_for(inventory)
    caches["tokens"].clear()
    IamUserLease.objects.update(
        token_key="", holder="somebody", holder_expires_at=timezone.now() + dt.timedelta(minutes=1)
    )

    with pytest.raises(CloudTimeout):
        token_for(inventory, seconds=0.2)


def test_a_holder_whose_lease_was_taken_away_writes_nothing_back(
    committed_inventory: Inventory, sandbox: SandboxServer
) -> None:
    sandbox.control.edit_user("acme", "portal", password="changed behind our back")
    sandbox.control.add_fault("iam.token", hold="after")
    herd = Herd(committed_inventory, 1)
    assert sandbox.control.wait("iam.token", held=1)

    tokens.forget_block(IamCredential.objects.get(name="portal"))
    sandbox.control.release()
    herd.results()

    lease = IamUserLease.objects.get()
    assert lease.blocked_until is None
    assert lease.failure is None


# --- the block ---------------------------------------------------------------------------------------


def test_a_401_from_iam_is_asked_once_and_then_blocked(inventory: Inventory, sandbox: SandboxServer) -> None:
    sandbox.control.edit_user("acme", "portal", password="changed behind our back")
    with pytest.raises(CredentialRejected):
        token_for(inventory)

    for _number in range(3):
        with pytest.raises(CredentialBlocked):
            token_for(inventory)

    assert exchanges(sandbox) == 1
    assert tokens.blocked_until(IamCredential.objects.get(name="portal")) is not None


def test_the_block_does_not_stop_a_token_that_still_works(inventory: Inventory, sandbox: SandboxServer) -> None:
    token = token_for(inventory)
    IamUserLease.objects.update(blocked_until=timezone.now() + dt.timedelta(minutes=30))

    assert token_for(inventory).value == token.value


def test_a_replaced_secret_ends_the_block(inventory: Inventory, sandbox: SandboxServer) -> None:
    sandbox.control.edit_user("acme", "portal", password="the new one")
    with pytest.raises(CredentialRejected):
        token_for(inventory)

    replace_secret("portal", "the new one")

    assert token_for(inventory).value


def test_after_the_block_there_is_exactly_one_trial(inventory: Inventory, sandbox: SandboxServer) -> None:
    sandbox.control.edit_user("acme", "portal", password="changed behind our back")
    with pytest.raises(CredentialRejected):
        token_for(inventory)
    IamUserLease.objects.update(blocked_until=timezone.now() - dt.timedelta(seconds=1))

    with pytest.raises(CredentialRejected):
        token_for(inventory)
    with pytest.raises(CredentialBlocked):
        token_for(inventory)

    assert exchanges(sandbox) == 2


def test_a_trial_that_dies_counts_as_the_trial(inventory: Inventory, sandbox: SandboxServer) -> None:
    token_for(inventory)
    credential, lease = IamCredential.objects.get(name="portal"), IamUserLease.objects.get()
    IamUserLease.objects.update(blocked_until=timezone.now() - dt.timedelta(seconds=1), token_key="")
    caches["tokens"].clear()
    row = leases.read(credential)
    assert leases.acquire(row, credential, "dies", Deadline.after(-1.9), is_forced=False)
    IamUserLease.objects.filter(pk=lease.pk).update(holder_expires_at=timezone.now() - dt.timedelta(seconds=1))

    with pytest.raises(CredentialBlocked):
        token_for(inventory)


def test_a_trial_without_a_verdict_does_not_prolong_the_block(inventory: Inventory, sandbox: SandboxServer) -> None:
    sandbox.control.edit_user("acme", "portal", password="the new one")
    with pytest.raises(CredentialRejected):
        token_for(inventory)
    sandbox.control.edit_user("acme", "portal", password="sandbox-password-portal")
    IamUserLease.objects.update(blocked_until=timezone.now() - dt.timedelta(seconds=1))
    sandbox.control.add_fault("iam.token", times=2, status=503)

    with pytest.raises(CloudError):
        token_for(inventory)

    assert token_for(inventory).value


# --- a token that CBH refused ------------------------------------------------------------------------


def renew(inventory: Inventory, refused: IamToken) -> IamToken:
    return tokens.renew(
        IamCredential.objects.get(name="portal"),
        inventory.instances["bastion"],
        refused=refused,
        error=TokenRejected(service="cbh"),
        deadline=Deadline.after(10),
    )


def test_a_refused_token_is_renewed_at_most_once_in_thirty_seconds(
    inventory: Inventory, sandbox: SandboxServer
) -> None:
    first = token_for(inventory)

    second = renew(inventory, first)
    with pytest.raises(TokenRejected):
        renew(inventory, second)
    IamUserLease.objects.update(forced_at=F("forced_at") - dt.timedelta(seconds=31))
    third = renew(inventory, second)

    assert len({first.value, second.value, third.value}) == 3
    assert exchanges(sandbox) == 3


def test_a_newer_token_of_somebody_else_is_taken_without_an_exchange(
    inventory: Inventory, sandbox: SandboxServer
) -> None:
    first = token_for(inventory)
    second = renew(inventory, first)

    again = renew(inventory, first)

    assert again.value == second.value
    assert exchanges(sandbox) == 2


# --- the credential ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"secret_ciphertext": ""}, "credential_without_secret"),
        ({"is_enabled": False}, "credential_disabled"),
        ({"secret_ciphertext": "v1.gone.AAAA"}, "secret_unreadable"),
    ],
)
def test_an_unusable_credential_asks_nothing(
    inventory: Inventory, sandbox: SandboxServer, change: dict[str, Any], cause: str
) -> None:
    IamCredential.objects.filter(name="portal").update(**change)

    with pytest.raises(CredentialUnusable) as caught:
        token_for(inventory)

    assert caught.value.cause == cause
    assert exchanges(sandbox) == 0
    assert IamUserLease.objects.filter(holder="").count() == IamUserLease.objects.count()


def test_health_is_noted_for_the_admins_list(inventory: Inventory, sandbox: SandboxServer) -> None:
    token_for(inventory)
    good = IamCredential.objects.get(name="portal")
    replace_secret("portal", "wrong")

    with pytest.raises(CredentialRejected):
        token_for(inventory)

    bad = IamCredential.objects.get(name="portal")
    assert good.last_success_at is not None
    assert (good.last_error, bad.last_error) == ("", "credential_rejected")


class Herd:
    """Threads that all want the same token at once."""

    def __init__(self, inventory: Inventory, size: int) -> None:
        self._started = threading.Barrier(size + 1)
        self._results: list[object] = []
        self._threads = [threading.Thread(target=self._run, args=(inventory,), daemon=True) for _n in range(size)]
        for thread in self._threads:
            thread.start()
        self._started.wait(timeout=10)

    def results(self) -> list[object]:
        for thread in self._threads:
            thread.join(timeout=20)
        return self._results

    def _run(self, inventory: Inventory) -> None:
        try:
            self._started.wait(timeout=10)
            self._results.append(token_for(inventory))
        except (CloudError, CredentialBlocked) as error:
            self._results.append(error)
        finally:
            connections.close_all()


def test_the_transport_is_one_per_process() -> None:
    assert clients.transport() is clients.transport()
