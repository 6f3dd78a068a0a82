"""Each journey is made twice: at a desk by day, and on a phone at night."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from tests.browser import Visitor, visit
from tests.inventory import Inventory

SCREENS: dict[str, dict[str, Any]] = {
    "desktop-light": {"viewport": {"width": 1280, "height": 800}, "color_scheme": "light"},
    "phone-dark": {
        "viewport": {"width": 390, "height": 844},
        "color_scheme": "dark",
        "is_mobile": True,
        "has_touch": True,
    },
}


@pytest.fixture(params=SCREENS)
def screen(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def visitor(chromium: Browser, portal_server: str, committed_inventory: Inventory, screen: str) -> Iterator[Visitor]:
    yield from visit(chromium.new_context(**SCREENS[screen]), portal_server, screen)


@pytest.fixture
def visitor_without_scripts(
    chromium: Browser, portal_server: str, committed_inventory: Inventory, screen: str
) -> Iterator[Visitor]:
    context = chromium.new_context(**SCREENS[screen], java_script_enabled=False)
    yield from visit(context, portal_server, f"{screen}-no-scripts")
