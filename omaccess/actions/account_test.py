"""The admin's "test this account": the exchange of a launch, whose link is dropped. It makes no launch."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings

from accounts.models import User
from omaccess import bulkhead, cloud_link
from omaccess.actions.asking import recording, use_allowance
from omaccess.audit import Kind, record
from omaccess.causes import Cause, cause_of, state_of, upstream_of
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline
from omaccess.cloud_link import Target, Timing, iam_user_of
from omaccess.errors import CredentialBlocked, CredentialUnusable
from omaccess.failures import Explanation, explain
from omaccess.locks import writing
from omaccess.meta import Meta
from omaccess.models import HostAccount, LaunchState

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What came of it. `cause` is None when a link was obtained; `origin` is where it, or a refused one, leads."""

    __test__ = False

    cause: Cause | None
    origin: str
    seconds: float
    explanation: Explanation | None


def run(account: HostAccount, *, by: User, meta: Meta) -> TestOutcome:
    """Ask the cloud for a link to this account and drop it. Counts as one of the person's launches of the minute.

    Whether the account, its host or its instance is enabled does not matter: one tests before enabling.

    Raises:
        TooManyLaunches: the person's minute is used up; nothing was asked or recorded.
        CannotRecord: the database failed. A request without outcome in the audit means: unknown, nothing left.
    """
    with recording(), bulkhead.slot() as has_slot:
        account = HostAccount.objects.select_related("host__instance__credential", "credential").get(pk=account.pk)
        use_allowance(by)
        with writing():
            _record(Kind.TEST_REQUESTED, account, by=by, meta=meta)
            if not has_slot:
                _record(Kind.TEST_FAILED, account, cause=Cause.BUSY, by=by, meta=meta)
                return TestOutcome(Cause.BUSY, "", 0.0, explain(Cause.BUSY, account=account))
        return _ask(account, by=by, meta=meta)


def _ask(account: HostAccount, *, by: User, meta: Meta) -> TestOutcome:
    began = time.monotonic()
    timing = Timing()
    deadline = Deadline.after(settings.ATTEMPT_SECONDS)
    try:
        # The link itself is never bound to a name here: nothing but its origin is of use.
        origin = cloud_link.om_url(account, Target.of(account), deadline=deadline, timing=timing).origin
    except (CloudError, CredentialUnusable, CredentialBlocked) as error:
        seconds = time.monotonic() - began
        cause = cause_of(error)
        kind = Kind.TEST_REFUSED if state_of(error) is LaunchState.REFUSED else Kind.TEST_FAILED
        upstream = upstream_of(error)
        with writing():
            _record(kind, account, cause=cause, by=by, meta=meta, seconds=seconds, **upstream)
        log.info("account_test_failed", account_id=account.pk, cause=cause.value)
        return TestOutcome(cause, upstream.get("login_origin", ""), seconds, explain(cause, account=account))
    seconds = time.monotonic() - began
    with writing():
        _record(Kind.TEST_SUCCEEDED, account, by=by, meta=meta, seconds=seconds, login_origin=origin)
    log.info("account_test_succeeded", account_id=account.pk)
    return TestOutcome(None, origin, seconds, None)


def _record(
    kind: Kind,
    account: HostAccount,
    *,
    by: User,
    meta: Meta,
    cause: Cause | None = None,
    seconds: float | None = None,
    **facts: Any,
) -> None:
    if seconds is not None:
        facts["milliseconds"] = round(seconds * 1000)
    record(
        kind,
        by=by,
        meta=meta,
        target=account,
        cause=cause.value if cause else "",
        host=account.host.name,
        address=account.host.address,
        account=account.name,
        instance=account.host.instance.name,
        instance_id=account.host.instance_id,
        iam_user=iam_user_of(account.launch_credential),
        **facts,
    )
