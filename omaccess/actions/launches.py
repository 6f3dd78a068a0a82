"""Opening a session: the sequence of design section 5. The link leaves only after intent and outcome are committed."""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass, field

import structlog
from django.conf import settings
from django.db.models import Q

from accounts.models import User
from omaccess import bulkhead, cloud_link
from omaccess.actions.asking import recording
from omaccess.actions.launch_intent import ABANDON_WAITING_AFTER, Intent, intend, intend_again, may_try_again
from omaccess.actions.launch_outcome import close, hand_over
from omaccess.actions.transitions import move
from omaccess.causes import Cause
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline, OmUrl
from omaccess.cloud_link import Target, Timing
from omaccess.errors import CredentialBlocked, CredentialUnusable, InvalidTransition
from omaccess.locks import writing
from omaccess.meta import Meta
from omaccess.models import Launch, LaunchState

__all__ = ["Result", "attempt", "close_abandoned", "launch", "may_try_again"]

log = structlog.get_logger(__name__)

ABANDON_PENDING_AFTER = dt.timedelta(seconds=60)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of asking. With `url` the browser is sent there, once; without, to the launch's page."""

    launch: Launch
    url: OmUrl | None = field(default=None, repr=False)


def launch(*, account_id: int, reason: str, ticket: str, once: uuid.UUID | None, by: User, meta: Meta) -> Result:
    """Open one account: decide, commit the intent, ask the cloud, decide again, commit the outcome.

    Raises:
        Invisible: no such account for this person; audited.
        AnswersNeeded: a reason or ticket is missing or does not fit; nothing was recorded.
        TooManyLaunches: the person's minute is used up; audited once a minute.
        CannotRecord: the database or the audit could not be written. Nothing was handed over.
    """
    with bulkhead.slot() as has_slot:
        with recording():
            intent = intend(
                account_id=account_id,
                reason=reason.strip(),
                ticket=ticket.strip(),
                once=once,
                has_slot=has_slot,
                by=by,
                meta=meta,
            )
        if intent.target is None:
            return Result(intent.launch)
        return _go_through(intent, intent.target, by=by, meta=meta)


def attempt(*, reference: str, by: User, meta: Meta) -> Result:
    """One more try of a launch that is waiting for its bastion; decided anew. Anything else is left as it is.

    So is a launch whose try comes too early, too often, or while all places are taken: nothing was asked, it goes on
    waiting.

    Raises: Invisible, CannotRecord, as `launch`.
    """
    with bulkhead.slot() as has_slot:
        with recording():
            intent = intend_again(reference=reference, has_slot=has_slot, by=by, meta=meta)
        if intent.target is None:
            return Result(intent.launch)
        return _go_through(intent, intent.target, by=by, meta=meta)


def close_abandoned(*, now: dt.datetime) -> int:
    """End what a crash or an absent person left open. Returns how many; safe to run twice and by several at once."""
    pending_since = now - dt.timedelta(seconds=settings.ATTEMPT_SECONDS) - ABANDON_PENDING_AFTER
    left = Launch.objects.filter(
        Q(state=LaunchState.PENDING, attempted_at__lte=pending_since)
        | Q(state=LaunchState.WAITING, attempted_at__lte=now - ABANDON_WAITING_AFTER)
    ).select_related("account__host", "user")
    closed = 0
    for launch in left.order_by("attempted_at")[:1000]:
        try:
            with writing():
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


def _go_through(intent: Intent, target: Target, *, by: User, meta: Meta) -> Result:
    """Steps 3 to 8: one deadline from here, no transaction while the cloud is asked."""
    deadline = Deadline.after(settings.ATTEMPT_SECONDS)
    launch, timing = intent.launch, Timing()
    structlog.contextvars.bind_contextvars(launch=launch.reference)
    try:
        with recording():
            try:
                url = cloud_link.om_url(intent.account, target, deadline=deadline, timing=timing)
            except (CloudError, CredentialUnusable, CredentialBlocked) as error:
                close(launch, error, timing, by=by, meta=meta)
                return Result(launch)
            return Result(launch, hand_over(launch, url, target, timing, by=by, meta=meta))
    except InvalidTransition:
        # The sweep or another request ended it; a link in hand is dropped here.
        log.warning("launch_overtaken", launch=launch.reference)
        launch.refresh_from_db()
        return Result(launch)
