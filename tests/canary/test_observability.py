"""What is observed from outside: numbers, rows of jobs, spans. None of it holds a secret, whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connection
from django.test import Client

from accounts.models import User
from omaccess import jobs, tasks
from omaccess.meta import Meta
from omaccess.models import JobRun
from omaccess.sandbox.server import SandboxServer
from portal import spans
from portal.metrics import shared
from tests.canary.issued import Issued
from tests.canary.life import launch_everything
from tests.canary.sinks import Sinks, add_database
from tests.inventory import Inventory
from tests.portal.collector import Collector, collector
from tests.portal.scraping import Scrape
from tests.processes import Browser, wait_until, web

MetaOf = Callable[[User], Meta]
FOREIGN = "0af7651916cd43dd8448eb211c80319c"


@pytest.mark.database
def test_no_number_and_no_row_of_a_job_holds_a_secret(
    staff: Client, inventory: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks, settings: Any
) -> None:
    """After everything that can happen to a launch, and a job that fails with a secret in its error."""
    settings.METRICS_TOKEN = issued.add("metrics token", "metrics-token-0123456789")
    launch_everything(staff, inventory, sandbox, issued, sinks)
    JobRun.objects.create(name="refresh_tokens", started_at="2026-01-01T00:00Z")
    jobs._note_failure(sender=tasks.refresh_tokens, exception=ValueError(f"password {issued.tokens[-1]}"))
    staff.get("/metrics")
    shared.forget()
    numbers = Client().get("/metrics", headers={"Authorization": f"Bearer {settings.METRICS_TOKEN}"})
    sinks.add("metrics", numbers.content)
    sinks.add("metrics", repr(numbers.headers))
    add_database(sinks)

    scrape = Scrape(numbers.content.decode())
    assert scrape.total("sallyport_launches_total") == 0  # in a transaction that never commits
    assert scrape.total("sallyport_cloud_call_seconds_count", call="om_url") > 20
    assert len(scrape.labels("sallyport_cloud_call_seconds_count")) > 8
    assert scrape.value("sallyport_job_failures_total", name="refresh_tokens") == 1
    assert sinks.holds("table omaccess_jobrun", "ValueError")
    assert sinks.leaks(issued) == []


@pytest.mark.database
def test_a_launch_is_seen_as_spans_that_hold_no_secret(
    committed: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks, meta_of: MetaOf
) -> None:
    """Also one that ends in an exception which quotes a secret, and one with everything in its headers and address."""
    issued.add("key of the collector", "collector-key-0123456789")
    session = issued.add("session", meta_of(committed.staff).session_key)
    with collector() as received:
        variables = {
            "OTEL_BSP_SCHEDULE_DELAY": "50",
            "SECRET_KEY": django_settings.SECRET_KEY,
            "VAULT_KEYS": django_settings.VAULT_KEYS,
            "OTEL_EXPORTER_OTLP_ENDPOINT": received.url,
            "OTEL_EXPORTER_OTLP_HEADERS": "x-key=collector-key-0123456789",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_REQUEST": ".*",
            "OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_RESPONSE": ".*",
            "LOG_LEVEL": "INFO",
            "LOG_FORMAT": "json",
        }
        with web(**variables) as (server, url):
            person = Browser(url, committed.staff, session)
            opened = person.open(committed.root)
            sandbox.control.add_fault("cbh.om_url", times=2, drop="mid_body")
            failed = person.open(committed.account("ghost"))
            issued.add("words that were searched for", "what-somebody-searched-for")
            person.get("/?q=what-somebody-searched-for", headers={"traceparent": f"00-{FOREIGN}-b7ad6b7169203331-01"})
            wait_until(lambda: received.named("GET hosts") and len(received.named("POST launches/")) >= 2)
            server.terminate()
            lines = (server.stdout.read() if server.stdout else "").splitlines()

    assert opened.headers["Location"].startswith(sandbox.url)
    assert failed.headers["Location"].startswith("/launches/")
    assert issued.tickets
    assert received.services == {"sallyport-web"}
    assert received.headers[0]["x-key"] == "collector-key-0123456789"
    first = _launch(received, opened.headers["X-Request-Id"])
    inside = [span for span in received.spans if span.trace_id == first.trace_id]
    names = {span.name for span in inside}
    assert {"POST launches/", "iam token", "cbh om_url"} <= names
    if connection.vendor == "postgresql":
        assert {"INSERT", "UPDATE", "SELECT"} <= names
        assert any("INSERT INTO" in _fact(span, "db.statement") for span in inside)
    assert {fact.key for span in received.spans for fact in span.attributes} <= spans.MAY_LEAVE
    assert not [span for span in received.spans if span.events or span.links or span.status.message]
    # A stranger does not choose the trace, and what they searched for stays here.
    assert FOREIGN not in {span.trace_id.hex() for span in received.spans}
    for body in received.bodies:
        sinks.add("spans", body)
    assert sinks.leaks(issued) == []
    _check_lines(lines, first.trace_id.hex())


def _launch(received: Collector, request_id: str) -> Any:
    (span,) = [one for one in received.named("POST launches/") if _fact(one, "sallyport.request_id") == request_id]
    return span


def _fact(span: Any, name: str) -> str:
    return next((str(fact.value.string_value) for fact in span.attributes if fact.key == name), "")


def _check_lines(lines: list[str], trace_id: str) -> None:
    """The trace of a request is in each of its log lines, also in the one that sums it up."""
    told = [json.loads(line) for line in lines if line.startswith("{")]
    mine = [line for line in told if line.get("trace_id") == trace_id]
    assert "request" in {line["event"] for line in mine}
    assert {line["trace_id"] for line in told if line["event"] == "request"} > {trace_id}
