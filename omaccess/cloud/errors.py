"""What Huawei Cloud can do to a caller, one class per kind of trouble.

Every error carries the same facts as attributes, so that a log, an audit or a page never has to parse text.
Nothing in them is a secret: they are cleaned here, once, whoever raises them.

    CloudError
    ├── CloudUnavailable        worth another try
    │   ├── CloudTimeout  CloudConnectionFailed  CloudTlsFailed  CloudServerError  CloudThrottled
    ├── CloudContractBroken     answered, but not in the documented shape
    │   ├── UnreadableAnswer  UnusableLoginUrl  LoginOriginNotAllowed
    ├── CredentialRejected      IAM refused the stored credential
    │   └── AccountLocked
    ├── CloudForbidden          known, but not allowed
    │   ├── ConsoleOnlyUser  UserDisabled  PermissionMissing  ProjectUnavailable  SourceAddressRefused
    ├── TokenRejected           CBH refused the token
    ├── CloudRequestRefused     something we sent does not exist or does not fit
    │   ├── ProjectNotFound  InstanceNotFound  EndpointWrong  InstanceStateForbids  HeadersTooLarge
    ├── OmUrlRefused            status 200 with a state other than SUCCESS
    └── EndpointNotAllowed      refused here, before any connection
"""

from __future__ import annotations

import re
from typing import Any

from omaccess.cloud.types import OmUrlState

DESCRIPTION_LENGTH = 500
CODE_LENGTH = 64
REQUEST_ID_LENGTH = 128

# Also with JSON's escaped and with percent-encoded slashes: a login link must not survive in any costume. A scheme is
# short: were it not, 64 K letters in a row would cost half a minute, with the interpreter's lock held all the while.
_LINK = re.compile(r"[a-z][a-z0-9+.-]{0,30}(?::|%3a)(?:\\*/|%2f){2}[^\s\"'<>]*", re.IGNORECASE)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def clean_text(text: str, length: int) -> str:
    """One line without control characters, direction overrides or links, at most `length` characters."""
    # Cut generously first: a link that would be cut in two must still be seen as one.
    text = _LINK.sub("[link]", _CONTROL.sub(" ", text[: 64 * 1024]))
    return " ".join(text.split())[:length]


class CloudError(Exception):
    """Huawei Cloud did not give what was asked for.

    Attributes:
        service: `"iam"` or `"cbh"`; empty when no service was spoken to.
        status: the HTTP status, None when there was no answer.
        code: upstream's own code, as sent; may be empty.
        description: upstream's own text, cleaned and cut to 500 characters; untrusted, escape before showing.
        request_id: what to quote to Huawei Cloud's support; may be empty.
    """

    def __init__(
        self,
        *,
        service: str,
        status: int | None = None,
        code: str = "",
        description: str = "",
        request_id: str = "",
    ) -> None:
        super().__init__()
        self.service = service
        self.status = status
        self.code = clean_text(code, CODE_LENGTH)
        self.description = clean_text(description, DESCRIPTION_LENGTH)
        self.request_id = clean_text(request_id, REQUEST_ID_LENGTH)

    def __str__(self) -> str:
        # Facts of ours and upstream's identifiers only: free text from outside stays in `description`.
        facts = (self.service, self.status, self.code, self.request_id and f"request {self.request_id}")
        return " ".join([type(self).__name__, *(str(fact) for fact in facts if fact)])

    def __repr__(self) -> str:
        return f"<{self}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only constructors do not pickle by themselves; test runners and task queues do pickle
        # errors.
        return _rebuilt, (type(self), dict(self.__dict__))


def _rebuilt(kind: type[CloudError], state: dict[str, Any]) -> CloudError:
    error = kind.__new__(kind)
    error.__dict__.update(state)
    return error


class CloudUnavailable(CloudError):
    """No usable answer this time; the same request may well work later."""


class CloudTimeout(CloudUnavailable):
    """The deadline passed first."""


class CloudConnectionFailed(CloudUnavailable):
    """The connection could not be made, or broke.

    `sent` is False when it was never established: then nothing reached the cloud and anything may be
    repeated.
    """

    def __init__(self, *, sent: bool, **facts: Any) -> None:
        super().__init__(**facts)
        self.sent = sent


class CloudTlsFailed(CloudUnavailable):
    """The other side could not prove who it is, or TLS broke. Trying again rarely helps."""


class CloudServerError(CloudUnavailable):
    """A 5xx answer."""


class CloudThrottled(CloudUnavailable):
    """A 429 answer. `retry_after_seconds` is what it asked to wait, None when it did not say."""

    def __init__(self, *, retry_after_seconds: float | None, **facts: Any) -> None:
        super().__init__(**facts)
        self.retry_after_seconds = retry_after_seconds


class CloudContractBroken(CloudError):
    """An answer that does not keep to the documentation."""


class UnreadableAnswer(CloudContractBroken):
    """Not JSON, cut short, too large, without a verdict …; `problem` is a slug that says which."""

    def __init__(self, *, problem: str, **facts: Any) -> None:
        super().__init__(**facts)
        self.problem = problem


class UnusableLoginUrl(CloudContractBroken):
    """SUCCESS, but with a link no browser may be sent to; `problem` is a slug that says why."""

    def __init__(self, *, problem: str, **facts: Any) -> None:
        super().__init__(**facts)
        self.problem = problem


class LoginOriginNotAllowed(CloudContractBroken):
    """SUCCESS, but the link leads to an address that is not registered; `origin` is that address."""

    def __init__(self, *, origin: str, **facts: Any) -> None:
        super().__init__(**facts)
        self.origin = origin


class CredentialRejected(CloudError):
    """IAM refused the credential (401). Never repeat it: each try may count towards a lock-out."""


class AccountLocked(CredentialRejected):
    """IAM says the user is locked; nobody can unlock it early."""


class CloudForbidden(CloudError):
    """A 403 that has no more particular class."""


class ConsoleOnlyUser(CloudForbidden):
    """The IAM user has no programmatic access."""


class UserDisabled(CloudForbidden):
    """The IAM user, or its access key's user, is disabled."""


class PermissionMissing(CloudForbidden):
    """The IAM user lacks the permission, for get-om-url `cbh:instance:getOmUrl`."""


class ProjectUnavailable(CloudForbidden):
    """The project exists but cannot be used now (frozen, in arrears)."""


class SourceAddressRefused(CloudForbidden):
    """The gateway does not accept calls from this machine's address."""


class TokenRejected(CloudError):
    """CBH refused the token (401): expired, revoked or for another environment. A fresh one may work."""


class CloudRequestRefused(CloudError):
    """A 4xx that has no more particular class."""


class ProjectNotFound(CloudRequestRefused):
    """The project does not exist for this credential, or the token came without a project."""


class InstanceNotFound(CloudRequestRefused):
    """No CBH instance with this server id in this project."""


class EndpointWrong(CloudRequestRefused):
    """The gateway knows no such API: wrong service or region in the endpoint."""


class InstanceStateForbids(CloudRequestRefused):
    """The CBH instance is in a state (restarting, upgrading …) that forbids the call."""


class HeadersTooLarge(CloudRequestRefused):
    """The gateway found the request's headers, in practice the token, too large."""


class OmUrlRefused(CloudError):
    """Status 200 with a state other than SUCCESS. `raw_state` is the state as sent, cleaned and cut."""

    def __init__(self, *, state: OmUrlState, raw_state: str, **facts: Any) -> None:
        super().__init__(**facts)
        self.state = state
        self.raw_state = clean_text(raw_state, CODE_LENGTH)


class EndpointNotAllowed(CloudError):
    """The endpoint is not one this installation may talk to; nothing was sent. `description` says why."""
