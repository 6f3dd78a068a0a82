"""The scheduled work, called directly and through a real Celery worker over both brokers."""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from celery import Celery
from django.conf import settings
from django.utils import timezone

from accounts.models import User
from omaccess import tasks
from omaccess.actions import launches
from omaccess.meta import Meta
from omaccess.models import AuditHead, IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from tests.inventory import Inventory
from tests.processes import environment, process, wait_until

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


def sender_for(variables: dict[str, str]) -> Celery:
    """A scheduler's end of the same broker, configured as the settings would with these variables."""
    assert environment(**variables)["BROKER_URL"] == variables["BROKER_URL"]
    spool = Path(variables["DATA_DIR"]) / "celery"
    if variables["BROKER_URL"].startswith("filesystem"):
        for name in ("queue", "control"):
            (spool / name).mkdir(parents=True, exist_ok=True)
        options = {
            "data_folder_in": str(spool / "queue"),
            "data_folder_out": str(spool / "queue"),
            "control_folder": str(spool / "control"),
        }
    else:
        options = {"global_keyprefix": variables["BROKER_KEY_PREFIX"]}
    sender = Celery("tests", broker=variables["BROKER_URL"], set_as_current=False)
    sender.conf.broker_transport_options = options
    return sender
