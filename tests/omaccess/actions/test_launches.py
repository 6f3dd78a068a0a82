"""Opening a session, through the actions and the sandbox over real HTTP."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.utils import timezone

from omaccess.actions import launches
from omaccess.actions.transitions import move
from omaccess.audit.verify import verify
from omaccess.causes import Cause
from omaccess.errors import CannotRecord, InvalidTransition
from omaccess.meta import Meta
from omaccess.models import (
    AuditEvent,
    Launch,
    LaunchState,
    LoginAddress,
)
from omaccess.models.launches import CROCKFORD, TRANSITIONS
from omaccess.sandbox.server import SandboxServer
from tests.factories import GrantFactory, HostAccountFactory
from tests.inventory import Inventory
from tests.launching import (
    HeadHeldByAnother,
    MetaOf,
    in_thread,
    kinds_of,
    open_account,
)

pytestmark = pytest.mark.database


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
    assert not verify().problems
