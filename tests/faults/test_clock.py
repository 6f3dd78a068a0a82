"""Clocks that disagree: the portal's with the cloud's, with the database's, and with itself a moment ago."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import pytest
from django.contrib.sessions.models import Session
from django.db.models.functions import Now
from django.utils import timezone
from pytest_django import Settings
from time_machine import TimeMachineFixture

from omaccess import tokens
from omaccess.actions import launches
from omaccess.cloud.types import Deadline, IamToken
from omaccess.models import AuditEvent, Grant, IamCredential, IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from tests.faults.evidence import assert_record_is_true
from tests.inventory import Inventory
from tests.launching import MetaOf, in_thread, open_account

pytestmark = pytest.mark.database

HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)
SKEWS = [HOUR, -HOUR, DAY, -DAY]


def by_name(value: object) -> str:
    return f"{value.total_seconds() / 3600:+.0f} h" if isinstance(value, dt.timedelta) else ""


def present_token(inventory: Inventory) -> IamToken:
    credential = IamCredential.objects.get(name="portal")
    return tokens.token_for(credential, inventory.instances["bastion"], deadline=Deadline.after(10))


def jump_alone(by: dt.timedelta, time_machine: TimeMachineFixture, sandbox: SandboxServer) -> None:
    """Move the portal's clock; the sandbox, which lives in the same process, keeps its time."""
    time_machine.move_to(timezone.now() + by)
    sandbox.control.advance_clock(-by.total_seconds())


# --- the cloud's clock -------------------------------------------------------------------------------


@pytest.mark.parametrize("skew", SKEWS, ids=by_name)
def test_a_cloud_whose_clock_is_wrong_gives_tokens_whose_life_is_judged_right(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, time_machine: TimeMachineFixture, skew: dt.timedelta
) -> None:
    sandbox.control.advance_clock(skew.total_seconds())
    staff, began = inventory.staff, timezone.now()

    fresh = [open_account(inventory.root, staff, meta_of(staff)) for _number in range(3)]
    asked_when_fresh = sandbox.control.counters()["iam.token"]
    life = present_token(inventory).expires_at - began
    time_machine.move_to(began + DAY - 5 * HOUR)
    late = [open_account(inventory.root, staff, meta_of(staff)) for _number in range(2)]
    asked_when_late = sandbox.control.counters()["iam.token"]
    time_machine.move_to(began + DAY - dt.timedelta(seconds=30))
    renewed = [open_account(inventory.root, staff, meta_of(staff)) for _number in range(2)]

    links = [result.url.value for result in [*fresh, *late, *renewed] if result.url]
    assert len(links) == 7
    assert abs(life - DAY) < dt.timedelta(minutes=1)
    assert (asked_when_fresh, asked_when_late, sandbox.control.counters()["iam.token"]) == (1, 1, 2)
    # Not one was sent after its end: the bastion refused none.
    assert set(sandbox.control.statuses()["cbh.om_url"]) == {"200"}
    assert_record_is_true(links)


def test_a_token_that_the_cloud_thinks_expired_is_replaced_once(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    """The cloud's clock was put forward, or ours back, after the exchange."""
    staff = inventory.staff
    first = open_account(inventory.root, staff, meta_of(staff))

    sandbox.control.advance_clock((DAY + HOUR).total_seconds())
    rest = [open_account(inventory.root, staff, meta_of(staff)) for _number in range(3)]

    links = [result.url.value for result in [first, *rest] if result.url]
    assert len(links) == 4
    assert sandbox.control.counters()["iam.token"] == 2
    assert sandbox.control.statuses()["cbh.om_url"] == {"200": 4, "401": 1}
    assert_record_is_true(links)


# --- the database's clock ----------------------------------------------------------------------------


@pytest.mark.parametrize("skew", SKEWS, ids=by_name)
def test_whose_lease_it_is_is_judged_by_the_databases_clock_alone(
    inventory: Inventory,
    meta_of: MetaOf,
    sandbox: SandboxServer,
    settings: Settings,
    time_machine: TimeMachineFixture,
    skew: dt.timedelta,
) -> None:
    staff = inventory.staff
    open_account(inventory.root, staff, meta_of(staff))
    lose_the_token()
    IamUserLease.objects.update(holder="another", holder_expires_at=Now() + dt.timedelta(seconds=30))
    settings.ATTEMPT_SECONDS = 1.0
    jump_alone(skew, time_machine, sandbox)

    in_vain = open_account(inventory.root, staff, meta_of(staff))
    asked_in_vain = sandbox.control.counters()["iam.token"]
    IamUserLease.objects.update(holder_expires_at=Now() - dt.timedelta(seconds=1))
    settings.ATTEMPT_SECONDS = 10.0
    at_once = open_account(inventory.root, staff, meta_of(staff))

    assert (in_vain.launch.state, in_vain.launch.cause) == ("failed", "cloud_timeout")
    assert asked_in_vain == 1
    assert at_once.url is not None
    assert_record_is_true([at_once.url.value])


@pytest.mark.parametrize("skew", SKEWS, ids=by_name)
def test_a_block_ends_by_the_databases_clock_alone(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, time_machine: TimeMachineFixture, skew: dt.timedelta
) -> None:
    staff = inventory.staff
    open_account(inventory.root, staff, meta_of(staff))
    lose_the_token()
    IamUserLease.objects.update(blocked_until=Now() + dt.timedelta(seconds=30))
    jump_alone(skew, time_machine, sandbox)

    blocked = open_account(inventory.root, staff, meta_of(staff))
    asked_while_blocked = sandbox.control.counters()["iam.token"]
    IamUserLease.objects.update(blocked_until=Now() - dt.timedelta(seconds=1))
    trial = open_account(inventory.root, staff, meta_of(staff))

    assert (blocked.launch.state, blocked.launch.cause) == ("refused", "credential_blocked")
    assert asked_while_blocked == 1
    assert trial.url is not None
    assert_record_is_true([trial.url.value])


def lose_the_token() -> None:
    """Its key is another one now, so neither cache nor lease have a token for it."""
    IamCredential.objects.update(version=99)


# --- the portal's own clock jumps during a launch ----------------------------------------------------


class Held:
    """A launch whose bastion answers when `go_on` is called."""

    def __init__(self, inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer) -> None:
        self._sandbox, self._results = sandbox, list[launches.Result]()
        account, staff, meta = inventory.root, inventory.staff, meta_of(inventory.staff)
        sandbox.control.add_fault("cbh.om_url", hold="after")
        self._thread = in_thread(lambda: self._results.append(open_account(account, staff, meta)))
        assert sandbox.control.wait("cbh.om_url", held=1)

    def go_on(self) -> launches.Result:
        self._sandbox.control.release()
        self._thread.join(timeout=20)
        return self._results[0]


@pytest.mark.parametrize("jump", SKEWS[:2], ids=by_name)
def test_a_jump_of_the_clock_changes_neither_the_deadline_nor_the_durations(
    committed_inventory: Inventory,
    meta_of: MetaOf,
    sandbox: SandboxServer,
    time_machine: TimeMachineFixture,
    jump: dt.timedelta,
) -> None:
    held = Held(committed_inventory, meta_of, sandbox)

    jump_alone(jump, time_machine, sandbox)
    result = held.go_on()

    assert result.url is not None
    launch = Launch.objects.get()
    assert launch.token_seconds is not None
    assert launch.link_seconds is not None
    assert 0 <= launch.token_seconds < 10
    assert 0 <= launch.link_seconds < 10
    facts = AuditEvent.objects.get(kind="launch:opened").facts
    assert 0 <= facts["token_milliseconds"] < 10_000
    assert 0 <= facts["link_milliseconds"] < 10_000
    assert_record_is_true([result.url.value])


def test_a_launch_that_the_sweep_ended_after_a_jump_hands_out_nothing(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer, time_machine: TimeMachineFixture
) -> None:
    held = Held(committed_inventory, meta_of, sandbox)

    time_machine.move_to(timezone.now() + HOUR)
    swept = launches.close_abandoned(now=timezone.now())
    result = held.go_on()

    assert swept == 1
    assert (result.url, result.launch.state) == (None, "abandoned")
    assert_record_is_true()


def test_a_clock_that_was_put_back_does_not_make_a_used_up_minute_last(
    inventory: Inventory, meta_of: MetaOf, settings: Settings, time_machine: TimeMachineFixture, sandbox: SandboxServer
) -> None:
    settings.LAUNCHES_PER_MINUTE = 1
    first = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    jump_alone(-HOUR, time_machine, sandbox)
    second = open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    links = [result.url.value for result in (first, second) if result.url]
    assert len(links) == 2
    assert_record_is_true(links)


def end_the_grant(at: dt.datetime) -> None:
    Grant.objects.update(valid_until=at + HOUR)


def begin_the_grant(at: dt.datetime) -> None:
    Grant.objects.update(valid_from=at - HOUR)


def end_the_session(at: dt.datetime) -> None:
    Session.objects.update(expire_date=at + HOUR)


SECOND = dt.timedelta(seconds=1)
BOUNDARIES = [
    (end_the_grant, HOUR, "grant_ended"),
    (end_the_grant, HOUR - 20 * SECOND, ""),
    (begin_the_grant, -HOUR - SECOND, "grant_not_yet"),
    (begin_the_grant, -HOUR + 20 * SECOND, ""),
    (end_the_session, HOUR, "session_ended"),
    (end_the_session, HOUR - 20 * SECOND, ""),
]


@pytest.mark.parametrize(("bound", "jump", "cause"), BOUNDARIES)
def test_what_ended_while_the_clock_jumped_ends_the_launch_too(
    committed_inventory: Inventory,
    meta_of: MetaOf,
    sandbox: SandboxServer,
    time_machine: TimeMachineFixture,
    bound: Callable[[dt.datetime], None],
    jump: dt.timedelta,
    cause: str,
) -> None:
    """The clock stands still here, so that the boundary is met to the second."""
    now = timezone.now()
    time_machine.move_to(now, tick=False)
    held = Held(committed_inventory, meta_of, sandbox)
    bound(now)

    time_machine.move_to(now + jump, tick=False)
    result = held.go_on()

    assert (result.launch.state, result.launch.cause) == (("failed", cause) if cause else ("opened", ""))
    assert (result.url is None) == bool(cause)
    assert_record_is_true([result.url.value] if result.url else [])
