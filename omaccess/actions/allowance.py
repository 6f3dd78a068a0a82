"""How often one person may launch: a row per person, locked, counting the present minute."""

import datetime as dt

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from accounts.models import User
from omaccess.models import LaunchAllowance

WINDOW = dt.timedelta(minutes=1)

_TABLE = f'"{LaunchAllowance._meta.db_table}"'
_SAME_MINUTE = f"{_TABLE}.window_started_at > %(oldest)s AND {_TABLE}.window_started_at < %(newest)s"
"""Two bounds: a clock that was put back must not make a minute last until it has caught up."""
_COUNT = f"""
    INSERT INTO {_TABLE} (user_id, window_started_at, used) VALUES (%(user)s, %(at)s, 1)
    ON CONFLICT (user_id) DO UPDATE SET
        used = CASE WHEN {_SAME_MINUTE} THEN {_TABLE}.used + 1 ELSE 1 END,
        window_started_at = CASE WHEN {_SAME_MINUTE} THEN {_TABLE}.window_started_at ELSE excluded.window_started_at END
"""  # noqa: S608 - the table's name is ours


def take(user: User, *, at: dt.datetime) -> int:
    """Use one launch of this person's minute; inside a transaction. Locks the person's row until it ends.

    Returns: 0 when it was allowed, else how many tries over the limit this one is.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    times = {"at": at, "oldest": at - WINDOW, "newest": at + WINDOW}
    params = {name: connection.ops.adapt_datetimefield_value(value) for name, value in times.items()}
    with connection.cursor() as cursor:
        if connection.features.can_return_columns_from_insert:
            cursor.execute(f"{_COUNT} RETURNING used", params | {"user": user.pk})
            used = int(cursor.fetchall()[0][0])
        else:  # SQLite before 3.35
            cursor.execute(_COUNT, params | {"user": user.pk})
            used = LaunchAllowance.objects.values_list("used", flat=True).get(user=user)
    return max(0, used - int(settings.LAUNCHES_PER_MINUTE))


def seconds_left(user: User, *, at: dt.datetime) -> int:
    """Until this person's next minute begins."""
    started_at = LaunchAllowance.objects.values_list("window_started_at", flat=True).get(user=user)
    return max(1, int((started_at + WINDOW - at).total_seconds()) + 1)
