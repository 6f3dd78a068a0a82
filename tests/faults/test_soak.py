"""A short run of what `python -m tests.soak` does at length."""

from __future__ import annotations

import pytest
from pytest_django import Settings

from tests.soak import kills
from tests.soak.figures import FINDINGS

pytestmark = pytest.mark.database

SEED = 20
LAUNCHES = 500


def test_500_launches_with_random_kills_lose_nothing(
    fresh_db: None, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {figure.name: figure.value for figure in kills.run(launches=LAUNCHES, seconds=120, seed=SEED)}

    assert figures[FINDINGS] == 0, capsys.readouterr().err
    # That it was a test at all: launches came through, processes died, and exchanges went on meanwhile.
    assert figures["links handed out"] > LAUNCHES / 20
    assert figures["web processes killed"] >= 3
    assert figures["exchanges"] >= 2
