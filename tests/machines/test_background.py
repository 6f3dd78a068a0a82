"""What crashes left open is closed by worker and scheduler, over the real broker, and once."""

from __future__ import annotations

import os
import signal
from functools import partial

from celery import Celery

from omaccess.models import Launch
from omaccess.sandbox.server import SandboxServer
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.visitor import assert_opened, in_background
from tests.inventory import Inventory
from tests.launching import kinds_of
from tests.machines.left_open import grow_old, leave_pending
from tests.machines.machine import Machine, start
from tests.processes import wait_until
from tests.soak.person import Person

Two = tuple[Machine, Machine]
SWEEP = "omaccess.tasks.close_abandoned_launches"


def test_what_a_killed_web_process_left_is_closed_by_the_worker(
    machine: Machine, inventory: Inventory, sandbox: SandboxServer, scheduler: Celery
) -> None:
    account, answers = inventory.root, list[object]()
    with Person(machine.url, inventory.staff) as staff:
        answers.append(staff.press(account))
        sandbox.control.add_fault("cbh.om_url", hold="after")
        cut_off = list[object]()
        pressed = in_background(partial(staff.press, account), cut_off)
        assert sandbox.control.wait("cbh.om_url", held=1)
        before = machine.web.children()
        for child in before:
            os.kill(child, signal.SIGKILL)
        pressed.join(timeout=30)
        sandbox.control.release()
        left = Launch.objects.get(state="pending")
        grow_old()
        scheduler.send_task(SWEEP)
        wait_until(lambda: Launch.objects.get(pk=left.pk).state == "abandoned", seconds=60)
        # The master has started others.
        wait_until(lambda: len(machine.web.children() - before) == len(before), seconds=60)
        machine.web.wait_until_ready()
        answers.append(staff.press(account))

    assert links_in(cut_off) == []
    for answer in answers:
        assert_opened(answer)
    assert kinds_of(left) == ["launch:requested", "launch:abandoned"]
    assert_record_is_true(links_in(answers))


def test_two_schedulers_after_a_time_without_any_do_nothing_twice(
    machine: Machine, two_machines: Two, inventory: Inventory
) -> None:
    left = [leave_pending(inventory) for _each in range(5)]
    schedulers = [each.hasty_scheduler for each in two_machines]

    start(two_machines[1].worker, *schedulers)
    wait_until(lambda: not Launch.objects.filter(state="pending").exists(), seconds=60)
    left += [leave_pending(inventory) for _each in range(5)]
    wait_until(lambda: not Launch.objects.filter(state="pending").exists(), seconds=60)
    for scheduler in schedulers:
        scheduler.stop()

    assert [kinds_of(launch) for launch in left] == [["launch:requested", "launch:abandoned"]] * 10
    assert_record_is_true()
