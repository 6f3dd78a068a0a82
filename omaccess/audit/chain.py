"""The bytes an event's hash covers. Language-neutral, so that anybody can verify an export.

    canonical(event) = the event as JSON after RFC 8785 (JCS): one object, keys sorted by their UTF-16 code units, no
                       white space, UTF-8, only the escapes JSON demands; strings, whole numbers of at most 53 bits,
                       true, false, null, lists, objects - never a fraction. Its keys are COVERED; `at` is UTC as
                       YYYY-MM-DDTHH:MM:SS.ffffffZ, `id` is a UUID in lower case with hyphens.
    hash             = hex SHA-256 of  "sallyport-audit-v1" LF  previous hash (64 hex digits) LF  canonical(event)

The first event's previous hash is 64 zeros.
"""

import datetime as dt
import hashlib
import json
import re
import uuid
from collections.abc import Mapping
from typing import Any

VERSION = b"sallyport-audit-v1"
_LARGEST_NUMBER = 2**53 - 1

COVERED = (
    "position",
    "id",
    "at",
    "kind",
    "actor_id",
    "actor_name",
    "target_type",
    "target_id",
    "target_name",
    "reference",
    "cause",
    "address",
    "browser",
    "request_id",
    "facts",
)
"""Every column but the two hashes."""


def canonical(event: Mapping[str, Any]) -> bytes:
    """The canonical bytes of an event given as a mapping with exactly the keys of COVERED."""
    return _text({name: _plain(event[name]) for name in COVERED}).encode()


def around_position(event: Mapping[str, Any]) -> tuple[str, str]:
    """The canonical text before and after the position, for a database that knows the position and hashes by itself.

    `event` has the keys of COVERED, without the position or with any.
    """
    before = _text({name: _plain(event[name]) for name in COVERED if name < "position"})
    after = _text({name: _plain(event[name]) for name in COVERED if name > "position"})
    return f'{before[:-1]},"position":', f",{after[1:]}"


def event_hash(previous_hash: str, event: Mapping[str, Any]) -> str:
    """Hex SHA-256 over version, the hash before and the canonical bytes."""
    return hashlib.sha256(b"\n".join((VERSION, previous_hash.encode(), canonical(event)))).hexdigest()


def _text(plain: dict[str, Any]) -> str:
    text = _by_code_points(plain)
    if _ASTRAL.search(text):
        # Python sorts by code points, RFC 8785 by UTF-16 units; they differ only above U+FFFF.
        text = _as_is(_by_utf16_units(plain))
    return text


_ASTRAL = re.compile("[\U00010000-\U0010ffff]")
_by_code_points = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode
_as_is = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


def _by_utf16_units(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _by_utf16_units(value[key]) for key in sorted(value, key=_utf16_units)}
    if isinstance(value, list):
        return [_by_utf16_units(item) for item in value]
    return value


def _utf16_units(key: str) -> bytes:
    return key.encode("utf-16-be", "surrogatepass")


def _plain(value: Any) -> Any:
    if isinstance(value, dt.datetime):
        return value.astimezone(dt.UTC).isoformat(timespec="microseconds")[: -len("+00:00")] + "Z"
    if isinstance(value, uuid.UUID):
        return str(value)
    return value


def storable(value: Any) -> Any:
    """A fact as both databases store and return it unchanged.

    NUL and lone surrogates cannot be stored in PostgreSQL; they become U+FFFD. Keys become text. A whole number that
    does not fit in 53 bits becomes its decimal digits, because other languages read JSON numbers as doubles.

    Raises: TypeError for a fraction or any other type, so that a caller notices while writing the code.
    """
    if isinstance(value, str):
        return _storable_text(str(value))
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if abs(value) <= _LARGEST_NUMBER else str(int(value))
    if isinstance(value, dt.datetime | uuid.UUID):
        return _plain(value)
    if isinstance(value, Mapping):
        return {_storable_text(str(key)): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    raise TypeError(f"an audit fact cannot be a {type(value).__name__}")


def _storable_text(text: str) -> str:
    if text.isascii() and "\x00" not in text:
        return text
    text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
