"""Says what is missing or wrong in this installation, in words."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.cache import caches
from django.core.checks import INFO, WARNING, CheckMessage, run_checks
from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from accounts.models import ADMINS, User
from omaccess import vault
from omaccess.clients import endpoint_rules
from omaccess.cloud.errors import EndpointNotAllowed
from omaccess.errors import VaultError
from omaccess.models import AuditEvent, AuditHead, BastionInstance, Grant, HostAccount, IamCredential, Launch
from omaccess.models.audit import GENESIS_HASH
from omaccess.models.inventory import LoginAddress
from omaccess.models.launches import LaunchState
from portal.celery import app

_SWEEP_IS_LATE = dt.timedelta(minutes=3)
"""The sweep runs every 30 s and closes what is older than the deadline and 60 s."""
_MESSAGE_IS_LATE_SECONDS = 120
_WORKER_ANSWERS_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence. `is_wrong` ones make the command fail."""

    text: str
    is_wrong: bool = True


Findings = Iterator[Finding]


class Command(BaseCommand):
    help = "Say what is missing or wrong in this installation, in words. Exit code 1 when something is."
    # It runs them itself, and goes on after the first error.
    requires_system_checks = []

    def handle(self, *args: Any, **options: Any) -> None:
        wrong = 0
        for title, examine in self._subjects():
            findings = list(examine())
            wrong += sum(finding.is_wrong for finding in findings)
            is_well = not any(finding.is_wrong for finding in findings)
            self.stdout.write(f"{_('ok   ') if is_well else _('WRONG')}  {title}")
            for finding in findings:
                self.stdout.write(f"         {finding.text}")
        if wrong:
            self.stdout.write(_("{number} things need attention.").format(number=wrong))
            raise SystemExit(1)
        self.stdout.write(_("Nothing is missing and nothing is wrong."))

    def _subjects(self) -> Iterator[tuple[str, Callable[[], Findings]]]:
        """What is examined, in order. Nothing that needs the database follows one that does not answer."""
        found = list(_settings())
        yield _("Settings"), lambda: iter(found)
        if any(finding.is_wrong and finding.text.startswith("omaccess.") for finding in found):
            # Keys or endpoints that cannot be read: everything below would only fail for the same reason.
            return
        database = list(_database())
        yield _("Database"), lambda: iter(database)
        yield _("Cache"), _cache
        yield _("Background work"), _broker
        if any(finding.is_wrong for finding in database):
            return
        yield _("Audit"), _audit
        yield _("Credentials"), _credentials
        yield _("Bastion instances"), _instances
        yield _("People and grants"), _people
        yield _("Scheduled sweep"), _sweep


def _of(messages: list[CheckMessage]) -> Findings:
    for message in messages:
        if message.level > INFO and not message.is_silenced():
            hint = f" {message.hint}" if message.hint else ""
            yield Finding(f"{message.id}: {message.msg}{hint}", is_wrong=message.level > WARNING)


def _settings() -> Findings:
    """Keys, endpoints, and whatever else Django's checks know."""
    yield from _of(run_checks(include_deployment_checks=False))
    if settings.DEBUG:
        yield Finding(_("DEBUG is on: error pages would show the portal's insides to anybody."))
    if not settings.SUPPORT_CONTACT:
        yield Finding(
            _("SUPPORT_CONTACT is empty, so pages cannot say whom to ask."),
            is_wrong=False,
        )
    if not settings.IS_SANDBOX and not settings.HTTPS:
        yield Finding(_("HTTPS is off: passwords and links travel in the clear."))


def _database() -> Findings:
    """It answers, every migration is applied, the audit's triggers stand, the role may not change the audit."""
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        yield from _of(run_checks(tags=["database"], databases=[DEFAULT_DB_ALIAS]))
    except DatabaseError as error:
        yield Finding(_("The database does not answer ({kind}).").format(kind=type(error).__name__))
        return
    if plan:
        names = ", ".join(f"{migration.app_label}.{migration.name}" for migration, _backwards in plan[:5])
        yield Finding(
            _("{number} migrations are not applied ({names} …). Run: manage.py migrate").format(
                number=len(plan), names=names
            )
        )


def _audit() -> Findings:
    """The chain's head is where the newest event is. Whether the chain is whole is for `audit_verify` to say."""
    head = AuditHead.objects.filter(pk=1).first()
    newest = AuditEvent.objects.order_by("-position").first()
    if head is None:
        yield Finding(_("The audit has no head, so nothing can be recorded and nobody can open anything."))
        return
    expected = (newest.position, newest.hash) if newest else (0, GENESIS_HASH)
    if (head.position, head.hash) != expected:
        yield Finding(_("The audit's head is not at its newest event. Run: manage.py audit_verify"))


def _cache() -> Findings:
    """Launches work without it, only slower: each asks for a token of its own."""
    probe = f"doctor-{time.time_ns()}"
    try:
        cache = caches["tokens"]
        cache.set(probe, probe, timeout=10)
        answers = cache.get(probe) == probe
        cache.delete(probe)
    except (RedisError, DatabaseError, OSError, ValueError) as error:
        yield Finding(_("The cache does not answer ({kind}). Check CACHE_URL.").format(kind=type(error).__name__))
        return
    if not answers:
        yield Finding(_("The cache forgets at once what it is given. Check CACHE_URL."))


def _broker() -> Findings:
    """The way to the worker is open, and a worker is there."""
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
        workers = app.control.broadcast("ping", reply=True, timeout=_WORKER_ANSWERS_SECONDS, limit=1)
    except (BrokerError, RedisError, OSError) as error:
        yield Finding(_("The broker does not answer ({kind}). Check BROKER_URL.").format(kind=type(error).__name__))
        return
    if not workers:
        yield Finding(_("No worker answers. Start one: celery -A portal.startup worker"))
    if settings.BROKER_URL.startswith("filesystem"):
        yield from _late_messages(Path(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"]))


def _late_messages(queue: Path) -> Findings:
    now = time.time()
    late = [path for path in queue.glob("*.msg") if now - _modified(path, now) > _MESSAGE_IS_LATE_SECONDS]
    if late:
        yield Finding(
            _("{number} messages have waited for more than two minutes; the worker does not take them.").format(
                number=len(late)
            )
        )


def _modified(path: Path, now: float) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return now  # taken while we looked


def _credentials() -> Findings:
    """Each enabled one has a secret that opens, and an endpoint that may be called."""
    rules = endpoint_rules()
    for credential in IamCredential.objects.filter(is_enabled=True).order_by("name"):
        if not credential.has_secret:
            yield Finding(_("{name} has no secret. Enter it in the admin.").format(name=credential))
            continue
        try:
            vault.decrypt(credential.secret_ciphertext, table="iamcredential", row=str(credential.pk), field="secret")
        except VaultError as error:
            yield Finding(f"{credential}: {error}.")
        try:
            rules.check(credential.iam_endpoint)
        except EndpointNotAllowed as error:
            yield Finding(f"{credential}: {credential.iam_endpoint}: {error}")
        if credential.last_error and _is_newer(credential.last_error_at, credential.last_success_at):
            yield Finding(
                _("{name}: the last exchange failed ({cause}).").format(name=credential, cause=credential.last_error),
                is_wrong=False,
            )


def _is_newer(one: dt.datetime | None, other: dt.datetime | None) -> bool:
    return one is not None and (other is None or one > other)


def _instances() -> Findings:
    rules = endpoint_rules()
    instances = BastionInstance.objects.filter(is_enabled=True).select_related("credential").order_by("name")
    if not instances:
        yield Finding(_("There is no enabled bastion instance, so there is nothing to open."))
    with_address = set(LoginAddress.objects.filter(kind=LoginAddress.Kind.LINK).values_list("instance_id", flat=True))
    for instance in instances:
        if instance.pk not in with_address:
            yield Finding(
                _("{name} has no login address of the kind link, so every link is refused.").format(name=instance)
            )
        if not instance.credential.is_enabled:
            yield Finding(_("{name}: its launch credential is disabled.").format(name=instance))
        try:
            rules.check(instance.endpoint)
        except EndpointNotAllowed as error:
            yield Finding(f"{instance}: {instance.endpoint}: {error}")


def _people() -> Findings:
    if not User.objects.filter(is_active=True, groups__name=ADMINS).exists():
        yield Finding(_("Nobody is in the group admins. Run: manage.py create_admin"))
    if not HostAccount.objects.enabled().exists():
        yield Finding(_("There is no enabled host with an account."))
    if not Grant.objects.in_force(timezone.now()).exists():
        yield Finding(_("No grant is in force, so nobody can open anything."))


def _sweep() -> Findings:
    """A launch that should have been closed long ago betrays a scheduler that does not run."""
    before = timezone.now() - dt.timedelta(seconds=settings.ATTEMPT_SECONDS + 60) - _SWEEP_IS_LATE
    stuck = Launch.objects.filter(state=LaunchState.PENDING, attempted_at__lt=before).count()
    if stuck:
        yield Finding(
            _(
                "{number} launches are pending that the sweep should have closed. "
                "Do the scheduler (celery -A portal.startup beat) and a worker run?"
            ).format(number=stuck)
        )
