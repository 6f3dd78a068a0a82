"""Worklists: what somebody wants to open one after the other. They open nothing, so they are not audited."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

from accounts.models import User
from omaccess.models import Worklist

KEPT = dt.timedelta(days=30)


def keep(lines: Sequence[str], *, by: User, now: dt.datetime) -> None:
    """These lines instead of what was in this person's worklist; what was opened before counts no more."""
    Worklist.objects.update_or_create(user=by, defaults={"lines": list(lines), "made_at": now})


def clear(*, by: User) -> None:
    """Take the list away; there may be none."""
    Worklist.objects.filter(user=by).delete()


def clear_old(*, now: dt.datetime) -> int:
    """Delete the lists that were made more than `KEPT` ago. Returns: how many."""
    return Worklist.objects.filter(made_at__lt=now - KEPT).delete()[0]
