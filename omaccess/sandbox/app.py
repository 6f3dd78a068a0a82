"""The sandbox as a WSGI application: routing, faults, counting, the headers every answer has."""

from __future__ import annotations

import json
import logging
import secrets
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from werkzeug.wrappers import Request, Response

from omaccess.sandbox import om_page
from omaccess.sandbox.callbook import CallRecord
from omaccess.sandbox.control import Control, ControlInterface
from omaccess.sandbox.faults import HOLD_SECONDS, NO_FAULT, Fault, merge_patch
from omaccess.sandbox.replies import (
    JSON_TYPE,
    Refused,
    error_body,
    gateway_refused,
    http_date,
    json_reply,
    no_such_api,
    status_line,
)
from omaccess.sandbox.routes import Handler, route
from omaccess.sandbox.simulation import Call, Simulation
from omaccess.sandbox.wire import WIRE_KEY, Wire
from omaccess.sandbox.world import World

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

access_log = logging.getLogger("omaccess.sandbox.access")

_LARGEST_HEADERS: Final = 64 * 1024
_SECRET_HEADERS: Final = frozenset(
    {
        "authorization", "cookie", "proxy-authorization", "x-auth-token", "x-sandbox-token", "x-security-token",
        "x-subject-token",
    }
)  # fmt: skip
_DEFAULT_ENVELOPES: Final = {"iam": "keystone", "cbh": "cbh_doc", "om": "gateway"}


def create_app(world: World, *, base_url: str, control_token: str | None = None) -> SandboxApp:
    """Build the application.

    `base_url` is where clients and browsers reach it; login URLs lead there unless an instance names another
    origin. Without a `control_token` the control interface does not exist.
    """
    return SandboxApp(world, base_url=base_url, control_token=control_token)


class SandboxApp:
    """A WSGI application; `control` changes its behaviour from the same process."""

    def __init__(self, world: World, *, base_url: str, control_token: str | None) -> None:
        self.cloud = Simulation(world, base_url=base_url)
        self.control = Control(self.cloud)
        self._interface = ControlInterface(self.control, control_token) if control_token else None

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request = Request(environ)
        request_id = secrets.token_hex(16)
        if request.path.startswith("/_sandbox/") and self._interface is not None:
            response = self._interface.answer(request)
        elif not request.query_string.isascii():
            # Not a legal request target; a gateway refuses it before anything looks at its parameters.
            refusal = gateway_refused(400, "APIGW.0201", "API request error")
            response = self._traced(_error(refusal, request_id), "gateway", request_id)
        else:
            response = self._answer(request, request_id)
        return response(environ, start_response)

    def _answer(self, request: Request, request_id: str) -> Response:
        name, handler, parts = route(request)
        if not name:
            return self._uncounted(request, request_id)
        record = CallRecord(
            call=name,
            method=request.method,
            path=request.path,
            query="" if name == "om.page" else request.query_string.decode("latin-1"),
            headers={key: value for key, value in request.headers if key.lower() not in _SECRET_HEADERS},
            connection=str(request.environ.get("REMOTE_PORT", "")),
            request_id=request_id,
        )
        started = time.monotonic()
        with self.cloud.book.arriving(record):
            call = Call(name=name, request=request, request_id=request_id, fault=self.cloud.faults.take(name))
            response = self._with_fault(call, handler, parts)
            wire = _wire_of(request)
            outcome = "dropped" if wire is not None and wire.drop else str(response.status_code)
            self.cloud.book.answered(name, outcome)
        facts = {"call": name, "outcome": outcome, "request_id": request_id}
        access_log.info("sandbox_call", extra={**facts, "seconds": round(time.monotonic() - started, 3)})
        return response

    def _uncounted(self, request: Request, request_id: str) -> Response:
        if request.path == "/" and request.method in ("GET", "HEAD"):
            return om_page.index(self.cloud)
        if request.path == "/favicon.ico":
            return Response(status=204)
        return self._traced(_error(no_such_api(), request_id), "gateway", request_id)

    def _with_fault(self, call: Call, handler: Handler, parts: dict[str, str]) -> Response:
        """Carry out a call the way its fault wants it."""
        fault = call.fault
        wire = _wire_of(call.request)
        if (fault.drop or fault.drip) and wire is None:
            refusal = gateway_refused(500, "APIGW.0601", "drop and drip need the sandbox's own server")
            return self._traced(_error(refusal, call.request_id), call.name, call.request_id)
        if fault.latency_seconds:
            self.cloud.stopping.wait(fault.latency_seconds)
        if fault.hold == "before":
            self.cloud.book.hold(call.name, HOLD_SECONDS)
        if fault.drop == "before":
            response = Response()
        elif fault.replaces_answer:
            response = _replaced(call)
        else:
            response = self._carried_out(call, handler, parts)
        if fault is not NO_FAULT:
            _apply(fault, response)
        self._traced(response, call.name, call.request_id)
        if fault.headers:
            _apply_headers(fault, response)
        if fault.hold == "after":
            self.cloud.book.hold(call.name, HOLD_SECONDS)
        if wire is not None:
            wire.drop = "silently" if fault.drop in ("before", "after") else fault.drop
            wire.drip = fault.drip
        return response

    def _carried_out(self, call: Call, handler: Handler, parts: dict[str, str]) -> Response:
        try:
            if sum(len(key) + len(value) for key, value in call.request.headers) > _LARGEST_HEADERS:
                raise gateway_refused(494, "APIGW.0201", "Request headers too large.")
            return handler(self.cloud, call, **parts)
        except Refused as refusal:
            return _error(refusal, call.request_id)

    def _traced(self, response: Response, name: str, request_id: str) -> Response:
        """Add the headers by which an answer can be found in the provider's records, and its date."""
        response.headers["Date"] = http_date(self.cloud.clock.now())
        if name != "om.page":
            response.headers["X-Request-Id"] = request_id
            response.headers["Server"] = "api-gateway"
        if name.startswith("iam."):
            response.headers["X-IAM-Trace-Id"] = f"token_{request_id}"
        return response


def _wire_of(request: Request) -> Wire | None:
    wire = request.environ.get(WIRE_KEY)
    return wire if isinstance(wire, Wire) else None


def _error(refusal: Refused, request_id: str) -> Response:
    body = error_body(
        refusal.envelope,
        status=refusal.status,
        code=refusal.code,
        message=refusal.message,
        request_id=request_id,
    )
    return json_reply(body, refusal.status)


def _replaced(call: Call) -> Response:
    """The answer a fault gives in place of the real one."""
    fault = call.fault
    status = fault.status or (201 if call.name == "iam.token" else 200)
    if fault.body is not None:
        return Response(fault.body, status=status_line(status), content_type=fault.content_type or JSON_TYPE)
    envelope = fault.envelope or _DEFAULT_ENVELOPES[call.name.partition(".")[0]]
    refusal = Refused(status, fault.code, fault.message, envelope=envelope)
    response = _error(refusal, call.request_id)
    if fault.content_type:
        response.headers["Content-Type"] = fault.content_type
    return response


def _apply(fault: Fault, response: Response) -> None:
    if fault.retry_after is not None:
        response.headers["Retry-After"] = fault.retry_after
    if fault.header_padding_bytes:
        response.headers["X-Padding"] = "x" * fault.header_padding_bytes
    if fault.merge is not None and response.mimetype == "application/json" and fault.body is None:
        merged = merge_patch(json.loads(response.get_data()), fault.merge)
        response.set_data(json.dumps(merged, ensure_ascii=False))


def _apply_headers(fault: Fault, response: Response) -> None:
    """Set and remove headers last, so that a fault may also forge the ones every answer has."""
    for name, value in fault.headers.items():
        response.headers.pop(name, None)
        if value is not None:
            response.headers[name] = value
