"""Moving a launch from one state to the next. The one place that does."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.models import User
from omaccess import metrics
from omaccess.audit import Kind, record
from omaccess.causes import Cause
from omaccess.errors import InvalidTransition
from omaccess.meta import Meta
from omaccess.models import Launch, LaunchState
from omaccess.models.launches import OPEN_STATES, TRANSITIONS

KINDS: dict[LaunchState, Kind] = {
    LaunchState.PENDING: Kind.LAUNCH_REQUESTED,
    LaunchState.WAITING: Kind.LAUNCH_WAITING,
    LaunchState.OPENED: Kind.LAUNCH_OPENED,
    LaunchState.REFUSED: Kind.LAUNCH_REFUSED,
    LaunchState.FAILED: Kind.LAUNCH_FAILED,
    LaunchState.DENIED: Kind.LAUNCH_DENIED,
    LaunchState.ABANDONED: Kind.LAUNCH_ABANDONED,
}


def move(
    launch: Launch,
    to: LaunchState,
    *,
    by: User | None,
    meta: Meta,
    cause: Cause | None = None,
    facts: dict[str, Any],
    **values: Any,
) -> None:
    """One conditional update, then the event, in the caller's transaction. `values` are columns of the launch.

    Raises:
        InvalidTransition: the launch is not (or no longer) in the state and attempt that `launch` says; somebody was
            faster, nothing was written.
        CannotRecord: the event could not be written; the transaction is lost.
    """
    came_from, attempt = LaunchState(launch.state), launch.attempt
    if to not in TRANSITIONS.get(came_from, frozenset()):
        raise InvalidTransition(f"{came_from} to {to}")
    values |= {"state": to, "cause": cause.value if cause else ""}
    if to not in OPEN_STATES:
        values["ended_at"] = timezone.now()
    if to is LaunchState.PENDING:
        values["attempt"] = attempt + 1
    rows = Launch.objects.filter(pk=launch.pk, state=came_from, attempt=attempt)
    if not rows.update(**values):
        raise InvalidTransition(f"{launch.reference} is no longer {came_from}")
    for name, value in values.items():
        setattr(launch, name, value)
    record_state(launch, by=by, meta=meta, facts=facts)


def record_state(launch: Launch, *, by: User | None, meta: Meta, facts: dict[str, Any]) -> None:
    """The event that says which state a launch is in now. `by` is whose launch it is, also when a job ends it."""
    state, cause = LaunchState(launch.state), launch.cause
    record(
        KINDS[state],
        by=by,
        actor_name=launch.user_name,
        target=launch.account,
        meta=meta,
        reference=launch.reference,
        cause=launch.cause,
        attempt=launch.attempt,
        host=launch.host_name,
        address=launch.host_address,
        account=launch.account_name,
        instance=launch.instance_name,
        iam_user=launch.iam_user,
        **facts,
    )
    # Counted when it is true, and never at the price of a launch.
    transaction.on_commit(partial(_count, state, cause), robust=True)


def _count(state: LaunchState, cause: str) -> None:
    if state is LaunchState.PENDING:
        metrics.launch_requested()
    else:
        metrics.launch_ended(state.value, cause)
