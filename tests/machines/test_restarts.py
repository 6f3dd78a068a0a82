"""Upgrades under load: no request fails, no launch is lost."""

from __future__ import annotations

import signal

from omaccess.models import Launch
from tests.faults.evidence import assert_record_is_true
from tests.inventory import Inventory
from tests.machines.load import pressing
from tests.machines.machine import Machine, start
from tests.processes import wait_until

Two = tuple[Machine, Machine]


def test_machines_restarted_one_after_the_other_fail_no_request(two_machines: Two, inventory: Inventory) -> None:
    urls = [machine.url for machine in two_machines]

    with pressing(urls, inventory.root) as load:
        for machine in two_machines:
            machine.web.stop()
            load.wait_for_opened(8)
            start(machine.web)
            load.wait_for_opened(8)

    assert set(load.kinds()) == {"opened"}, load.kinds()
    assert set(Launch.objects.values_list("state", flat=True)) == {"opened"}
    assert Launch.objects.count() == len(load.answers)
    assert_record_is_true(load.links())


def test_a_reload_fails_no_request(two_machines: Two, inventory: Inventory) -> None:
    one = two_machines[0]
    before = one.web.children()

    with pressing([one.url], inventory.root) as load:
        one.web.process.send_signal(signal.SIGHUP)
        wait_until(lambda: len(one.web.children()) == 2 and not one.web.children() & before, seconds=60)
        load.wait_for_opened(8)

    assert set(load.kinds()) == {"opened"}, load.kinds()
    assert Launch.objects.count() == len(load.answers)
    assert_record_is_true(load.links())
