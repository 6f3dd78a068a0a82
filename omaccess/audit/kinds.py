"""What an audit event can say: `subject:action`, as text. One small template each in templates/omaccess/audit/."""

from enum import StrEnum


class Kind(StrEnum):
    LAUNCH_REQUESTED = "launch:requested"
    LAUNCH_DENIED = "launch:denied"
    LAUNCH_WAITING = "launch:waiting"
    LAUNCH_OPENED = "launch:opened"
    LAUNCH_REFUSED = "launch:refused"
    LAUNCH_FAILED = "launch:failed"
    LAUNCH_ABANDONED = "launch:abandoned"

    TEST_REQUESTED = "test:requested"
    TEST_SUCCEEDED = "test:succeeded"
    TEST_REFUSED = "test:refused"
    TEST_FAILED = "test:failed"

    GRANT_CREATED = "grant:created"
    GRANT_CHANGED = "grant:changed"
    GRANT_REVOKED = "grant:revoked"
    CHANGE_REFUSED = "change:refused"

    INSTANCE_CREATED = "instance:created"
    INSTANCE_CHANGED = "instance:changed"
    HOST_CREATED = "host:created"
    HOST_CHANGED = "host:changed"
    CREDENTIAL_CREATED = "credential:created"
    CREDENTIAL_CHANGED = "credential:changed"
    CREDENTIAL_SECRET_REPLACED = "credential:secret_replaced"  # noqa: S105 - a kind of event, not a secret
    CREDENTIAL_VERIFY_REQUESTED = "credential:verify_requested"
    CREDENTIAL_VERIFY_PUT_OFF = "credential:verify_put_off"
    CREDENTIAL_VERIFIED = "credential:verified"
    CREDENTIAL_VERIFY_FAILED = "credential:verify_failed"
    CREDENTIAL_LIST_REQUESTED = "credential:list_requested"
    CREDENTIAL_LISTED = "credential:listed"
    CREDENTIAL_LIST_FAILED = "credential:list_failed"
    SECRETS_ROTATED = "secrets:rotated"

    USER_CREATED = "user:created"
    USER_CHANGED = "user:changed"
    GROUP_CREATED = "group:created"
    GROUP_CHANGED = "group:changed"

    SIGNED_IN = "session:signed_in"
    SIGNED_OUT = "session:signed_out"
    SIGN_IN_FAILED = "session:sign_in_failed"
    PASSWORD_CHANGED = "session:password_changed"  # noqa: S105

    AUDIT_EXPORTED = "audit:exported"
    DEMO_LOADED = "demo:loaded"
