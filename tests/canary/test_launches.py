"""No secret reaches any sink: whole launches with everything logged, then every place is searched.

The one place where a link may be is the `Location` of the answer that hands it over.
"""

from __future__ import annotations

import datetime as dt
import io

import pytest
import time_machine
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from omaccess.models import IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from omaccess.tasks import clear_expired_sessions, close_abandoned_launches, log_audit_head, refresh_tokens
from tests.canary.issued import Issued
from tests.canary.life import launch_everything, password_of, press
from tests.canary.sinks import Sinks, add_database, add_mail
from tests.inventory import Inventory

pytestmark = pytest.mark.database


def test_no_secret_of_a_launch_reaches_any_sink(
    staff: Client,
    inventory: Inventory,
    sandbox: SandboxServer,
    issued: Issued,
    sinks: Sinks,
    logged: None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    launch_everything(staff, inventory, sandbox, issued, sinks)
    press(staff, inventory.root, sinks)

    web = inventory.hosts["web-01"].pk
    for page in (
        "/",
        "/?q=web",
        "/activity/",
        "/activity/access/",
        f"/hosts/{web}/",
        f"/hosts/{web}/?account={inventory.root.pk}",
    ):
        sinks.add(f"page {page}", staff.get(page).content)
    sinks.add("export of my own", staff.get("/activity/export/").getvalue())
    close_abandoned_launches()
    log_audit_head()
    clear_expired_sessions()
    for form in ("csv", "jsonl"):
        out = io.StringIO()
        call_command("audit_export", "--format", form, "--output", "-", stdout=out)
        sinks.add(f"export {form}", out.getvalue())
    add_database(sinks)
    add_mail(sinks)
    printed = capfd.readouterr()
    sinks.add("standard output", printed.out)
    sinks.add("standard error", printed.err)

    assert len(issued.tickets) > 10
    states = set(Launch.objects.values_list("state", flat=True))
    assert {"opened", "refused", "failed", "waiting"} <= states
    assert sinks.holds("log: as production writes it", "launch_opened")
    assert sinks.holds("table omaccess_iamuserlease", "v1.c1.")
    leaks = sinks.leaks(issued)
    assert leaks == []


def test_no_secret_of_a_refreshed_token_reaches_a_log_or_a_row(
    staff: Client, inventory: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks, logged: None
) -> None:
    press(staff, inventory.root, sinks)

    with time_machine.travel(timezone.now() + dt.timedelta(hours=23, minutes=30)):
        refresh_tokens()
    sandbox.control.add_fault(
        "iam.token", times=None, status=401, envelope="error_msg", code="IAM.0062", message=password_of(sandbox)
    )
    with time_machine.travel(timezone.now() + dt.timedelta(days=1, hours=23, minutes=5)):
        refresh_tokens()
    add_database(sinks)

    assert len(issued.tokens) == 2
    assert sinks.holds("log: as production writes it", "token_refresh_failed")
    assert IamUserLease.objects.get(user_name="portal").failure
    assert sinks.leaks(issued) == []


def test_a_session_key_is_in_its_row_and_its_cookie_and_nowhere_else(
    staff: Client, inventory: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks, logged: None
) -> None:
    """Whoever has the key is that person for twelve hours."""
    key = Issued()
    key.add("session key", staff.session.session_key or "")

    press(staff, inventory.root, sinks)
    press(staff, inventory.account("ghost"), sinks)
    sinks.add("page", staff.get("/").content)
    sinks.add("page", staff.get("/activity/").content)
    add_database(sinks, without=["django_session"])

    assert sinks.leaks(key) == []
    add_database(sinks)
    assert sinks.leaks(key)
