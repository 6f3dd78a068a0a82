"""nginx as deploy/nginx configures it, in front of real web processes: what passes, what is retried, what is logged."""

from __future__ import annotations

import json
import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from omaccess.models import AuditEvent
from omaccess.sandbox.server import SandboxServer
from tests.deploy import tools
from tests.deploy.proxy import Nginx, SecureVisitor
from tests.factories import PASSWORD
from tests.faults.visitor import assert_opened, in_background
from tests.inventory import Inventory
from tests.processes import kill, web

BEHIND_A_PROXY = {"HTTPS": "true", "TRUSTED_PROXIES": "127.0.0.1", "ALLOWED_HOSTS": "localhost"}
LONGEST_LINK = 4096
"""Bytes of a Location that the portal still hands over."""


@pytest.fixture
def nginx_binary() -> str:
    return tools.find("nginx")


def signed_in(nginx: Nginx, inventory: Inventory) -> SecureVisitor:
    person = SecureVisitor(nginx, inventory.staff)
    assert person.sign_in(inventory.staff.username, PASSWORD).status_code == 302
    return person


# --- the files ---------------------------------------------------------------------------------------


def test_the_files_are_what_nginx_understands(nginx_binary: str, tmp_path: Path) -> None:
    said = Nginx(nginx_binary, tmp_path, ["127.0.0.1:1"]).test()

    assert said.returncode == 0, said.stderr
    assert "[warn]" not in said.stderr, said.stderr


def test_without_the_portal_people_get_a_page_that_needs_none(nginx_binary: str, tmp_path: Path) -> None:
    nginx = Nginx(nginx_binary, tmp_path, ["127.0.0.1:1"])

    with nginx.serving():
        visitor = SecureVisitor(nginx, None)  # type: ignore[arg-type]  # nobody
        dead = visitor.get("/hosts/1/")
        posted = visitor.send({"account": "1"})
        (tmp_path / "maintenance").touch()
        maintained = visitor.get("/")

    for answer, status in ((dead, 502), (posted, 502), (maintained, 503)):
        assert answer.status_code == status
        assert "The portal is not available" in answer.text
        assert answer.headers["Retry-After"] == "60"
    assert "hosts/1" not in (tmp_path / "sallyport-error.log").read_text()


# --- one machine ---------------------------------------------------------------------------------------


def test_a_session_opens_through_the_proxy_and_no_log_holds_link_or_search(
    committed_inventory: Inventory, sandbox: SandboxServer, nginx_binary: str, tmp_path: Path
) -> None:
    link = f"{sandbox.url}/?cbhinfo={secrets.token_urlsafe(24)}"
    link += "A" * (LONGEST_LINK - len(link))
    sandbox.control.add_fault("cbh.om_url", login_url=link)

    style_sheet = tmp_path / "collected" / "css" / "portal.css"
    style_sheet.parent.mkdir(parents=True)
    style_sheet.write_text("/* the portal's own */")

    with ExitStack() as stack:
        variables = {**BEHIND_A_PROXY, "STATIC_ROOT": str(tmp_path / "collected")}
        _process, portal = stack.enter_context(web(WEB_THREADS="4", LOG_FORMAT="json", **variables))
        nginx = Nginx(nginx_binary, tmp_path, [urlsplit(portal).netloc])
        stack.enter_context(nginx.serving())
        person = signed_in(nginx, committed_inventory)
        searched = person.get("/", params={"q": "sesame-7316"})
        opened = person.open(committed_inventory.root)
        metrics = person.get("/metrics")
        style = person.get("/static/css/portal.css")

    assert_opened(opened)
    assert opened.headers["Location"] == link
    assert searched.status_code == 200
    assert metrics.status_code == 404
    assert (style.status_code, style.text) == (200, "/* the portal's own */")
    assert style.headers["Content-Type"].startswith("text/css")
    logged = nginx.logged()
    assert "sesame" not in logged
    assert "cbhinfo" not in logged
    assert link[-40:] not in logged
    lines = [json.loads(line) for line in (tmp_path / "sallyport.log").read_text().splitlines()]
    assert {"method": "POST", "path": "/launches/", "status": "303"}.items() <= lines[-3].items()
    # The portal took the proxy's request id and the visitor's address, because it trusts this proxy.
    event = AuditEvent.objects.filter(kind="launch:opened").get()
    assert lines[-3]["request_id"] == event.request_id


# --- two machines ------------------------------------------------------------------------------------------


@pytest.fixture
def two_machines(committed_inventory: Inventory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Two web processes in groups of their own, by host:port."""
    with ExitStack() as stack:
        started = [stack.enter_context(web(WEB_THREADS="4", **BEHIND_A_PROXY)) for _number in range(2)]
        yield {urlsplit(url).netloc: process for process, url in started}


def who_asks(machines: dict[str, subprocess.Popen[str]], url: str) -> str:
    """The machine that has a connection to the sandbox open: the one that the launch went to."""
    port = urlsplit(url).port
    for name, process in machines.items():
        everybody = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        for one in everybody:
            if any(peer.raddr and peer.raddr.port == port for peer in one.net_connections("tcp")):
                return name
    raise AssertionError("nobody asks the cloud")


def test_a_killed_machine_costs_no_page_and_its_launch_is_not_repeated(
    two_machines: dict[str, subprocess.Popen[str]],
    committed_inventory: Inventory,
    sandbox: SandboxServer,
    nginx_binary: str,
    tmp_path: Path,
) -> None:
    nginx = Nginx(nginx_binary, tmp_path, list(two_machines))
    answers: list[object] = []
    with nginx.serving():
        person = signed_in(nginx, committed_inventory)
        form = person.form(committed_inventory.root)
        sandbox.control.add_fault("cbh.om_url", hold="before")
        launch = in_background(lambda: person.send(form), answers)
        assert sandbox.control.wait("cbh.om_url", held=1)
        asking = who_asks(two_machines, sandbox.url)

        kill(two_machines[asking])
        launch.join(timeout=20)
        sandbox.control.release()
        asked = sandbox.control.counters()["cbh.om_url"]
        began = time.monotonic()
        pages = [person.get("/").status_code for _number in range(12)]
        seconds = time.monotonic() - began
        again = person.open(committed_inventory.root)

    assert [getattr(answer, "status_code", answer) for answer in answers] == [502]
    assert asked == 1
    assert pages == [200] * 12
    assert seconds < 10
    assert_opened(again)
    assert AuditEvent.objects.filter(kind="launch:requested").count() == 2
