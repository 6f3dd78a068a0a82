"""Before the cloud is asked: the decision, repeats, a busy process, later attempts."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from omaccess import bulkhead
from omaccess.actions import launches
from omaccess.causes import Cause
from omaccess.errors import AnswersNeeded, Invisible, TooManyLaunches
from omaccess.models import (
    AuditEvent,
    BastionInstance,
    Grant,
    Host,
    HostAccount,
    IamCredential,
    Launch,
    LaunchState,
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
)

pytestmark = pytest.mark.database


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


def test_a_repeat_is_known_although_an_open_launch_of_another_account_came_from_the_same_form(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    once, meta = uuid.uuid4(), meta_of(inventory.staff)
    waiting = open_account(inventory.account("root", host="fresh"), inventory.staff, meta, once=once)
    assert waiting.launch.state == LaunchState.WAITING

    first = open_account(inventory.root, inventory.staff, meta, once=once)
    second = open_account(inventory.root, inventory.staff, meta, once=once)
    again = open_account(inventory.account("root", host="fresh"), inventory.staff, meta, once=once)

    assert (first.url is not None, second.url, again.url) == (True, None, None)
    assert second.launch.pk == first.launch.pk
    assert again.launch.pk == waiting.launch.pk
    assert Launch.objects.count() == 2


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
