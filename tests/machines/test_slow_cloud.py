"""A cloud that hangs fills the places of one machine: its pages stay fast, and the other one goes on launching."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from omaccess.models import Launch
from omaccess.sandbox.server import SandboxServer
from tests.factories import GrantFactory, UserFactory
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.visitor import assert_opened, in_background
from tests.inventory import Inventory
from tests.machines.machine import Machine
from tests.processes import wait_until
from tests.soak.person import Person

Two = tuple[Machine, Machine]
PLACES = 2 * 4
"""Two processes of eight threads, half of which may wait for the cloud."""
FAST_SECONDS = 3
"""A machine whose threads all wait would answer when the cloud does, or its deadline of ten seconds ends."""


def test_all_places_of_one_machine_taken_leave_its_pages_and_the_other_machine_fast(
    two_machines: Two, inventory: Inventory, sandbox: SandboxServer
) -> None:
    one, two = two_machines
    account, answers = inventory.root, list[object]()
    with Person(one.url, inventory.staff) as staff, staff.at(two.url) as elsewhere:
        answers.append(staff.press(account))
        sandbox.control.add_fault("cbh.om_url", times=PLACES, hold="before")
        reader = Person(one.url, UserFactory(is_superuser=True))
        with filled(one, inventory, sandbox, answers), reader:
            began = time.monotonic()
            pages = [reader.get(path).status_code for path in ("/", "/admin/", "/healthz") * 3]
            busy = staff.press(account)
            opened = elsewhere.press(account)
            lasted = time.monotonic() - began
            held = sandbox.control.held()["cbh.om_url"]

    assert held == PLACES
    assert lasted < FAST_SECONDS
    assert pages == [200] * 9
    assert Launch.objects.get(reference=busy.headers["Location"].split("/")[2]).cause == "busy"
    assert_opened(opened)
    assert_record_is_true(links_in([*answers, busy, opened]))


@contextmanager
def filled(machine: Machine, inventory: Inventory, sandbox: SandboxServer, answers: list[object]) -> Iterator[None]:
    """People press at this machine until each of its places waits for the cloud; in the end all are let go."""
    account, threads = inventory.root, list[threading.Thread]()
    people = []
    for number in range(4):
        user = UserFactory(username=f"filling-{number}")
        GrantFactory(user=user, everything=True)
        people.append(Person(machine.url, user))

    def press_more() -> bool:
        """Which of the processes takes a connection is the kernel's choice, so some find it full and are busy."""
        free = PLACES - sandbox.control.held()["cbh.om_url"]
        if free and sum(thread.is_alive() for thread in threads) < PLACES:
            window = people[len(threads) % len(people)].at(machine.url)
            threads.append(in_background(lambda: window.press(account), answers))
        return free == 0

    try:
        wait_until(press_more)
        yield
    finally:
        sandbox.control.clear_faults()
        for thread in threads:
            thread.join(timeout=30)
