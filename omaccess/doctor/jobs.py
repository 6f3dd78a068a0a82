"""The scheduled jobs: do they run, do they succeed, and does exactly one scheduler wake them?"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from django.conf import settings
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django.utils.translation import gettext as _

from omaccess import jobs
from omaccess.doctor.findings import Finding, Findings, note
from omaccess.models import JobRun, Launch
from omaccess.models.launches import LaunchState

_SWEEP_IS_LATE = dt.timedelta(minutes=3)
"""The sweep runs every 30 s and closes what is older than the deadline and 60 s."""
_PROCESSES = Path("/proc")


def scheduled_jobs() -> Findings:
    """Each ran when it should have, and ended well."""
    rows = {row.name: row for row in JobRun.objects.all()}
    installed_at = MigrationRecorder.Migration.objects.order_by("-applied").values_list("applied", flat=True).first()
    now = timezone.now()
    for name, interval in sorted(jobs.intervals().items()):
        patience = dt.timedelta(seconds=interval + max(180.0, interval / 10))
        row = rows.get(name)
        since = row.started_at if row else installed_at
        if since is not None and now - since > patience:
            ago = _ago(now - since)
            text = (
                _("The job {name} last ran {ago} ago. Do the scheduler and a worker run?")
                if row
                else _("The job {name} has never run, and should have {ago} ago. Do the scheduler and a worker run?")
            )
            yield Finding(text.format(name=name, ago=ago))
        if row:
            yield from _outcome(row)


def _outcome(row: JobRun) -> Findings:
    if row.failed_at is not None and (row.succeeded_at is None or row.failed_at > row.succeeded_at):
        text = _("The job {name} failed the last time ({error}). The worker's log says why.")
        yield Finding(text.format(name=row.name, error=row.error or "?"))
    problems = row.figures.get("problems", 0) if row.name == "verify_audit" else 0
    if problems:
        text = _(
            "The audit was altered: {number} problems. Keep the database as it is, call security, and run: "
            "manage.py audit_verify"
        )
        yield Finding(text.format(number=problems))


def _ago(time: dt.timedelta) -> str:
    minutes = int(time.total_seconds() // 60)
    if minutes < 120:
        return _("{number} minutes").format(number=minutes)
    return _("{number} hours").format(number=minutes // 60)


def sweep() -> Findings:
    """A launch that should have been closed long ago betrays a scheduler that does not run."""
    before = timezone.now() - dt.timedelta(seconds=settings.ATTEMPT_SECONDS + 60) - _SWEEP_IS_LATE
    stuck = Launch.objects.filter(state=LaunchState.PENDING, attempted_at__lt=before).count()
    if stuck:
        text = _(
            "{number} launches are pending that the sweep should have closed. "
            "Do the scheduler (celery -A portal.startup beat) and a worker run?"
        )
        yield Finding(text.format(number=stuck))


def schedulers(processes: Path = _PROCESSES) -> Findings:
    """More than one on this machine: harmless to the data, but each job is asked for twice."""
    mine = [command for command in _commands(processes) if "beat" in command and "portal.startup" in command]
    if len(mine) > 1:
        # A note: they may be of several portals, and what each wakes is safe to run twice.
        text = _("{number} schedulers run on this machine. Each portal needs one, on all machines together.")
        yield note(text.format(number=len(mine)))


def _commands(processes: Path) -> list[list[str]]:
    """The arguments of every process that this user may look at; none where the system has no /proc."""
    found = []
    for path in processes.glob("[0-9]*/cmdline"):
        try:
            found.append(path.read_bytes().decode("utf-8", "replace").split("\0"))
        except OSError:
            continue  # it ended while we looked, or is somebody else's
    return found
