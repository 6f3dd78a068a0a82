"""A cloud that hangs, in every way it can, under three times as many launches as the portal has threads."""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from omaccess.models import Launch
from omaccess.sandbox.server import SandboxServer
from tests.factories import UserFactory
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.visitor import Visitor, in_background
from tests.inventory import Inventory
from tests.launching import MetaOf
from tests.processes import wait_until, web

THREADS = 4
LAUNCHES = 3 * THREADS
PLACES = THREADS // 2
ROUNDS = 7
DRIP_SECONDS = 5
FLOOR_SECONDS = 0.08
"""Below this a page counts as fast whatever its usual time: three times a few milliseconds is noise."""
PAGES = ("/", "/admin/", "/healthz")


@dataclass
class Portal:
    """A real portal with a person who launches and one who may also read the admin's pages."""

    inventory: Inventory
    staff: Visitor
    reader: Visitor

    def medians(self) -> dict[str, float]:
        """How long each page takes, in seconds, one after the other."""
        times: dict[str, list[float]] = {path: [] for path in PAGES}
        for _round in range(ROUNDS):
            for path in PAGES:
                began = time.monotonic()
                assert self.reader.get(path).status_code == 200
                times[path].append(time.monotonic() - began)
        return {path: statistics.median(seconds) for path, seconds in times.items()}


@pytest.fixture
def portal(committed_inventory: Inventory, meta_of: MetaOf, request: pytest.FixtureRequest) -> Iterator[Portal]:
    """The parameter is how long an attempt may take."""
    reader = UserFactory(username="reader", is_superuser=True)
    staff = committed_inventory.staff
    with web(WEB_THREADS=str(THREADS), ATTEMPT_SECONDS=request.param) as (_server, url):
        yield Portal(
            committed_inventory,
            Visitor(url, staff, meta_of(staff).session_key),
            Visitor(url, reader, meta_of(reader).session_key),
        )


class Herd:
    """Launches pressed all at once, each in a window of its own."""

    def __init__(self, portal: Portal) -> None:
        account = portal.inventory.root
        form = portal.staff.form(account)
        self.answers: list[object] = []
        windows = [portal.staff.another() for _number in range(LAUNCHES)]
        self._threads = [in_background(partial(window.send, form), self.answers) for window in windows]

    def wait_for_the_busy(self) -> None:
        """Until all but those that hold a place have been told that the portal is busy."""
        wait_until(lambda: len(self.answers) == LAUNCHES - PLACES)

    def wait_for_all(self) -> None:
        for thread in self._threads:
            thread.join(timeout=30)
        assert len(self.answers) == LAUNCHES


HANGS: dict[str, tuple[str, dict[str, Any]]] = {
    "before IAM answers, others waiting for its lease": ("iam.token", {"hold": "before"}),
    "after IAM has made a token": ("iam.token", {"hold": "after"}),
    "before the bastion answers": ("cbh.om_url", {"hold": "before"}),
}


@pytest.mark.parametrize(("call", "fault"), HANGS.values(), ids=HANGS.keys())
@pytest.mark.parametrize("portal", ["20"], indirect=True, ids=[""])
def test_a_hanging_cloud_slows_launches_only_and_all_end_when_it_comes_back(
    portal: Portal, sandbox: SandboxServer, call: str, fault: dict[str, Any]
) -> None:
    portal.medians()
    usual = portal.medians()
    sandbox.control.add_fault(call, times=None, **fault)

    herd = Herd(portal)
    assert sandbox.control.wait(call, held=1)
    herd.wait_for_the_busy()
    meanwhile = portal.medians()
    held = sum(sandbox.control.held().values())
    sandbox.control.clear_faults()
    herd.wait_for_all()

    assert held == (1 if call == "iam.token" else PLACES)
    assert_as_fast_as_usual(usual, meanwhile)
    assert Counter(Launch.objects.values_list("state", "cause")) == {
        ("opened", ""): PLACES,
        ("failed", "busy"): LAUNCHES - PLACES,
    }
    assert sandbox.control.counters()["iam.token"] == 1
    assert len(links_in(herd.answers)) == PLACES
    assert_record_is_true(links_in(herd.answers))


DRIPS: dict[str, tuple[str, str]] = {
    "headers of IAM": ("iam.token", "headers"),
    "the body of the bastion": ("cbh.om_url", "body"),
}


@pytest.mark.parametrize(("call", "part"), DRIPS.values(), ids=DRIPS.keys())
@pytest.mark.parametrize("portal", [str(DRIP_SECONDS)], indirect=True, ids=[""])
def test_a_dripping_cloud_slows_launches_only_and_none_for_longer_than_the_deadline(
    portal: Portal, sandbox: SandboxServer, call: str, part: str
) -> None:
    portal.medians()
    usual = portal.medians()
    sandbox.control.add_fault(call, times=None, drip={"part": part, "interval_seconds": 0.05, "piece_bytes": 1})

    began = time.monotonic()
    herd = Herd(portal)
    herd.wait_for_the_busy()
    meanwhile = portal.medians()
    herd.wait_for_all()
    lasted = time.monotonic() - began
    sandbox.control.clear_faults()
    afterwards = portal.staff.open(portal.inventory.root)

    assert_as_fast_as_usual(usual, meanwhile)
    assert lasted < 2 * DRIP_SECONDS
    assert Counter(Launch.objects.values_list("state", "cause")) == {
        ("opened", ""): 1,
        ("failed", "cloud_timeout"): PLACES,
        ("failed", "busy"): LAUNCHES - PLACES,
    }
    assert links_in(herd.answers) == []
    assert_record_is_true(links_in([afterwards]))


def assert_as_fast_as_usual(usual: dict[str, float], meanwhile: dict[str, float]) -> None:
    slow = {path: (usual[path], took) for path, took in meanwhile.items() if took > 3 * usual[path] + FLOOR_SECONDS}
    assert not slow
