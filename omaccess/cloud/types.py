"""What the cloud client takes and gives: plain, frozen, with secrets kept out of every repr."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NoReturn, Self


class NotPickled:
    """For values that hold a secret: a repr hides it, a pickle in a cache, a queue or a file would not."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError(f"{type(self).__name__} holds a secret and is not pickled or copied.")


@dataclass(frozen=True, slots=True)
class Deadline:
    """The moment by which a whole piece of work must be over, on the monotonic clock.

    One deadline is handed down through every call of a launch, so that several slow steps cannot add up.
    """

    ends_at: float

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The deadline `seconds` from now; zero or less has passed already."""
        return cls(time.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.ends_at - time.monotonic())

    @property
    def expired(self) -> bool:
        return self.remaining() <= 0.0


@dataclass(frozen=True, slots=True)
class PasswordCredential(NotPickled):
    """An IAM user with a password. `account_name` is what IAM calls the domain that owns the user."""

    account_name: str
    user_name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ProjectScope:
    """The project a token is for: by its id, or by its name (the region, for the built-in project).

    Raises:
        ValueError: neither or both are given.
    """

    id: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        if bool(self.id) == bool(self.name):
            raise ValueError("A project scope needs either the project's id or its name.")


@dataclass(frozen=True, slots=True)
class IamToken(NotPickled):
    """A token scoped to one project. `value` is a secret of unbounded length (9 KB is normal).

    `expires_at` is UTC on this machine's clock: the cloud's own clock is allowed to differ. `roles` are the names of
    what the IAM user may do, as the exchange's answer said; whoever keeps a token does not keep them, so they are no
    part of what makes two tokens equal.
    """

    value: str = field(repr=False)
    project_id: str
    project_name: str
    expires_at: datetime
    user_id: str
    user_name: str
    request_id: str
    roles: tuple[str, ...] = field(default=(), compare=False)


class OmUrlState(StrEnum):
    """The verdict of get-om-url. A refusal also arrives with status 200, so this alone decides.

    Source: CBH API reference, "Obtaining an O&M URL" (ShowOmUrl): names on the wire, numbers in the prose.
    """

    SUCCESS = "SUCCESS"
    HOST_NOT_MANAGE = "HOST_NOT_MANAGE"
    HOST_ACCOUNT_NOT_EXIST = "HOST_ACCOUNT_NOT_EXIST"
    IAM_USER_NO_PERMISSION = "IAM_USER_NO_PERMISSION"
    IAM_USER_CONFLICT = "IAM_USER_CONFLICT"
    CUR_VERSION_NOT_SUPPORT_OPERATION = "CUR_VERSION_NOT_SUPPORT_OPERATION"
    INS_WHITE_LIST_INITIALIZING = "INS_WHITE_LIST_INITIALIZING"
    UNKNOWN_ERROR = "UNKNOWN_ERROR"
    UNRECOGNISED = "UNRECOGNISED"

    @classmethod
    def parse(cls, raw: object) -> OmUrlState:
        """Read a state in any spelling seen: `1016`, `"1016"`, `" success "`, `"SUCCESS(0)"`,
        `"#SUCCESS(0)"`.

        Anything else that says something is UNRECOGNISED, also a name beside somebody else's number: a state
        that contradicts itself must never count as success.

        Raises:
            ValueError: `raw` says nothing (null, blank) or is not a text or number at all.
        """
        if isinstance(raw, bool) or not isinstance(raw, str | int | float):
            # One error for "says nothing", whatever its type: callers have one way to treat it.
            raise ValueError("The state is missing or is neither a text nor a number.")  # noqa: TRY004
        text = str(int(raw) if isinstance(raw, float) and raw.is_integer() else raw).strip()
        if not text:
            raise ValueError("The state is blank.")
        match = _SPELLING.fullmatch(text.upper())
        if match is None:
            return cls.UNRECOGNISED
        if match["bare"]:
            return _STATES_BY_NUMBER.get(int(match["bare"]), cls.UNRECOGNISED)
        state = _STATES_BY_NAME.get(match["name"], cls.UNRECOGNISED)
        if match["number"] and _STATES_BY_NUMBER.get(int(match["number"])) is not state:
            return cls.UNRECOGNISED
        return state


# A name, a number, or both as the documentation prints them; "#" is its list marker, full-width brackets are
# what its Chinese edition uses.
_SPELLING = re.compile(
    r"#?\s*(?:(?P<name>[A-Z][A-Z0-9_]*)\s*(?:[(\uff08]\s*(?P<number>[0-9]{1,9})\s*[)\uff09])?|(?P<bare>[0-9]{1,9}))"
)

_STATES_BY_NUMBER = {
    0: OmUrlState.SUCCESS,
    1: OmUrlState.HOST_NOT_MANAGE,
    553: OmUrlState.HOST_ACCOUNT_NOT_EXIST,
    901: OmUrlState.IAM_USER_NO_PERMISSION,
    1016: OmUrlState.IAM_USER_CONFLICT,
    9001: OmUrlState.CUR_VERSION_NOT_SUPPORT_OPERATION,
    9002: OmUrlState.INS_WHITE_LIST_INITIALIZING,
    9003: OmUrlState.UNKNOWN_ERROR,
}
_STATES_BY_NAME = {state.value: state for state in _STATES_BY_NUMBER.values()}


@dataclass(frozen=True, slots=True)
class OmUrl(NotPickled):
    """A link that opens a session on one host. `value` is a secret: never log, store or render it.

    `origin` (canonical `scheme://host[:port]`) is what may be kept of it. `upstream_state` is the state as
    sent.
    """

    value: str = field(repr=False)
    origin: str
    request_id: str
    upstream_state: str


@dataclass(frozen=True, slots=True)
class CbhInstance:
    """One CBH instance as the list tells it. Every text is cleaned and cut; what was no id or address is empty.

    `server_id` is what get-om-url asks for; `instance_id` is another id of the same instance. Of a pair, master and
    slave are listed each, with one `ha_id`; `vip` is the address that moves between them. `web_port` is None when the
    list gives none.
    """

    name: str
    server_id: str
    instance_id: str
    region: str
    status: str
    task_status: str
    instance_status: str
    version: str
    public_ip: str
    private_ip: str
    vip: str
    web_port: int | None
    ha_id: str
    ha_role: str


@dataclass(frozen=True, slots=True)
class CbhInstanceList:
    """The instances of one project; `is_cut` when the cloud has more than are ever read."""

    instances: tuple[CbhInstance, ...]
    is_cut: bool
    request_id: str
