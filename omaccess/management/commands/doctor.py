"""Says what is missing or wrong in this installation, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils.translation import gettext as _

from omaccess.doctor import configuration, database, inventory, jobs, network, services, web
from omaccess.doctor.findings import Findings, Underway

_WORKER_ANSWERS_SECONDS = 5.0
_OTHERS_ANSWER_SECONDS = 8.0

Subject = tuple[str, Callable[[], Findings]]


class Command(BaseCommand):
    help = (
        "Say what is missing or wrong in this installation, in words, and what to do. Exit code 1 when something is "
        "wrong; a note alone is not. It changes nothing, sends nothing and prints no secret."
    )
    # It runs them itself, and goes on after the first error.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--network", action="store_true", help="also connect to each endpoint of the cloud")
        parser.add_argument("--no-web", action="store_true", help="no web server is meant to run on this machine")

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = 0
        for title, examine in self._subjects(**options):
            findings = list(examine())
            is_well = not any(finding.is_wrong for finding in findings)
            wrong += sum(finding.is_wrong for finding in findings)
            self.stdout.write(f"{_('ok   ') if is_well else _('WRONG')}  {title}")
            for finding in findings:
                self.stdout.write(f"         {finding.text}")
        if wrong:
            self.stdout.write(_("{number} things need attention.").format(number=wrong))
            raise SystemExit(1)
        self.stdout.write(_("Nothing is missing and nothing is wrong."))

    def _subjects(self, *, network: bool, no_web: bool, **_options: Any) -> Iterator[Subject]:
        """What is examined, in order. Nothing follows that could only fail for a reason that was given before."""
        found = list(configuration.variables())
        yield _("Settings"), lambda: iter(found)
        if any(finding.is_wrong and finding.text.startswith("omaccess.") for finding in found):
            return  # keys or endpoints that cannot be read
        elsewhere = list(_asked_elsewhere(no_web=no_web))
        yield _("Addresses"), configuration.addresses
        yield _("Files"), configuration.files
        yield _("Static files"), configuration.static_files
        answered = list(database.database())
        yield _("Database"), lambda: iter(answered)
        yield _("Cache"), services.cache
        yield from elsewhere
        if any(finding.is_end for finding in answered):
            return
        yield from _asked_in_the_database(connect=network)


def _asked_elsewhere(*, no_web: bool) -> Iterator[Subject]:
    """What asks other processes and machines, begun at once, so that it waits for all of them together."""
    subjects: list[Subject] = [
        (_("Background work"), partial(services.broker, worker_seconds=_WORKER_ANSWERS_SECONDS)),
        (_("Mail"), services.mail),
        (_("Traces"), services.tracing),
    ]
    if not no_web:
        subjects.append((_("Web server"), web.web_server))
    for title, examine in subjects:
        yield title, Underway(examine, seconds=_OTHERS_ANSWER_SECONDS).findings


def _asked_in_the_database(*, connect: bool) -> Iterator[Subject]:
    yield _("Audit"), database.audit
    yield _("Scheduled jobs"), jobs.scheduled_jobs
    yield _("Scheduler"), jobs.schedulers
    yield _("Scheduled sweep"), jobs.sweep
    yield _("Credentials"), inventory.credentials
    yield _("Bastion instances"), inventory.instances
    yield _("Names of the cloud"), lambda: network.cloud(inventory.endpoints(), connect=connect)
    yield _("People and grants"), inventory.people
