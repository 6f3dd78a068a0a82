"""Log lines: one for each answer, each with whose request it was, none with what was asked for."""

from __future__ import annotations

import io
import json
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import requests
import structlog
from django.test import Client

from accounts.models import User
from omaccess import tasks
from omaccess.meta import Meta
from omaccess.models import Launch
from omaccess.sandbox.server import SandboxServer
from portal.logs import formatter
from tests.factories import UserFactory
from tests.inventory import Inventory
from tests.processes import Browser, process, sender_for, wait_until, web

MetaOf = Callable[[User], Meta]


@pytest.fixture
def lines() -> Any:
    """What is logged by our own loggers, with all that is bound to it, in this process."""
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as captured:
        yield captured


def requests_in(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line["event"] == "request"]


@pytest.mark.django_db
def test_an_answer_is_one_line_with_the_view_and_without_the_address(client: Client, lines: Any) -> None:
    person = UserFactory()
    client.force_login(person)

    answer = client.get("/hosts/4711/?q=what-was-searched")

    (line,) = requests_in(lines)
    assert line["view"] == "omaccess:host"
    assert (line["method"], line["status"], line["user_id"]) == ("GET", 404, person.pk)
    assert line["request_id"] == answer["X-Request-Id"]
    assert 0 <= line["milliseconds"] < 60_000
    assert set(line) == {"event", "log_level", "method", "view", "status", "user_id", "request_id", "milliseconds"}
    assert "4711" not in str(line)
    assert "what-was-searched" not in str(lines)


@pytest.mark.django_db
def test_a_stranger_s_line_names_nobody_even_after_somebody_s(client: Client, lines: Any) -> None:
    client.force_login(UserFactory())
    client.get("/")
    Client().get("/")
    Client().get("/no-such-thing")

    known, *strangers = requests_in(lines)
    assert known["user_id"]
    assert [line["view"] for line in strangers] == ["omaccess:hosts", "none"]
    assert not [line for line in strangers if "user_id" in line]


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics", "/static/css/base.css"])
def test_machines_and_files_fill_no_log(client: Client, lines: Any, path: str) -> None:
    client.get(path)

    assert requests_in(lines) == []


def test_a_launch_s_reference_is_in_its_lines(
    committed_inventory: Inventory, sandbox: SandboxServer, meta_of: MetaOf
) -> None:
    """As production writes them: JSON, one object a line."""
    with web(LOG_LEVEL="INFO", LOG_FORMAT="json") as (server, url):
        person = Browser(url, committed_inventory.staff, meta_of(committed_inventory.staff).session_key)
        answer = person.open(committed_inventory.root)
        server.terminate()
        written = server.stdout.read() if server.stdout else ""

    told = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    mine = [line for line in told if line.get("request_id") == answer.headers["X-Request-Id"]]
    reference = Launch.objects.get().reference
    assert {"launch_opened", "request"} <= {line["event"] for line in mine}
    for line in mine:
        if line["event"] in {"launch_opened", "request"}:
            assert line["launch"] == reference
            assert line["user_id"] == committed_inventory.staff.pk


def test_a_task_s_lines_name_it_and_its_id(fresh_db: None, tmp_path: Path) -> None:
    variables = {"BROKER_URL": "filesystem://", "DATA_DIR": str(tmp_path), "LOG_LEVEL": "INFO", "LOG_FORMAT": "json"}
    with process("celery", "-A", "portal.startup", "worker", "-P", "threads", "-c", "1", **variables) as worker:
        sender = sender_for(variables)
        sent = sender.send_task(tasks.log_audit_head.name)
        sender.close()
        assert worker.stdout is not None
        found: list[dict[str, Any]] = []

        def is_told() -> bool:
            found.extend(_objects(worker.stdout.readline()) if worker.stdout else [])
            return any(line["event"] == "audit_head" for line in found)

        wait_until(is_told, worker, seconds=60)

    (line,) = [line for line in found if line["event"] == "audit_head"]
    assert (line["task"], line["task_id"]) == (tasks.log_audit_head.name, sent.id)


def _objects(text: str) -> list[dict[str, Any]]:
    return [json.loads(text)] if text.startswith("{") else []


# --- lines of libraries ---------------------------------------------------------------------------------


@pytest.fixture
def written() -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """What Django's own loggers write in production, as objects."""
    stream = io.StringIO()
    configuration = formatter("json")
    handler = logging.StreamHandler(stream)
    handler.setFormatter(configuration.pop("()")(**configuration))
    logger = logging.getLogger("django")
    logger.addHandler(handler)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    logger.removeHandler(handler)


def _fails(*_arguments: object) -> None:
    raise ZeroDivisionError


SEARCHED = "?q=what-was-searched"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("method", "path", "status", "logger"),
    [
        ("GET", "/nothing", 404, "django.request"),
        ("POST", "/accounts/login/", 403, "django.security.csrf"),
        ("PUT", "/", 405, "django.request"),
        ("GET", "/", 500, "django.request"),
    ],
)
def test_django_s_lines_say_nothing_of_what_was_searched(
    method: str, path: str, status: int, logger: str, written: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(enforce_csrf_checks=method == "POST", raise_request_exception=False)
    if path == "/":
        client.force_login(UserFactory())
    if status == 500:
        monkeypatch.setattr("django.db.models.query.QuerySet._fetch_all", _fails)

    answer = client.generic(method, path + SEARCHED)

    assert answer.status_code == status
    assert [line["logger"] for line in written()] == [logger]
    assert "what-was-searched" not in str(written())
    assert not [line for line in written() if "request" in line]


@pytest.mark.django_db
def test_a_page_that_a_form_came_from_is_named_without_its_search(written: Any) -> None:
    came_from = {"Referer": f"https://elsewhere.example/hosts/{SEARCHED}"}

    Client(enforce_csrf_checks=True).post("/accounts/login/", headers=came_from, secure=True)

    (line,) = written()
    assert "https://elsewhere.example/hosts/?…" in line["event"]
    assert "what-was-searched" not in str(line)


def test_a_stranger_s_wrong_host_is_no_error(client: Client, lines: Any, written: Any) -> None:
    client.get("/", headers={"host": "evil.example"})

    assert [line["status"] for line in requests_in(lines)] == [400]
    assert not [line for line in written() if line["level"] in {"error", "critical"} or "exception" in line]


# --- gunicorn's own lines ---------------------------------------------------------------------------------


def test_every_line_of_a_web_server_s_life_is_an_object(fresh_db: None) -> None:
    """A start, a request, one that makes no sense, a worker that is killed, a stop."""
    with web(LOG_LEVEL="INFO", LOG_FORMAT="json", METRICS_TOKEN="x" * 32) as (server, url):
        requests.get(f"{url}/nothing{SEARCHED}", timeout=30)
        with socket.create_connection((urlsplit(url).hostname or "", urlsplit(url).port or 0), timeout=30) as stranger:
            stranger.sendall(f"GET /{SEARCHED} nonsense\r\n\r\n".encode())
            assert stranger.recv(1000).startswith(b"HTTP/1.1 400")
        (worker,) = psutil.Process(server.pid).children()
        worker.kill()
        wait_until(lambda: psutil.Process(server.pid).children() not in ([], [worker]) and _is_up(url), server)
        server.terminate()
        output = server.stdout.read() if server.stdout else ""

    told = [json.loads(line) for line in output.splitlines()]
    events = " ".join(line["event"] for line in told)
    for part in ("Starting gunicorn", "request", "Invalid request", "was sent SIGKILL", "Shutting down"):
        assert part in events
    assert "what-was-searched" not in output


def test_gunicorn_s_lines_are_text_for_people_who_want_that(fresh_db: None) -> None:
    with web(LOG_LEVEL="INFO", LOG_FORMAT="console") as (server, _url):
        server.terminate()
        output = server.stdout.read() if server.stdout else ""

    assert "Starting gunicorn" in output
    assert "{" not in output


def _is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/healthz", timeout=10).status_code == 200
    except requests.RequestException:
        return False
