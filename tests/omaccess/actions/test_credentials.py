"""Credentials: what goes in, what never comes out, and what keeps them fresh."""

from __future__ import annotations

import datetime as dt
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from pytest_django import Settings

from accounts.models import User
from omaccess import tokens, vault
from omaccess.actions import credentials
from omaccess.actions.changes import OwnReach
from omaccess.cloud.errors import CredentialRejected
from omaccess.cloud.types import Deadline
from omaccess.meta import Meta
from omaccess.models import AuditEvent, HostAccount, IamCredential
from omaccess.sandbox.server import SandboxServer
from tests.factories import (
    GrantFactory,
    HostAccountFactory,
    IamCredentialFactory,
    UserFactory,
)
from tests.inventory import Inventory

pytestmark = [pytest.mark.database, pytest.mark.django_db]

META = Meta(address="192.0.2.7")
CANARY = "canary-9f3a!"
OLD_KEY = "old:" + "QUFB" * 10 + "QUE="
NEW_KEY = "new:" + "QkJC" * 10 + "QkI="


@pytest.fixture
def admin() -> Any:
    return UserFactory(username="ada")


def stored(credential: IamCredential) -> str:
    credential.refresh_from_db()
    return vault.decrypt(credential.secret_ciphertext, table="iamcredential", row=str(credential.pk), field="secret")


# --- replacing -------------------------------------------------------------------------------------


def test_a_replaced_secret_is_stored_versioned_and_recorded_without_it(admin: User) -> None:
    credential = IamCredentialFactory(secret="before")

    credentials.replace_secret(credential, secret=CANARY, by=admin, meta=META)

    assert stored(credential) == CANARY
    assert credential.version == 2
    event = AuditEvent.objects.get()
    assert event.kind == "credential:secret_replaced"
    assert event.facts["after"]["secret"] == "replaced"
    assert CANARY not in str(event.facts)
    assert credential.secret_ciphertext not in str(event.facts)


def test_an_empty_secret_is_no_secret(admin: User) -> None:
    credential = IamCredentialFactory(secret="before")

    with pytest.raises(ValueError, match="not empty"):
        credentials.replace_secret(credential, secret="", by=admin, meta=META)

    assert stored(credential) == "before"


@pytest.mark.parametrize("name", credentials.IDENTITY)
def test_another_identity_empties_the_secret(admin: User, name: str) -> None:
    credential = IamCredentialFactory(secret="before")

    with credentials.CredentialChange.of(credential, by=admin, meta=META) as change:
        setattr(credential, name, "http://127.0.0.1:10" if name == "iam_endpoint" else "other")
        change.save(credential, secret=None)

    credential.refresh_from_db()
    assert not credential.has_secret
    assert credential.version == 2
    event = AuditEvent.objects.get()
    assert event.kind == "credential:changed"
    assert (event.facts["before"]["secret"], event.facts["after"]["secret"]) == ("set", "none")


def test_another_identity_with_its_secret_is_one_step(admin: User) -> None:
    credential = IamCredentialFactory(secret="before")

    with credentials.CredentialChange.of(credential, by=admin, meta=META) as change:
        credential.user_name = "other"
        change.save(credential, secret=CANARY)

    assert stored(credential) == CANARY
    assert credential.version == 2
    assert AuditEvent.objects.get().facts["after"]["secret"] == "replaced"


def test_a_name_alone_keeps_secret_and_version(admin: User) -> None:
    credential = IamCredentialFactory(secret="before")

    with credentials.CredentialChange.of(credential, by=admin, meta=META) as change:
        credential.name = "renamed"
        change.save(credential, secret=None)

    assert stored(credential) == "before"
    assert credential.version == 1


def test_a_replaced_secret_ends_the_block(inventory: Inventory, sandbox: SandboxServer, admin: User) -> None:
    instance = inventory.instances["bastion"]
    credential = instance.credential
    right = stored(credential)
    credentials.replace_secret(credential, secret="wrong", by=admin, meta=META)
    with pytest.raises(CredentialRejected):
        tokens.token_for(credential, instance, deadline=Deadline.after(5))
    blocked = tokens.blocked_until(credential)

    credentials.replace_secret(credential, secret=right, by=admin, meta=META)

    assert blocked is not None
    assert tokens.blocked_until(credential) is None
    assert tokens.token_for(credential, instance, deadline=Deadline.after(5)).value


@pytest.mark.parametrize("use", ["instance", "own"])
def test_a_credential_that_opens_what_one_may_open_is_changed_by_others_only(admin: User, use: str) -> None:
    account = HostAccountFactory()
    credential = account.host.instance.credential
    if use == "own":
        credential = account.credential = IamCredentialFactory(secret="before")
        account.save()
    GrantFactory(user=admin, host=account.host)
    was = credential.secret_ciphertext

    with pytest.raises(OwnReach):
        credentials.replace_secret(credential, secret=CANARY, by=admin, meta=META)

    credential.refresh_from_db()
    assert credential.secret_ciphertext == was
    assert AuditEvent.objects.get().kind == "change:refused"


def test_a_credential_that_nothing_of_mine_uses_is_mine_to_change(admin: User) -> None:
    account = HostAccountFactory(credential=IamCredentialFactory())
    GrantFactory(user=admin, host=account.host)

    credentials.replace_secret(account.host.instance.credential, secret=CANARY, by=admin, meta=META)

    assert AuditEvent.objects.get().kind == "credential:secret_replaced"


# --- refreshing ------------------------------------------------------------------------------------


def test_tokens_are_refreshed_ahead_of_expiry(inventory: Inventory, sandbox: SandboxServer) -> None:
    instance = inventory.instances["bastion"]
    held = tokens.token_for(instance.credential, instance, deadline=Deadline.after(5))

    early = credentials.refresh_tokens()
    with time_machine.travel(held.expires_at - dt.timedelta(minutes=30), tick=True):
        due = credentials.refresh_tokens()

    assert early == {"fetched": 0, "failed": 0}
    assert due == {"fetched": 1, "failed": 0}
    assert sandbox.control.counters()["iam.token"] == 2


def test_a_failing_credential_does_not_hold_up_the_others(
    inventory: Inventory, sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (inventory.credentials[name] for name in ("portal", "second"))
    instance = inventory.instances["bastion"]
    HostAccount.objects.filter(pk=inventory.root.pk).update(credential=second)
    held = [tokens.token_for(one, instance, deadline=Deadline.after(5)) for one in (first, second)]
    credentials.replace_secret(first, secret="wrong", by=None, meta=META)
    IamCredential.objects.filter(pk=first.pk).update(version=1)

    with time_machine.travel(min(token.expires_at for token in held) - dt.timedelta(minutes=30), tick=True):
        fetched = credentials.refresh_tokens()

    # One credential speaks to three instances: it fails for each.
    assert fetched == {"fetched": 1, "failed": 3}


def test_disabled_things_get_no_tokens(inventory: Inventory, sandbox: SandboxServer) -> None:
    instance = inventory.instances["bastion"]
    held = tokens.token_for(instance.credential, instance, deadline=Deadline.after(5))
    type(instance).objects.update(is_enabled=False)

    with time_machine.travel(held.expires_at - dt.timedelta(minutes=30), tick=True):
        fetched = credentials.refresh_tokens()

    assert fetched == {"fetched": 0, "failed": 0}


# --- rotating --------------------------------------------------------------------------------------


def test_rotation_seals_with_the_first_key_and_is_recorded_with_counts(settings: Settings) -> None:
    settings.VAULT_KEYS = OLD_KEY
    credential = IamCredentialFactory(secret=CANARY)
    IamCredentialFactory()
    settings.VAULT_KEYS = f"{NEW_KEY},{OLD_KEY}"
    current = IamCredentialFactory(secret="already")
    version = credential.version

    result = credentials.rotate(meta=META)

    settings.VAULT_KEYS = NEW_KEY
    assert result == credentials.Rotation(rotated=1, current=1, unreadable=0)
    assert stored(credential) == CANARY
    assert stored(current) == "already"
    assert credential.version == version
    event = AuditEvent.objects.get()
    assert event.kind == "secrets:rotated"
    assert event.facts == {"key": "new", "rotated": 1, "current": 1, "unreadable": 0}


def test_a_secret_that_no_key_opens_is_left_and_said(settings: Settings) -> None:
    settings.VAULT_KEYS = OLD_KEY
    credential = IamCredentialFactory(secret=CANARY)
    was = credential.secret_ciphertext
    settings.VAULT_KEYS = NEW_KEY
    out = StringIO()

    with pytest.raises(CommandError, match="1 of the secrets"):
        call_command("rotate_secrets", stdout=out)

    credential.refresh_from_db()
    assert credential.secret_ciphertext == was
    assert "0 encrypted anew" in out.getvalue()
    assert AuditEvent.objects.get().browser == "system: rotate_secrets"


def test_rotating_twice_changes_nothing_more(settings: Settings) -> None:
    settings.VAULT_KEYS = OLD_KEY
    IamCredentialFactory(secret=CANARY)
    settings.VAULT_KEYS = f"{NEW_KEY},{OLD_KEY}"

    call_command("rotate_secrets", stdout=StringIO())
    before = list(IamCredential.objects.values_list("secret_ciphertext", "updated_at"))
    call_command("rotate_secrets", stdout=StringIO())

    assert list(IamCredential.objects.values_list("secret_ciphertext", "updated_at")) == before


def test_each_credential_in_use_is_met_once_with_each_instance(inventory: Inventory) -> None:
    """An instance's own credential, and any that an account of it brings along, each once."""
    instance = inventory.instances["bastion"]
    second = inventory.credentials["second"]
    for name in ("root", "ops"):
        account = inventory.account(name)
        account.credential = second
        account.save()

    pairs = credentials._in_use()

    assert [pair for pair in pairs if pair[0] == second and pair[1] == instance] == [(second, instance)]
    assert (instance.credential, instance) in pairs
