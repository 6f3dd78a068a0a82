"""Writes the audit to a file. That somebody did so is itself in the audit, before the first row is written."""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime
from django.utils.translation import gettext as _

from omaccess.audit import CannotRecord, Kind, record
from omaccess.audit.export import FORMATS
from omaccess.meta import Meta
from omaccess.models import AuditEvent


class Command(BaseCommand):
    help = (
        "Export audit events, oldest first, as CSV (to read) or JSON Lines (to process and to prove). The export is "
        "recorded in the audit first."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=sorted(FORMATS), default="jsonl", dest="form")
        parser.add_argument(
            "--output", required=True, metavar="FILE", help="a file that does not exist yet, or - for standard output"
        )
        when = "a date (YYYY-MM-DD) or a date and time (ISO 8601), in the portal's time zone unless it says another"
        parser.add_argument("--since", type=_moment, metavar="WHEN", help=f"from this moment on; {when}")
        parser.add_argument("--until", type=_moment, metavar="WHEN", help="up to but without this moment; likewise")
        parser.add_argument(
            "--kind",
            action="append",
            choices=[str(kind) for kind in Kind],
            metavar="KIND",
            default=[],
            help="only this kind, for example launch:opened; may be given several times",
        )
        parser.add_argument("--person", metavar="NAME", help="only what this person did: the exact user name")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with _open(options["output"], self.stdout) as write:
                events = _recorded(options)
                for piece in FORMATS[options["form"]](events):
                    write(piece)
        except CannotRecord as error:
            raise CommandError(_("The export cannot be recorded, so nothing was exported.")) from error
        except (Error, ValueError) as error:  # ValueError: facts that are no JSON, so somebody changed them
            text = _("The audit could not be read ({problem}). What is wrong with it: audit_verify")
            raise CommandError(text.format(problem=type(error).__name__)) from error
        except OSError as error:
            text = _("The export could not be written: {problem}")
            raise CommandError(text.format(problem=error.strerror or error)) from error


def _recorded(options: dict[str, Any]) -> QuerySet[AuditEvent]:
    """Writes down that an export was asked for, and returns the events for it: what stands before that record."""
    events = AuditEvent.objects.all()
    if options["since"]:
        events = events.filter(at__gte=options["since"])
    if options["until"]:
        events = events.filter(at__lt=options["until"])
    if options["kind"]:
        events = events.filter(kind__in=options["kind"])
    if options["person"]:
        events = events.filter(actor_name=options["person"])
    with transaction.atomic():
        event = record(
            Kind.AUDIT_EXPORTED,
            by=None,
            actor_name="system: audit_export",
            meta=Meta.system("audit_export"),
            format=options["form"],
            since=options["since"],
            until=options["until"],
            kinds=options["kind"],
            person=options["person"],
        )
    return events.filter(position__lt=event.position)


@contextlib.contextmanager
def _open(name: str, stdout: Any) -> Iterator[Callable[[bytes], Any]]:
    """Standard output, or a new file that only its owner may read; a file that was not finished is removed."""
    if name == "-":
        buffer = getattr(stdout, "buffer", None)
        if buffer is None:  # something that a program put in its place
            yield lambda piece: stdout.write(piece.decode(), ending="")
        else:
            yield buffer.write
            buffer.flush()
        return
    path = Path(name)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise CommandError(_("{path} exists; nothing is overwritten.").format(path=path)) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def _moment(text: str) -> dt.datetime:
    """A date (its first moment) or a date and time. Raises: ArgumentTypeError."""
    try:
        moment = parse_datetime(text) if len(text) > len("2026-01-31") else None
        day = None if moment else parse_date(text)
    except ValueError:  # a date that no calendar has
        moment = day = None
    if day is not None:
        moment = dt.datetime.combine(day, dt.time())
    if moment is None:
        text = _("{text} is neither a date (YYYY-MM-DD) nor a date and time (ISO 8601)").format(text=repr(text))
        raise argparse.ArgumentTypeError(text)
    return timezone.make_aware(moment) if timezone.is_naive(moment) else moment
