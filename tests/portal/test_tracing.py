"""Tracing: a launch as spans at a collector, with nothing secret in them; and no trace of it where it is not wanted."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from accounts.models import User
from omaccess.meta import Meta
from omaccess.models import Launch
from omaccess.sandbox.server import SandboxServer
from portal import spans, tracing
from tests.inventory import Inventory
from tests.portal.collector import collector
from tests.processes import ROOT, Browser, environment, wait_until, web

MetaOf = Callable[[User], Meta]
FAST = {"OTEL_BSP_SCHEDULE_DELAY": "50"}
FOREIGN = "0af7651916cd43dd8448eb211c80319c"


def test_huawei_cloud_is_told_nothing_of_our_traces(
    committed_inventory: Inventory, sandbox: SandboxServer, meta_of: MetaOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    answer = sandbox.app.__call__

    def noting(environ: dict[str, Any], start_response: Any) -> Any:
        seen.extend(environ)
        return answer(environ, start_response)

    monkeypatch.setattr(type(sandbox.app), "__call__", lambda _self, environ, start: noting(environ, start))
    with collector() as received, web(**FAST, OTEL_EXPORTER_OTLP_ENDPOINT=received.url) as (_server, url):
        Browser(url, committed_inventory.staff, meta_of(committed_inventory.staff).session_key).open(
            committed_inventory.root
        )
        wait_until(lambda: received.named("cbh om_url"))

    assert "HTTP_X_AUTH_TOKEN" in seen
    assert not {"HTTP_TRACEPARENT", "HTTP_TRACESTATE", "HTTP_BAGGAGE", "HTTP_B3"} & set(seen)


def test_a_collector_that_never_answers_slows_no_launch_and_no_end(
    committed_inventory: Inventory, sandbox: SandboxServer, meta_of: MetaOf
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)  # accepts nothing; who connects waits
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with web(**FAST, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint) as (server, url):
            person = Browser(url, committed_inventory.staff, meta_of(committed_inventory.staff).session_key)
            person.open(committed_inventory.root)
            began = time.monotonic()
            answers = [person.open(committed_inventory.root) for _number in range(5)]
            took = time.monotonic() - began
            server.terminate()
            began = time.monotonic()
            server.wait(timeout=30)
            ending = time.monotonic() - began

    assert all(answer.headers["Location"].startswith(sandbox.url) for answer in answers)
    assert Launch.objects.filter(state="opened").count() == 6
    assert took < spans.EXPORT_SECONDS
    assert ending < 3 * spans.EXPORT_SECONDS


def test_without_an_endpoint_nothing_of_it_is_imported() -> None:
    # redis-py looks for the part about metrics by itself.
    theirs = ("opentelemetry.sdk.trace", "opentelemetry.exporter", "opentelemetry.instrumentation", "google.protobuf")
    program = (
        f"import sys, portal.wsgi, portal.startup; print([name for name in sys.modules if name.startswith({theirs})])"
    )

    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment(), capture_output=True, text=True)

    assert found.stdout.strip() == "[]", found.stderr


@pytest.mark.parametrize("what", [["worker", "--pool", "threads"], ["beat", "--pidfile="]], ids=["worker", "scheduler"])
def test_nothing_starts_without_the_traces_that_were_asked_for(what: list[str], tmp_path: Path) -> None:
    """Celery logs what a signal's receiver raises, and would go on untraced."""
    schedule = ["--schedule", str(tmp_path / "schedule")] if "beat" in what else []
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "portal.startup", *what, *schedule]
    variables = environment(OTEL_EXPORTER_OTLP_ENDPOINT="https://user:secret-word@collector:4318")

    ended = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=60)

    assert ended.returncode == 1
    assert "OTEL_EXPORTER_OTLP_ENDPOINT is no address" in ended.stderr
    assert "secret-word" not in ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "endpoint",
    ["collector:4318", "ftp://collector", "https://", "https://user:secret-word@collector:4318", "http://[::1"],
)
def test_an_endpoint_that_is_none_stops_the_start_and_is_not_repeated(settings: Any, endpoint: str) -> None:
    settings.TRACING_ENDPOINT = endpoint

    with pytest.raises(ImproperlyConfigured, match="OTEL_EXPORTER_OTLP_ENDPOINT") as refused:
        tracing.start("tests")

    assert "secret-word" not in str(refused.value)
