"""Reading the list of CBH instances: whatever type stands where, an entry is read as far as it can be.

Source: CBH API reference, "Querying CBH Instances" (ListInstances): `{"total": 1, "instance": [{…}]}`, the key of the
array being singular.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from omaccess.cloud.envelopes import hide, read_json, request_id_of
from omaccess.cloud.errors import UnreadableAnswer, clean_text
from omaccess.cloud.http import Answer
from omaccess.cloud.types import CbhInstance

_TEXT_LENGTH = 64
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(frozen=True, slots=True)
class Page:
    """One answer: what it holds, how many entries it counted, and how many there are in all (None: it did not say)."""

    instances: tuple[CbhInstance, ...]
    entries: int
    total: int | None
    request_id: str


def read_page(answer: Answer) -> Page:
    """Raises: UnreadableAnswer when there is no list in it."""
    facts: dict[str, Any] = {
        "service": "cbh",
        "status": answer.status,
        "request_id": request_id_of(answer.headers, secrets=answer.secrets),
    }
    try:
        # Some answers repeat what they were sent; no name on a page may be a token.
        body = read_json(hide(answer.body.decode("utf-8-sig"), answer.secrets).encode())
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise UnreadableAnswer(problem="not_json", **facts)
    entries = body.get("instance")
    if entries is None and "instance" in body:
        entries = []  # how some servers write an empty list
    if not isinstance(entries, list):
        raise UnreadableAnswer(problem="no_list", **facts)
    found = tuple(_instance(entry) for entry in entries if isinstance(entry, dict))
    request_id = request_id_of(answer.headers, body, secrets=answer.secrets)
    return Page(found, len(entries), _number(body.get("total")), request_id)


def _instance(entry: dict[str, Any]) -> CbhInstance:
    status, network, ha = (_object(entry.get(key)) for key in ("status_info", "network", "ha_info"))
    return CbhInstance(
        name=_text(entry.get("name")),
        server_id=_id(entry.get("server_id")),
        instance_id=_id(entry.get("instance_id")),
        region=_text(_object(entry.get("az_info")).get("region")),
        status=_text(status.get("status")),
        task_status=_text(status.get("task_status")),
        instance_status=_text(status.get("instance_status")),
        version=_text(entry.get("bastion_version")),
        public_ip=_address(network.get("public_ip")),
        private_ip=_address(network.get("private_ip")),
        vip=_address(network.get("vip")),
        web_port=_port(network.get("web_port")),
        ha_id=_id(ha.get("ha_id")),
        ha_role=_text(ha.get("instance_type")).lower(),
    )


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    """A text or a whole number, cleaned and cut. Blanks stand for nothing: so the service writes some of its fields."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return ""
    return clean_text(str(value), _TEXT_LENGTH)


def _id(value: object) -> str:
    text = _text(value)
    return text if _ID.fullmatch(text) else ""


def _address(value: object) -> str:
    try:
        return ipaddress.ip_address(_text(value)).compressed
    except ValueError:
        return ""


def _number(value: object) -> int | None:
    text = _text(value)
    return int(text) if text.isascii() and text.isdecimal() else None


def _port(value: object) -> int | None:
    number = _number(value)
    return number if number is not None and 1 <= number <= 65535 else None
