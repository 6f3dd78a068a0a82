"""Step 7 of a launch: what came of asking the cloud, committed; the decision is made again before a link leaves."""

from __future__ import annotations

from typing import Any

import structlog
from django.conf import settings
from django.db.models import BigIntegerField, CharField, DateTimeField, Field
from django.utils import timezone
from django.utils.crypto import salted_hmac

from accounts import sessions
from accounts.models import User
from omaccess.actions.launch_intent import grant_facts
from omaccess.actions.transitions import move
from omaccess.causes import Cause, cause_of, state_of, upstream_of
from omaccess.cloud.types import OmUrl
from omaccess.cloud_link import Target, Timing
from omaccess.compiled import Compiled, given
from omaccess.errors import NotAllowed
from omaccess.locks import hold_for_share, shared, writing
from omaccess.meta import Meta
from omaccess.models import Grant, HostAccount, Launch, LaunchState
from omaccess.policies import decide, grants_reaching

log = structlog.get_logger(__name__)

_ID: Field[Any, Any] = BigIntegerField()
_AT: Field[Any, Any] = DateTimeField()
_HELD_USER = Compiled(lambda: shared(User.objects.filter(pk=given("user", _ID))).order_by())
_HELD_SESSION = Compiled(lambda: shared(sessions.live(given("key", CharField()), at=given("at", _AT))))
_HELD_ACCOUNT = Compiled(
    lambda: shared(
        HostAccount.objects.filter(pk=given("account", _ID), credential=None)
        .select_related("host__instance__credential")
        .order_by()
    )
)
_HELD_ACCOUNT_WITH_OWN_CREDENTIAL = Compiled(
    lambda: shared(
        HostAccount.objects.filter(pk=given("account", _ID), credential__version=given("version", _ID))
        .select_related("host__instance", "credential")
        .order_by()
    )
)
_HELD_GRANTS = Compiled(
    lambda: shared(grants_reaching().in_force(given("at", _AT))).order_by("pk").values_list("pk", flat=True)
)

_COLUMNS = {"upstream_request_id": "request_id"}
"""Keys of events that are called otherwise on a launch: there `request_id` is the cloud's, on an event the portal's."""


def close(launch: Launch, error: Exception, timing: Timing, *, by: User, meta: Meta) -> None:
    """No link: waiting for 9002 while attempts are left, else refused or failed."""
    cause, state = cause_of(error), state_of(error)
    if cause is Cause.TRUSTLIST_INITIALISING:
        if launch.attempt < settings.WAITING_ATTEMPTS:
            state = LaunchState.WAITING
        else:
            cause = Cause.OUT_OF_ATTEMPTS
    upstream = upstream_of(error)
    columns = {_COLUMNS.get(name, name): value for name, value in upstream.items()}
    with writing():
        move(
            launch,
            state,
            by=by,
            meta=meta,
            cause=cause,
            facts=upstream | _timing_facts(timing),
            **columns,
            token_seconds=timing.token_seconds,
            link_seconds=timing.link_seconds,
        )
    log.info("launch_closed", launch=launch.reference, state=str(state), cause=str(cause))


def hand_over(launch: Launch, url: OmUrl, target: Target, timing: Timing, *, by: User, meta: Meta) -> OmUrl | None:
    """Step 7: decide again on rows that nobody can change meanwhile, then row and event in one transaction."""
    values: dict[str, Any] = {
        "upstream_state": url.upstream_state[:64],
        "request_id": url.request_id[:64],
        "login_origin": url.origin[:255],
        "token_seconds": timing.token_seconds,
        "link_seconds": timing.link_seconds,
    }
    facts: dict[str, Any] = {
        "login_origin": url.origin,
        "upstream_request_id": url.request_id,
        **_timing_facts(timing),
    }
    with writing():
        try:
            grant = _decide_again(launch, target, meta)
        except NotAllowed as no:
            move(
                launch,
                LaunchState.FAILED,
                by=by,
                meta=meta,
                cause=no.cause,
                facts=facts | {"dropped": True},
                **values,
            )
            return None
        fingerprint = salted_hmac("omaccess.login_url", url.value, algorithm="sha256").hexdigest()
        # The grant that holds now: another than at first, if that one was revoked meanwhile.
        facts |= {"fingerprint": fingerprint, **grant_facts(grant)}
        values["grant_text"] = facts["grant_text"]
        move(launch, LaunchState.OPENED, by=by, meta=meta, facts=facts, **values)
    log.info("launch_opened", launch=launch.reference)
    return url


def _decide_again(launch: Launch, target: Target, meta: Meta) -> Grant:
    """User, session and decision once more, on rows that nobody can change until the commit.

    What is read was locked first or is locked by reading it: whoever revokes, narrows or edits locks the same rows, so
    that their change is either seen here or comes after us. The grants are locked before the decision reads them,
    because it also reads rows that depend on them: names, clauses, labels.

    Raises: NotAllowed with the cause that holds now.
    """
    user = _HELD_USER.first(user=launch.user_id)
    if user is None or not user.is_active:
        raise NotAllowed(Cause.PERSON_DISABLED)
    session = _HELD_SESSION.first(key=meta.session_key, at=timezone.now())
    if session is None or not sessions.is_of(session, user):
        raise NotAllowed(Cause.SESSION_ENDED)
    account = _held_account(launch.account)
    if account is None or Target.of(account) != target:
        raise NotAllowed(Cause.DECISION_CHANGED)
    now = timezone.now()
    is_held = hold_for_share(_HELD_GRANTS, user=user.pk, host=account.host_id, name=account.name, at=now)
    decision = decide(account, user=user, at=now)
    grant = decision.grant_for(reason=launch.reason, ticket=launch.ticket)
    # Not held: a grant that began to reach the account just now. It may be revoked before our commit, so not with it.
    if decision.cause is not None or grant is None or not is_held(grant):
        raise NotAllowed(decision.cause or Cause.DECISION_CHANGED)
    return grant


def _held_account(decided: HostAccount) -> HostAccount | None:
    """The account with its host, instance and launch credential, all held; None when another credential is due now.

    An outer join cannot be held, so the two ways to a credential are two queries; comparing the version makes the
    join to an account's own credential an inner one.
    """
    if decided.credential_id is None:
        return _HELD_ACCOUNT.first(account=decided.pk)
    return _HELD_ACCOUNT_WITH_OWN_CREDENTIAL.first(account=decided.pk, version=decided.launch_credential.version)


def _timing_facts(timing: Timing) -> dict[str, Any]:
    """Whole milliseconds: the audit's bytes know no fractions."""
    return {
        "token_milliseconds": None if timing.token_seconds is None else round(timing.token_seconds * 1000),
        "link_milliseconds": None if timing.link_seconds is None else round(timing.link_seconds * 1000),
    }
