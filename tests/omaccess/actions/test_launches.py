"""Opening a session, through the actions and the sandbox over real HTTP."""

from __future__ import annotations

import datetime as dt
import threading
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.db import connection, connections, transaction
from django.utils import timezone

from accounts.models import User
from omaccess import bulkhead
from omaccess.actions import launches
from omaccess.actions.transitions import move
from omaccess.audit import triggers
from omaccess.audit.verify import verify
from omaccess.causes import Cause
from omaccess.errors import AnswersNeeded, CannotRecord, InvalidTransition, Invisible, TooManyLaunches
from omaccess.meta import Meta
from omaccess.models import (
    AuditEvent,
    BastionInstance,
    Grant,
    Host,
    HostAccount,
    IamCredential,
    Launch,
    LaunchState,
    LoginAddress,
)
from omaccess.models.launches import CROCKFORD, TRANSITIONS
from omaccess.sandbox.server import SandboxServer
from tests.factories import GrantFactory, HostAccountFactory, UserFactory
from tests.inventory import Inventory

pytestmark = pytest.mark.database

MetaOf = Callable[[User], Meta]


def open_account(
    account: HostAccount,
    user: User,
    meta: Meta,
    *,
    reason: str = "",
    ticket: str = "",
    once: uuid.UUID | None = None,
) -> launches.Result:
    return launches.launch(account_id=account.pk, reason=reason, ticket=ticket, once=once, by=user, meta=meta)


def kinds_of(launch: Launch) -> list[str]:
    events = AuditEvent.objects.filter(reference=launch.reference).order_by("position")
    return [event.kind for event in events]


# --- it opens ----------------------------------------------------------------------------------------


def test_a_granted_account_opens_and_leaves_intent_and_outcome(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    assert result.url is not None
    assert result.url.value.startswith(sandbox.url)
    assert result.launch.state == LaunchState.OPENED
    assert kinds_of(result.launch) == ["launch:requested", "launch:opened"]
    assert len(result.launch.reference) == 10
    assert set(result.launch.reference) <= set(CROCKFORD)


def test_the_audit_keeps_who_what_whence_and_a_fingerprint_but_no_link(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    assert result.url is not None
    event = AuditEvent.objects.get(reference=result.launch.reference, kind="launch:opened")
    assert (event.actor_name, event.address, event.request_id) == ("staff", "192.0.2.7", "request-1")
    assert event.facts["login_origin"] == sandbox.url
    assert event.facts["iam_user"] == "acme/portal"
    assert len(event.facts["fingerprint"]) == 64
    assert result.url.value not in str(event.facts)
    assert result.url.value not in repr(result)


def test_a_warm_launch_exchanges_no_second_token(inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer) -> None:
    meta = meta_of(inventory.staff)

    for _number in range(3):
        open_account(inventory.root, inventory.staff, meta)

    assert sandbox.control.counters()["iam.token"] == 1
    assert sandbox.control.counters()["cbh.om_url"] == 3


def test_the_accounts_own_credential_is_used_and_named(inventory: Inventory, meta_of: MetaOf) -> None:
    account = inventory.account("ops")
    account.credential = inventory.credentials["second"]
    account.save()

    result = open_account(account, inventory.staff, meta_of(inventory.staff))

    assert result.launch.iam_user == "acme/second"
    assert result.launch.state == LaunchState.OPENED


def test_a_refusal_of_the_accounts_own_credential_never_falls_back(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    account = inventory.account("ops")
    account.credential = inventory.credentials["second"]
    account.save()
    sandbox.control.edit_user("acme", "second", password="changed behind our back")

    result = open_account(account, inventory.staff, meta_of(inventory.staff))

    assert (result.url, result.launch.state, result.launch.cause) == (
        None,
        "refused",
        Cause.CREDENTIAL_REJECTED,
    )
    assert sandbox.control.counters().get("cbh.om_url", 0) == 0


# --- the cloud says no -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("account", "host", "cause"),
    [
        ("root", "unmanaged", Cause.HOST_NOT_MANAGED),
        ("ghost", "web-01", Cause.HOST_ACCOUNT_UNKNOWN),
        ("forbidden", "web-01", Cause.IAM_USER_NO_PERMISSION),
        ("conflict", "web-01", Cause.IAM_USER_CONFLICT),
        ("root", "legacy", Cause.VERSION_TOO_OLD),
        ("broken", "web-01", Cause.UPSTREAM_UNKNOWN_ERROR),
    ],
)
def test_every_refusing_state_is_recorded_with_its_own_cause(
    inventory: Inventory, meta_of: MetaOf, account: str, host: str, cause: Cause
) -> None:
    result = open_account(inventory.account(account, host), inventory.staff, meta_of(inventory.staff))

    assert (result.url, result.launch.state, result.launch.cause) == (None, LaunchState.REFUSED, cause)
    assert kinds_of(result.launch) == ["launch:requested", "launch:refused"]
    assert result.launch.upstream_state
    assert result.launch.ended_at is not None


FAULTS: list[tuple[str, dict[str, Any], LaunchState, Cause]] = [
    ("cbh.om_url", {"login_url": "missing"}, LaunchState.FAILED, Cause.LINK_UNUSABLE),
    ("cbh.om_url", {"login_url": "javascript"}, LaunchState.FAILED, Cause.LINK_UNUSABLE),
    ("cbh.om_url", {"login_url": "userinfo"}, LaunchState.FAILED, Cause.LINK_UNUSABLE),
    ("cbh.om_url", {"login_url": "foreign_origin"}, LaunchState.FAILED, Cause.LOGIN_ADDRESS_UNKNOWN),
    ("cbh.om_url", {"omit_state": True}, LaunchState.FAILED, Cause.ANSWER_UNREADABLE),
    ("cbh.om_url", {"custom_state": "SOMETHING_NEW"}, LaunchState.REFUSED, Cause.STATE_UNRECOGNISED),
    ("cbh.om_url", {"status": 403}, LaunchState.REFUSED, Cause.PERMISSION_MISSING),
    ("cbh.om_url", {"status": 404}, LaunchState.REFUSED, Cause.INSTANCE_NOT_FOUND),
    ("cbh.om_url", {"status": 500}, LaunchState.FAILED, Cause.CLOUD_SERVER_ERROR),
    ("cbh.om_url", {"drop": "before"}, LaunchState.FAILED, Cause.CLOUD_UNREACHABLE),
    ("iam.token", {"status": 503}, LaunchState.FAILED, Cause.CLOUD_SERVER_ERROR),
    ("iam.token", {"status": 401}, LaunchState.REFUSED, Cause.CREDENTIAL_REJECTED),
]


@pytest.mark.parametrize(("call", "fault", "state", "cause"), FAULTS)
def test_every_fault_ends_explained_and_no_link_leaves(
    inventory: Inventory,
    meta_of: MetaOf,
    sandbox: SandboxServer,
    call: str,
    fault: dict[str, Any],
    state: LaunchState,
    cause: Cause,
) -> None:
    sandbox.control.add_fault(call, times=None, **fault)

    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    assert (result.url, result.launch.state, result.launch.cause) == (None, state, cause)
    assert len(kinds_of(result.launch)) == 2


def test_a_hanging_cloud_ends_with_the_deadline(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, settings: Any
) -> None:
    settings.ATTEMPT_SECONDS = 0.3
    sandbox.control.add_fault("cbh.om_url", times=None, latency_seconds=5)

    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    assert (result.launch.state, result.launch.cause) == (LaunchState.FAILED, Cause.CLOUD_TIMEOUT)


def test_an_instance_without_login_addresses_refuses_and_keeps_the_address_seen(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    LoginAddress.objects.all().delete()

    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    assert result.url is None
    assert (result.launch.cause, result.launch.login_origin) == (Cause.LOGIN_ADDRESS_UNKNOWN, sandbox.url)


def test_a_redirect_address_is_no_place_for_a_link(inventory: Inventory, meta_of: MetaOf) -> None:
    LoginAddress.objects.update(kind=LoginAddress.Kind.REDIRECT)

    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    assert (result.url, result.launch.cause) == (None, Cause.LOGIN_ADDRESS_UNKNOWN)


def test_a_token_that_cbh_refuses_is_renewed_once(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    meta = meta_of(inventory.staff)
    open_account(inventory.root, inventory.staff, meta)
    sandbox.control.revoke_tokens()

    result = open_account(inventory.root, inventory.staff, meta)

    assert result.launch.state == LaunchState.OPENED
    assert sandbox.control.counters()["iam.token"] == 2


def test_tokens_that_cbh_refuses_again_and_again_cost_one_forced_exchange(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    meta = meta_of(inventory.staff)
    sandbox.control.add_fault("cbh.om_url", times=None, status=401)

    results = [open_account(inventory.root, inventory.staff, meta) for _number in range(4)]

    assert {result.launch.cause for result in results} == {Cause.TOKEN_REJECTED}
    assert sandbox.control.counters()["iam.token"] == 2


# --- the decision ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trait", "cause"),
    [("expired", Cause.GRANT_ENDED), ("revoked", Cause.GRANT_REVOKED), ("not_yet", Cause.GRANT_NOT_YET)],
)
def test_a_grant_that_is_not_in_force_denies_with_a_page_and_asks_nothing_of_the_cloud(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, trait: str, cause: Cause
) -> None:
    user = UserFactory()
    GrantFactory(user=user, host=inventory.root.host, **{trait: True})

    result = open_account(inventory.root, user, meta_of(user))

    assert (result.url, result.launch.state, result.launch.cause) == (None, LaunchState.DENIED, cause)
    assert kinds_of(result.launch) == ["launch:denied"]
    assert sandbox.control.counters().get("iam.token", 0) == 0


@pytest.mark.parametrize("account_id", [0, -1, 10**12])
def test_an_unknown_account_does_not_exist_and_is_audited(
    inventory: Inventory, meta_of: MetaOf, account_id: int
) -> None:
    with pytest.raises(Invisible):
        launches.launch(
            account_id=account_id,
            reason="",
            ticket="",
            once=None,
            by=inventory.staff,
            meta=meta_of(inventory.staff),
        )

    assert not Launch.objects.exists()
    event = AuditEvent.objects.get()
    assert (event.kind, event.facts) == ("launch:denied", {"asked_account": str(account_id)})


def test_somebody_elses_account_looks_like_an_unknown_one(inventory: Inventory, meta_of: MetaOf) -> None:
    stranger = UserFactory()

    with pytest.raises(Invisible):
        open_account(inventory.root, stranger, meta_of(stranger))

    event = AuditEvent.objects.get()
    assert (event.kind, event.target_name, event.actor_name) == ("launch:denied", "", stranger.username)


@pytest.mark.parametrize("role", ["superuser", "admins"])
def test_roles_open_nothing(inventory: Inventory, meta_of: MetaOf, role: str) -> None:
    user = UserFactory(is_superuser=role == "superuser")

    with pytest.raises(Invisible):
        open_account(inventory.root, user, meta_of(user))


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda account: account.__class__.objects.update(is_enabled=False), Cause.ACCOUNT_DISABLED),
        (lambda account: account.host.__class__.objects.update(is_enabled=False), Cause.HOST_DISABLED),
        (
            lambda account: account.host.instance.__class__.objects.update(is_enabled=False),
            Cause.INSTANCE_DISABLED,
        ),
    ],
)
def test_disabled_inventory_denies(
    inventory: Inventory, meta_of: MetaOf, change: Callable[[HostAccount], object], cause: Cause
) -> None:
    change(inventory.root)

    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    assert (result.launch.state, result.launch.cause) == (LaunchState.DENIED, cause)


def test_a_second_factor_that_does_not_exist_refuses(inventory: Inventory, meta_of: MetaOf) -> None:
    Grant.objects.update(is_step_up_required=True)

    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    assert (result.launch.state, result.launch.cause) == (LaunchState.DENIED, Cause.STEP_UP_NEEDED)


def test_a_missing_reason_asks_for_it_and_records_nothing(inventory: Inventory, meta_of: MetaOf) -> None:
    Grant.objects.update(is_reason_required=True)

    with pytest.raises(AnswersNeeded) as caught:
        open_account(inventory.root, inventory.staff, meta_of(inventory.staff), reason="   ")

    assert set(caught.value.problems) == {"reason"}
    assert not Launch.objects.exists()


def test_a_ticket_must_match_as_a_whole(inventory: Inventory, meta_of: MetaOf) -> None:
    Grant.objects.update(ticket_pattern="INC[0-9]{4}")
    meta = meta_of(inventory.staff)

    with pytest.raises(AnswersNeeded):
        open_account(inventory.root, inventory.staff, meta, ticket="INC1234; x")
    result = open_account(inventory.root, inventory.staff, meta, ticket=" INC1234 ")

    assert (result.launch.state, result.launch.ticket) == (LaunchState.OPENED, "INC1234")


def test_a_second_grant_without_conditions_opens_without_asking(inventory: Inventory, meta_of: MetaOf) -> None:
    Grant.objects.update(is_reason_required=True)
    GrantFactory(user=inventory.staff, host=inventory.root.host)

    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    assert result.launch.state == LaunchState.OPENED


def test_more_launches_than_a_minute_allows_are_refused_and_audited_once(
    inventory: Inventory, meta_of: MetaOf, settings: Any
) -> None:
    settings.LAUNCHES_PER_MINUTE = 2
    meta = meta_of(inventory.staff)
    for _number in range(2):
        open_account(inventory.root, inventory.staff, meta)

    for _number in range(3):
        with pytest.raises(TooManyLaunches) as caught:
            open_account(inventory.root, inventory.staff, meta)

    assert 0 < caught.value.retry_after_seconds <= 61
    assert AuditEvent.objects.filter(cause=Cause.TOO_MANY_LAUNCHES).count() == 1
    assert Launch.objects.count() == 2


# --- decided twice -----------------------------------------------------------------------------------


def revoke(inventory: Inventory) -> None:
    Grant.objects.update(revoked_at=timezone.now(), revoked_by=inventory.staff)


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


# --- once, busy, waiting -----------------------------------------------------------------------------


def test_a_repeat_within_three_seconds_goes_to_the_first_launch(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    once, meta = uuid.uuid4(), meta_of(inventory.staff)
    first = open_account(inventory.root, inventory.staff, meta, once=once)

    second = open_account(inventory.root, inventory.staff, meta, once=once)

    assert second.url is None
    assert second.launch.pk == first.launch.pk
    assert sandbox.control.counters()["cbh.om_url"] == 1


def test_a_repeat_later_or_for_another_account_is_a_launch_of_its_own(inventory: Inventory, meta_of: MetaOf) -> None:
    once, meta = uuid.uuid4(), meta_of(inventory.staff)
    first = open_account(inventory.root, inventory.staff, meta, once=once)
    Launch.objects.update(ended_at=timezone.now() - dt.timedelta(seconds=4))

    later = open_account(inventory.root, inventory.staff, meta, once=once)
    other = open_account(inventory.account("ops"), inventory.staff, meta, once=once)

    assert len({first.launch.pk, later.launch.pk, other.launch.pk}) == 3
    assert later.url is not None
    assert other.url is not None


def test_a_double_click_mints_once(committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer) -> None:
    inventory, once = committed_inventory, uuid.uuid4()
    sandbox.control.add_fault("cbh.om_url", hold="before")
    meta, results = meta_of(inventory.staff), []
    thread = in_thread(lambda: results.append(open_account(inventory.root, inventory.staff, meta, once=once)))
    assert sandbox.control.wait("cbh.om_url", held=1)

    second = open_account(inventory.root, inventory.staff, meta, once=once)
    sandbox.control.release()
    thread.join(timeout=20)

    assert (second.url, second.launch.state) == (None, LaunchState.PENDING)
    assert results[0].url is not None
    assert results[0].launch.pk == second.launch.pk
    assert sandbox.control.counters()["cbh.om_url"] == 1


def test_one_more_than_the_process_can_hold_is_busy_at_once(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, settings: Any
) -> None:
    held = [bulkhead.slot() for _number in range(settings.WEB_THREADS // 2)]
    for place in held:
        place.__enter__()

    result = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))
    for place in held:
        place.__exit__(None, None, None)

    assert (result.url, result.launch.state, result.launch.cause) == (None, LaunchState.FAILED, Cause.BUSY)
    assert kinds_of(result.launch) == ["launch:failed"]
    assert sandbox.control.counters().get("iam.token", 0) == 0


def test_a_bastion_that_is_not_ready_makes_the_launch_wait_and_a_later_attempt_opens(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    meta, account = meta_of(inventory.staff), inventory.account("root", "fresh")
    waiting = open_account(account, inventory.staff, meta)
    assert (waiting.url, waiting.launch.state) == (None, LaunchState.WAITING)
    sandbox.control.advance_clock(60)
    Launch.objects.update(attempted_at=timezone.now() - dt.timedelta(seconds=10))

    result = launches.attempt(reference=waiting.launch.reference, by=inventory.staff, meta=meta)

    assert result.url is not None
    assert (result.launch.state, result.launch.attempt) == (LaunchState.OPENED, 2)
    assert kinds_of(result.launch) == [
        "launch:requested",
        "launch:waiting",
        "launch:requested",
        "launch:opened",
    ]


def test_attempts_end_after_a_bounded_number(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, settings: Any
) -> None:
    settings.WAITING_ATTEMPTS = 2
    meta = meta_of(inventory.staff)
    waiting = open_account(inventory.account("root", "fresh"), inventory.staff, meta)
    Launch.objects.update(attempted_at=timezone.now() - dt.timedelta(seconds=10))

    result = launches.attempt(reference=waiting.launch.reference, by=inventory.staff, meta=meta)

    assert (result.launch.state, result.launch.cause) == (LaunchState.REFUSED, Cause.OUT_OF_ATTEMPTS)


def test_a_later_attempt_is_recorded_as_what_it_asks_for_not_as_the_first(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    meta, account = meta_of(inventory.staff), inventory.account("root", "fresh")
    waiting = open_account(account, inventory.staff, meta).launch
    assert waiting.upstream_state == "INS_WHITE_LIST_INITIALIZING"
    BastionInstance.objects.update(credential=inventory.credentials["second"])
    Host.objects.filter(pk=account.host_id).update(name="renamed")
    IamCredential.objects.filter(name="second").update(is_enabled=False)
    Launch.objects.update(attempted_at=timezone.now() - dt.timedelta(seconds=10))

    result = launches.attempt(reference=waiting.reference, by=inventory.staff, meta=meta)

    stored = Launch.objects.get(pk=result.launch.pk)
    last = AuditEvent.objects.filter(reference=waiting.reference).latest("position")
    assert (stored.cause, stored.iam_user, stored.host_name) == (Cause.CREDENTIAL_DISABLED, "acme/second", "renamed")
    assert (last.facts["iam_user"], last.facts["host"]) == ("acme/second", "renamed")
    assert (stored.upstream_state, stored.request_id) == ("", "")


def test_an_attempt_right_after_the_last_asks_nothing(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    meta = meta_of(inventory.staff)
    waiting = open_account(inventory.account("root", "fresh"), inventory.staff, meta)

    result = launches.attempt(reference=waiting.launch.reference, by=inventory.staff, meta=meta)

    assert (result.launch.state, result.launch.attempt) == (LaunchState.WAITING, 1)
    assert sandbox.control.counters()["cbh.om_url"] == 1


def test_each_attempt_decides_again(inventory: Inventory, meta_of: MetaOf) -> None:
    meta = meta_of(inventory.staff)
    waiting = open_account(inventory.account("root", "fresh"), inventory.staff, meta)
    Launch.objects.update(attempted_at=timezone.now() - dt.timedelta(seconds=10))
    revoke(inventory)

    result = launches.attempt(reference=waiting.launch.reference, by=inventory.staff, meta=meta)

    assert (result.url, result.launch.state, result.launch.cause) == (None, "denied", Cause.GRANT_REVOKED)


def test_nobody_attempts_the_launch_of_another(inventory: Inventory, meta_of: MetaOf) -> None:
    waiting = open_account(inventory.account("root", "fresh"), inventory.staff, meta_of(inventory.staff))
    stranger = UserFactory()

    with pytest.raises(Invisible):
        launches.attempt(reference=waiting.launch.reference, by=stranger, meta=meta_of(stranger))


# --- the record --------------------------------------------------------------------------------------


def test_nothing_is_asked_of_the_cloud_when_the_intent_cannot_be_recorded(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    inventory, meta = committed_inventory, meta_of(committed_inventory.staff)

    with HeadHeldByAnother(), pytest.raises(CannotRecord):
        open_account(inventory.root, inventory.staff, meta)

    assert sandbox.control.counters().get("iam.token", 0) == 0
    assert not Launch.objects.exists()


def test_the_link_is_dropped_when_the_outcome_cannot_be_recorded(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    inventory, meta = committed_inventory, meta_of(committed_inventory.staff)
    open_account(inventory.root, inventory.staff, meta)
    sandbox.control.add_fault("cbh.om_url", hold="before")
    outcomes: list[object] = []

    def run() -> None:
        try:
            outcomes.append(open_account(inventory.root, inventory.staff, meta))
        except CannotRecord as error:
            outcomes.append(error)

    thread = in_thread(run)
    assert sandbox.control.wait("cbh.om_url", held=1)
    with HeadHeldByAnother():
        sandbox.control.release()
        thread.join(timeout=20)

    assert isinstance(outcomes[0], CannotRecord)
    left = Launch.objects.latest("id")
    assert (left.state, kinds_of(left)) == (LaunchState.PENDING, ["launch:requested"])


def test_the_sweep_abandons_what_a_crash_left_and_a_late_link_is_dropped(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    inventory, meta = committed_inventory, meta_of(committed_inventory.staff)
    sandbox.control.add_fault("cbh.om_url", hold="before")
    results: list[launches.Result] = []
    thread = in_thread(lambda: results.append(open_account(inventory.root, inventory.staff, meta)))
    assert sandbox.control.wait("cbh.om_url", held=1)

    closed = launches.close_abandoned(now=timezone.now() + dt.timedelta(seconds=71))
    sandbox.control.release()
    thread.join(timeout=20)

    assert closed == 1
    assert (results[0].url, results[0].launch.state) == (None, LaunchState.ABANDONED)
    assert kinds_of(results[0].launch) == ["launch:requested", "launch:abandoned"]


def test_the_sweep_leaves_young_launches_and_is_safe_to_run_twice(inventory: Inventory, meta_of: MetaOf) -> None:
    waiting = open_account(inventory.account("root", "fresh"), inventory.staff, meta_of(inventory.staff)).launch

    early = launches.close_abandoned(now=timezone.now() + dt.timedelta(minutes=14))
    closed = launches.close_abandoned(now=timezone.now() + dt.timedelta(minutes=16))
    again = launches.close_abandoned(now=timezone.now() + dt.timedelta(minutes=16))

    assert (early, closed, again) == (0, 1, 0)
    assert kinds_of(waiting)[-1] == "launch:abandoned"


@pytest.mark.parametrize("came_from", LaunchState)
@pytest.mark.parametrize("to", LaunchState)
def test_only_the_documented_transitions_are_possible(
    inventory: Inventory, came_from: LaunchState, to: LaunchState
) -> None:
    launch = Launch.objects.create(
        user=inventory.staff,
        account=inventory.root,
        state=came_from,
        user_name="staff",
        host_name="web-01",
        host_address="10.0.0.11",
        account_name="root",
        instance_name="bastion",
        attempted_at=timezone.now(),
        ended_at=None if came_from in TRANSITIONS else timezone.now(),
    )

    if to in TRANSITIONS.get(came_from, ()):
        move(launch, to, by=inventory.staff, meta=Meta(), facts={})
        assert Launch.objects.get(pk=launch.pk).state == to
    else:
        with pytest.raises(InvalidTransition):
            move(launch, to, by=inventory.staff, meta=Meta(), facts={})
        assert Launch.objects.get(pk=launch.pk).state == came_from


def test_a_transition_of_a_stale_copy_changes_nothing(inventory: Inventory, meta_of: MetaOf) -> None:
    waiting = open_account(inventory.account("root", "fresh"), inventory.staff, meta_of(inventory.staff)).launch
    stale = Launch.objects.get(pk=waiting.pk)
    move(waiting, LaunchState.PENDING, by=inventory.staff, meta=Meta(), facts={})

    with pytest.raises(InvalidTransition):
        move(stale, LaunchState.ABANDONED, by=inventory.staff, meta=Meta(), facts={})


def test_the_cost_of_a_launch_does_not_grow_with_the_inventory(
    inventory: Inventory, meta_of: MetaOf, django_assert_max_num_queries: Any
) -> None:
    meta = meta_of(inventory.staff)
    open_account(inventory.root, inventory.staff, meta)
    HostAccountFactory.create_batch(30)
    GrantFactory.create_batch(30, user=inventory.staff)

    with django_assert_max_num_queries(40):
        result = open_account(inventory.root, inventory.staff, meta)

    assert result.url is not None


def test_as_many_at_once_as_the_process_has_threads_all_get_an_answer(
    committed_inventory: Inventory, meta_of: MetaOf, settings: Any
) -> None:
    inventory, meta = committed_inventory, meta_of(committed_inventory.staff)
    account, results = inventory.root, list[launches.Result]()

    def several() -> None:
        for _number in range(3):
            results.append(open_account(account, inventory.staff, meta))

    threads = [in_thread(several) for _number in range(settings.WEB_THREADS)]
    for thread in threads:
        thread.join(timeout=60)

    outcomes = {(result.launch.state, result.launch.cause) for result in results}
    assert len(results) == 3 * settings.WEB_THREADS
    assert outcomes <= {("opened", ""), ("failed", "busy")}
    assert not verify(head=None).problems


# --- tools -------------------------------------------------------------------------------------------


def in_thread(work: Callable[[], object]) -> threading.Thread:
    """Run on another thread with a database connection of its own."""

    def run() -> None:
        try:
            work()
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def wait_until_somebody_waits_for_us(seconds: float = 10) -> None:
    """Until another connection waits for a lock that this transaction holds; SQLite cannot tell, its writers queue."""
    if connection.vendor == "sqlite":
        return
    ends_at = time.monotonic() + seconds
    with connection.cursor() as cursor:
        while time.monotonic() < ends_at:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))")
            if cursor.fetchone()[0]:
                return
    raise AssertionError("nobody waits for this transaction")


class HeadHeldByAnother:
    """Somebody else holds the lock on the audit's head (on SQLite: the one write transaction)."""

    def __enter__(self) -> None:
        self._held, self._release = threading.Event(), threading.Event()
        self._thread = in_thread(self._hold)
        assert self._held.wait(timeout=10)

    def __exit__(self, *_exception: object) -> None:
        self._release.set()
        self._thread.join(timeout=10)

    def _hold(self) -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("BEGIN")
                cursor.execute(f"SELECT 1 FROM {triggers.HEAD} FOR UPDATE")
            else:
                cursor.execute("BEGIN IMMEDIATE")
            self._held.set()
            self._release.wait(timeout=30)
            cursor.execute("ROLLBACK")
