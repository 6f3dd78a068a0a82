"""How often one person may launch: a row per person, locked, counting the present minute."""

import datetime as dt

from django.conf import settings

from accounts.models import User
from omaccess.models import LaunchAllowance

WINDOW = dt.timedelta(minutes=1)


def take(user: User, *, at: dt.datetime) -> int:
    """Use one launch of this person's minute; inside a transaction. Locks the person's row until it ends.

    Returns: 0 when it was allowed, else how many tries over the limit this one is.
    """
    rows = LaunchAllowance.objects.select_for_update().filter(user=user)
    row = rows.first()
    if row is None:
        LaunchAllowance.objects.bulk_create(
            [LaunchAllowance(user=user, window_started_at=at, used=0)], ignore_conflicts=True
        )
        row = rows.get()
    # Both ways: a clock that was put back must not make a minute last until it has caught up.
    if abs(at - row.window_started_at) >= WINDOW:
        row.window_started_at, row.used = at, 0
    row.used += 1
    row.save(update_fields=["window_started_at", "used"])
    return max(0, row.used - settings.LAUNCHES_PER_MINUTE)


def seconds_left(user: User, *, at: dt.datetime) -> int:
    """Until this person's next minute begins."""
    started_at = LaunchAllowance.objects.values_list("window_started_at", flat=True).get(user=user)
    return max(1, int((started_at + WINDOW - at).total_seconds()) + 1)
