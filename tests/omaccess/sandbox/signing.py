"""A client's side of SDK-HMAC-SHA256, written from the reference and sharing nothing with the product."""

from __future__ import annotations

import hashlib
import hmac
import string
from collections.abc import Mapping
from datetime import UTC, datetime

BARE = set((string.ascii_letters + string.digits + "-_.~").encode())
Query = list[tuple[str, str]]


def percent(text: str) -> str:
    return "".join(chr(byte) if byte in BARE else f"%{byte:02X}" for byte in text.encode())


def encoded_query(query: Query) -> str:
    return "&".join(f"{percent(name)}={percent(value)}" for name, value in sorted(query))


def sdk_date(moment: datetime | None = None) -> str:
    return (moment or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")


def signed(
    key: tuple[str, str],
    method: str,
    host: str,
    path: str,
    query: Query | None = None,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    unsigned_names: tuple[str, ...] = (),
) -> dict[str, str]:
    """The headers of a signed request, all of them signed but those of `unsigned_names`."""
    access, secret = key
    sent = {"Host": host, "X-Sdk-Date": sdk_date(), **(headers or {})}
    block = {name.lower(): value.strip() for name, value in sent.items() if name.lower() not in unsigned_names}
    names = ";".join(sorted(block))
    payload = sent.get("X-Sdk-Content-Sha256") if body else None
    canonical = method + "\n"
    canonical += "/".join(percent(segment) for segment in path.split("/")) + ("" if path.endswith("/") else "/") + "\n"
    canonical += encoded_query(query or []) + "\n"
    for name in sorted(block):
        canonical += f"{name}:{block[name]}\n"
    canonical += f"\n{names}\n{payload or hashlib.sha256(body).hexdigest()}"
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    message = f"SDK-HMAC-SHA256\n{sent['X-Sdk-Date']}\n{digest}"
    proof = hmac.new(secret.encode(), message.encode(), "sha256").hexdigest()
    sent["Authorization"] = f"SDK-HMAC-SHA256 Access={access}, SignedHeaders={names}, Signature={proof}"
    return sent
