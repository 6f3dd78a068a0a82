"""Changing the sandbox while it runs: for tests in the same process directly, for others over HTTP.

The HTTP interface exists only when a token was given to the application. It answers loopback peers that
present the token, and refuses whatever a browser may have sent: a page on the evaluator's machine must not
reach it.

| Request (below `/_sandbox/`) | Body or query | Does |
|---|---|---|
| `POST faults` | `{"call": "cbh.om_url", "times": 1, "fault": {…}}` | so many calls (null: all) have it |
| `GET faults`, `DELETE faults` | | list, clear (which also releases held calls) |
| `POST release` | `{"call": "*"}` | let held calls go on |
| `GET counters` | | calls received, in flight, at most in flight, held, outcomes |
| `GET wait` | `?call=…&received=…&held=…&seconds=…` | answers when that many calls arrived or are held |
| `GET calls` | `?call=…` | the latest calls: method, path, query, harmless headers, connection |
| `POST tokens/revoke`, `POST tokens/expire` | `{"account": "", "user": ""}` | blank means any |
| `POST users` | `{"account": …, "user": …, "password": …}`, or other facts of `edit_user` | change a user |
| `POST clock` | `{"advance_seconds": 3600}` | move the sandbox's time |
| `POST reset` | | back to the world file |
"""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
import json
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from werkzeug.wrappers import Request, Response

from omaccess.sandbox.callbook import CallRecord
from omaccess.sandbox.faults import Fault
from omaccess.sandbox.replies import json_reply
from omaccess.sandbox.simulation import Simulation, belonging_to
from omaccess.sandbox.tables import Table, TableError
from omaccess.sandbox.world import IamUser

_LONGEST_WAIT: Final = 60.0
_BROWSER_HEADERS: Final = ("Origin", "Referer", "Cookie")


class Control:
    """What tests may do to a running sandbox. `SandboxControl` offers the same over HTTP."""

    def __init__(self, cloud: Simulation) -> None:
        self._cloud = cloud

    def add_fault(self, call: str, *, times: int | None = 1, **fault: object) -> None:
        """Let the next `times` calls (None: all) have a fault; its fields are those of `faults.Fault`.

        Raises:
            TableError: an unknown call or field, or an unusable value.
        """
        self._cloud.faults.add(call, Fault.from_mapping(fault), times=times)

    def clear_faults(self) -> None:
        """Forget all faults and release held calls."""
        self._cloud.faults.clear()
        self._cloud.book.release()

    def pending_faults(self) -> list[dict[str, object]]:
        return self._cloud.faults.pending()

    def release(self, call: str = "*") -> int:
        """Let held calls go on; returns how many there were. Calls that arrive later are held again."""
        return self._cloud.book.release(call)

    def counters(self) -> dict[str, int]:
        """Calls received, by name (`iam.token`, `cbh.om_url`, …); never-called names read as 0."""
        return self._cloud.book.counters()

    def in_flight(self) -> dict[str, int]:
        return self._cloud.book.in_flight()

    def most_in_flight(self) -> dict[str, int]:
        """The most calls of one name that were being answered at the same time."""
        return self._cloud.book.most_in_flight()

    def held(self) -> dict[str, int]:
        return self._cloud.book.held()

    def statuses(self) -> dict[str, dict[str, int]]:
        """How calls ended: name → HTTP status as text, or `dropped` → count."""
        return self._cloud.book.statuses()

    def calls(self, call: str = "*") -> list[CallRecord]:
        """The latest calls, oldest first."""
        return self._cloud.book.calls(call)

    def wait(self, call: str, *, received: int = 0, held: int = 0, seconds: float = 10) -> bool:
        """Wait until that many calls have arrived and are held; False when the time is up first."""
        return self._cloud.book.wait(call, received=received, held=held, seconds=min(seconds, _LONGEST_WAIT))

    def revoke_tokens(self, *, account: str = "", user: str = "") -> int:
        """Invalidate tokens as IAM does after a change of the user; returns how many."""
        return self._cloud.tokens.revoke(belonging_to(account, user))

    def expire_tokens(self, *, account: str = "", user: str = "") -> int:
        """Let tokens count as expired although their answer promised longer; returns how many."""
        return self._cloud.tokens.expire(belonging_to(account, user))

    def edit_user(
        self,
        account: str,
        user: str,
        *,
        password: str | None = None,
        enabled: bool | None = None,
        programmatic_access: bool | None = None,
        permissions: tuple[str, ...] | None = None,
    ) -> IamUser:
        """Change a user as its administrator would. Its tokens die at once.

        (IAM allows itself up to 30 minutes for that; a test that needs the delay revokes tokens by itself.)

        Raises:
            KeyError: there is no such user.
        """
        edited = self._cloud.users.edit(
            account,
            user,
            password=password,
            enabled=enabled,
            programmatic_access=programmatic_access,
            permissions=permissions,
        )
        self._cloud.revoke_tokens_of(account, user)
        return edited

    def advance_clock(self, seconds: float) -> None:
        """Move the sandbox's time: tokens, lockouts, trustlists, login URLs and the Date header follow."""
        self._cloud.clock.advance(seconds)

    def reset(self) -> None:
        """Return to the world file: no faults, counters, tokens, lockouts or edits."""
        self._cloud.reset()


class ControlInterface:
    """The HTTP side of `Control`."""

    def __init__(self, control: Control, token: str) -> None:
        self._control = control
        self._token = token.encode()
        self._routes: dict[tuple[str, str], Callable[[Table], object]] = {
            ("POST", "faults"): self._add_fault,
            ("GET", "faults"): lambda table: {"faults": control.pending_faults()},
            ("DELETE", "faults"): lambda table: control.clear_faults(),
            ("POST", "release"): lambda table: {"released": control.release(table.text("call", "*"))},
            ("GET", "counters"): lambda table: self._counters(),
            ("GET", "calls"): lambda table: {
                "calls": [dataclasses.asdict(record) for record in control.calls(table.text("call", "*"))]
            },
            ("GET", "wait"): self._wait,
            ("POST", "tokens/revoke"): lambda table: {"tokens": control.revoke_tokens(**_whose(table))},
            ("POST", "tokens/expire"): lambda table: {"tokens": control.expire_tokens(**_whose(table))},
            ("POST", "users"): self._edit_user,
            ("POST", "clock"): self._advance_clock,
            ("POST", "reset"): lambda table: control.reset(),
        }

    def answer(self, request: Request) -> Response:
        """Carry out one request, or say why not."""
        problem = self._objection(request)
        if problem:
            return json_reply({"error": problem}, 403)
        route = self._routes.get((request.method, request.path.removeprefix("/_sandbox/")))
        if route is None:
            return json_reply({"error": "no such control call"}, 404)
        try:
            table = Table(_input(request), "request")
            result = route(table)
            table.finish()
        except TableError as error:
            return json_reply({"error": str(error)}, 422)
        except KeyError as error:
            return json_reply({"error": f"no such user: {error.args[0]}"}, 404)
        return json_reply({} if result is None else result)

    def _objection(self, request: Request) -> str:
        """Why this request must not be served; blank when it may."""
        if not _is_loopback(request.remote_addr or ""):
            return "the control interface answers this machine only"
        if not _is_loopback(urlsplit(f"//{request.host}").hostname or ""):
            return "the control interface is addressed by a loopback address"  # a rebound DNS name otherwise
        names = [name.lower() for name in request.headers.keys()]  # noqa: SIM118 - not a dict
        if any(name in request.headers for name in _BROWSER_HEADERS) or any(name.startswith("sec-") for name in names):
            return "the control interface does not answer browsers"
        given = request.headers.get("X-Sandbox-Token", "").encode("utf-8", "surrogateescape")
        return "" if hmac.compare_digest(given, self._token) else "the control token is missing or wrong"

    def _add_fault(self, table: Table) -> None:
        times = table.raw("times", 1)
        if times is not None:
            times = table.integer("times", 1, least=1, most=1_000_000)
        fault = table.raw("fault")
        call = table.text("call")
        table.finish()
        if not isinstance(fault, Mapping):
            raise table.fail("fault", "must be an object")
        self._control.add_fault(call, times=times, **fault)

    def _counters(self) -> dict[str, object]:
        return {
            "received": self._control.counters(),
            "in_flight": self._control.in_flight(),
            "most_in_flight": self._control.most_in_flight(),
            "held": self._control.held(),
            "statuses": self._control.statuses(),
        }

    def _wait(self, table: Table) -> dict[str, object]:
        numbers = {}
        for name, default in (("received", "0"), ("held", "0"), ("seconds", "10")):
            text = table.text(name, default, longest=9)
            if not (text.isascii() and text.isdigit()):
                raise table.fail(name, "must be a whole number")
            numbers[name] = int(text)
        call = table.text("call")
        table.finish()
        reached = self._control.wait(
            call, received=numbers["received"], held=numbers["held"], seconds=numbers["seconds"]
        )
        return {"reached": reached}

    def _edit_user(self, table: Table) -> None:
        account, user = table.text("account"), table.text("user")
        password = table.optional_text("password")
        enabled = table.flag("enabled") if table.has("enabled") else None
        programmatic = table.flag("programmatic_access") if table.has("programmatic_access") else None
        permissions = table.texts("permissions") if table.has("permissions") else None
        table.finish()
        self._control.edit_user(
            account,
            user,
            password=password,
            enabled=enabled,
            programmatic_access=programmatic,
            permissions=permissions,
        )

    def _advance_clock(self, table: Table) -> None:
        seconds = table.number("advance_seconds", least=-1_000_000_000, most=1_000_000_000)
        table.finish()
        self._control.advance_clock(seconds)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _whose(table: Table) -> dict[str, str]:
    whose = {key: table.text(key, "", empty=True) for key in ("account", "user")}
    table.finish()
    return whose


def _input(request: Request) -> object:
    """The JSON body of a POST, the query of anything else.

    Raises:
        TableError: the body is not JSON.
    """
    if request.method != "POST":
        return request.args.to_dict()
    raw = request.get_data()
    try:
        return json.loads(raw) if raw else {}
    except (ValueError, RecursionError) as error:
        raise TableError("request: the body is not JSON") from error
