"""The control interface from another process."""

from __future__ import annotations

import http.client
import json
from typing import Final
from urllib.parse import quote, urlencode, urlsplit

_SECONDS: Final = 70.0
"""Longer than the longest wait the interface grants."""


class ControlRefused(Exception):
    """The sandbox did not carry out a control request; the text is its reason."""


class SandboxControl:
    """Changes a running sandbox over HTTP; offers what `control.Control` offers in the same process."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port
        self._token = token

    def add_fault(self, call: str, *, times: int | None = 1, **fault: object) -> None:
        self._send("POST", "faults", {"call": call, "times": times, "fault": fault})

    def clear_faults(self) -> None:
        self._send("DELETE", "faults")

    def release(self, call: str = "*") -> int:
        return int(str(self._send("POST", "release", {"call": call})["released"]))

    def counters(self) -> dict[str, int]:
        """Calls received, by name; only names that were called."""
        return self._numbers("received")

    def most_in_flight(self) -> dict[str, int]:
        return self._numbers("most_in_flight")

    def held(self) -> dict[str, int]:
        return self._numbers("held")

    def calls(self, call: str = "*") -> list[dict[str, object]]:
        found = self._send("GET", f"calls?call={quote(call)}")["calls"]
        return list(found) if isinstance(found, list) else []

    def wait(self, call: str, *, received: int = 0, held: int = 0, seconds: int = 10) -> bool:
        query = urlencode({"call": call, "received": received, "held": held, "seconds": seconds})
        return self._send("GET", f"wait?{query}")["reached"] is True

    def revoke_tokens(self, *, account: str = "", user: str = "") -> int:
        return int(str(self._send("POST", "tokens/revoke", {"account": account, "user": user})["tokens"]))

    def expire_tokens(self, *, account: str = "", user: str = "") -> int:
        return int(str(self._send("POST", "tokens/expire", {"account": account, "user": user})["tokens"]))

    def edit_user(self, account: str, user: str, **changes: object) -> None:
        """`password`, `enabled`, `programmatic_access`, `permissions` (a list)."""
        self._send("POST", "users", {"account": account, "user": user, **changes})

    def advance_clock(self, seconds: float) -> None:
        self._send("POST", "clock", {"advance_seconds": seconds})

    def reset(self) -> None:
        self._send("POST", "reset")

    def _numbers(self, key: str) -> dict[str, int]:
        counted = self._send("GET", "counters")[key]
        return dict(counted) if isinstance(counted, dict) else {}

    def _send(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """One request on a connection of its own.

        Raises:
            ControlRefused: the sandbox said no.
            OSError: the sandbox cannot be reached.
        """
        connection = http.client.HTTPConnection(self._host, self._port, timeout=_SECONDS)
        headers = {"X-Sandbox-Token": self._token, "Content-Type": "application/json"}
        try:
            connection.request(method, f"/_sandbox/{path}", json.dumps(body or {}), headers)
            response = connection.getresponse()
            answer = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ControlRefused(f"{response.status}: {answer.get('error', 'no reason given')}")
        return dict(answer)
