"""The portal's worker, dying in its first task: celery -A tests.faults.kills_celery worker. For tests only.

KILL_AFTER names the step (see `kills_steps`) after whose first occurrence it dies.
"""

from __future__ import annotations

import os

from celery.signals import task_prerun

from portal.startup import app
from tests.faults.kills_steps import steps

__all__ = ["app"]


@task_prerun.connect(weak=False)
def count(**_facts: object) -> None:
    steps.begin(kill_after=os.environ["KILL_AFTER"])
