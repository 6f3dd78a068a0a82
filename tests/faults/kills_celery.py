"""The portal's worker, dying in its first task: celery -A tests.faults.kills_celery worker. For tests only.

KILL_AFTER names the step (see `kills_steps`) after whose first occurrence it dies.
"""

from __future__ import annotations

import os

from celery.signals import task_prerun, worker_ready

from portal.startup import app
from tests.faults.kills_steps import steps

__all__ = ["app"]


@worker_ready.connect(weak=False)
def count_the_work_of_tasks(**_facts: object) -> None:
    """Connected last, and so called last: the portal's own note that a job began is no step of its work."""
    task_prerun.connect(count, weak=False)


def count(**_facts: object) -> None:
    steps.begin(kill_after=os.environ["KILL_AFTER"])
