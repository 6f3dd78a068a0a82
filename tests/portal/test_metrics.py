"""GET /metrics: who gets it, that several processes are one server, and what it says when things are down."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from omaccess.meta import Meta
from omaccess.sandbox.server import SandboxServer
from omaccess.shared_metrics import SharedMetrics
from portal import metrics_files
from portal.metrics import shared
from portal.version import COMMIT, VERSION
from tests.factories import UserFactory
from tests.inventory import Inventory
from tests.portal.scraping import BEARER, MULTIPROCESS, TOKEN, Scrape
from tests.processes import Browser, wait_until, web

MetaOf = Callable[[User], Meta]


@pytest.fixture(autouse=True)
def _fresh(settings: Any) -> Iterator[None]:
    settings.METRICS_TOKEN = TOKEN
    shared.forget()
    yield
    shared.forget()


def gone(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    raise OperationalError("the database is gone; password=canary")


# --- who gets it --------------------------------------------------------------------------------------

WRONG: list[dict[str, str]] = [
    {},
    {"Authorization": f"Bearer {TOKEN}x"},
    {"Authorization": f"Bearer {TOKEN[:-1]}"},
    {"Authorization": f"Basic {TOKEN}"},
    {"Authorization": TOKEN},
    {"Authorization": "Bearer"},
    {"Authorization": "Bearer "},
    {"Authorization": "Bearer ünicode"},
]


@pytest.mark.parametrize("headers", WRONG)
def test_without_the_token_there_is_no_such_page(db: None, headers: dict[str, str]) -> None:
    unknown = Client().get("/nothing-like-that")

    for answer in (Client().get("/metrics", headers=headers), Client().post("/metrics", headers=headers)):
        assert answer.status_code == unknown.status_code == 404
        assert answer.content == unknown.content


def test_without_a_configured_token_nobody_gets_it(db: None, settings: Any) -> None:
    settings.METRICS_TOKEN = ""

    for headers in (*WRONG, BEARER):
        assert Client().get("/metrics", headers=headers).status_code == 404


def test_saying_that_there_is_no_such_page_asks_nobody(
    client: Client, db: None, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(UserFactory())

    with django_assert_num_queries(0):
        assert client.get("/metrics").status_code == 404


@pytest.mark.django_db
def test_prometheus_comes_by_address_and_in_the_clear(settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True

    answer = Client().get("/metrics", headers={**BEARER, "host": "10.9.8.7:8000"})

    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/plain; version=")
    assert "no-store" in answer["Cache-Control"]


@pytest.mark.django_db
@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("POST", 405), ("PUT", 405), ("DELETE", 405)])
def test_it_is_for_reading_only(method: str, status: int) -> None:
    assert Client().generic(method, "/metrics", headers=BEARER).status_code == status


# --- what it says -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_it_says_which_release_answers(client: Client) -> None:
    scrape = Scrape.of(client)

    assert scrape.value("sallyport_build_info", version=VERSION, commit=COMMIT) == 1
    assert scrape.value("sallyport_web_processes") == 1
    assert scrape.value("sallyport_web_resident_memory_bytes", of="all") > 10_000_000
    assert scrape.value("process_start_time_seconds") > 0


@pytest.mark.django_db
def test_rows_are_read_with_few_queries_and_not_at_every_scrape(
    client: Client, django_assert_max_num_queries: Any, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_max_num_queries(7):  # four, and a transaction with its limit on PostgreSQL
        first = Scrape.of(client)
    with django_assert_num_queries(0):
        second = Scrape.of(client)

    assert first.value("sallyport_database_up") == second.value("sallyport_database_up") == 1
    assert "sallyport_audit_head_position" in second.names


@pytest.mark.django_db
def test_without_a_database_it_answers_and_says_so(client: Client) -> None:
    with connection.execute_wrapper(gone):
        scrape = Scrape.of(client)

    assert scrape.value("sallyport_database_up") == 0
    assert "sallyport_database_up" in scrape.names
    assert "sallyport_launches_open" not in scrape.names
    assert "sallyport_http_requests_total" in scrape.names
    assert "canary" not in scrape.text


@pytest.mark.django_db
def test_while_one_scrape_hangs_in_the_database_the_others_do_not_wait() -> None:
    patient = SharedMetrics()

    with patient._lock:  # somebody is reading
        (up,) = patient.collect()

    assert up.samples[0].value == 0


# --- several processes --------------------------------------------------------------------------------


def children(server: Any) -> list[psutil.Process]:
    return psutil.Process(server.pid).children()


def is_whole(scrape: Scrape) -> bool:
    """Both processes serve, and have made their places."""
    return scrape.value("sallyport_web_processes") == 2 and scrape.value("sallyport_cloud_slots") == 8


def opened(scrape: Scrape) -> float:
    return scrape.value("sallyport_launches_total", state="opened", cause="")


@pytest.mark.database
def test_two_processes_are_one_server_whichever_answers(
    committed_inventory: Inventory, sandbox: SandboxServer, meta_of: MetaOf, tmp_path: Path
) -> None:
    """And a worker that is killed takes nothing with it but its places; one that takes over counts on."""
    with web(**MULTIPROCESS, METRICS_DIR=str(tmp_path)) as (server, url):
        wait_until(lambda: is_whole(Scrape.of(url)), server)
        person = Browser(url, committed_inventory.staff, meta_of(committed_inventory.staff).session_key)
        account = committed_inventory.root
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _number: person.open(account), range(12)))
        links = sum(answer.headers["Location"].startswith(sandbox.url) for answer in answers)
        scrapes = [Scrape.of(url) for _number in range(6)]
        before = scrapes[0]
        victim = children(server)[0]
        victim.send_signal(signal.SIGKILL)
        wait_until(lambda: victim.pid not in [child.pid for child in children(server)], server)
        wait_until(lambda: is_whole(Scrape.of(url)), server)
        person.open(account)
        after = Scrape.of(url)
        stop(server)

    assert links > 0
    assert {opened(scrape) for scrape in scrapes} == {links}
    assert before.value("sallyport_launches_requested_total") == links
    assert before.total("sallyport_cloud_call_seconds_count", service="cbh", call="om_url", outcome="ok") == links
    assert before.value("sallyport_token_lookups_total", source="exchange") == 1
    assert before.total("sallyport_token_lookups_total") >= links
    assert before.value("sallyport_audit_append_seconds_count") >= 2 * links
    for scrape in (before, after):
        assert scrape.value("sallyport_web_processes") == 2
        assert scrape.value("sallyport_cloud_slots_used") == 0
    assert opened(after) == links + 1


def stop(server: Any) -> None:
    server.terminate()
    server.wait(timeout=30)


def test_a_restart_begins_anew_and_leaves_what_is_not_its_own(
    committed_inventory: Inventory, sandbox: SandboxServer, meta_of: MetaOf, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with web(**MULTIPROCESS, METRICS_DIR=str(tmp_path)) as (server, url):
        Browser(url, committed_inventory.staff, meta_of(committed_inventory.staff).session_key).get("/")
        assert Scrape.of(url).total("sallyport_http_requests_total") == 1
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(timeout=10)
        left = list(tmp_path.glob("web-*"))
    with web(**MULTIPROCESS, METRICS_DIR=str(tmp_path)) as (server, url):
        again = Scrape.of(url)
        now = list(tmp_path.glob("web-*"))
        stop(server)

    assert again.total("sallyport_http_requests_total") == 0
    assert len(left) == len(now) == 1
    assert left != now
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_two_servers_of_one_machine_do_not_mix(fresh_db: None, tmp_path: Path) -> None:
    """As while one takes over from another."""
    with (
        web(**MULTIPROCESS, METRICS_DIR=str(tmp_path)) as (_one, first),
        web(**MULTIPROCESS, METRICS_DIR=str(tmp_path)) as (_two, second),
    ):
        requests.get(f"{first}/accounts/login/", timeout=30)

        assert Scrape.of(first).total("sallyport_http_requests_total") == 1
        assert Scrape.of(second).total("sallyport_http_requests_total") == 0


def test_a_folder_is_kept_while_its_server_lives(tmp_path: Path) -> None:
    first = metrics_files.claim(tmp_path)
    (first / "counter_1.db").write_bytes(b"x")

    second = metrics_files.claim(tmp_path)

    assert (first / "counter_1.db").exists()
    assert first != second


def test_a_folder_that_cannot_be_written_is_said_in_one_sentence(fresh_db: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(AssertionError, match=r"METRICS_DIR, .*/file/below, cannot be written: Not a directory"):  # noqa: SIM117
        with web(**MULTIPROCESS, METRICS_DIR=str(tmp_path / "file" / "below")):
            pass


def test_the_settings_and_the_server_mean_the_same_folder(settings: Any) -> None:
    assert metrics_files.base() == settings.METRICS_DIR
