"""People and the rows that their addresses lead to."""

from __future__ import annotations

import pytest

from tests.access.people import People, gather
from tests.inventory import Inventory


@pytest.fixture
def people(inventory: Inventory) -> People:
    return gather(inventory)
