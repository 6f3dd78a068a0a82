"""The cache of tokens goes away, or stops answering, at each step; it holds only what may vanish."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone
from pytest_django import Settings
from time_machine import TimeMachineFixture

from omaccess.actions import credentials, launches
from omaccess.sandbox.server import SandboxServer
from tests.factories import PASSWORD
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.private import RedisServer
from tests.faults.visitor import Visitor, assert_opened
from tests.inventory import Inventory
from tests.launching import MetaOf, in_thread, open_account
from tests.processes import web


@pytest.fixture
def redis(private_redis: RedisServer, settings: Settings) -> RedisServer:
    """The test process uses the private Redis for tokens, with the timeouts of portal/settings.py."""
    tokens: dict[str, Any] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": private_redis.url,
        "OPTIONS": {"socket_connect_timeout": 1, "socket_timeout": 1},
    }
    settings.CACHES = {**settings.CACHES, "tokens": tokens}
    return private_redis


def vanish(redis: RedisServer) -> None:
    redis.kill()


def fall_silent(redis: RedisServer) -> None:
    redis.freeze()


Going = Callable[[RedisServer], None]
GOING: list[Going] = [vanish, fall_silent]


class Opening:
    """A launch on a thread of its own, timed."""

    def __init__(self, inventory: Inventory, meta_of: MetaOf) -> None:
        self._results: list[launches.Result] = []
        self._began = time.monotonic()
        account, staff, meta = inventory.root, inventory.staff, meta_of(inventory.staff)
        self._thread = in_thread(lambda: self._results.append(open_account(account, staff, meta)))

    def link(self) -> str:
        self._thread.join(timeout=20)
        assert time.monotonic() - self._began < settings.ATTEMPT_SECONDS
        (result,) = self._results
        assert result.url is not None, result.launch.cause
        return result.url.value


@pytest.mark.redis
@pytest.mark.parametrize("go", GOING)
def test_before_a_launch(
    committed_inventory: Inventory, meta_of: MetaOf, redis: RedisServer, sandbox: SandboxServer, go: Going
) -> None:
    go(redis)

    links = [Opening(committed_inventory, meta_of).link() for _number in range(2)]

    assert sandbox.control.counters()["iam.token"] == 1
    assert_record_is_true(links)


@pytest.mark.redis
@pytest.mark.parametrize("go", GOING)
def test_between_looking_for_a_token_and_keeping_one(
    committed_inventory: Inventory, meta_of: MetaOf, redis: RedisServer, sandbox: SandboxServer, go: Going
) -> None:
    sandbox.control.add_fault("iam.token", hold="before")
    opening = Opening(committed_inventory, meta_of)
    assert sandbox.control.wait("iam.token", held=1)

    go(redis)
    sandbox.control.release()

    assert_record_is_true([opening.link()])


@pytest.mark.redis
@pytest.mark.parametrize("go", GOING)
def test_after_the_token_was_kept(
    committed_inventory: Inventory, meta_of: MetaOf, redis: RedisServer, sandbox: SandboxServer, go: Going
) -> None:
    first = Opening(committed_inventory, meta_of).link()
    assert redis.keys() == 1

    go(redis)
    second = Opening(committed_inventory, meta_of).link()

    assert sandbox.control.counters()["iam.token"] == 1
    assert_record_is_true([first, second])


@pytest.mark.redis
@pytest.mark.parametrize("go", GOING)
def test_while_the_bastion_is_asked_and_refuses_the_token(
    committed_inventory: Inventory, meta_of: MetaOf, redis: RedisServer, sandbox: SandboxServer, go: Going
) -> None:
    """A refused token is dropped from the cache, and the next one is kept there: three questions to nobody."""
    sandbox.control.add_fault("cbh.om_url", hold="before", status=401)
    opening = Opening(committed_inventory, meta_of)
    assert sandbox.control.wait("cbh.om_url", held=1)

    go(redis)
    sandbox.control.release()

    assert_record_is_true([opening.link()])
    assert sandbox.control.counters()["iam.token"] == 2


@pytest.mark.redis
@pytest.mark.parametrize("go", GOING)
def test_during_the_scheduled_refresh(
    committed_inventory: Inventory,
    meta_of: MetaOf,
    redis: RedisServer,
    sandbox: SandboxServer,
    time_machine: TimeMachineFixture,
    go: Going,
) -> None:
    first = Opening(committed_inventory, meta_of).link()
    time_machine.move_to(timezone.now() + dt.timedelta(hours=23, minutes=30))
    sandbox.control.add_fault("iam.token", hold="before")
    refreshing = in_thread(credentials.refresh_tokens)
    assert sandbox.control.wait("iam.token", received=2, held=1)

    go(redis)
    sandbox.control.release()
    refreshing.join(timeout=20)
    time_machine.shift(dt.timedelta(hours=1))
    second = Opening(committed_inventory, meta_of).link()

    assert sandbox.control.counters()["iam.token"] == 2
    assert_record_is_true([first, second])


@pytest.mark.redis
def test_a_cache_that_comes_back_is_used_again_without_a_restart(
    committed_inventory: Inventory, meta_of: MetaOf, private_redis: RedisServer, sandbox: SandboxServer
) -> None:
    """In a real portal, whose threads keep their connections to the cache."""
    account, answers = committed_inventory.root, list[object]()
    with web(WEB_THREADS="2", CACHE_URL=private_redis.url) as (_server, url):
        visitor = Visitor(url, committed_inventory.staff, meta_of(committed_inventory.staff).session_key)
        answers.append(visitor.open(account))
        private_redis.kill()
        answers.extend(visitor.open(account) for _number in range(3))
        private_redis.start()
        answers.extend(visitor.open(account) for _number in range(3))
        kept = private_redis.keys()

    for answer in answers:
        assert_opened(answer)
    assert kept == 1
    assert sandbox.control.counters()["iam.token"] == 1
    assert_record_is_true(links_in(answers))


@pytest.mark.database
def test_without_the_table_of_the_embedded_cache_a_launch_still_works(
    committed_inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE portal_cache RENAME TO portal_cache_gone")

    links = [Opening(committed_inventory, meta_of).link() for _number in range(2)]

    assert sandbox.control.counters()["iam.token"] == 1
    assert_record_is_true(links)


@pytest.mark.database
def test_without_the_table_of_the_embedded_cache_who_is_signed_in_goes_on_and_nobody_signs_in_uncounted(
    committed_inventory: Inventory, meta_of: MetaOf
) -> None:
    """Failed sign-ins are counted in that table, so without it not even the right password lets anybody in."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE portal_cache RENAME TO portal_cache_gone")
    with web(WEB_THREADS="2") as (_server, url):
        visitor = Visitor(url, committed_inventory.staff, meta_of(committed_inventory.staff).session_key)
        opened = visitor.open(committed_inventory.root)
        stranger = Visitor(url, committed_inventory.staff, "")
        right = stranger.sign_in(committed_inventory.staff.username, PASSWORD)
        home = stranger.get("/")

    assert_opened(opened)
    assert right.status_code in {500, 503}
    assert settings.SESSION_COOKIE_NAME not in right.cookies
    assert home.status_code == 302
    assert_record_is_true(links_in([opened]))
