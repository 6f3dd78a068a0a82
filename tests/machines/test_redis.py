"""Redis dies with all that it held, and comes back empty."""

from __future__ import annotations

from omaccess.models import Launch
from omaccess.sandbox.server import SandboxServer
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.visitor import assert_opened
from tests.inventory import Inventory
from tests.machines.left_open import leave_pending
from tests.machines.machine import Machine, start
from tests.machines.shared import SharedServers
from tests.processes import wait_until
from tests.soak.person import Person


def test_launches_go_on_without_redis_and_worker_and_scheduler_come_back_to_it(
    machine: Machine,
    two_machines: tuple[Machine, Machine],
    servers: SharedServers,
    inventory: Inventory,
    sandbox: SandboxServer,
) -> None:
    start(machine.hasty_scheduler)
    first = leave_pending(inventory)
    wait_until(lambda: Launch.objects.get(pk=first.pk).state == "abandoned", seconds=60)
    with Person(two_machines[0].url, inventory.staff) as staff, staff.at(two_machines[1].url) as elsewhere:
        answers = [staff.press(inventory.root)]

        servers.redis.kill()
        answers += [staff.press(inventory.root), elsewhere.press(inventory.root)]
        second = leave_pending(inventory)
        servers.redis.start()
        wait_until(lambda: Launch.objects.get(pk=second.pk).state == "abandoned", seconds=60)
        answers.append(staff.press(inventory.root))
    machine.hasty_scheduler.stop()

    for answer in answers:
        assert_opened(answer)
    assert machine.worker.is_running
    assert sandbox.control.counters()["iam.token"] == 1
    assert_record_is_true(links_in(answers))
