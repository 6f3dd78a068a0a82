"""Answers as a broken or hostile cloud could give them: valid ones gone wrong, and bytes that never were any."""

from __future__ import annotations

import copy
import gzip
import json
import string
from typing import Any
from urllib.parse import quote

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

PASSWORD = 'pw-canary/"\\+\u00e4'
TOKEN = "MIIcanary/token+" + "t" * 40
LINK = "https://bastion.example.com/om?cbhinfo=canary%2Blink"
ORIGIN = "https://bastion.example.com"

TOKEN_BODY: dict[str, Any] = {
    "token": {
        "expires_at": "2099-01-01T00:00:00.000000Z",
        "issued_at": "2026-01-01T00:00:00.000000Z",
        "methods": ["password"],
        "project": {"id": "p-1", "name": "cn-north-4", "domain": {"id": "d-1", "name": "acme"}},
        "user": {"id": "u-1", "name": "portal", "domain": {"id": "d-1", "name": "acme"}, "password_expires_at": ""},
        "roles": [{"id": "0", "name": "te_admin"}],
        "catalog": [],
    }
}
LINK_BODY: dict[str, Any] = {"state": "SUCCESS", "description": "", "login_url": LINK, "request_id": "r-1"}
REFUSED_BODY: dict[str, Any] = {
    "state": "HOST_NOT_MANAGE",
    "description": "The host is not managed.",
    "login_url": None,
}
INSTANCE: dict[str, Any] = {
    "name": "bastion",
    "server_id": "5c9a2f7e-1f7b-4a59-8c0e-0f6a4f0b8a11",
    "instance_id": "6d0b3a8f-2a8c-4b6a-9d1f-1a7b5a1c9b22",
    "az_info": {"region": "cn-north-4", "zone": "cn-north-4a"},
    "status_info": {"status": "ACTIVE", "task_status": "NO_TASK", "instance_status": "ACTIVE"},
    "network": {"public_ip": "203.0.113.7", "private_ip": "fe80::1", "vip": "", "web_port": "443"},
    "ha_info": {"ha_id": "", "instance_type": "master"},
    "bastion_version": "3.3.62.0",
}
INSTANCES_BODY: dict[str, Any] = {"total": 2, "instance": [INSTANCE, {**INSTANCE, "server_id": "s-2"}]}
ERROR_BODIES: tuple[dict[str, Any], ...] = (
    {"error_code": "IAM.0101", "error_msg": "Wrong.", "request_id": "r-1"},
    {"error": {"code": 401, "message": "The username or password is wrong.", "title": "Unauthorized"}},
    {"error": {"code": "IAM.0061", "message": "The account is locked."}},
    {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information", "request_id": "r-1"},
    {"error_code": "CBH.10020002", "error_description": "No permission."},
    {"code": "APIGW.0308", "message": "Throttled."},
)

echoes = st.sampled_from(
    (PASSWORD, TOKEN, LINK, f"Your {PASSWORD} and {TOKEN}.", f"See {LINK}", json.dumps(LINK), LINK.replace("/", "\\/"))
)
"""What the request or the answer holds that no error may repeat."""

SECRETS = {"token": (PASSWORD,), "link": (TOKEN, LINK), "instances": (TOKEN,)}
"""What each question carries, and the link, which is one from the moment it is answered."""


def holds_a_secret(text: str, question: str) -> bool:
    """Whole secrets, in any spelling that a JSON or HTML reader would undo."""
    return any(
        spelling in text
        for secret in SECRETS[question]
        for spelling in (secret, json.dumps(secret)[1:-1], secret.replace("/", "\\/"), quote(secret, safe=""))
    )


_words = st.sampled_from(
    ("SUCCESS", "SUCCESS(0)", "#SUCCESS(0)", "SUCCESS(1)", "success", "0", "9002", "HOST_NOT_MANAGE",
        "HOST_NOT_MANAGE(1)", "INS_WHITE_LIST_INITIALIZING",
     "IAM.0061", "IAM.0062", "IAM.1109", "APIGW.0308", "CBH.10020011", "10020002", "the user is disabled",
     "account locked", "{owner}", "%s%n", "{0.__class__}",
     "<script>alert(1)</script>", "\u202eevil", "a\u0000b", "\ud800", "line\r\nbreak", "\x1b[31m",
     "2026-13-45T99:99:99Z", "9999-12-31T23:59:59.999999-23:59",
     "0001-01-01T00:00:00+23:59")
)  # fmt: skip
_long_texts = st.builds(
    lambda piece, times: piece * times,
    st.sampled_from(
        (
            "a",
            "a ",
            "the user ",
            "is disabled ",
            "\\",
            "a:\\",
            "%3a",
            "http:",
            "/",
            "[",
            "\u00e9",
            "\t",
            "IAM.",
            "0",
            "account ",
            "-",
            ".",
        )
    ),
    st.sampled_from((100, 3_000, 70_000)),
)
texts = st.one_of(st.text(st.characters(), max_size=20), _words, echoes, _long_texts)
_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-5, 9100),
    st.floats(),
    texts,
    texts,
    st.sampled_from((2**64, -(2**63), 10**400, 1e308)),
)
json_values: SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(texts, st.sampled_from(("token", "project", "id", "state", "code"))), inner, max_size=3
        ),
    ),
    max_leaves=8,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [path]
    if isinstance(value, dict):
        for key, inner in value.items():
            found += _places(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            found += _places(inner, (*path, number))
    return found


@st.composite
def changed(draw: st.DrawFn, body: dict[str, Any]) -> Any:
    """A valid body with up to three values replaced, removed or added, somewhere."""
    found: Any = copy.deepcopy(body)
    for _ in range(draw(st.integers(0, 3))):
        path = draw(st.sampled_from(_places(found)))
        if not path:
            if draw(st.integers(0, 9)) == 0:
                found = draw(json_values)
            elif isinstance(found, dict):
                found[draw(texts)] = draw(json_values)
            continue
        inside = found
        for step in path[:-1]:
            inside = inside[step]
        if draw(st.booleans()):
            inside[path[-1]] = draw(json_values)
        elif isinstance(inside, dict):
            del inside[path[-1]]
    return found


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


@st.composite
def _spoilt_bytes(draw: st.DrawFn, body: bytes) -> bytes:
    """Bytes cut, doubled, exchanged or put in: no longer quite JSON."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(body)))
        piece = draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from(
                    (
                        b"\x00",
                        b"\xff",
                        b"\xed\xa0\x80",
                        b'"',
                        b"{",
                        b"}",
                        b",",
                        b"NaN",
                        b"1e999",
                        b"\\u0000",
                        b"\\ud800",
                        b"\xef\xbb\xbf",
                    )
                ),
            )
        )
        body = body[:at] + piece + body[at + draw(st.integers(0, 8)) :]
    return body


def _other_spellings(body: bytes) -> SearchStrategy[bytes]:
    text = body.decode()
    return st.sampled_from(
        (
            b"\xef\xbb\xbf" + body,
            text.encode("utf-16"),
            text.encode("utf-32"),
            body + body,
            body[:-1],
            body[: len(body) // 2],
            b"",
            b" " * 1000 + body,
            body.replace(b"{", b'{"state":"UNKNOWN_ERROR","token":null,"login_url":"https://evil.example",', 1),
            body[:-1] + b',"state":"SUCCESS","state":"UNKNOWN_ERROR"}' if body.endswith(b"}") else body,
            gzip.compress(body),
            b"[" * 100_000,
            b'{"token":' * 50_000,
            b'{"state":' + b"9" * 5000 + b"}",
            b'{"state":1e400}',
            b'{"state":-Infinity}',
            b'{"error":{"code":' + b"[" * 400 + b"]" * 400 + b"}}",
            b"<html><title>502</title>" + body,
            b"null",
            b"NaN",
            b"\x00" * 100,
            b"\xff" * 100,
        )
    )


def bodies(body: dict[str, Any]) -> SearchStrategy[bytes]:
    """Mostly near a valid body, sometimes far away from any."""
    near = changed(body).map(_dumped)
    return st.one_of(
        near,
        near,
        near,
        near,
        near.flatmap(_spoilt_bytes),
        near.flatmap(_other_spellings),
        json_values.map(_dumped),
        st.binary(max_size=200),
    )


_names = st.one_of(
    st.sampled_from(
        ("X-Request-Id", "X-IAM-Trace-Id", "X-Subject-Token", "Retry-After", "Date", "Content-Encoding", "Set-Cookie",
            "Location", "Server", "Connection",
         "Content-Type", "Keep-Alive", "Trailer", "Upgrade")
    ),
    st.text(string.ascii_letters + "-_.!~'", min_size=1, max_size=12),
)  # fmt: skip
_values = st.one_of(
    st.sampled_from(
        ("", "r-1", TOKEN, PASSWORD.encode("utf-8").decode("latin-1"), LINK, "gzip", "identity", "br, gzip", "close",
            "0", "1", "3", "-1", "1e9", "99999999999999999999", "0.5",
         "Mon, 23 Nov 2026 19:00:00 GMT", "Mon, 99 Foo 99999 99:99:99 +9999", "Sun, 06 Nov 0001 08:49:37 +2359",
         "Fri, 31 Dec 9999 23:59:59 -2359", "text/html", "a" * 3000, "\x80\x9f\xff",
         "tok,en", "a b", "\x7f", "\x1b[2J")
    ),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=20),
)  # fmt: skip
headers: SearchStrategy[list[tuple[str, str]]] = st.lists(st.tuples(_names, _values), max_size=4)
statuses = st.one_of(
    st.sampled_from((200, 201, 200, 201, 400, 401, 403, 404, 409, 413, 429, 431, 494, 500, 502, 503, 504)),
    st.integers(100, 599),
    st.sampled_from((0, 99, 600, 999)),
)
