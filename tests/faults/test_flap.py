"""A cloud that comes and goes: many launches in a seeded sequence of weathers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.core.cache import caches
from pytest_django import Settings

from omaccess import tokens
from omaccess.actions import launches
from omaccess.models import IamCredential, IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import World
from tests import inventory as inventory_rows
from tests.faults.evidence import assert_record_is_true
from tests.inventory import Inventory
from tests.launching import MetaOf, in_thread, open_account
from tests.processes import wait_until

pytestmark = pytest.mark.database


@dataclass(frozen=True)
class Weather:
    """What the cloud does for a while, how a launch in it ends, and how often it is drawn."""

    outcome: tuple[str, str]
    fault: dict[str, Any] = field(default_factory=dict)
    is_off: bool = False
    times: int | None = None
    weight: int = 2
    patience_seconds: float = 10.0


FINE = Weather(("opened", ""), weight=4)
WEATHERS: dict[str, Weather] = {
    "fine": FINE,
    "off: nobody listens": Weather(("failed", "cloud_unreachable"), is_off=True),
    "connections cut before the call": Weather(("failed", "cloud_unreachable"), {"drop": "before"}),
    "connections cut after the call": Weather(("failed", "cloud_unreachable"), {"drop": "after"}),
    "hangs for longer than the deadline": Weather(
        ("failed", "cloud_timeout"), {"hold": "before"}, weight=1, patience_seconds=1.0
    ),
    "429 for half a minute": Weather(("failed", "cloud_throttled"), {"status": 429, "retry_after": "30"}),
    "500": Weather(("failed", "cloud_server_error"), {"status": 500}),
    "502": Weather(("failed", "cloud_server_error"), {"status": 502, "body": "<h1>Bad Gateway</h1>"}),
    "one 503, then fine": Weather(("opened", ""), {"status": 503}, times=1),
    "503": Weather(("failed", "cloud_server_error"), {"status": 503}),
    "garbage": Weather(("failed", "answer_unreadable"), {"body": "\x00\x01 not what was promised"}),
    "half an answer": Weather(("failed", "answer_unreadable"), {"body": '{"state": "SUCC'}),
    "larger than anybody may send": Weather(("failed", "answer_unreadable"), {"body_size": 2 * 1024 * 1024}, weight=1),
}
LAUNCHES = 45


@pytest.fixture
def cloud(world: World) -> Iterator[SandboxServer]:
    """A sandbox of this test's own, which it may switch off."""
    with SandboxServer(world) as server:
        yield server
        server.start()
        server.control.clear_faults()


@pytest.fixture(autouse=True)
def _without_a_limit(settings: Settings) -> None:
    settings.LAUNCHES_PER_MINUTE = 1000


def exchanges(cloud: SandboxServer) -> int:
    return cloud.control.counters().get("iam.token", 0)


def forget_the_token() -> None:
    caches["tokens"].clear()
    IamUserLease.objects.update(token_key="", token_ciphertext="")


def begin(weather: Weather, cloud: SandboxServer, call: str) -> None:
    if weather.is_off:
        cloud.stop()
    elif weather.fault:
        cloud.control.add_fault(call, times=weather.times, **weather.fault)


def clear_up(cloud: SandboxServer) -> None:
    cloud.start()
    cloud.control.clear_faults()


def is_blocked() -> bool:
    return tokens.blocked_until(IamCredential.objects.get(name="portal")) is not None


@pytest.mark.parametrize("seed", [1, 2])
def test_each_launch_ends_once_with_the_right_cause_and_the_first_fine_moment_opens(
    db: None, cloud: SandboxServer, world: World, meta_of: MetaOf, settings: Settings, seed: int
) -> None:
    inventory = inventory_rows.load(world, cloud.url)
    account, staff, meta = inventory.root, inventory.staff, meta_of(inventory.staff)
    chance = random.Random(seed)
    expected, found, links = [], [], []
    has_token, asked_at_most = False, 0

    for name in chance.choices(list(WEATHERS), [weather.weight for weather in WEATHERS.values()], k=LAUNCHES):
        weather = WEATHERS[name]
        if chance.random() < 0.3:
            forget_the_token()
            has_token = False
        # A launch that has a token does not ask IAM, whatever the weather there.
        asked_at_most += 0 if has_token else 2
        settings.ATTEMPT_SECONDS = weather.patience_seconds
        begin(weather, cloud, "cbh.om_url" if has_token else "iam.token")
        result = open_account(account, staff, meta)
        clear_up(cloud)
        has_token = has_token or weather.outcome == FINE.outcome
        expected.append((name, *weather.outcome))
        found.append((name, result.launch.state, result.launch.cause))
        links += [result.url.value] if result.url else []
        assert not is_blocked(), name

    settings.ATTEMPT_SECONDS = 10.0
    assert found == expected
    assert exchanges(cloud) <= asked_at_most
    assert open_account(account, staff, meta).url is not None
    assert_record_is_true(links)


def test_a_crowd_in_changing_weather_shares_each_exchange_and_each_failure(
    fresh_db: None, cloud: SandboxServer, world: World, meta_of: MetaOf
) -> None:
    inventory = inventory_rows.load(world, cloud.url)
    crowd, links = 3, list[str]()
    for name in ("fine", "503", "garbage", "429 for half a minute", "connections cut after the call", "fine"):
        weather, before = WEATHERS[name], exchanges(cloud)
        forget_the_token()
        cloud.control.add_fault("iam.token", times=1, hold="before", **weather.fault)
        begin(weather, cloud, "iam.token")

        results = launch_together(crowd, inventory, meta_of, cloud)
        clear_up(cloud)

        assert {(result.launch.state, result.launch.cause) for result in results} == {weather.outcome}, name
        assert len(results) == crowd
        assert exchanges(cloud) - before <= 2 * crowd
        assert not is_blocked()
        links += [result.url.value for result in results if result.url]

    assert cloud.control.most_in_flight()["iam.token"] == 1
    assert len(links) == 2 * crowd
    assert_record_is_true(links)


def launch_together(number: int, inventory: Inventory, meta_of: MetaOf, cloud: SandboxServer) -> list[launches.Result]:
    """So many at once; the first exchange goes on when all have begun."""
    account, staff, results = inventory.root, inventory.staff, list[launches.Result]()
    meta = meta_of(staff)
    threads = [in_thread(lambda: results.append(open_account(account, staff, meta))) for _number in range(number)]
    wait_until(lambda: Launch.objects.filter(state="pending").count() == number)
    assert cloud.control.wait("iam.token", held=1)
    cloud.control.release()
    for thread in threads:
        thread.join(timeout=20)
    return results


def test_nothing_but_a_401_of_iam_blocks(db: None, cloud: SandboxServer, world: World, meta_of: MetaOf) -> None:
    inventory = inventory_rows.load(world, cloud.url)
    account, staff, meta = inventory.root, inventory.staff, meta_of(inventory.staff)
    causes = []
    for status in (400, 403, 404, 408, 413, 418, 500, 503, 401, 200):
        cloud.control.add_fault("iam.token", times=2, status=status, body="{}")
        causes.append((status, open_account(account, staff, meta).launch.cause, is_blocked()))
        clear_up(cloud)
        forget_the_token()

    assert [status for status, _cause, blocks in causes if blocks] == [401, 200]
    assert causes[-2][1] == "credential_rejected"
    assert causes[-1][1] == "credential_blocked"
    assert exchanges(cloud) <= 2 * 8 + 1
    assert_record_is_true()
