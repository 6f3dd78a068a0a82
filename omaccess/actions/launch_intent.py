"""Steps 1 and 2 of a launch: decide, and commit the intent, before anything is asked of the cloud."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import BigIntegerField, Exists, F, Q, UUIDField
from django.utils import timezone
from django.utils.translation import gettext

from accounts.models import User
from omaccess.actions import allowance
from omaccess.actions.transitions import move, record_state
from omaccess.audit import Kind, record
from omaccess.causes import Cause
from omaccess.cloud_link import Target, iam_user_of
from omaccess.compiled import Compiled, given
from omaccess.errors import (
    AnswersNeeded,
    InvalidTransition,
    Invisible,
    TooManyLaunches,
)
from omaccess.locks import writing
from omaccess.meta import Meta
from omaccess.models import Grant, HostAccount, Launch, LaunchState
from omaccess.models.access import HostAccountQuerySet
from omaccess.models.launches import LaunchQuerySet
from omaccess.policies import Decision, decide, problems_with

REPEAT_WITHIN = dt.timedelta(seconds=3)
MAX_REASON = 500
MAX_TICKET = 100
MIN_PAUSE = dt.timedelta(seconds=3)
ABANDON_WAITING_AFTER = dt.timedelta(minutes=15)


def _account() -> HostAccountQuerySet:
    rows = HostAccount.objects.select_related("host__instance__credential", "credential").order_by()
    return rows.filter(pk=given("account", BigIntegerField()))


def _repeat() -> LaunchQuerySet:
    once = [given("once", UUIDField()), given("own", UUIDField())]
    return Launch.objects.filter(user=given("user", BigIntegerField()), once__in=once)


_ACCOUNT = Compiled(_account)
_ACCOUNT_AND_REPEAT = Compiled(lambda: _account().annotate(is_repeat=Exists(_repeat())))
_NO_ANSWER: dict[str, Any] = {
    "upstream_state": "",
    "upstream_code": "",
    "upstream_description": "",
    "request_id": "",
    "login_origin": "",
    "retry_after_seconds": None,
    "token_seconds": None,
    "link_seconds": None,
}


@dataclass(frozen=True, slots=True)
class Intent:
    """A committed wish, with the account as it was decided upon.

    `target` is what to ask the cloud for; None for a repeat or a refusal, when nothing is to be asked.
    """

    launch: Launch
    account: HostAccount
    target: Target | None = None


class _Unanswered(dict[str, str]):
    """Instead of an intent: field to what is wrong with it. A value, so that the try still counts for the minute."""


def may_try_again(launch: Launch, now: dt.datetime) -> bool:
    """A waiting launch whose attempts are not used up and whose time has not run out."""
    return (
        launch.state == LaunchState.WAITING
        and launch.attempt < settings.WAITING_ATTEMPTS
        and now - launch.attempted_at < ABANDON_WAITING_AFTER
    )


def intend(
    *,
    account_id: int,
    reason: str,
    ticket: str,
    once: uuid.UUID | None,
    has_slot: bool,
    by: User,
    meta: Meta,
) -> Intent:
    """Steps 1 and 2. What has to be told with an exception is raised after the commit, so that its event stays."""
    now = timezone.now()
    intent: Intent | _Unanswered | None = None
    with writing():
        over = allowance.take(by, at=now)
        account, is_repeat = _load_account(account_id, once, by)
        decision = decide(account, user=by, at=now) if account else None
        if over:
            if over == 1:
                _record_denied(account_id, account, Cause.TOO_MANY_LAUNCHES, decision, by=by, meta=meta)
        elif account is None or decision is None or not decision.is_visible:
            _record_denied(account_id, None, Cause.NO_GRANT, None, by=by, meta=meta)
        else:
            earlier = _earlier(by, once, account.pk, now) if is_repeat and once else None
            if earlier is not None and earlier.account_id == account.pk:
                intent = Intent(earlier, account)
            else:
                kept = _own(once, account.pk) if earlier is not None and once else once
                intent = _intend_visible(account, decision, reason, ticket, kept, has_slot, now, by=by, meta=meta)
    if intent is not None and account is not None:
        if isinstance(intent, _Unanswered):
            raise AnswersNeeded(account, intent)
        return intent
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
) -> Intent | _Unanswered:
    grant = None
    state, cause = LaunchState.PENDING, decision.cause
    if cause is not None:
        state = LaunchState.DENIED
    else:
        grant = decision.grant_for(reason=reason, ticket=ticket)
        if grant is None or len(reason) > MAX_REASON or len(ticket) > MAX_TICKET:
            return _Unanswered(_problems(decision, reason, ticket))
        if not has_slot:
            state, cause = LaunchState.FAILED, Cause.BUSY
    granted = grant_facts(grant)
    target = Target.of(account) if state is LaunchState.PENDING else None
    launch = Launch.objects.create(
        user=by,
        account=account,
        once=once,
        state=state,
        cause=cause.value if cause else "",
        user_name=by.username,
        **_copies(account, granted),
        reason=reason[:MAX_REASON],
        ticket=ticket[:MAX_TICKET],
        attempted_at=now,
        ended_at=None if state is LaunchState.PENDING else now,
    )
    facts = {"reason": launch.reason, "ticket": launch.ticket, **granted}
    record_state(launch, by=by, meta=meta, facts=facts)
    return Intent(launch, account, target)


def intend_again(*, reference: str, has_slot: bool, by: User, meta: Meta) -> Intent:
    now = timezone.now()
    with writing():
        over = allowance.take(by, at=now)
        launch = Launch.objects.of(by).filter(reference=reference).first()
        account = _load_account(launch.account_id, None, by)[0] if launch else None
        if launch is not None and account is not None:
            is_early = now - launch.attempted_at < MIN_PAUSE
            if over or is_early or not has_slot or not may_try_again(launch, now):
                # Left waiting: nothing was asked, and its page says what to do.
                return Intent(launch, account)
            return _begin_attempt(launch, account, now, by=by, meta=meta)
    raise Invisible


def _begin_attempt(launch: Launch, account: HostAccount, now: dt.datetime, *, by: User, meta: Meta) -> Intent:
    """Decide anew; then waiting becomes pending, with the names of now and without the last answer's traces."""
    decision = decide(account, user=by, at=now)
    grant = decision.grant_for(reason=launch.reason, ticket=launch.ticket)
    launch.account = account
    try:
        if decision.cause is not None or grant is None:
            cause = decision.cause or Cause.DECISION_CHANGED
            move(launch, LaunchState.DENIED, by=by, meta=meta, cause=cause, facts={})
            return Intent(launch, account)
        granted = grant_facts(grant)
        facts = {"reason": launch.reason, "ticket": launch.ticket, **granted}
        values = {**_copies(account, granted), **_NO_ANSWER, "attempted_at": now}
        target = Target.of(account)
        move(launch, LaunchState.PENDING, by=by, meta=meta, facts=facts, **values)
    except InvalidTransition:
        launch.refresh_from_db()
        return Intent(launch, account)
    return Intent(launch, account, target)


def _load_account(account_id: int, once: uuid.UUID | None, by: User) -> tuple[HostAccount | None, bool]:
    """The account with all that a decision and a call rest on; and whether this person's form came before."""
    if once is None:
        return _ACCOUNT.first(account=account_id), False
    own = _own(once, account_id)
    account = _ACCOUNT_AND_REPEAT.first(account=account_id, user=by.pk, once=once, own=own)
    return account, getattr(account, "is_repeat", False)


def _own(once: uuid.UUID, account_id: int) -> uuid.UUID:
    """Kept instead while an open launch of another account has this `once`: the buttons of a list share a form."""
    return uuid.uuid5(once, str(account_id))


def _earlier(by: User, once: uuid.UUID, account_id: int, now: dt.datetime) -> Launch | None:
    """The launch that a repeated form belongs to: of this account open or ended within three seconds, else any open."""
    mine = Launch.objects.of(by).filter(once__in=[once, _own(once, account_id)])
    is_recent = Q(ended_at=None) | Q(ended_at__gt=now - REPEAT_WITHIN, account=account_id)
    found = list(mine.filter(is_recent).order_by(F("ended_at").desc(nulls_first=True), "-id"))
    return next((launch for launch in found if launch.account_id == account_id), found[0] if found else None)


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


def _copies(account: HostAccount, granted: dict[str, Any]) -> dict[str, str]:
    """What the launch keeps as text of what is asked for; every attempt anew, since the inventory may have changed."""
    return {
        "host_name": account.host.name,
        "host_address": account.host.address,
        "account_name": account.name,
        "instance_name": account.host.instance.name,
        "iam_user": iam_user_of(account.launch_credential)[:300],
        "grant_text": granted["grant_text"],
    }


def grant_facts(grant: Grant | None) -> dict[str, Any]:
    """The grant by id and text. Costs a statement for a grant by labels."""
    return {"grant": grant.pk if grant else None, "grant_text": str(grant)[:300] if grant else ""}
