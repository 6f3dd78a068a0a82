"""Reading answers that are not what was hoped for: error bodies of every shape, request ids, waits.

Huawei Cloud has several error envelopes (IAM's two, CBH's own, the API gateway's), and what stands between
may add its own HTML. Reading must survive all of them, with any JSON type in any place, and must not carry
secrets on: some messages quote the value they complain about.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, quote_plus

from omaccess.cloud.errors import REQUEST_ID_LENGTH, clean_text

# The order in which the fields are tried; a pair names a field inside an object.
_CODE_FIELDS = (("error_code",), ("error", "code"), ("code",), ("errorCode",))
_MESSAGE_FIELDS = (("error_msg",), ("error_description",), ("error", "message"), ("message",), ("errorMsg",))
_CODE_IN_TEXT = re.compile(r"\b(?:IAM|CBH|APIGW|APIG)\.[0-9]{4,8}\b")
_WHOLE_SECONDS = re.compile(r"[0-9]{1,9}")
_TEXT_KEPT = 2048
_HIDDEN = "[hidden]"


@dataclass(frozen=True, slots=True)
class ErrorEnvelope:
    """What an error body says. `code` and `message` are upstream's, without secrets, uncut; may be empty."""

    code: str
    message: str

    @property
    def family_code(self) -> str:
        """The code for comparing: upper case, the gateway's two prefixes as one, CBH's bare numbers
        completed.
        """
        code = self.code.strip().upper()
        if not re.fullmatch(r"[A-Z]+\.[0-9]+", code) and not re.fullmatch(r"100[0-9]{5}", code):
            # Keystone-like envelopes carry the HTTP status as their code; the real one may stand in the text.
            found = _CODE_IN_TEXT.search(self.message.upper())
            code = found.group() if found else code
        if re.fullmatch(r"100[0-9]{5}", code):
            code = f"CBH.{code}"
        return code.replace("APIG.", "APIGW.", 1) if code.startswith("APIG.") else code


def read_json(body: bytes) -> Any:
    """The JSON value in `body`.

    Raises:
        ValueError: it holds none, or one too deep to be an honest answer.
    """
    try:
        return json.loads(body.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("The JSON is nested too deeply.") from None


def read_error(body: bytes, *, secrets: Collection[str] = ()) -> ErrorEnvelope:
    """Read an error body of any shape. Text in no known field, or no JSON at all, becomes the message."""
    try:
        parsed = read_json(body)
    except ValueError:
        parsed = None
    code = message = ""
    for candidate in _objects(parsed):
        code = code or _first(candidate, _CODE_FIELDS)
        message = message or _first(candidate, _MESSAGE_FIELDS)
    if not message:
        # Hide before cutting: half a secret is a secret.
        message = hide(body.decode("utf-8", "replace"), secrets)[:_TEXT_KEPT]
    return ErrorEnvelope(code=hide(code, secrets), message=hide(message, secrets))


def hide(text: str, secrets: Collection[str]) -> str:
    """`text` without any of `secrets`, also where one is JSON-escaped or percent-encoded."""
    for secret in secrets:
        if len(secret) > len(text):
            continue  # no spelling is shorter than the secret itself
        escaped = json.dumps(secret)[1:-1]
        spellings = {secret, escaped, escaped.replace("/", "\\/"), *_percent_encoded(secret)}
        for spelling in sorted(filter(None, spellings), key=len, reverse=True):
            text = text.replace(spelling, _HIDDEN)
    return text


def _percent_encoded(secret: str) -> tuple[str, str]:
    # JSON can hold half a surrogate pair; it must be hidden like any other text, not end in an error of Python's.
    return quote(secret, safe="", errors="surrogatepass"), quote_plus(secret, errors="surrogatepass")


def request_id_of(headers: Mapping[str, str], body: object = None, *, secrets: Collection[str]) -> str:
    """The id to quote to support: `X-Request-Id`, IAM's `X-IAM-Trace-Id`, or `request_id` in the body.

    Cleaned and cut, without any of `secrets`: it is whatever the other side says, and it is stored.
    """
    inside = body.get("request_id") if isinstance(body, dict) else None
    said = headers.get("X-Request-Id") or headers.get("X-IAM-Trace-Id") or _text_of(inside)
    return clean_text(hide(said, secrets), REQUEST_ID_LENGTH)


def retry_after_seconds(headers: Mapping[str, str], *, now: datetime) -> float | None:
    """What `Retry-After` asks to wait, in seconds; None when absent or nonsense. Source: RFC 9110, 10.2.3.

    A date is compared with the answer's own `Date`, so that a clock that differs does not matter.
    """
    raw = headers.get("Retry-After", "").strip()
    if _WHOLE_SECONDS.fullmatch(raw):
        return float(raw)
    moment = http_date(raw)
    if moment is None:
        return None
    return max(0.0, (moment - (http_date(headers.get("Date", "")) or now)).total_seconds())


def http_date(raw: str) -> datetime | None:
    """An HTTP date in UTC, or None."""
    try:
        moment = parsedate_to_datetime(raw)
        # An HTTP date is UTC whether or not it says so.
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _objects(parsed: object) -> Iterator[dict[str, Any]]:
    """The objects in which an envelope may be found, outermost first: an answer may wrap it once."""
    for outer in parsed if isinstance(parsed, list) else [parsed]:
        if isinstance(outer, dict):
            yield outer
            yield from (inner for inner in outer.values() if isinstance(inner, dict))


def _first(candidate: dict[str, Any], fields: tuple[tuple[str, ...], ...]) -> str:
    for path in fields:
        value: object = candidate
        for name in path:
            value = value.get(name) if isinstance(value, dict) else None
        if text := _text_of(value):
            return text
    return ""


def _text_of(value: object) -> str:
    """A scalar or a list of scalars as text; anything else is nothing."""
    if isinstance(value, list):
        return ", ".join(filter(None, (_text_of(item) for item in value if not isinstance(item, list))))
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()
