"""PostgreSQL restarts, crashes and fails over under two machines at work: what was acknowledged stays."""

from __future__ import annotations

from typing import Literal

import pytest
from django.db import connections

from tests.faults.evidence import assert_record_is_true
from tests.inventory import Inventory
from tests.machines.load import Load, pressing
from tests.machines.machine import Machine
from tests.machines.shared import SharedServers

Two = tuple[Machine, Machine]
Mode = Literal["fast", "immediate"]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_under_load_costs_explained_refusals_only(
    two_machines: Two, servers: SharedServers, inventory: Inventory, mode: Mode
) -> None:
    account = inventory.root
    with pressing([machine.url for machine in two_machines], account) as load:
        connections.close_all()
        servers.primary.restart(mode)
        load.wait_for_opened(8)

    assert_nobody_was_left_without_an_answer(load)
    assert_record_is_true(load.links())


def test_a_fail_over_under_load_loses_nothing_that_was_acknowledged(
    two_machines: Two, servers: SharedServers, inventory: Inventory
) -> None:
    account = inventory.root
    servers.add_standby()
    with pressing([machine.url for machine in two_machines], account) as load:
        connections.close_all()
        servers.fail_over()
        load.wait_for_opened(8)

    assert servers.primary.value("SELECT pg_is_in_recovery()") is False
    assert_nobody_was_left_without_an_answer(load)
    assert_record_is_true(load.links())


def assert_nobody_was_left_without_an_answer(load: Load) -> None:
    """Each launch opened, or a page said what is the matter."""
    assert set(load.kinds()) <= {"opened", "explained"}, load.kinds()
