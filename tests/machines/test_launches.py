"""Launches over two machines: what one begins the other may end, and limits are counted once for both."""

from __future__ import annotations

import datetime as dt
import uuid
from functools import partial

from django.conf import settings
from django.db.models import F

from omaccess.models import AuditEvent, Launch
from omaccess.sandbox.server import SandboxServer
from tests.factories import UserFactory
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.visitor import assert_opened, in_background
from tests.inventory import Inventory
from tests.launching import kinds_of
from tests.machines.machine import Machine
from tests.processes import wait_until
from tests.soak.person import Person

Two = tuple[Machine, Machine]


def test_either_machine_opens_and_refuses(two_machines: Two, inventory: Inventory) -> None:
    answers = []

    for machine in two_machines:
        with Person(machine.url, inventory.staff) as staff:
            answers += [staff.press(inventory.root), staff.press(inventory.account("forbidden"))]

    assert [answer.status_code for answer in answers] == [303] * 4
    assert list(Launch.objects.order_by("pk").values_list("state", flat=True)) == ["opened", "refused"] * 2
    assert len(links_in(answers)) == 2
    assert_record_is_true(links_in(answers))


def test_a_launch_that_waits_on_one_machine_is_tried_again_on_the_other(
    two_machines: Two, inventory: Inventory, sandbox: SandboxServer
) -> None:
    one, two = two_machines
    with Person(one.url, inventory.staff) as staff, staff.at(two.url) as elsewhere:
        waiting = staff.press(inventory.account("root", "fresh"))
        reference = waiting.headers["Location"].split("/")[2]
        let_the_pause_pass()
        sandbox.control.advance_clock(30)

        opened = elsewhere.try_again(reference)
        again = staff.try_again(reference)

    assert_opened(opened)
    assert again.headers["Location"] == waiting.headers["Location"]
    launch = Launch.objects.get()
    assert (launch.reference, launch.state, launch.attempt) == (reference, "opened", 2)
    assert kinds_of(launch) == ["launch:requested", "launch:waiting", "launch:requested", "launch:opened"]
    assert_record_is_true(links_in([opened, again]))


def test_one_form_sent_to_both_machines_at_once_mints_one_link(
    two_machines: Two, inventory: Inventory, sandbox: SandboxServer
) -> None:
    one, two = two_machines
    once, account, answers = uuid.uuid4(), inventory.root, list[object]()
    sandbox.control.add_fault("cbh.om_url", times=None, hold="before")
    with Person(one.url, inventory.staff) as staff, staff.at(two.url) as elsewhere:
        both = [in_background(partial(who.press, account, once=once), answers) for who in (staff, elsewhere)]
        assert sandbox.control.wait("cbh.om_url", held=1)
        # The one that came second is answered while the first still waits.
        wait_until(lambda: answers)
        sandbox.control.clear_faults()
        for pressed in both:
            pressed.join(timeout=30)

    launch = Launch.objects.get()
    places = {answer.headers["Location"] for answer in answers}  # type: ignore[attr-defined]
    (link,) = links_in(answers)
    assert places == {link, f"/launches/{launch.reference}/"}
    assert sandbox.control.counters()["cbh.om_url"] == 1
    assert_record_is_true([link])


def test_a_grant_revoked_while_the_other_machine_waits_for_the_cloud_drops_the_link(
    two_machines: Two, inventory: Inventory, sandbox: SandboxServer
) -> None:
    one, two = two_machines
    account, answers = inventory.root, list[object]()
    admin = UserFactory(is_superuser=True)
    sandbox.control.add_fault("cbh.om_url", hold="after")
    with Person(two.url, inventory.staff) as staff, Person(one.url, admin) as elsewhere:
        pressed = in_background(lambda: staff.press(account), answers)
        assert sandbox.control.wait("cbh.om_url", held=1)
        revoked = elsewhere.post(
            "/admin/omaccess/grant/",
            {"action": "revoke_selected", "_selected_action": str(inventory.grant.pk), "confirmed": "yes"},
        )
        inventory.grant.refresh_from_db()
        sandbox.control.release()
        pressed.join(timeout=30)

    assert revoked.status_code == 302
    assert inventory.grant.revoked_at is not None
    assert links_in(answers) == []
    launch = Launch.objects.get()
    assert (launch.state, launch.cause) == ("failed", "grant_revoked")
    assert_record_is_true()


def test_the_launches_of_a_minute_are_counted_over_both_machines(two_machines: Two, inventory: Inventory) -> None:
    one, two = two_machines
    account, limit = inventory.root, settings.LAUNCHES_PER_MINUTE
    with Person(one.url, inventory.staff) as staff, staff.at(two.url) as elsewhere:
        answers = [who.press(account) for _number in range(limit // 2) for who in (staff, elsewhere)]
        beyond = [staff.press(account), elsewhere.press(account)]

    assert [answer.status_code for answer in answers] == [303] * limit
    assert [answer.status_code for answer in beyond] == [429, 429]
    assert Launch.objects.count() == limit
    assert AuditEvent.objects.get(kind="launch:denied").cause == "too_many_launches"
    assert_record_is_true(links_in(answers))


def let_the_pause_pass() -> None:
    """As if the last attempt had been a while ago."""
    Launch.objects.update(attempted_at=F("attempted_at") - dt.timedelta(seconds=10))
