"""Opening a session: the sequence of design section 5. The link leaves only after intent and outcome are committed."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import structlog
from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F, Q
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext

from accounts import sessions
from accounts.models import User
from omaccess import bulkhead, cloud_link
from omaccess.actions import allowance
from omaccess.actions.transitions import move, record_state
from omaccess.audit import Kind, record
from omaccess.causes import Cause, cause_of, state_of
from omaccess.cloud.errors import CloudError, CloudThrottled, LoginOriginNotAllowed, OmUrlRefused
from omaccess.cloud.types import Deadline, OmUrl
from omaccess.cloud_link import Target, Timing, iam_user_of
from omaccess.errors import (
    AnswersNeeded,
    CannotRecord,
    CredentialBlocked,
    CredentialUnusable,
    InvalidTransition,
    Invisible,
    NotAllowed,
    TooManyLaunches,
)
from omaccess.locks import rows_for_share
from omaccess.meta import Meta
from omaccess.models import Grant, HostAccount, Launch, LaunchState
from omaccess.policies import Decision, decide, is_in_force, problems_with

log = structlog.get_logger(__name__)

REPEAT_WITHIN = dt.timedelta(seconds=3)
MAX_REASON = 500
MAX_TICKET = 100
MIN_PAUSE = dt.timedelta(seconds=3)
ABANDON_PENDING_AFTER = dt.timedelta(seconds=60)
ABANDON_WAITING_AFTER = dt.timedelta(minutes=15)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of asking. With `url` the browser is sent there, once; without, to the launch's page."""

    launch: Launch
    url: OmUrl | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class _Intent:
    """A committed wish, with the account as it was decided upon. `is_new` is False for a repeat or a refusal."""

    launch: Launch
    account: HostAccount
    is_new: bool


def launch(*, account_id: int, reason: str, ticket: str, once: uuid.UUID | None, by: User, meta: Meta) -> Result:
    """Open one account: decide, commit the intent, ask the cloud, decide again, commit the outcome.

    Raises:
        Invisible: no such account for this person; audited.
        AnswersNeeded: a reason or ticket is missing or does not fit; nothing was recorded.
        TooManyLaunches: the person's minute is used up; audited once a minute.
        CannotRecord: the database or the audit could not be written. Nothing was handed over.
    """
    with bulkhead.slot() as has_slot:
        with _recording():
            intent = _intend(
                account_id=account_id,
                reason=reason.strip(),
                ticket=ticket.strip(),
                once=once,
                has_slot=has_slot,
                by=by,
                meta=meta,
            )
        if not intent.is_new:
            return Result(intent.launch)
        return _go_through(intent, by=by, meta=meta)


def attempt(*, reference: str, by: User, meta: Meta) -> Result:
    """One more try of a launch that is waiting for its bastion; decided anew. Anything else is left as it is.

    Raises: Invisible, TooManyLaunches, CannotRecord, as `launch`.
    """
    with bulkhead.slot() as has_slot:
        with _recording():
            intent = _intend_again(reference=reference, has_slot=has_slot, by=by, meta=meta)
        if not intent.is_new:
            return Result(intent.launch)
        return _go_through(intent, by=by, meta=meta)


def may_try_again(launch: Launch, now: dt.datetime) -> bool:
    """A waiting launch whose attempts are not used up and whose time has not run out."""
    return (
        launch.state == LaunchState.WAITING
        and launch.attempt < settings.WAITING_ATTEMPTS
        and now - launch.attempted_at < ABANDON_WAITING_AFTER
    )


def close_abandoned(*, now: dt.datetime) -> int:
    """End what a crash or an absent person left open. Returns how many; safe to run twice and by several at once."""
    pending_since = now - dt.timedelta(seconds=settings.ATTEMPT_SECONDS) - ABANDON_PENDING_AFTER
    left = Launch.objects.filter(
        Q(state=LaunchState.PENDING, attempted_at__lte=pending_since)
        | Q(state=LaunchState.WAITING, attempted_at__lte=now - ABANDON_WAITING_AFTER)
    ).select_related("account", "user")
    closed = 0
    for launch in left.order_by("attempted_at")[:1000]:
        try:
            with transaction.atomic():
                was = launch.state
                move(
                    launch,
                    LaunchState.ABANDONED,
                    by=launch.user,
                    meta=Meta.system("sweep"),
                    cause=Cause.ABANDONED,
                    facts={"was": was},
                )
        except InvalidTransition:
            continue  # it ended by itself meanwhile
        closed += 1
    return closed


# --- before the cloud ------------------------------------------------------------------------------


def _intend(
    *,
    account_id: int,
    reason: str,
    ticket: str,
    once: uuid.UUID | None,
    has_slot: bool,
    by: User,
    meta: Meta,
) -> _Intent:
    """Steps 1 and 2. What has to be told with an exception is raised after the commit, so that its event stays."""
    now = timezone.now()
    with transaction.atomic():
        over = allowance.take(by, at=now)
        account = _load_account(account_id)
        decision = decide(account, user=by, at=now) if account else None
        if over:
            if over == 1:
                _record_denied(account_id, account, Cause.TOO_MANY_LAUNCHES, decision, by=by, meta=meta)
        elif account is None or decision is None or not decision.is_visible:
            _record_denied(account_id, None, Cause.NO_GRANT, None, by=by, meta=meta)
        else:
            return _intend_visible(account, decision, reason, ticket, once, has_slot, now, by=by, meta=meta)
    if over:
        raise TooManyLaunches(allowance.seconds_left(by, at=now))
    raise Invisible


def _intend_visible(
    account: HostAccount,
    decision: Decision,
    reason: str,
    ticket: str,
    once: uuid.UUID | None,
    has_slot: bool,
    now: dt.datetime,
    *,
    by: User,
    meta: Meta,
) -> _Intent:
    earlier = _earlier(by, account, once, now)
    if earlier is not None and earlier.account_id == account.pk:
        return _Intent(earlier, account, is_new=False)
    grant = None
    state, cause = LaunchState.PENDING, decision.cause
    if cause is not None:
        state = LaunchState.DENIED
    else:
        grant = decision.grant_for(reason=reason, ticket=ticket)
        if grant is None or len(reason) > MAX_REASON or len(ticket) > MAX_TICKET:
            raise AnswersNeeded(account, _problems(decision, reason, ticket))
        if not has_slot:
            state, cause = LaunchState.FAILED, Cause.BUSY
    launch = Launch.objects.create(
        user=by,
        account=account,
        # An open launch of another account holds this `once`; then nothing is collapsed.
        once=once if earlier is None else None,
        state=state,
        cause=cause.value if cause else "",
        user_name=by.username,
        host_name=account.host.name,
        host_address=account.host.address,
        account_name=account.name,
        instance_name=account.host.instance.name,
        iam_user=iam_user_of(account.launch_credential)[:300],
        grant_text=str(grant)[:300] if grant else "",
        reason=reason[:MAX_REASON],
        ticket=ticket[:MAX_TICKET],
        attempted_at=now,
        ended_at=None if state is LaunchState.PENDING else now,
    )
    record_state(launch, by=by, meta=meta, facts=_intent_facts(launch, grant))
    return _Intent(launch, account, is_new=state is LaunchState.PENDING)


def _intend_again(*, reference: str, has_slot: bool, by: User, meta: Meta) -> _Intent:
    now = timezone.now()
    with transaction.atomic():
        over = allowance.take(by, at=now)
        launch = Launch.objects.of(by).filter(reference=reference).first()
        if launch is None:
            raise Invisible
        account = _load_account(launch.account_id)
        if account is None:
            raise Invisible
        launch.account = account
        is_early = now - launch.attempted_at < MIN_PAUSE
        if over or is_early or not has_slot or not may_try_again(launch, now):
            # Left waiting: nothing was asked, and its page says what to do.
            return _Intent(launch, account, is_new=False)
        decision = decide(account, user=by, at=now)
        grant = decision.grant_for(reason=launch.reason, ticket=launch.ticket)
        try:
            if decision.cause is not None or grant is None:
                cause = decision.cause or Cause.DECISION_CHANGED
                move(launch, LaunchState.DENIED, by=by, meta=meta, cause=cause, facts={})
                return _Intent(launch, account, is_new=False)
            facts = _intent_facts(launch, grant)
            move(launch, LaunchState.PENDING, by=by, meta=meta, facts=facts, attempted_at=now)
        except InvalidTransition:
            launch.refresh_from_db()
            return _Intent(launch, account, is_new=False)
    return _Intent(launch, account, is_new=True)


def _load_account(account_id: int) -> HostAccount | None:
    """The account with all that a decision and a call rest on."""
    return (
        HostAccount.objects.select_related("host__instance__credential", "credential")
        .prefetch_related("host__labels", "host__instance__login_addresses")
        .filter(pk=account_id)
        .first()
    )


def _earlier(by: User, account: HostAccount, once: uuid.UUID | None, now: dt.datetime) -> Launch | None:
    """The launch that a repeated form belongs to: open, or ended within three seconds."""
    if once is None:
        return None
    mine = Launch.objects.of(by).filter(once=once)
    return (
        mine.filter(Q(ended_at=None) | Q(ended_at__gt=now - REPEAT_WITHIN, account=account))
        .order_by(F("ended_at").desc(nulls_first=True), "-id")
        .first()
    )


def _problems(decision: Decision, reason: str, ticket: str) -> dict[str, str]:
    """What to write beside the fields, judged by the grant that is closest to being satisfied."""
    problems: dict[str, str] = {}
    if len(reason) > MAX_REASON:
        problems["reason"] = gettext("Please keep the reason under %(number)d characters.") % {"number": MAX_REASON}
    if len(ticket) > MAX_TICKET:
        problems["ticket"] = gettext("Please keep the ticket under %(number)d characters.") % {"number": MAX_TICKET}
    closest = min(
        (problems_with(grant, reason=reason, ticket=ticket) for grant in decision.usable),
        key=len,
        default=set(),
    )
    if "reason" in closest:
        problems.setdefault("reason", gettext("This access needs a reason."))
    if "ticket" in closest:
        text = (
            gettext("This is not a ticket that your access accepts.")
            if ticket
            else gettext("This access needs a ticket.")
        )
        problems.setdefault("ticket", text)
    return problems


def _record_denied(
    account_id: int,
    account: HostAccount | None,
    cause: Cause,
    decision: Decision | None,
    *,
    by: User,
    meta: Meta,
) -> None:
    """No launch is made for what this person cannot see; the audit keeps what they asked for."""
    target = account if decision and decision.is_visible else None
    record(
        Kind.LAUNCH_DENIED,
        by=by,
        meta=meta,
        target=target,
        cause=cause.value,
        asked_account=str(account_id)[:32],
    )


def _intent_facts(launch: Launch, grant: Grant | None) -> dict[str, Any]:
    return {
        "reason": launch.reason,
        "ticket": launch.ticket,
        "grant": grant.pk if grant else None,
        "grant_text": launch.grant_text,
    }


# --- the cloud, and after ----------------------------------------------------------------------------


def _go_through(intent: _Intent, *, by: User, meta: Meta) -> Result:
    """Steps 3 to 8: one deadline from here, no transaction while the cloud is asked."""
    deadline = Deadline.after(settings.ATTEMPT_SECONDS)
    target, timing = Target.of(intent.account), Timing()
    launch = intent.launch
    try:
        with _recording():
            try:
                url = cloud_link.om_url(intent.account, target, deadline=deadline, timing=timing)
            except (CloudError, CredentialUnusable, CredentialBlocked) as error:
                _close(launch, error, timing, by=by, meta=meta)
                return Result(launch)
            return _hand_over(launch, url, target, timing, by=by, meta=meta)
    except InvalidTransition:
        # The sweep or another request ended it; a link in hand is dropped here.
        log.warning("launch_overtaken", launch=launch.reference)
        launch.refresh_from_db()
        return Result(launch)


def _close(launch: Launch, error: Exception, timing: Timing, *, by: User, meta: Meta) -> None:
    """No link: waiting for 9002 while attempts are left, else refused or failed."""
    cause, state = cause_of(error), state_of(error)
    if cause is Cause.TRUSTLIST_INITIALISING:
        if launch.attempt < settings.WAITING_ATTEMPTS:
            state = LaunchState.WAITING
        else:
            cause = Cause.OUT_OF_ATTEMPTS
    upstream = _upstream(error)
    with transaction.atomic():
        move(
            launch,
            state,
            by=by,
            meta=meta,
            cause=cause,
            facts=upstream | _timing_facts(timing),
            **upstream,
            token_seconds=timing.token_seconds,
            link_seconds=timing.link_seconds,
        )
    log.info("launch_closed", launch=launch.reference, state=str(state), cause=str(cause))


def _hand_over(launch: Launch, url: OmUrl, target: Target, timing: Timing, *, by: User, meta: Meta) -> Result:
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
    with transaction.atomic():
        try:
            _decide_again(launch, target, meta)
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
            return Result(launch)
        fingerprint = salted_hmac("omaccess.login_url", url.value, algorithm="sha256").hexdigest()
        move(launch, LaunchState.OPENED, by=by, meta=meta, facts=facts | {"fingerprint": fingerprint}, **values)
    log.info("launch_opened", launch=launch.reference)
    return Result(launch, url)


def _decide_again(launch: Launch, target: Target, meta: Meta) -> None:
    """User, session and decision once more, on rows read FOR SHARE; whoever revokes locks the same rows.

    Raises: NotAllowed with the cause that holds now.
    """
    now = timezone.now()
    rows_for_share(User.objects.filter(pk=launch.user_id).values_list("pk"))
    rows_for_share(
        HostAccount.objects.filter(pk=launch.account_id).values_list(
            "pk", "host__name", "host__instance__name", "host__instance__credential__version"
        )
    )
    user = User.objects.get(pk=launch.user_id)
    if not user.is_active:
        raise NotAllowed(Cause.PERSON_DISABLED)
    if not sessions.is_live(meta.session_key, user):
        raise NotAllowed(Cause.SESSION_ENDED)
    account = _load_account(launch.account_id)
    if account is None or Target.of(account) != target:
        raise NotAllowed(Cause.DECISION_CHANGED)
    decision = decide(account, user=user, at=now)
    grant = decision.grant_for(reason=launch.reason, ticket=launch.ticket)
    if decision.cause is not None or grant is None:
        raise NotAllowed(decision.cause or Cause.DECISION_CHANGED)
    held = rows_for_share(Grant.objects.filter(pk=grant.pk).values_list("revoked_at", "valid_from", "valid_until"))
    # Between deciding and locking somebody may have revoked it: what the lock returned counts.
    if not held or held[0][0] is not None or not is_in_force(grant, now):
        raise NotAllowed(Cause.DECISION_CHANGED)


def _upstream(error: Exception) -> dict[str, Any]:
    """What the cloud said of itself, for the launch's columns and the event."""
    if not isinstance(error, CloudError):
        return {}
    facts: dict[str, Any] = {
        "upstream_code": error.code[:64],
        "upstream_description": error.description[:500],
        "request_id": error.request_id[:64],
    }
    if isinstance(error, OmUrlRefused):
        facts["upstream_state"] = error.raw_state[:64]
    if isinstance(error, LoginOriginNotAllowed):
        facts["login_origin"] = error.origin[:255]
    if isinstance(error, CloudThrottled) and error.retry_after_seconds is not None:
        facts["retry_after_seconds"] = min(86_400, int(error.retry_after_seconds) + 1)
    problem = getattr(error, "problem", "")
    if problem and not facts["upstream_description"]:
        facts["upstream_description"] = str(problem)
    return facts


def _timing_facts(timing: Timing) -> dict[str, Any]:
    """Whole milliseconds: the audit's bytes know no fractions."""
    return {
        "token_milliseconds": None if timing.token_seconds is None else round(timing.token_seconds * 1000),
        "link_milliseconds": None if timing.link_seconds is None else round(timing.link_seconds * 1000),
    }


@contextmanager
def _recording() -> Iterator[None]:
    """Whatever the database does to us here means: it cannot be recorded, so nothing may be opened."""
    try:
        yield
    except DatabaseError as error:
        log.error("launch_cannot_be_recorded", error=type(error).__name__)
        raise CannotRecord(type(error).__name__) from error
