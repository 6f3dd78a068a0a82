"""Which error an HTTP status and upstream's code mean, for both services.

The status decides first; the code refines. Both of IAM's envelopes may carry a refusal of `/v3/auth/tokens`,
and one of them has no code, so IAM's literal messages are recognised too.

Source: IAM API reference, "Error Codes"; CBH API reference, "Error Codes"; API Gateway, "Error Codes".
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from omaccess.cloud.envelopes import ErrorEnvelope, read_error, read_json, request_id_of, retry_after_seconds
from omaccess.cloud.errors import (
    AccountLocked,
    CloudError,
    CloudForbidden,
    CloudRequestRefused,
    CloudServerError,
    CloudThrottled,
    ConsoleOnlyUser,
    CredentialRejected,
    EndpointWrong,
    HeadersTooLarge,
    InstanceNotFound,
    InstanceStateForbids,
    PermissionMissing,
    ProjectNotFound,
    ProjectUnavailable,
    SourceAddressRefused,
    TokenRejected,
    UnreadableAnswer,
    UserDisabled,
)
from omaccess.cloud.http import Answer

# Wherever they come with a status from 400 to 403: a locked or rejected user must never be tried again by
# itself.
_CREDENTIAL_CODES: dict[str, type[CloudError]] = {"IAM.0061": AccountLocked, "IAM.0062": CredentialRejected}

_FORBIDDEN_CODES: dict[str, type[CloudError]] = {
    "IAM.0002": PermissionMissing,
    "IAM.0003": PermissionMissing,
    "IAM.0080": UserDisabled,
    "IAM.0081": ConsoleOnlyUser,
    "IAM.0082": UserDisabled,
    "CBH.10020002": PermissionMissing,
    "APIGW.0302": PermissionMissing,
    "APIGW.0310": ProjectUnavailable,
    "APIGW.0401": SourceAddressRefused,
    "APIGW.0402": SourceAddressRefused,
}
_NOT_FOUND_CODES: dict[str, type[CloudError]] = {
    "APIGW.0101": EndpointWrong,
    "APIGW.0103": EndpointWrong,
    "IAM.0004": ProjectNotFound,
    "CBH.10020001": ProjectNotFound,
}
_REQUEST_CODES: dict[str, type[CloudError]] = {
    "IAM.1109": ProjectNotFound,
    "IAM.0004": ProjectNotFound,
    "CBH.10020001": ProjectNotFound,
    "CBH.10020011": InstanceNotFound,
    "CBH.10027007": InstanceNotFound,
    "CBH.10027011": InstanceStateForbids,
}
# The messages of the table above, as IAM's envelope without codes gives them.
_IAM_MESSAGES = (
    (re.compile(r"\baccount (?:is )?locked\b", re.IGNORECASE), "IAM.0061"),
    (re.compile(r"\bonly supports console access\b", re.IGNORECASE), "IAM.0081"),
    (re.compile(r"\bthe user\b.*\bis disabled\b", re.IGNORECASE), "IAM.0082"),
    (re.compile(r"\bproject information cannot be found\b", re.IGNORECASE), "IAM.1109"),
)
_TOO_LARGE = (431, 494)
_LOOKED_AT = 1000
"""IAM's own messages are shorter; in a long one a pattern with `.*` would cost the square of its length."""


def refusal(service: str, answer: Answer) -> CloudError:
    """The error for an answer that is not a success, with all its facts."""
    envelope = read_error(answer.body, secrets=answer.secrets)
    facts: dict[str, Any] = {
        "service": service,
        "status": answer.status,
        "code": envelope.code,
        "description": envelope.message,
        "request_id": request_id_of(answer.headers, _json_or_none(answer.body), secrets=answer.secrets),
    }
    if not 400 <= answer.status <= 599:
        # A redirect or another success: the text may be anything, also a link, so it is not kept.
        facts |= {"description": "", "code": ""}
        return UnreadableAnswer(problem="redirect" if 300 <= answer.status <= 399 else "status", **facts)
    if answer.status >= 500:
        return CloudServerError(**facts)
    if answer.status == 429:
        wait = retry_after_seconds(answer.headers, now=datetime.now(UTC))
        return CloudThrottled(retry_after_seconds=wait, **facts)
    return _kind(service, answer.status, _code(service, envelope))(**facts)


def _code(service: str, envelope: ErrorEnvelope) -> str:
    code = envelope.family_code
    if service == "iam" and "." not in code:
        for pattern, meant in _IAM_MESSAGES:
            if pattern.search(envelope.message[:_LOOKED_AT]):
                return meant
    return code


def _kind(service: str, status: int, code: str) -> type[CloudError]:
    """The class for a 4xx other than 429."""
    if service == "iam" and status in (400, 401, 403) and code in _CREDENTIAL_CODES:
        return _CREDENTIAL_CODES[code]
    if status == 401:
        return CredentialRejected if service == "iam" else TokenRejected
    if status == 403:
        return _FORBIDDEN_CODES.get(code, CloudForbidden)
    if status == 404:
        return _NOT_FOUND_CODES.get(code, ProjectNotFound if service == "iam" else InstanceNotFound)
    if status in _TOO_LARGE or (status == 413 and code == "APIGW.0201"):
        return HeadersTooLarge
    return _REQUEST_CODES.get(code, CloudRequestRefused)


def _json_or_none(body: bytes) -> object:
    try:
        return read_json(body)
    except ValueError:
        return None
