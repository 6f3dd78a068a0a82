"""What keeps an installation sound by itself: the audit checked and its head noted, what is old cleared away.

Long work goes in steps of their own, each a short transaction, so that nobody waits for it.
"""

from __future__ import annotations

import datetime as dt
import smtplib
from collections.abc import Iterator
from pathlib import Path

import structlog
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.mail import send_mail
from django.utils import timezone
from django.utils.translation import gettext as _

from omaccess.audit import heads
from omaccess.audit.verify import Report, verify
from omaccess.locks import writing
from omaccess.models import AuditHead, Host, JobRun, Launch
from omaccess.models.launches import OPEN_STATES
from omaccess.search_texts import refresh

log = structlog.get_logger(__name__)

BATCH = 500
"""Rows deleted in one transaction: tens of milliseconds."""


class AuditNotWhole(Exception):
    """The audit was changed, or its protection was. `result` says how far it was read and how much was found."""

    def __init__(self, result: dict[str, int]) -> None:
        super().__init__(result)
        self.result = result


class HeadNotNoted(Exception):
    """The file of heads cannot be written. Nothing else is wrong."""


def verify_audit() -> dict[str, int]:
    """Check the whole chain, also against the heads noted in AUDIT_HEAD_FILE. Returns: `position` reached, `problems`.

    Raises:
        AuditNotWhole: it is not; that was logged, and mailed when mail is configured.
        DatabaseError: it could not be read.
    """
    noted, is_file_sound = _noted_heads()
    report = verify(heads=noted)
    found = report.problem_count + len(report.unprotected) + (0 if is_file_sound else 1)
    result = {"position": report.end[0], "problems": found}
    if not found:
        log.info("audit_whole", **result)
        return result
    log.error(
        "audit_not_whole",
        **result,
        first_problems=[f"{problem.kind} {problem.position}" for problem in report.problems[:10]],
        unprotected=report.unprotected,
        is_head_file_sound=is_file_sound,
    )
    _mail_alarm(report, found, is_head_file_sound=is_file_sound)
    raise AuditNotWhole(result)


def note_audit_head() -> dict[str, int]:
    """Note the chain's end outside the database: in the log, and in AUDIT_HEAD_FILE when that is set.

    Raises: HeadNotNoted.
    """
    head = AuditHead.objects.get(pk=1)
    log.info("audit_head", position=head.position, hash=head.hash)
    if settings.AUDIT_HEAD_FILE:
        try:
            heads.note(Path(settings.AUDIT_HEAD_FILE), (head.position, head.hash), timezone.now())
        except OSError as error:
            log.error("audit_head_not_noted", path=settings.AUDIT_HEAD_FILE, problem=error.strerror)
            raise HeadNotNoted(f"AUDIT_HEAD_FILE {settings.AUDIT_HEAD_FILE}: {error.strerror}") from error
    return {"position": head.position}


def clear_old_launches(*, now: dt.datetime) -> dict[str, int]:
    """Delete launches that ended more than KEEP_LAUNCHES_DAYS ago. Open ones stay, and so does all of the audit."""
    if not settings.KEEP_LAUNCHES_DAYS:
        return {"deleted": 0}
    before = now - dt.timedelta(days=settings.KEEP_LAUNCHES_DAYS)
    deleted = last_id = 0
    while True:
        # From the oldest on, by the primary key, as far as there are rows that old: younger ones are not even read.
        rows = list(
            Launch.objects.filter(pk__gt=last_id).order_by("pk").values_list("pk", "created_at", "ended_at")[:BATCH]
        )
        old = [pk for pk, _created_at, ended_at in rows if ended_at is not None and ended_at < before]
        if old:
            with writing():
                deleted += Launch.objects.filter(pk__in=old).exclude(state__in=OPEN_STATES).delete()[0]
        if not any(created_at < before for _pk, created_at, _ended_at in rows):
            return {"deleted": deleted}
        last_id = rows[-1][0]


def clear_expired_sessions(*, now: dt.datetime) -> dict[str, int]:
    """Delete sessions that are over. Nobody is signed out by it."""
    deleted = 0
    while True:
        over = list(
            Session.objects.filter(expire_date__lt=now).order_by("expire_date").values_list("pk", flat=True)[:BATCH]
        )
        if not over:
            return {"deleted": deleted}
        with writing():
            deleted += Session.objects.filter(pk__in=over, expire_date__lt=now).delete()[0]


def refresh_search_texts() -> dict[str, int]:
    """Make right what hosts are found by, where it is not: the release before does not know the column."""
    written = refresh(Host.objects.all())
    if written:
        log.info("search_texts_refreshed", number=written)
    return {"written": written}


def _noted_heads() -> tuple[list[heads.Head], bool]:
    """The heads to compare with, and whether their file is sound. There is none before the first was noted.

    Afterwards there must be: whoever rewrote the chain would empty the file, or remove it.
    """
    if not settings.AUDIT_HEAD_FILE:
        return [], True
    try:
        found = heads.noted(Path(settings.AUDIT_HEAD_FILE))
    except FileNotFoundError:
        found = []
    except (OSError, ValueError) as error:
        log.error("audit_head_file_unreadable", path=settings.AUDIT_HEAD_FILE, problem=str(error))
        return [], False
    if found:
        return found, True
    were_noted = JobRun.objects.filter(name="log_audit_head", successes__gt=0).exists()
    write = log.error if were_noted else log.warning
    write("audit_head_file_missing", path=settings.AUDIT_HEAD_FILE)
    return [], not were_noted


def _mail_alarm(report: Report, found: int, *, is_head_file_sound: bool) -> None:
    """The log and the metrics have it already, so a mail that cannot be sent is only noted."""
    if not (settings.EMAIL_URL and settings.ALARM_MAIL_TO):
        return
    subject = _("{site}: the audit is not whole").format(site=settings.SITE_NAME)
    lines = [
        _("Problems found: {number}. Read up to event {position}.").format(number=found, position=report.end[0]),
        *(f"- {problem.position}: {problem.text}" for problem in report.problems[:10]),
        *_what_no_longer_protects(report, is_head_file_sound=is_head_file_sound),
        _("Nobody should change anything before this is understood. For all of it run: manage.py audit_verify"),
    ]
    try:
        send_mail(subject, "\n".join(lines), settings.MAIL_FROM, settings.ALARM_MAIL_TO)
    except (OSError, smtplib.SMTPException) as error:
        log.error("alarm_mail_failed", error=type(error).__name__)


def _what_no_longer_protects(report: Report, *, is_head_file_sound: bool) -> Iterator[str]:
    if report.unprotected:
        text = _("THE DATABASE NO LONGER REFUSES CHANGES. Missing, disabled or altered: {names}.")
        yield text.format(names=", ".join(report.unprotected))
    if not is_head_file_sound:
        yield _("AUDIT_HEAD_FILE cannot be read, or a line of it is none; the worker's log says which.")
