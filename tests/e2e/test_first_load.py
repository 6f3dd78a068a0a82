"""What the first page weighs, on the way from the portal as it is deployed to a browser that knows nothing yet."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.core.management import call_command
from playwright.sync_api import Browser, CDPSession
from pytest_django import Settings
from werkzeug.serving import make_server

from tests.browser import Visitor
from tests.factories import HostAccountFactory, HostFactory
from tests.inventory import Inventory

MOST_BYTES = 60_000


@pytest.fixture
def deployed_portal(settings: Settings, tmp_path: Path, fresh_db: None) -> Iterator[str]:
    """The portal with static files as a release collects them, and as its own middleware serves them."""
    settings.STATIC_ROOT = tmp_path / "static"
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "whitenoise.storage.CompressedManifestStaticFilesStorage"},
    }
    call_command("collectstatic", interactive=False, verbosity=0)
    server = make_server("localhost", 0, WSGIHandler(), threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    yield f"http://localhost:{server.server_port}"
    server.shutdown()
    thread.join(timeout=10)
    server.server_close()


def weigh(session: CDPSession) -> dict[str, tuple[int, str]]:
    """Fills with address → bytes on the wire, encoding; headers included."""
    weights: dict[str, tuple[int, str]] = {}
    answers: dict[str, tuple[str, str]] = {}

    def answered(event: dict[str, Any]) -> None:
        headers = {name.lower(): value for name, value in event["response"]["headers"].items()}
        answers[event["requestId"]] = (event["response"]["url"], headers.get("content-encoding", ""))

    def finished(event: dict[str, Any]) -> None:
        url, encoding = answers[event["requestId"]]
        weights[url] = (int(event["encodedDataLength"]), encoding)

    session.on("Network.responseReceived", answered)
    session.on("Network.loadingFinished", finished)
    session.send("Network.enable")
    session.send("Network.setCacheDisabled", {"cacheDisabled": True})
    return weights


def test_the_first_load_of_a_long_list_of_hosts_is_light(
    chromium: Browser, deployed_portal: str, committed_inventory: Inventory
) -> None:
    for number in range(60):
        host = HostFactory(
            instance=committed_inventory.instances["bastion"],
            name=f"erp-app-{number:02}.internal.acme.example",
            owner="Enterprise resource planning",
            labels={"env": "prod", "team": "erp", "tier": "application"},
        )
        for name in ("root", "oracle", "deploy"):
            HostAccountFactory(host=host, name=name)
    context = chromium.new_context()
    visitor = Visitor(context, context.new_page(), deployed_portal)
    visitor.sign_in()

    weights = weigh(context.new_cdp_session(visitor.page))
    visitor.go("/")
    visitor.page.wait_for_load_state("networkidle")
    hosts_shown = visitor.page.locator(".host").count()
    context.close()

    assert hosts_shown == 50
    assert len(weights) > 8
    heavy = {url: weight for url, weight in weights.items() if weight[0] > 1500 and not weight[1]}
    assert heavy == {}
    assert sum(size for size, _encoding in weights.values()) <= MOST_BYTES, weights
