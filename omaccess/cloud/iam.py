"""Tokens from Huawei Cloud IAM, by password.

Talks to `POST /v3/auth/tokens`. If its shape changes, no launch works: every one starts with a token.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from omaccess.cloud.envelopes import http_date, read_json, request_id_of
from omaccess.cloud.errors import CloudUnavailable, ProjectNotFound, UnreadableAnswer, clean_text
from omaccess.cloud.http import Answer, CloudTransport
from omaccess.cloud.refusals import refusal
from omaccess.cloud.retries import is_gateway_trouble, was_never_sent, with_one_more_try
from omaccess.cloud.types import Deadline, IamToken, PasswordCredential, ProjectScope

#: How long a token is trusted whose expiry cannot be read: short, for it may be anything.
FALLBACK_LIFETIME = timedelta(minutes=15)
#: IAM's documented lifetime; a longer claim is not believed.
LONGEST_LIFETIME = timedelta(hours=24)
#: `Date` has whole seconds and travels for a moment: a smaller difference of the clocks is none.
SMALLEST_SKEW = timedelta(seconds=2)

_ROLE_LENGTH = 64
_TOKEN = re.compile(r"[\x21-\x2b\x2d-\x7e]+")  # visible ASCII; a comma would mean two headers joined
_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(?:[.,](\d{1,9}))?\s*(?:(Z)|([+-])(\d{2}):?(\d{2}))?",
    re.ASCII | re.IGNORECASE,
)


class IamClient:
    """One IAM endpoint, global or regional."""

    def __init__(self, transport: CloudTransport, endpoint: str) -> None:
        self._transport = transport
        self._endpoint = endpoint

    def token(self, *, credential: PasswordCredential, scope: ProjectScope, deadline: Deadline) -> IamToken:
        """Exchange the credential for a token of one project.

        One more try is made when nothing was sent, for 502, 503 and 504, and for 429 if the wait fits in the
        deadline. A 401 is never repeated: it may count towards the user's lock-out.

        Raises:
            CredentialRejected: and its AccountLocked; do not try this user again by yourself.
            CloudForbidden: ConsoleOnlyUser, UserDisabled and others: the user is known but may not.
            ProjectNotFound: no such project, or a token that came without one.
            CloudUnavailable: no answer in time, a server's error, throttled.
            CloudContractBroken: an answer that is no token.
            EndpointNotAllowed: nothing was sent.
        Source: IAM API reference, "Obtaining a User Token Through Password Authentication".
        """
        return with_one_more_try(
            lambda: self._exchange(credential, scope, deadline), deadline=deadline, may_repeat=_may_repeat
        )

    def _exchange(self, credential: PasswordCredential, scope: ProjectScope, deadline: Deadline) -> IamToken:
        answer = self._transport.request(
            "POST",
            self._endpoint,
            "/v3/auth/tokens",
            query=[("nocatalog", "true")],
            json=_token_request(credential, scope),
            deadline=deadline,
            service="iam",
            # Some messages quote the value they complain about.
            secrets=(credential.password,),
        )
        if answer.status not in (200, 201):
            raise refusal("iam", answer)
        return _read_token(answer, scope)


def _may_repeat(error: CloudUnavailable) -> bool:
    return was_never_sent(error) or is_gateway_trouble(error)


def _token_request(credential: PasswordCredential, scope: ProjectScope) -> dict[str, Any]:
    user = {
        "name": credential.user_name,
        "password": credential.password,
        "domain": {"name": credential.account_name},
    }
    project = {"id": scope.id} if scope.id else {"name": scope.name}
    return {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": project},
        }
    }


def _read_token(answer: Answer, scope: ProjectScope) -> IamToken:
    """Take the token from its header and everything about it from the body."""
    value = answer.headers.get("X-Subject-Token", "")
    facts: dict[str, Any] = {
        "service": "iam",
        "status": answer.status,
        "request_id": request_id_of(answer.headers, secrets=(*answer.secrets, value)),
    }
    try:
        body = read_json(answer.body)
    except ValueError:
        body = None
    details = body.get("token") if isinstance(body, dict) else None
    if not isinstance(details, dict):
        raise UnreadableAnswer(problem="not_json" if body is None else "no_token", **facts)
    if not _TOKEN.fullmatch(value):
        raise UnreadableAnswer(problem="no_token", **facts)
    project = _object(details.get("project"))
    project_id = _text(project.get("id"))
    if not project_id:
        raise ProjectNotFound(description="The token came without a project.", **facts)
    if scope.id and project_id != scope.id:
        raise UnreadableAnswer(problem="other_project", **facts)
    user = _object(details.get("user"))
    return IamToken(
        value=value,
        project_id=project_id,
        project_name=_text(project.get("name")),
        expires_at=_expires_at(details.get("expires_at"), answer),
        user_id=_text(user.get("id")),
        user_name=_text(user.get("name")),
        request_id=facts["request_id"],
        roles=_roles(details.get("roles")),
    )


def _roles(raw: object) -> tuple[str, ...]:
    """The names, each once; what is not shaped like a role is left out, for nothing is decided by them."""
    names = (_text(_object(role).get("name")) for role in (raw if isinstance(raw, list) else []))
    return tuple(dict.fromkeys(clean_text(name, _ROLE_LENGTH) for name in names if name.strip()))


def _expires_at(raw: object, answer: Answer) -> datetime:
    """The end of the token's life on our clock, in UTC."""
    now = datetime.now(UTC)
    theirs = http_date(answer.headers.get("Date", ""))
    if theirs is None or abs(theirs - now) < SMALLEST_SKEW:
        theirs = now
    moment = parse_moment(raw)
    left = FALLBACK_LIFETIME if moment is None else moment - theirs
    return now + min(left, LONGEST_LIFETIME)


def parse_moment(raw: object) -> datetime | None:
    """A time as IAM writes it, in UTC: 0 to 9 digits of a second, `Z`, an offset, or nothing (UTC). None if
    not one.
    """
    match = _MOMENT.fullmatch(raw.strip()) if isinstance(raw, str) else None
    if match is None:
        return None
    date, time, fraction, _, sign, hours, minutes = match.groups()
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    try:
        moment = datetime.fromisoformat(f"{date}T{time}.{(fraction or '0')[:6]:0<6}")
        return moment.replace(tzinfo=timezone(offset)).astimezone(UTC)
    except (ValueError, OverflowError):  # the 31st of February, hour 25, an offset of a day, the year 0001
        return None


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
