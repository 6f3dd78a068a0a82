"""Changing the key of the vault while launches go on: old, then new before old, re-encrypted, then new alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from django.core.cache import caches
from pytest_django import Settings

from accounts.models import User
from omaccess import tokens, vault
from omaccess.actions import credentials
from omaccess.cloud.types import Deadline
from omaccess.errors import CredentialUnusable
from omaccess.meta import Meta
from omaccess.models import AuditEvent, HostAccount, IamCredential, IamUserLease, LaunchState
from omaccess.sandbox.server import SandboxServer
from tests.factories import GrantFactory, UserFactory
from tests.inventory import Inventory
from tests.launching import in_thread, open_account

pytestmark = pytest.mark.database

META = Meta(address="192.0.2.7")
NEW_KEY = "new:" + "QkJC" * 10 + "QkI="
LAUNCHES_PER_PHASE = 6


def key_ids() -> set[str]:
    return {vault.key_id_of(one) for one in IamCredential.objects.values_list("secret_ciphertext", flat=True)}


class Launchers:
    """People who open an account over and over until they are told to stop."""

    def __init__(self, account: HostAccount, people: list[tuple[User, Meta]]) -> None:
        self.states: list[str] = []
        self._account = account
        self._stop = threading.Event()
        self._threads = [in_thread(lambda person=person: self._run(*person)) for person in people]  # type: ignore[misc]

    def wait_for(self, number: int, *, seconds: float = 60) -> None:
        """Until so many more launches have ended."""
        goal, ends_at = len(self.states) + number, time.monotonic() + seconds
        while len(self.states) < goal:
            assert time.monotonic() < ends_at, f"only {len(self.states)} of {goal} launches ended"
            assert any(thread.is_alive() for thread in self._threads), "nobody launches any more"
            self._stop.wait(0.02)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def _run(self, user: User, meta: Meta) -> None:
        while not self._stop.is_set():
            # As if the cache had just been lost: this launch needs the stored secret itself.
            caches["tokens"].clear()
            IamUserLease.objects.update(token_key="", token_ciphertext="")
            result = open_account(self._account, user, meta)
            self.states.append(str(result.launch.state))


def test_every_launch_opens_while_the_key_is_changed(
    committed_inventory: Inventory,
    sandbox: SandboxServer,
    settings: Settings,
    meta_of: Callable[[User], Meta],
) -> None:
    settings.LAUNCHES_PER_MINUTE = 100_000
    old_key = settings.VAULT_KEYS
    people = [UserFactory() for _number in range(3)]
    for person in people:
        GrantFactory(user=person, host=committed_inventory.root.host)
    launchers = Launchers(committed_inventory.root, [(person, meta_of(person)) for person in people])

    try:
        launchers.wait_for(LAUNCHES_PER_PHASE)
        settings.VAULT_KEYS = f"{NEW_KEY},{old_key}"
        launchers.wait_for(LAUNCHES_PER_PHASE)
        result = credentials.rotate(meta=META)
        launchers.wait_for(LAUNCHES_PER_PHASE)
        settings.VAULT_KEYS = NEW_KEY
        launchers.wait_for(LAUNCHES_PER_PHASE)
    finally:
        launchers.stop()

    assert set(launchers.states) == {LaunchState.OPENED}
    assert len(launchers.states) >= 4 * LAUNCHES_PER_PHASE
    assert (result.unreadable, key_ids()) == (0, {"new"})
    assert AuditEvent.objects.filter(kind="launch:opened").count() == len(launchers.states)


@pytest.mark.django_db
def test_a_token_that_was_sealed_with_the_old_key_is_a_miss_once_that_is_gone(
    inventory: Inventory, sandbox: SandboxServer, settings: Settings
) -> None:
    credential, instance = inventory.credentials["portal"], inventory.instances["bastion"]
    before = tokens.token_for(credential, instance, deadline=Deadline.after(10))
    settings.VAULT_KEYS = f"{NEW_KEY},{settings.VAULT_KEYS}"
    credentials.rotate(meta=META)
    credential.refresh_from_db()
    beside = tokens.token_for(credential, instance, deadline=Deadline.after(10))

    settings.VAULT_KEYS = NEW_KEY
    refreshed = tokens.refresh(credential, instance, deadline=Deadline.after(10))
    after = [tokens.token_for(credential, instance, deadline=Deadline.after(10)) for _number in range(2)]

    assert beside.value == before.value
    assert not refreshed
    assert after[0].value == after[1].value != before.value
    assert sandbox.control.counters()["iam.token"] == 2
    caches["tokens"].clear()
    assert tokens.token_for(credential, instance, deadline=Deadline.after(10)).value == after[0].value


@pytest.mark.django_db
def test_whoever_read_the_secret_before_it_was_sealed_anew_reads_it_once_more(
    inventory: Inventory, sandbox: SandboxServer, settings: Settings
) -> None:
    """A launch that began before the rotation, and comes to its exchange when the old key is gone."""
    read_before = IamCredential.objects.get(name="portal")
    settings.VAULT_KEYS = f"{NEW_KEY},{settings.VAULT_KEYS}"
    credentials.rotate(meta=META)
    settings.VAULT_KEYS = NEW_KEY

    token = tokens.token_for(read_before, inventory.instances["bastion"], deadline=Deadline.after(10))

    assert token.value


@pytest.mark.django_db
def test_whoever_read_an_older_secret_does_not_get_the_one_that_replaced_it(
    inventory: Inventory, sandbox: SandboxServer, settings: Settings
) -> None:
    read_before = IamCredential.objects.get(name="portal")
    settings.VAULT_KEYS = NEW_KEY
    credentials.replace_secret(IamCredential.objects.get(name="portal"), secret="another", by=None, meta=META)

    with pytest.raises(CredentialUnusable) as caught:
        tokens.token_for(read_before, inventory.instances["bastion"], deadline=Deadline.after(10))

    assert caught.value.cause == "secret_unreadable"
    assert sandbox.control.counters().get("iam.token", 0) == 0
