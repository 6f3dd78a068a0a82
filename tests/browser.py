"""A real Chromium in front of a real portal and the sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Response, expect

from tests.factories import PASSWORD
from tests.inventory import Inventory
from tests.services import CHROMIUM_ARGUMENTS

SCREENSHOTS = Path(__file__).parents[1] / "var" / "screenshots"
PATIENCE_MS = 15_000


@pytest.fixture(scope="session")
def browser_type_launch_args(django_db_setup: None, chromium_path: Path) -> dict[str, Any]:
    """How the browser starts: after the database, for Django keeps connections apart by running event loop."""
    return {"executable_path": chromium_path, "args": CHROMIUM_ARGUMENTS, "headless": True}


@pytest.fixture(scope="session")
def chromium(browser: Browser) -> Browser:
    """One browser for all tests."""
    return browser


@dataclass
class Visitor:
    """A person with a browser. Everything the browser complains about is kept in `complaints`."""

    context: BrowserContext
    page: Page
    url: str
    screen: str = ""
    complaints: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def watch(self, page: Page) -> None:
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))
        page.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # "Failed to load resource" repeats what `_response` knows better.
        if message.type in {"error", "warning"} and "Failed to load resource" not in message.text:
            self.complaints.append(message.text)

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status} {response.url}")

    def expects(self, text: str) -> None:
        """A complaint that belongs to the story."""
        self.expected.append(text)

    @property
    def surprises(self) -> list[str]:
        return [text for text in self.complaints if not any(part in text for part in self.expected)]

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def sign_in(self, username: str = "staff", page: Page | None = None, password: str = PASSWORD) -> None:
        page = page or self.page
        if "/accounts/login/" not in page.url:
            page.goto(self.url + "/accounts/login/")
        # By name and Enter, which are the same in every language.
        page.locator("[name=login]").fill(username)
        page.locator("[name=password]").fill(password)
        page.keyboard.press("Enter")
        page.wait_for_url(lambda url: "/accounts/login/" not in url)  # and its scripts have run

    def open(self, account: str, host: str = "web-01") -> Page:
        """Press the button; the new window it opens."""
        with self.page.expect_popup() as popup:
            self.page.get_by_role("button", name=f"Open {host} as {account} in a new window").click()
        return popup.value

    def screenshot(self, name: str, page: Page | None = None, *, full_page: bool = True) -> None:
        folder = SCREENSHOTS / "journeys" if self.screen else SCREENSHOTS
        file = f"{name}-{self.screen}.png" if self.screen else f"{name}.png"
        (page or self.page).screenshot(path=folder / file, full_page=full_page)


@pytest.fixture
def visitor(chromium: Browser, portal_server: str, committed_inventory: Inventory) -> Iterator[Visitor]:
    """Signed out, with JavaScript. At the end the browser must not have complained unexpectedly."""
    yield from visit(chromium.new_context(), portal_server)


@pytest.fixture
def visitor_without_scripts(chromium: Browser, portal_server: str, committed_inventory: Inventory) -> Iterator[Visitor]:
    yield from visit(chromium.new_context(java_script_enabled=False), portal_server)


def visit(context: BrowserContext, url: str, screen: str = "") -> Iterator[Visitor]:
    """A visitor with this context; `screen` goes into the names of their screenshots."""
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    visitor = Visitor(context, context.new_page(), url, screen)
    visitor.watch(visitor.page)
    context.on("page", visitor.watch)
    yield visitor
    context.close()
    assert visitor.surprises == []
