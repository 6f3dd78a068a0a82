"""The audit's format once more, written from its description and sharing no code with the product."""

from __future__ import annotations

import hashlib
from typing import Any

_SHORT = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def jcs(value: Any) -> str:
    """RFC 8785 for everything but fractions."""
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, int):
        return f"{value:d}"
    if isinstance(value, str):
        return '"' + "".join(_escaped(char) for char in value) + '"'
    if isinstance(value, list):
        return "[" + ",".join(jcs(item) for item in value) + "]"
    assert isinstance(value, dict)
    keys = sorted(value, key=_units)
    return "{" + ",".join(f"{jcs(key)}:{jcs(value[key])}" for key in keys) + "}"


def sha256_of(previous_hash: str, canonical: bytes) -> str:
    return hashlib.sha256(b"sallyport-audit-v1\n" + previous_hash.encode() + b"\n" + canonical).hexdigest()


def _escaped(char: str) -> str:
    code = ord(char)
    return _SHORT.get(code) or (f"\\u{code:04x}" if code < 32 else char)


def _units(text: str) -> list[int]:
    units: list[int] = []
    for char in text:
        code = ord(char)
        if code > 0xFFFF:
            code -= 0x10000
            units += [0xD800 + (code >> 10), 0xDC00 + (code & 0x3FF)]
        else:
            units.append(code)
    return units
