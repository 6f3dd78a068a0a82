"""The portal's scheduler in a hurry: celery -A tests.machines.hasty beat. For tests only.

What it sends, and how, is the product's; only the sweep's interval is shorter.
"""

from __future__ import annotations

import datetime as dt

from portal.startup import app

__all__ = ["app"]

_SWEEP = "close-abandoned-launches"

app.conf.beat_max_loop_interval = 0.5
app.conf.beat_schedule = {_SWEEP: {**app.conf.beat_schedule[_SWEEP], "schedule": dt.timedelta(seconds=1)}}
