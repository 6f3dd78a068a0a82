"""A cloud that hangs, on every database. What a dead process leaves behind: test_kill_at_every_step."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
import requests

from accounts.models import User
from omaccess.audit.verify import verify
from omaccess.meta import Meta
from omaccess.models import Launch
from omaccess.sandbox.server import SandboxServer
from tests.inventory import Inventory
from tests.processes import Browser, web

pytestmark = pytest.mark.database

MetaOf = Callable[[User], Meta]


def press(browser: Browser, inventory: Inventory, answers: list[object]) -> threading.Thread:
    """Press the button on another thread; what comes back, if anything, is in `answers`."""
    account = inventory.root

    def run() -> None:
        try:
            answers.append(browser.open(account))
        except requests.RequestException as error:
            answers.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_a_hanging_cloud_leaves_the_other_pages_fast(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    inventory, answers = committed_inventory, list[object]()
    with web(WEB_THREADS="4", ATTEMPT_SECONDS="8") as (_server, url):
        session_key = meta_of(inventory.staff).session_key
        browsers = [Browser(url, inventory.staff, session_key) for _number in range(13)]
        usual = min(_seconds(browsers[0], "/") for _number in range(3))
        sandbox.control.add_fault("iam.token", times=None, hold="before")
        threads = [press(browser, inventory, answers) for browser in browsers[1:]]
        assert sandbox.control.wait("iam.token", held=1)

        slow = min(_seconds(browsers[0], path) for path in ("/", "/healthz", "/"))
        sandbox.control.release()
        for thread in threads:
            thread.join(timeout=30)

    states = sorted(Launch.objects.values_list("state", "cause"))
    assert slow < max(1.0, 5 * usual)
    assert len(states) == 12
    assert ("failed", "busy") in states
    assert {state for state, _cause in states} <= {"failed", "opened"}
    assert not verify().problems


def _seconds(browser: Browser, path: str) -> float:
    began = time.monotonic()
    assert browser.get(path).status_code == 200
    return time.monotonic() - began
