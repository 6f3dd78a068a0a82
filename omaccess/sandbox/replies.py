"""Answers in the forms Huawei Cloud uses: JSON bodies, four error envelopes, trace headers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from email.utils import format_datetime
from http import HTTPStatus

from werkzeug.wrappers import Response

JSON_TYPE = "application/json; charset=utf-8"


class Refused(Exception):
    """A call is answered with an HTTP error.

    `envelope` is one of `cbh_doc`, `error_msg`, `keystone`, `gateway`; codes are those of the references.
    """

    def __init__(self, status: int, code: str, message: str, *, envelope: str) -> None:
        super().__init__(f"{status} {code}")
        self.status = status
        self.code = code
        self.message = message
        self.envelope = envelope


def gateway_refused(status: int, code: str, message: str) -> Refused:
    """An error of the API gateway, which answers before the service sees the call."""
    return Refused(status, code, message, envelope="gateway")


def no_such_api() -> Refused:
    return gateway_refused(404, "APIGW.0101", "The API does not exist or has not been published in the environment.")


def reason_phrase(status: int) -> str:
    """The phrase of a status line, also for 494, which only gateways use."""
    if status == 494:
        return "Request Header Or Cookie Too Large"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def error_body(envelope: str, *, status: int, code: str, message: str, request_id: str) -> dict[str, object]:
    """An error in one of the four envelopes.

    Source: CBH ShowOmUrl (`cbh_doc`), the general convention (`error_msg`), IAM tokens (`keystone`), observed
    gateway answers (`gateway`).
    """
    if envelope == "keystone":
        return {"error": {"code": status, "message": message, "title": reason_phrase(status)}}
    if envelope == "gateway":
        return {"error_msg": message, "error_code": code, "request_id": request_id}
    return {"error_code": code, "error_description" if envelope == "cbh_doc" else "error_msg": message}


def json_reply(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer, not ASCII-escaped: the real descriptions are Chinese text in UTF-8."""
    text = json.dumps(body, ensure_ascii=False, separators=(",", ":"))
    return Response(text, status=status_line(status), headers=headers, content_type=JSON_TYPE)


def status_line(status: int) -> str:
    return f"{status} {reason_phrase(status)}"


def http_date(moment: datetime) -> str:
    """The value of a Date header."""
    return format_datetime(moment, usegmt=True)
