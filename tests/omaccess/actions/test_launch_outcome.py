"""Before a link leaves: decided again, on rows that nobody can change meanwhile."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F, Model
from django.utils import timezone

from accounts.models import User
from omaccess.actions import launches
from omaccess.actions.changes import Change
from omaccess.actions.credentials import CredentialChange
from omaccess.actions.grants import GrantChange
from omaccess.actions.inventory import HostChange, InstanceChange
from omaccess.actions.people import UserChange
from omaccess.causes import Cause
from omaccess.errors import AnswersNeeded, TooManyLaunches
from omaccess.meta import Meta
from omaccess.models import (
    AuditEvent,
    BastionInstance,
    Grant,
    GrantAccount,
    GrantLabel,
    Host,
    HostAccount,
    IamCredential,
    Label,
    LaunchState,
    LoginAddress,
)
from omaccess.sandbox.server import SandboxServer
from tests.factories import GrantFactory, UserFactory
from tests.inventory import Inventory
from tests.launching import (
    MetaOf,
    in_thread,
    kinds_of,
    open_account,
    revoke,
    wait_until_somebody_waits_for_us,
)

pytestmark = pytest.mark.database


MEANWHILE: list[tuple[str, Callable[[Inventory], object], Cause]] = [
    ("the grant is revoked", revoke, Cause.GRANT_REVOKED),
    ("the person is disabled", lambda rows: User.objects.update(is_active=False), Cause.PERSON_DISABLED),
    ("the session ends", lambda rows: Session.objects.all().delete(), Cause.SESSION_ENDED),
    (
        "the account is disabled",
        lambda rows: HostAccount.objects.update(is_enabled=False),
        Cause.ACCOUNT_DISABLED,
    ),
    (
        "the host's address changes",
        lambda rows: rows.root.host.__class__.objects.filter(name="web-01").update(address="10.9.9.9"),
        Cause.DECISION_CHANGED,
    ),
    (
        "the login address is removed",
        lambda rows: LoginAddress.objects.all().delete(),
        Cause.DECISION_CHANGED,
    ),
    (
        "the credential is replaced",
        lambda rows: rows.credentials["portal"].__class__.objects.update(version=7),
        Cause.DECISION_CHANGED,
    ),
]


@pytest.mark.parametrize(("change", "cause"), [row[1:] for row in MEANWHILE], ids=[row[0] for row in MEANWHILE])
def test_a_link_is_dropped_when_while_the_cloud_was_asked(
    committed_inventory: Inventory,
    meta_of: MetaOf,
    sandbox: SandboxServer,
    change: Callable[[Inventory], object],
    cause: Cause,
) -> None:
    inventory = committed_inventory
    sandbox.control.add_fault("cbh.om_url", hold="before")
    meta, results = meta_of(inventory.staff), []
    thread = in_thread(lambda: results.append(open_account(inventory.root, inventory.staff, meta)))
    assert sandbox.control.wait("cbh.om_url", held=1)

    change(inventory)
    sandbox.control.release()
    thread.join(timeout=20)

    (result,) = results
    assert (result.url, result.launch.state, result.launch.cause) == (None, LaunchState.FAILED, cause)
    assert kinds_of(result.launch) == ["launch:requested", "launch:failed"]


def test_a_password_changed_meanwhile_ends_the_session_that_asked(inventory: Inventory, meta_of: MetaOf) -> None:
    meta = meta_of(inventory.staff)
    inventory.staff.set_password("another passphrase altogether")
    inventory.staff.save()

    result = open_account(inventory.root, inventory.staff, meta)

    assert (result.url, result.launch.cause) == (None, Cause.SESSION_ENDED)


def test_the_session_of_somebody_else_hands_over_nothing(inventory: Inventory, meta_of: MetaOf) -> None:
    result = open_account(inventory.root, inventory.staff, meta_of(UserFactory()))

    assert (result.url, result.launch.cause) == (None, Cause.SESSION_ENDED)


NARROWED: list[tuple[str, Callable[[Grant], object]]] = [
    ("ended", lambda grant: Grant.objects.update(valid_until=timezone.now() - dt.timedelta(seconds=1))),
    ("asks for a second factor", lambda grant: Grant.objects.update(is_step_up_required=True)),
    ("asks for a reason", lambda grant: Grant.objects.update(is_reason_required=True)),
    ("covers no account any more", lambda grant: Grant.objects.update(every_account=False)),
    ("revoked", lambda grant: Grant.objects.update(revoked_at=timezone.now(), revoked_by=grant.user)),
]


@pytest.mark.parametrize("narrow", [row[1] for row in NARROWED], ids=[row[0] for row in NARROWED])
def test_a_change_of_the_grant_that_commits_while_the_hand_over_waits_for_it_counts(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, narrow: Callable[[Grant], object]
) -> None:
    inventory, meta = committed_inventory, meta_of(committed_inventory.staff)
    sandbox.control.add_fault("cbh.om_url", hold="before")
    results: list[launches.Result] = []
    asking = in_thread(lambda: results.append(open_account(inventory.root, inventory.staff, meta)))
    assert sandbox.control.wait("cbh.om_url", held=1)

    with transaction.atomic():
        Grant.objects.select_for_update().get(pk=inventory.grant.pk)
        narrow(inventory.grant)
        sandbox.control.release()
        wait_until_somebody_waits_for_us()
    asking.join(timeout=20)

    (result,) = results
    assert (result.url, result.launch.state) == (None, LaunchState.FAILED)


def _by_group(rows: Inventory) -> None:
    group = Group.objects.create(name="web team")
    rows.staff.groups.add(group)
    Grant.objects.update(user=None, group=group)


def _by_labels(rows: Inventory) -> None:
    GrantLabel.objects.create(grant=rows.grant, key="tier", value="front")
    Label.objects.create(host=rows.root.host, key="tier", value="front")
    Grant.objects.update(target=Grant.Target.LABELS)


def _by_account_name(rows: Inventory) -> None:
    GrantAccount.objects.create(grant=rows.grant, name="root")
    Grant.objects.update(every_account=False)


def _own_credential(rows: Inventory) -> None:
    HostAccount.objects.update(credential=rows.credentials["second"])


def _nothing(rows: Inventory) -> None:
    """As the test world is: the instance's credential, and a grant for everything."""


@dataclass(frozen=True)
class Changed:
    """What is arranged before the launch; what is locked and changed, in somebody's transaction, while it waits."""

    before: Callable[[Inventory], object]
    subject: tuple[type[Change[Any]], Callable[[Inventory], Model]]
    change: Callable[[Inventory], object]


HOST = (HostChange, lambda rows: rows.root.host)
INSTANCE = (InstanceChange, lambda rows: rows.root.host.instance)
GRANT = (GrantChange, lambda rows: rows.grant)
CHANGED = {
    "labels": Changed(_by_labels, HOST, lambda rows: Label.objects.filter(key="tier").delete()),
    "label clauses": Changed(_by_labels, GRANT, lambda rows: GrantLabel.objects.update(value="back")),
    "account names": Changed(_by_account_name, GRANT, lambda rows: GrantAccount.objects.update(name="other")),
    "memberships": Changed(_by_group, (UserChange, lambda rows: rows.staff), lambda rows: rows.staff.groups.clear()),
    "addresses": Changed(_nothing, INSTANCE, lambda rows: LoginAddress.objects.all().delete()),
    "the server id": Changed(_nothing, INSTANCE, lambda rows: BastionInstance.objects.update(server_id="another")),
    "the host's address": Changed(
        _nothing, HOST, lambda rows: Host.objects.filter(name="web-01").update(address="::1")
    ),
    "an own credential that is new": Changed(_nothing, HOST, _own_credential),
    "an own credential that is gone": Changed(
        _own_credential, HOST, lambda rows: HostAccount.objects.update(credential=None)
    ),
    "an own credential's version": Changed(
        _own_credential,
        (CredentialChange, lambda rows: rows.credentials["second"]),
        lambda rows: IamCredential.objects.filter(user_name="second").update(version=F("version") + 1),
    ),
    "the instance's credential": Changed(
        _nothing, INSTANCE, lambda rows: BastionInstance.objects.update(credential=rows.credentials["second"])
    ),
}


@pytest.mark.parametrize("changed", CHANGED.values(), ids=CHANGED)
def test_a_change_that_commits_while_the_hand_over_waits_for_it_drops_the_link(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, changed: Changed
) -> None:
    inventory, meta = committed_inventory, meta_of(committed_inventory.staff)
    changed.before(inventory)
    account, (kind, subject) = inventory.root, changed.subject
    sandbox.control.add_fault("cbh.om_url", hold="before")
    results: list[launches.Result] = []
    asking = in_thread(lambda: results.append(open_account(account, inventory.staff, meta)))
    assert sandbox.control.wait("cbh.om_url", held=1)

    with kind.of(subject(inventory), by=None, meta=Meta()):
        changed.change(inventory)
        sandbox.control.release()
        wait_until_somebody_waits_for_us()
    asking.join(timeout=20)

    (result,) = results
    assert (result.url, result.launch.state) == (None, LaunchState.FAILED)
    assert kinds_of(result.launch) == ["launch:requested", "launch:failed"]


def test_the_opened_event_names_the_grant_that_allowed_it_in_the_end(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    inventory, meta = committed_inventory, meta_of(committed_inventory.staff)
    other = GrantFactory(user=inventory.staff, host=inventory.root.host)
    sandbox.control.add_fault("cbh.om_url", hold="before")
    results: list[launches.Result] = []
    asking = in_thread(lambda: results.append(open_account(inventory.root, inventory.staff, meta)))
    assert sandbox.control.wait("cbh.om_url", held=1)

    Grant.objects.filter(pk=inventory.grant.pk).update(revoked_at=timezone.now(), revoked_by=inventory.staff)
    sandbox.control.release()
    asking.join(timeout=20)

    events = AuditEvent.objects.filter(reference=results[0].launch.reference).order_by("position")
    assert [event.facts["grant"] for event in events] == [inventory.grant.pk, other.pk]
    assert results[0].launch.grant_text == str(other)


@pytest.mark.parametrize("change", ["disabled", "another project"])
def test_a_link_asked_for_with_what_no_longer_holds_is_dropped(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, change: str
) -> None:
    inventory, meta = committed_inventory, meta_of(committed_inventory.staff)
    account = inventory.root
    sandbox.control.add_fault("cbh.om_url", hold="before")
    results: list[launches.Result] = []
    asking = in_thread(lambda: results.append(open_account(account, inventory.staff, meta)))
    assert sandbox.control.wait("cbh.om_url", held=1)

    if change == "disabled":
        IamCredential.objects.update(is_enabled=False)
    else:
        BastionInstance.objects.update(project_id="another")
    sandbox.control.release()
    asking.join(timeout=20)

    assert (results[0].url, results[0].launch.cause) == (None, Cause.DECISION_CHANGED)


def test_a_credential_for_reading_opens_nothing(inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer) -> None:
    IamCredential.objects.update(purpose=IamCredential.Purpose.READ)

    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    assert (result.launch.state, result.launch.cause) == (LaunchState.REFUSED, Cause.CREDENTIAL_NOT_FOR_LAUNCHES)
    assert sandbox.control.counters().get("iam.token", 0) == 0


def test_guessing_tickets_uses_up_the_minute(inventory: Inventory, meta_of: MetaOf, settings: Any) -> None:
    settings.LAUNCHES_PER_MINUTE = 3
    Grant.objects.update(ticket_pattern="INC[0-9]{6}")
    meta = meta_of(inventory.staff)
    for number in range(3):
        with pytest.raises(AnswersNeeded):
            open_account(inventory.root, inventory.staff, meta, ticket=f"GUESS{number}")

    with pytest.raises(TooManyLaunches):
        open_account(inventory.root, inventory.staff, meta, ticket="INC123456")
