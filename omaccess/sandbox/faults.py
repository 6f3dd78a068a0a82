"""Faults on demand: what a call does wrong, for how many calls, and calls held until they are released."""

from __future__ import annotations

import base64
import binascii
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from omaccess.sandbox.tables import Table, TableError
from omaccess.sandbox.world import ENVELOPES, STATE_FORMATS, STATE_NUMBERS

CALLS: Final = (
    "iam.token", "iam.token_check", "iam.projects", "iam.auth_projects", "iam.domains",
    "cbh.om_url", "cbh.instances", "cbh.status", "cbh.features", "cbh.login", "cbh.admin_url",
)  # fmt: skip
"""The calls that faults and counters know. `*` stands for all of them, but not for the session page."""
COUNTED: Final = (*CALLS, "om.page")
LOGIN_URLS: Final = (
    "valid", "missing", "blank", "relative", "http", "javascript", "userinfo", "foreign_origin", "huge",
)  # fmt: skip
DROPS: Final = ("before", "after", "mid_headers", "mid_body")
HOLD_SECONDS: Final = 60.0
_MOST_BODY_BYTES: Final = 64 * 1024 * 1024


class _Unset:
    """Marks a fault's field that was not given, where None is a value (JSON null)."""


UNSET: Final = _Unset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Drip:
    """Send a part of the answer in small pieces with pauses."""

    part: str
    """`headers` (then the body follows at once) or `body`."""
    interval_seconds: float
    piece_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What one call does wrong. Fields combine; with a `status` or `body` the call itself is not carried out.

    latency_seconds: pause before anything else.
    hold: `before` or `after` the call is carried out, wait until released (at most 60 s).
    drop: close the connection: `before` the call is carried out, `after` it, `mid_headers`, `mid_body`.
    drip: send slowly.
    status, envelope, code, message, retry_after: an HTTP error.
    body, content_type: these bytes instead of JSON (status 200, or 201 for a token, unless given).
    headers: set, or remove (None), headers of whatever answer results.
    header_padding_bytes: additional junk in a header.
    merge: change the JSON body of the answer, by the rules of RFC 7396 (null removes a key).
    state, custom_state, omit_state, state_format, description, login_url: of get-om-url. `state` is a
        documented name and decides whether a URL is issued; `custom_state` is any JSON put in its place
        afterwards; `login_url` is a kind of LOGIN_URLS or, else, the very text to send, also for the logins.
    """

    latency_seconds: float = 0
    hold: str = ""
    drop: str = ""
    drip: Drip | None = None
    status: int | None = None
    envelope: str = ""
    code: str = ""
    message: str = ""
    retry_after: str | None = None
    body: bytes | None = field(default=None, repr=False)
    content_type: str = ""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    header_padding_bytes: int = 0
    merge: Mapping[str, object] | None = None
    state: str | None = None
    custom_state: object = UNSET
    omit_state: bool = False
    state_format: str = ""
    description: object = UNSET
    login_url: str | None = None

    @property
    def replaces_answer(self) -> bool:
        return self.status is not None or self.body is not None

    @classmethod
    def from_mapping(cls, values: object) -> Fault:
        """Build a fault from plain JSON values; `body_base64` and `body_size` are other ways to give a body.

        Raises:
            TableError: an unknown field or an unusable value.
        """
        table = Table(values, "fault")
        fault = cls(
            latency_seconds=table.number("latency_seconds", 0, most=120),
            hold=table.choice("hold", ("before", "after"), ""),
            drop=table.choice("drop", DROPS, ""),
            drip=_drip(table),
            status=table.integer("status", least=200, most=599) if table.has("status") else None,
            envelope=table.choice("envelope", ENVELOPES, ""),
            code=table.text("code", "", empty=True),
            message=table.text("message", "", longest=100_000, empty=True),
            retry_after=table.optional_text("retry_after"),
            body=_body(table),
            content_type=table.text("content_type", ""),
            headers=_headers(table),
            header_padding_bytes=table.integer("header_padding_bytes", 0, most=_MOST_BODY_BYTES),
            merge=_merge(table),
            state=table.choice("state", STATE_NUMBERS) if table.has("state") else None,
            custom_state=table.raw("custom_state", UNSET),
            omit_state=table.flag("omit_state", False),
            state_format=table.choice("state_format", STATE_FORMATS, ""),
            description=table.raw("description", UNSET),
            login_url=table.text("login_url", longest=100_000, empty=True) if table.has("login_url") else None,
        )
        table.finish()
        return fault


NO_FAULT: Final = Fault()


def _drip(table: Table) -> Drip | None:
    if not table.has("drip"):
        return None
    inner = table.table("drip")
    drip = Drip(
        part=inner.choice("part", ("headers", "body")),
        interval_seconds=inner.number("interval_seconds", 0.2, least=0.001, most=60),
        piece_bytes=inner.integer("piece_bytes", 1, least=1, most=1_000_000),
    )
    inner.finish()
    return drip


def _body(table: Table) -> bytes | None:
    given = [key for key in ("body", "body_base64", "body_size") if table.has(key)]
    if not given:
        return None
    if len(given) > 1:
        raise table.fail(given[1], f"cannot be combined with '{given[0]}'")
    if given == ["body_size"]:
        return b"x" * table.integer("body_size", most=_MOST_BODY_BYTES)
    value = table.raw(given[0])
    if given == ["body"] and isinstance(value, bytes):  # only from the same process
        return value
    text = table.text(given[0], longest=_MOST_BODY_BYTES, empty=True)
    if given == ["body"]:
        return text.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise table.fail("body_base64", "is not base64") from error


def _headers(table: Table) -> dict[str, str | None]:
    inner = table.table("headers")
    found: dict[str, str | None] = {}
    for name in inner.keys():  # noqa: SIM118 - not a dict
        value = inner.raw(name)
        if value is not None:
            value = inner.text(name, longest=100_000, empty=True)
            if not value.isprintable() or not value.isascii():
                raise inner.fail(name, "must be printable ASCII")
        if not name.replace("-", "").replace("_", "").isalnum() or not name.isascii():
            raise inner.fail(name, "is not a header name")
        found[name] = value
    return found


def _merge(table: Table) -> Mapping[str, object] | None:
    value = table.raw("merge", None)
    if value is not None and not isinstance(value, Mapping):
        raise table.fail("merge", "must be an object")
    return value


def merge_patch(target: object, patch: object) -> object:
    """RFC 7396: objects merge key by key, null removes, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged: dict[str, object] = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


@dataclass(slots=True)
class _Rule:
    call: str
    fault: Fault
    remaining: int | None


class FaultBook:
    """The faults still to happen, first come first served; safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rules: list[_Rule] = []

    def add(self, call: str, fault: Fault, *, times: int | None) -> None:
        """Let the next `times` calls (None: all until cleared) have this fault.

        Raises:
            TableError: no such call, or a count below one.
        """
        if call != "*" and call not in COUNTED:
            raise TableError(f"fault: 'call' must be * or one of {', '.join(COUNTED)}")
        if times is not None and times < 1:
            raise TableError("fault: 'times' must be at least 1, or null for always")
        with self._lock:
            self._rules.append(_Rule(call, fault, times))

    def take(self, call: str) -> Fault:
        """The fault of this call, using it up; `NO_FAULT` when there is none."""
        with self._lock:
            for rule in self._rules:
                if rule.call == call or (rule.call == "*" and call in CALLS):
                    if rule.remaining is not None:
                        rule.remaining -= 1
                        if rule.remaining == 0:
                            self._rules.remove(rule)
                    return rule.fault
        return NO_FAULT

    def clear(self) -> None:
        with self._lock:
            self._rules.clear()

    def pending(self) -> list[dict[str, object]]:
        """Call and remaining count of every rule, in order."""
        with self._lock:
            return [{"call": rule.call, "times": rule.remaining} for rule in self._rules]
