"""The scheduled work, called directly and through a real Celery worker over both brokers."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from django.conf import settings
from django.utils import timezone
from django.utils.module_loading import import_string

from accounts.models import User
from omaccess import tasks
from omaccess.actions import launches
from omaccess.actions.housekeeping import AuditNotWhole
from omaccess.meta import Meta
from omaccess.models import AuditHead, IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from tests.inventory import Inventory
from tests.omaccess.audit.log import append_many, drop_triggers
from tests.processes import process, sender_for, wait_until

pytestmark = pytest.mark.database

MetaOf = Callable[[User], Meta]


def leave_a_launch_waiting(inventory: Inventory, meta: Meta) -> Launch:
    """A launch that is old enough for the sweep."""
    result = launches.launch(
        account_id=inventory.account("root", "fresh").pk,
        reason="",
        ticket="",
        once=None,
        by=inventory.staff,
        meta=meta,
    )
    Launch.objects.update(attempted_at=timezone.now() - dt.timedelta(minutes=16))
    return result.launch


def test_the_sweep_ends_what_was_left_open(inventory: Inventory, meta_of: MetaOf) -> None:
    left = leave_a_launch_waiting(inventory, meta_of(inventory.staff))

    tasks.close_abandoned_launches()

    assert Launch.objects.get(pk=left.pk).state == "abandoned"


def test_the_refresh_goes_on_after_a_credential_that_fails(
    inventory: Inventory, meta_of: MetaOf, sandbox: SandboxServer
) -> None:
    leave_a_launch_waiting(inventory, meta_of(inventory.staff))
    inventory.credentials["second"].secret_ciphertext = ""
    inventory.credentials["second"].save()

    tasks.refresh_tokens()

    assert IamUserLease.objects.get(user_name="portal").holder == ""


def test_the_head_of_the_audit_goes_to_the_log(
    inventory: Inventory, meta_of: MetaOf, caplog: pytest.LogCaptureFixture
) -> None:
    leave_a_launch_waiting(inventory, meta_of(inventory.staff))
    caplog.set_level(logging.INFO)

    tasks.log_audit_head()

    head = AuditHead.objects.get()
    assert any(head.hash in str(record.msg) and str(head.position) in str(record.msg) for record in caplog.records)


@pytest.mark.django_db
@pytest.mark.parametrize("entry", sorted(settings.CELERY_BEAT_SCHEDULE))
def test_every_scheduled_task_tells_in_numbers_what_it_did(entry: str) -> None:
    job = import_string(str(settings.CELERY_BEAT_SCHEDULE[entry]["task"]))

    told = job()

    assert told
    assert {type(number) for number in told.values()} == {int}


@pytest.mark.django_db
def test_the_verification_fails_as_a_job_when_the_audit_is_not_whole() -> None:
    append_many(2)
    drop_triggers()

    with pytest.raises(AuditNotWhole):
        tasks.verify_audit()


def test_every_scheduled_task_exists() -> None:
    from portal.celery import app

    app.loader.import_default_modules()

    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)


def test_a_worker_over_the_filesystem_broker_does_the_work(
    committed_inventory: Inventory, meta_of: MetaOf, tmp_path: Path
) -> None:
    left = leave_a_launch_waiting(committed_inventory, meta_of(committed_inventory.staff))

    run_through_a_worker("filesystem://", left, tmp_path)


@pytest.mark.redis
def test_a_worker_over_redis_does_the_work(
    committed_inventory: Inventory, meta_of: MetaOf, tmp_path: Path, redis_url: str, redis_prefix: str
) -> None:
    left = leave_a_launch_waiting(committed_inventory, meta_of(committed_inventory.staff))

    run_through_a_worker(redis_url, left, tmp_path, redis_prefix)


def run_through_a_worker(broker: str, left: Launch, folder: Path, prefix: str = "") -> None:
    """Start the product's worker on this broker, send the sweep as the scheduler would, wait for its effect."""
    variables = {
        "BROKER_URL": broker,
        "BROKER_KEY_PREFIX": prefix,
        "DATA_DIR": str(folder),
    }
    with process("celery", "-A", "portal.startup", "worker", "-P", "threads", "-c", "1", **variables) as worker:
        sender = sender_for(variables)
        sender.send_task("omaccess.tasks.close_abandoned_launches")
        wait_until(lambda: Launch.objects.get(pk=left.pk).state == "abandoned", worker, seconds=40)
        sender.close()
