"""Who may exchange a token, when a secret was replaced; and what a verdict of IAM says of the credential."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from omaccess import held_tokens, leases, tokens
from omaccess.causes import Cause
from omaccess.cloud.errors import CredentialRejected, ProjectNotFound
from omaccess.cloud.types import Deadline, ProjectScope
from omaccess.errors import CredentialUnusable
from omaccess.held_tokens import Held, Wanted
from omaccess.models import IamCredential, IamUserLease
from omaccess.sandbox.server import SandboxServer
from tests.inventory import Inventory
from tests.omaccess.test_tokens import Herd, exchanges, replace_secret, token_for

pytestmark = pytest.mark.database


def test_nobody_tries_a_password_that_was_replaced(inventory: Inventory, sandbox: SandboxServer) -> None:
    """Its 401 would block the new one for half an hour, and count towards IAM's own lock."""
    sandbox.control.edit_user("acme", "portal", password="the new one")
    loaded_before = IamCredential.objects.get(name="portal")
    replace_secret("portal", "the new one")

    with pytest.raises(CredentialUnusable) as refusal:
        tokens.token_for(loaded_before, inventory.instances["bastion"], deadline=Deadline.after(10))

    assert refusal.value.cause is Cause.DECISION_CHANGED
    assert exchanges(sandbox) == 0
    assert token_for(inventory).value


def test_who_read_the_row_before_a_secret_was_replaced_does_not_get_the_lease(inventory: Inventory) -> None:
    before = IamCredential.objects.get(name="portal")
    row = leases.read(before)
    replace_secret("portal", "the new one")
    after = IamCredential.objects.get(name="portal")

    for credential in (before, after):
        assert not leases.acquire(row, credential, "late", Deadline.after(10), is_forced=False)

    assert leases.acquire(leases.read(after), after, "in time", Deadline.after(10), is_forced=False)


def test_what_an_older_secret_meets_is_not_noted_for_the_new_one(
    committed_inventory: Inventory, sandbox: SandboxServer
) -> None:
    """An exchange that began before the secret was replaced, and ends after it."""
    sandbox.control.edit_user("acme", "portal", password="the new one")
    sandbox.control.add_fault("iam.token", hold="after")
    herd = Herd(committed_inventory, 1)
    assert sandbox.control.wait("iam.token", held=1)

    replace_secret("portal", "the new one")
    sandbox.control.release()
    results = herd.results()

    assert [type(result) for result in results] == [CredentialRejected]
    assert IamCredential.objects.get(name="portal").last_error == ""
    assert IamUserLease.objects.get().blocked_until is None


def test_to_verify_is_to_ask_iam_whatever_the_clock_of_another_machine_says(
    inventory: Inventory, sandbox: SandboxServer
) -> None:
    credential, project = IamCredential.objects.get(name="portal"), ProjectScope(name="cn-north-4")
    token = tokens.token_for(credential, project, deadline=Deadline.after(10))
    from_the_future = Held(token, timezone.now() + dt.timedelta(minutes=5))
    wanted = Wanted.of(credential, project)
    held_tokens.to_cache(wanted, from_the_future)
    IamUserLease.objects.update(token_ciphertext=held_tokens.sealed(wanted, from_the_future))
    sandbox.control.edit_user("acme", "portal", password="changed behind our back")

    with pytest.raises(CredentialRejected):
        tokens.verify(credential, project, deadline=Deadline.after(10))

    assert exchanges(sandbox) == 2


def test_a_mistyped_project_is_not_the_credentials_fault(inventory: Inventory, sandbox: SandboxServer) -> None:
    token_for(inventory)
    credential = IamCredential.objects.get(name="portal")

    with pytest.raises(ProjectNotFound):
        tokens.verify(credential, ProjectScope(name="cn-nrth-4"), deadline=Deadline.after(10))

    credential.refresh_from_db()
    assert credential.last_error == Cause.PROJECT_NOT_FOUND
    assert credential.failing_since_at is None


def test_a_refused_password_is_the_credentials_fault_until_one_works(
    inventory: Inventory, sandbox: SandboxServer
) -> None:
    sandbox.control.edit_user("acme", "portal", password="changed behind our back")
    with pytest.raises(CredentialRejected):
        token_for(inventory)
    failing = IamCredential.objects.get(name="portal")

    replace_secret("portal", "changed behind our back")
    token_for(inventory)

    assert failing.failing_since_at is not None
    assert IamCredential.objects.get(name="portal").failing_since_at is None
