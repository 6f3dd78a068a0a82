"""The database, and the audit in it."""

from __future__ import annotations

import datetime as dt
import os
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import run_checks
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from omaccess.audit.heads import Head, parse_head
from omaccess.doctor.findings import Finding, Findings, note, of_checks
from omaccess.models import AuditEvent, AuditHead
from omaccess.models.audit import GENESIS_HASH

_OLDEST_POSTGRESQL = 140_000
_CLOCKS_DIFFER_SECONDS = 2.0
_HEAD_IS_OLD = dt.timedelta(hours=2)
"""The worker adds a line every hour."""


def database() -> Findings:
    """It answers, every migration is applied, the audit's triggers stand, the role may not change the audit."""
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        yield from of_checks(run_checks(tags=["database"], databases=[DEFAULT_DB_ALIAS]))
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                yield from _postgresql(cursor)
    except DatabaseError as error:
        text = _("The database does not answer as it should ({kind}). Check DATABASE_URL, the server and the network.")
        yield Finding(text.format(kind=reason(error) or type(error).__name__), is_end=True)
        return
    if plan:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _backwards in plan[:5])
        text = _("{number} migrations are not applied ({names} …). Run: manage.py migrate")
        yield Finding(text.format(number=len(plan), names=names), is_end=True)


def reason(error: Exception) -> str:
    """Why there is no connection, in our words: the error's own text names user, host and database. "" if unknown."""
    reasons = {
        "password authentication failed": _("it refuses the user or the password"),
        "no password supplied": _("DATABASE_URL has no password"),
        "no pg_hba.conf entry": _("its pg_hba.conf does not let this user in from here"),
        "connection refused": _("nothing listens at this address"),
        "resolve host": _("the host's name does not resolve"),
        "translate host name": _("the host's name does not resolve"),
        "certificate": _("the server's certificate, or the file of authorities, is not right"),
        "timeout expired": _("nobody answered in time"),
    }
    said = str(error).lower()
    if 'database "' in said and "does not exist" in said:
        return _("there is no database of this name")
    return next((ours for theirs, ours in reasons.items() if theirs in said), "")


def _postgresql(cursor: Any) -> Findings:
    cursor.execute(
        "SELECT current_setting('server_version_num')::int, current_setting('server_version'), current_user, "
        "current_setting('fsync'), current_setting('full_page_writes')"
    )
    number, version, role, fsync, full_page_writes = cursor.fetchone()
    yield note(_("PostgreSQL {version}, as the role {role}.").format(version=version, role=role))
    if number < _OLDEST_POSTGRESQL:
        yield Finding(_("PostgreSQL {version} is too old. Upgrade it to 14 or newer.").format(version=version))
    for name, value in (("fsync", fsync), ("full_page_writes", full_page_writes)):
        if value == "off":
            text = _("PostgreSQL has {name}=off: a crash of its machine may destroy the audit. Switch it on.")
            yield Finding(text.format(name=name))
    if not settings.REQUIRE_AUDIT_ROLE:
        yield note(
            _(
                "REQUIRE_AUDIT_ROLE is off: whoever has the portal's database password may be able to alter the audit. "
                "The RUNBOOK says how to have a role that cannot."
            )
        )
    yield from _clock(cursor)


def _clock(cursor: Any) -> Findings:
    """Grants begin and end by the machine's clock, leases by the database's."""
    before = time.time()
    cursor.execute("SELECT extract(epoch FROM clock_timestamp())")
    theirs, after = float(cursor.fetchone()[0]), time.time()
    differ = max(before - theirs, theirs - after, 0.0)
    if differ > _CLOCKS_DIFFER_SECONDS:
        text = _("This machine's clock differs from the database's by {seconds} s. Set both by NTP.")
        yield Finding(text.format(seconds=f"{differ:.0f}"))


# --- the audit ---------------------------------------------------------------------------------------


def audit() -> Findings:
    """The chain's head is where the newest event is. Whether the chain is whole is for `audit_verify` to say."""
    head = AuditHead.objects.filter(pk=1).first()
    newest = AuditEvent.objects.order_by("-position").first()
    if head is None:
        text = _("The audit has no head, so nothing can be recorded or opened. Restore the database from its backup.")
        yield Finding(text)
        return
    expected = (newest.position, newest.hash) if newest else (0, GENESIS_HASH)
    if (head.position, head.hash) != expected:
        yield Finding(_("The audit's head is not at its newest event. Run: manage.py audit_verify"))
    if settings.AUDIT_HEAD_FILE:
        yield from _noted_head(Path(settings.AUDIT_HEAD_FILE))


def _noted_head(path: Path) -> Findings:
    """The last head that a worker noted is still in the chain."""
    try:
        noted_at, noted = _last_line(path)
    except FileNotFoundError:
        folder = path.absolute().parent
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            text = _("AUDIT_HEAD_FILE: the folder {folder} is missing, or this user cannot write into it. Make it.")
            yield Finding(text.format(folder=folder))
            return
        yield note(_("AUDIT_HEAD_FILE ({path}) is not here; a worker adds to it every hour.").format(path=path))
        return
    except (OSError, ValueError) as error:
        text = _("AUDIT_HEAD_FILE ({path}) cannot be read ({kind}). Look at its last line and its owner.")
        yield Finding(text.format(path=path, kind=type(error).__name__))
        return
    position, digest = noted
    there = AuditEvent.objects.filter(position=position).values_list("hash", flat=True).first()
    if position and there != digest:
        text = _(
            "Event {position} is not the one that was noted in AUDIT_HEAD_FILE: the audit was altered, or restored "
            "from an older backup. Run: manage.py audit_verify --head {head}"
        )
        yield Finding(text.format(position=position, head=f"{position}:{digest}"))
    if timezone.now() - noted_at > _HEAD_IS_OLD:
        text = _("The last line of AUDIT_HEAD_FILE is of {at}. Do the scheduler and a worker run?")
        yield Finding(text.format(at=noted_at.isoformat(timespec="minutes")))


def _last_line(path: Path) -> tuple[dt.datetime, Head]:
    """Raises: OSError, ValueError (empty, or not `TIME POSITION:HASH`)."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
        lines = file.read().decode("ascii").split("\n")[:-1]  # without one that was cut off in writing
    at, separator, head = next((line for line in reversed(lines) if line.strip()), "").partition(" ")
    noted_at = parse_datetime(at)
    if not separator or noted_at is None or timezone.is_naive(noted_at):
        raise ValueError("not a line of TIME POSITION:HASH")
    return noted_at, parse_head(head.strip())
