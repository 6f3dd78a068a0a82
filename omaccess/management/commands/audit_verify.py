"""Checks that the audit is what it was when it was written."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from omaccess.audit.heads import Head, noted, parse_head
from omaccess.audit.verify import Problem, Report, verify

TAMPERED, COULD_NOT_CHECK = 1, 2


class Command(BaseCommand):
    help = (
        "Check every event of the audit, its chain and its head. Exit code 0: whole. 1: something was changed, or the "
        "database no longer refuses changes. 2: it could not be checked. The last line is the head, POSITION:HASH; "
        "keep it somewhere else and give it back with --head. Without --head and --heads it is compared with "
        "AUDIT_HEAD_FILE, when that is set."
    )
    # Above all a broken installation has to be looked into.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--head",
            type=_head,
            metavar="POSITION:HASH",
            help="a head noted earlier, from the log or an earlier run; everything up to it must still be there",
        )
        parser.add_argument(
            "--heads",
            type=Path,
            metavar="FILE",
            help="a file of heads noted earlier, each line ending in POSITION:HASH, such as AUDIT_HEAD_FILE or a copy",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        began = time.monotonic()
        heads = self._heads(options["head"], options["heads"])
        try:
            report = verify(heads=heads)
        except Error as error:
            text = _("The audit could not be read: {problem}")
            raise CommandError(text.format(problem=str(error).strip()), returncode=COULD_NOT_CHECK) from error
        for line in _words(report, time.monotonic() - began):
            self.stdout.write(line)
        if not report.is_whole or report.unprotected:
            raise SystemExit(TAMPERED)

    def _heads(self, head: Head | None, path: Path | None) -> list[Head]:
        """What to compare with: what the call names, else the installation's own file."""
        given = [head] if head else []
        is_named = path is not None
        if path is None and not given and settings.AUDIT_HEAD_FILE:
            path = Path(settings.AUDIT_HEAD_FILE)
            if not path.exists():
                text = _("No head has been noted in {path} yet, so there is nothing to compare with.")
                self.stdout.write(text.format(path=path))
                return []
        if path is None:
            return given
        try:
            found = noted(path)
        except (OSError, ValueError) as error:
            text = _("The heads in {path} cannot be read: {problem}")
            problem = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
            raise CommandError(text.format(path=path, problem=problem), returncode=COULD_NOT_CHECK) from error
        if not found:
            nothing = _("There is no head in {path}, so there is nothing to compare with.").format(path=path)
            if is_named:
                raise CommandError(nothing, returncode=COULD_NOT_CHECK)
            self.stdout.write(nothing)
        return given + found


def _head(text: str) -> Head:
    try:
        return parse_head(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _words(report: Report, seconds: float) -> list[str]:
    counted = ngettext(
        "{number} event was checked in {seconds} s.", "{number} events were checked in {seconds} s.", report.events
    )
    lines = [counted.format(number=report.events, seconds=f"{seconds:.1f}")]
    if report.is_whole:
        lines.append(_("No change was found: each event has its hash, follows from the one before, none is missing."))
        lines += _proof(report)
    else:
        lines.append(_("THE AUDIT WAS CHANGED."))
        lines += [_line(problem) for problem in report.problems]
        left_out = report.problem_count - len(report.problems)
        if left_out:
            more = ngettext("… and {number} more problem.", "… and {number} more problems.", left_out)
            lines.append(more.format(number=left_out))
    if report.unprotected:
        text = _("THE DATABASE NO LONGER REFUSES CHANGES. Missing, disabled or altered: {names}.")
        lines.append(text.format(names=", ".join(report.unprotected)))
    return [*lines, "{}:{}".format(*report.end)]


def _line(problem: Problem) -> str:
    if problem.position is None:
        return f"- {problem.text}"
    return "- " + _("Event {position}: {text}").format(position=problem.position, text=problem.text)


def _proof(report: Report) -> list[str]:
    """What follows from it, and what does not."""
    cannot = _(
        "What this cannot prove: whoever owns the database could replace the chain's end and compute every hash after "
        "it anew. Only a head that was noted elsewhere shows that."
    )
    if report.noted_head is None:
        hint = _("The log has one every hour (audit_head); compare with: audit_verify --head POSITION:HASH")
        return [cannot, hint]
    position = report.noted_head[0]
    text = _("Everything up to event {position} is as it was when the head was noted.")
    proven = text.format(position=position)
    return [proven] if position == report.end[0] else [proven, _("For the events after it:") + " " + cannot]
