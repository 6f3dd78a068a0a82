"""How the scheduled jobs do, in words; for the first page, and only when one is late, failed or found something."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from omaccess import jobs
from omaccess.admin.words import moment
from omaccess.models import JobRun

GRACE = dt.timedelta(minutes=10)
"""Nobody is told of a job that is late by less: a release is being installed, a worker starts anew."""

TITLES: dict[str, str | Promise] = {
    "close_abandoned_launches": _("Closing launches that a crash left open"),
    "refresh_tokens": _("Fetching tokens ahead of their expiry"),
    "log_audit_head": _("Noting the end of the audit outside the database"),
    "verify_audit": _("Verifying the audit"),
    "clear_expired_sessions": _("Clearing sessions that have expired"),
    "clear_old_launches": _("Clearing old launches"),
    "clear_old_worklists": _("Clearing old worklists"),
    "refresh_search_texts": _("Mending what hosts are found by"),
}


@dataclass(frozen=True, slots=True)
class JobTrouble:
    """One job that needs somebody: what it does, what is wrong, and what to do."""

    title: str | Promise
    what: str
    advice: str
    since: str


def job_troubles() -> list[JobTrouble]:
    now = timezone.now()
    rows = {row.name: row for row in JobRun.objects.all()}
    installed_at = _installed_at() or now
    found: list[JobTrouble] = []
    for name, seconds in jobs.intervals().items():
        row = rows.get(name) or JobRun(name=name)
        title = TITLES.get(name, name)
        for what, advice in _problems(row, dt.timedelta(seconds=seconds), installed_at, now):
            since = moment(row.succeeded_at) if row.succeeded_at else gettext("never")
            found.append(JobTrouble(title, what, advice, since))
    return found


def _problems(
    row: JobRun, interval: dt.timedelta, installed_at: dt.datetime, now: dt.datetime
) -> Iterator[tuple[str, str]]:
    if row.failed_at and (row.succeeded_at is None or row.succeeded_at < row.failed_at):
        what = gettext("The last run failed: %(kind)s.") % {"kind": row.error}
        yield what, gettext("The worker's log says why.")
    elif now - (row.succeeded_at or installed_at) > 2 * interval + GRACE:
        yield gettext("It is late."), gettext("Are the worker and the scheduler running? Their logs say what they do.")
    problems = row.figures.get("problems", 0)
    if problems:
        found = ngettext("It found %(number)d problem.", "It found %(number)d problems.", problems)
        advice = gettext("Change nothing in the database, and see the runbook: The audit is not whole.")
        yield found % {"number": problems}, advice


def _installed_at() -> dt.datetime | None:
    """Since when jobs leave rows; before that none can be late."""
    migrations = MigrationRecorder(connection).migration_qs
    applied: dt.datetime | None = (
        migrations.filter(app="omaccess", name="0006_job_runs").values_list("applied", flat=True).first()
    )
    return applied
