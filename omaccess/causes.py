"""Why a launch did not open: one name for each documented outcome and each fault of the way there."""

from enum import StrEnum
from typing import Any

from omaccess.cloud import errors as cloud
from omaccess.cloud.types import OmUrlState
from omaccess.errors import CredentialBlocked, CredentialUnusable, NotAllowed
from omaccess.models.launches import LaunchState


class Cause(StrEnum):
    """Stable names: they stand in the audit. Add, never rename."""

    # the portal's own decision
    NO_GRANT = "no_grant"
    GRANT_NOT_YET = "grant_not_yet"
    GRANT_ENDED = "grant_ended"
    GRANT_REVOKED = "grant_revoked"
    STEP_UP_NEEDED = "step_up_needed"
    INSTANCE_DISABLED = "instance_disabled"
    HOST_DISABLED = "host_disabled"
    ACCOUNT_DISABLED = "account_disabled"
    PERSON_DISABLED = "person_disabled"
    SESSION_ENDED = "session_ended"
    DECISION_CHANGED = "decision_changed"
    TOO_MANY_LAUNCHES = "too_many_launches"

    # the stored credential
    CREDENTIAL_WITHOUT_SECRET = "credential_without_secret"  # noqa: S105
    CREDENTIAL_DISABLED = "credential_disabled"
    CREDENTIAL_NOT_FOR_LAUNCHES = "credential_not_for_launches"
    SECRET_UNREADABLE = "secret_unreadable"  # noqa: S105
    CREDENTIAL_REJECTED = "credential_rejected"
    CREDENTIAL_LOCKED = "credential_locked"
    CREDENTIAL_BLOCKED = "credential_blocked"
    CONSOLE_ONLY_USER = "console_only_user"
    IAM_USER_DISABLED = "iam_user_disabled"
    IAM_FORBIDDEN = "iam_forbidden"
    PERMISSION_MISSING = "permission_missing"
    TOKEN_REJECTED = "token_rejected"  # noqa: S105

    # states of get-om-url
    HOST_NOT_MANAGED = "host_not_managed"
    HOST_ACCOUNT_UNKNOWN = "host_account_unknown"
    IAM_USER_NO_PERMISSION = "iam_user_no_permission"
    IAM_USER_CONFLICT = "iam_user_conflict"
    VERSION_TOO_OLD = "version_too_old"
    TRUSTLIST_INITIALISING = "trustlist_initialising"
    UPSTREAM_UNKNOWN_ERROR = "upstream_unknown_error"
    STATE_UNRECOGNISED = "state_unrecognised"

    # the set-up of the instance
    PROJECT_NOT_FOUND = "project_not_found"
    PROJECT_UNAVAILABLE = "project_unavailable"
    INSTANCE_NOT_FOUND = "instance_not_found"
    INSTANCE_STATE_FORBIDS = "instance_state_forbids"
    ENDPOINT_WRONG = "endpoint_wrong"
    ENDPOINT_NOT_ALLOWED = "endpoint_not_allowed"
    SOURCE_ADDRESS_REFUSED = "source_address_refused"
    REQUEST_REFUSED = "request_refused"
    HEADERS_TOO_LARGE = "headers_too_large"
    LOGIN_ADDRESS_UNKNOWN = "login_address_unknown"

    # no usable answer
    CLOUD_TIMEOUT = "cloud_timeout"
    CLOUD_UNREACHABLE = "cloud_unreachable"
    CLOUD_TLS = "cloud_tls"
    CLOUD_SERVER_ERROR = "cloud_server_error"
    CLOUD_THROTTLED = "cloud_throttled"
    ANSWER_UNREADABLE = "answer_unreadable"
    LINK_UNUSABLE = "link_unusable"

    # the portal itself
    BUSY = "busy"
    OUT_OF_ATTEMPTS = "out_of_attempts"
    ABANDONED = "abandoned"


_STATES: dict[OmUrlState, Cause] = {
    OmUrlState.HOST_NOT_MANAGE: Cause.HOST_NOT_MANAGED,
    OmUrlState.HOST_ACCOUNT_NOT_EXIST: Cause.HOST_ACCOUNT_UNKNOWN,
    OmUrlState.IAM_USER_NO_PERMISSION: Cause.IAM_USER_NO_PERMISSION,
    OmUrlState.IAM_USER_CONFLICT: Cause.IAM_USER_CONFLICT,
    OmUrlState.CUR_VERSION_NOT_SUPPORT_OPERATION: Cause.VERSION_TOO_OLD,
    OmUrlState.INS_WHITE_LIST_INITIALIZING: Cause.TRUSTLIST_INITIALISING,
    OmUrlState.UNKNOWN_ERROR: Cause.UPSTREAM_UNKNOWN_ERROR,
    OmUrlState.UNRECOGNISED: Cause.STATE_UNRECOGNISED,
}

# From the narrow to the wide: the first class that fits names the cause.
_ERRORS: tuple[tuple[type[Exception], Cause], ...] = (
    (CredentialBlocked, Cause.CREDENTIAL_BLOCKED),
    (cloud.AccountLocked, Cause.CREDENTIAL_LOCKED),
    (cloud.CredentialRejected, Cause.CREDENTIAL_REJECTED),
    (cloud.ConsoleOnlyUser, Cause.CONSOLE_ONLY_USER),
    (cloud.UserDisabled, Cause.IAM_USER_DISABLED),
    (cloud.ProjectUnavailable, Cause.PROJECT_UNAVAILABLE),
    (cloud.SourceAddressRefused, Cause.SOURCE_ADDRESS_REFUSED),
    (cloud.TokenRejected, Cause.TOKEN_REJECTED),
    (cloud.ProjectNotFound, Cause.PROJECT_NOT_FOUND),
    (cloud.InstanceNotFound, Cause.INSTANCE_NOT_FOUND),
    (cloud.InstanceStateForbids, Cause.INSTANCE_STATE_FORBIDS),
    (cloud.EndpointWrong, Cause.ENDPOINT_WRONG),
    (cloud.HeadersTooLarge, Cause.HEADERS_TOO_LARGE),
    (cloud.CloudRequestRefused, Cause.REQUEST_REFUSED),
    (cloud.EndpointNotAllowed, Cause.ENDPOINT_NOT_ALLOWED),
    (cloud.LoginOriginNotAllowed, Cause.LOGIN_ADDRESS_UNKNOWN),
    (cloud.UnusableLoginUrl, Cause.LINK_UNUSABLE),
    (cloud.CloudContractBroken, Cause.ANSWER_UNREADABLE),
    (cloud.CloudTimeout, Cause.CLOUD_TIMEOUT),
    (cloud.CloudTlsFailed, Cause.CLOUD_TLS),
    (cloud.CloudConnectionFailed, Cause.CLOUD_UNREACHABLE),
    (cloud.CloudThrottled, Cause.CLOUD_THROTTLED),
    (cloud.CloudUnavailable, Cause.CLOUD_SERVER_ERROR),
)


def cause_of(error: Exception) -> Cause:
    """The entry of the catalogue for an exception: the only place where one becomes the other.

    Raises: TypeError for an exception that is not part of a launch; that is a bug, not a cause.
    """
    if isinstance(error, NotAllowed | CredentialUnusable):
        return error.cause
    if isinstance(error, cloud.OmUrlRefused):
        return _STATES[error.state]
    if isinstance(error, cloud.CloudForbidden):
        for kind, cause in _ERRORS:
            if isinstance(error, kind):
                return cause
        # CBH judges the permission; IAM's own 403 speaks of the exchange.
        return Cause.IAM_FORBIDDEN if error.service == "iam" else Cause.PERMISSION_MISSING
    for kind, cause in _ERRORS:
        if isinstance(error, kind):
            return cause
    raise TypeError(f"{type(error).__name__} has no cause")


def state_of(error: Exception) -> LaunchState:
    """How a launch ends by this error: refused when the cloud (or the credential) said no, failed otherwise."""
    no = (
        cloud.OmUrlRefused,
        cloud.CloudForbidden,
        cloud.CredentialRejected,
        cloud.TokenRejected,
        cloud.CloudRequestRefused,
        CredentialUnusable,
        CredentialBlocked,
    )
    return LaunchState.REFUSED if isinstance(error, no) else LaunchState.FAILED


def upstream_of(error: Exception) -> dict[str, Any]:
    """What the cloud said of itself, cut to the launch's columns, whose names but one are also the event's keys.

    Nothing for an error that is not the cloud's.
    """
    if not isinstance(error, cloud.CloudError):
        return {}
    problem = str(getattr(error, "problem", ""))
    facts: dict[str, Any] = {
        "upstream_code": error.code[:64],
        "upstream_description": (error.description or problem)[:500],
        "upstream_request_id": error.request_id[:64],
    }
    if isinstance(error, cloud.OmUrlRefused):
        facts["upstream_state"] = error.raw_state[:64]
    if isinstance(error, cloud.LoginOriginNotAllowed):
        facts["login_origin"] = error.origin[:255]
    if isinstance(error, cloud.CloudThrottled) and error.retry_after_seconds is not None:
        facts["retry_after_seconds"] = min(86_400, int(error.retry_after_seconds) + 1)
    return facts
