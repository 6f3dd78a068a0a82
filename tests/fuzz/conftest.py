"""What every fuzzing test gets: the explorer with this run's budget."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.fuzz.budget import Explorer, of_this_run


@pytest.fixture
def explorer(request: pytest.FixtureRequest) -> Iterator[Explorer]:
    found = of_this_run(request.path.stem.removeprefix("test_"), request.node.name)
    yield found
    found.report()
