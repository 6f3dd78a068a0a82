"""Two hundred people press at once and there is no token: one exchange, and a true answer for each of them."""

from __future__ import annotations

import threading
from collections import Counter
from functools import partial

from omaccess.models import Launch
from omaccess.sandbox.server import SandboxServer
from tests.factories import GrantFactory, UserFactory
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.visitor import in_background
from tests.inventory import Inventory
from tests.machines.machine import Machine
from tests.soak.person import Person

LAUNCHES, PEOPLE = 200, 10
Two = tuple[Machine, Machine]


def test_two_hundred_launches_at_once_cost_one_exchange(
    two_machines: Two, inventory: Inventory, sandbox: SandboxServer
) -> None:
    account, answers = inventory.root, list[object]()
    windows = windows_of(two_machines, inventory)
    gate = threading.Barrier(LAUNCHES, timeout=60)

    def press(window: Person) -> object:
        gate.wait()
        with window:
            return window.press(account)

    pressed = [in_background(partial(press, window), answers) for window in windows]
    for each in pressed:
        each.join(timeout=120)

    statuses = Counter(answer.status_code if hasattr(answer, "status_code") else repr(answer) for answer in answers)
    assert statuses == {303: LAUNCHES}
    outcomes = Counter(Launch.objects.values_list("state", "cause"))
    assert set(outcomes) <= {("opened", ""), ("failed", "busy")}
    assert outcomes.total() == LAUNCHES
    assert outcomes["opened", ""] == len(links_in(answers)) > 0
    assert sandbox.control.counters()["iam.token"] == 1
    assert_record_is_true(links_in(answers))


def windows_of(machines: Two, inventory: Inventory) -> list[Person]:
    """Each person with as many windows, half of them at each machine, and the form loaded in all."""
    windows = []
    for number in range(PEOPLE):
        user = UserFactory(username=f"herd-{number}")
        GrantFactory(user=user, everything=True)
        with Person(machines[number % 2].url, user, seconds=90) as person:
            windows += [person.at(machines[each % 2].url) for each in range(LAUNCHES // PEOPLE)]
    return windows
