"""OpenTelemetry, as `portal.tracing` starts it: what is traced, and what of it may leave.

A list says what may: names of routes, status codes, statements without their parameters. No address, query, header,
body or text of an exception leaves, so no link, token or password either. No trace context goes out, least of all to
Huawei Cloud, and none is taken from outside: a stranger could tie our traces to theirs. What joins our records with
those of a proxy is the request id, which every server span carries.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import requests
import structlog
from celery.signals import task_postrun, task_prerun
from django.conf import settings
from django.http import HttpRequest
from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.celery import CeleryInstrumentor
from opentelemetry.instrumentation.django import DjangoInstrumentor
from opentelemetry.instrumentation.psycopg import PsycopgInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.propagators.textmap import TextMapPropagator
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Span, Status
from opentelemetry.util.re import parse_env_headers

from portal.version import VERSION

EXPORT_SECONDS = 3
"""How long one delivery may take. It holds up nobody but the end of a process."""

MAY_LEAVE = frozenset(
    {
        "http.method", "http.request.method", "http.route", "http.status_code", "http.response.status_code",
        "db.system", "db.name", "db.statement", "celery.action", "celery.task_name", "messaging.message.id",
        "error.type", "sallyport.request_id",
    }
)  # fmt: skip
_STATEMENT_LENGTH = 1000
_WAITING = 2048
"""How many spans wait for their delivery; more are dropped."""

_CLOUD_CALLS = {"tokens": "iam token", "get-om-url": "cbh om_url", "instances": "cbh instances"}
"""The last word of a path in Huawei Cloud, and what the metrics call it."""


def start(service: str, *, endpoint: str, headers: str) -> None:
    """Trace requests, calls to the cloud, statements on PostgreSQL and tasks of this process."""
    resource = Resource.create({"service.name": service, "service.version": VERSION})
    provider = TracerProvider(resource=resource)
    # One delivery takes all that waits, so that the end of a process waits for one at most.
    exporter = _SparingExporter(_otlp(endpoint, headers))
    provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=_WAITING, max_export_batch_size=_WAITING))
    trace.set_tracer_provider(provider)
    propagate.set_global_textmap(_Isolation())

    # Not outermost: it asks for the host's name, and probes come without the right one.
    position = settings.MIDDLEWARE.index("portal.middleware.HealthMiddleware") + 1
    DjangoInstrumentor().instrument(middleware_position=position, request_hook=_name_request)
    RequestsInstrumentor().instrument(request_hook=_name_call)
    PsycopgInstrumentor().instrument()
    CeleryInstrumentor().instrument()  # type: ignore[no-untyped-call]
    # After the instrumentation's own receivers, which begin the span.
    task_prerun.connect(lambda **_signal: _bind(trace.get_current_span()), weak=False)
    task_postrun.connect(lambda **_signal: structlog.contextvars.unbind_contextvars("trace_id"), weak=False)


def _otlp(endpoint: str, headers: str) -> OTLPSpanExporter:
    session = requests.Session()
    session.trust_env = False
    # The headers may hold a key, which is for this address only.
    session.max_redirects = 0
    return OTLPSpanExporter(
        endpoint=f"{endpoint.rstrip('/')}/v1/traces",
        headers=parse_env_headers(headers, liberal=True),
        timeout=EXPORT_SECONDS,
        session=session,
    )


class _SparingExporter(SpanExporter):
    """Delivers copies of the spans with what may leave."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return self._exporter.export([spared(span) for span in spans])

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)


def spared(span: ReadableSpan) -> ReadableSpan:
    """The same span with the attributes that may leave; without events (exceptions' texts), links and descriptions."""
    attributes = {name: value for name, value in (span.attributes or {}).items() if name in MAY_LEAVE}
    statement = attributes.get("db.statement")
    if isinstance(statement, str):
        attributes["db.statement"] = statement[:_STATEMENT_LENGTH]
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=attributes,
        kind=span.kind,
        status=Status(span.status.status_code),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


class _Isolation(TextMapPropagator):
    """Takes no trace from outside and sends none out: requests, calls to the cloud, messages to workers."""

    def extract(self, carrier: Any, context: Context | None = None, getter: Any = None) -> Context:
        return context if context is not None else Context()

    def inject(self, carrier: Any, context: Context | None = None, setter: Any = None) -> None:
        """Nothing."""

    @property
    def fields(self) -> set[str]:
        return set()


# --- names -------------------------------------------------------------------------------------------


def _name_request(span: Span, request: HttpRequest) -> None:
    """The request's id onto the span, the trace's id into each of the request's log lines."""
    span.set_attribute("sallyport.request_id", request.META["sallyport.request_id"])
    _bind(span)


def _name_call(span: Span, request: Any) -> None:
    """Which call to the cloud this is. By a fixed list: a path holds a project's id."""
    last = urlsplit(request.url).path.rpartition("/")[2]
    span.update_name(_CLOUD_CALLS.get(last, str(request.method)))


def _bind(span: Span) -> None:
    context = span.get_span_context()
    if context.is_valid:
        structlog.contextvars.bind_contextvars(trace_id=f"{context.trace_id:032x}")
