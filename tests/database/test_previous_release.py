"""During an upgrade the release before runs against the new schema, beside the new release."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.management import call_command
from django.db import connection

from omaccess.audit import triggers
from omaccess.audit.verify import verify
from omaccess.models import AuditEvent, Grant, Host, HostAccount, IamCredential, Launch
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import World
from tests import inventory as inventory_rows
from tests.database.installation import Installation
from tests.database.release import migrations_in, unpack_previous_release
from tests.factories import PASSWORD
from tests.faults.private import default_database_is
from tests.launching import MetaOf, open_account
from tests.processes import ROOT, environment, free_port, kill, wait_until

JOBS = """
from omaccess.tasks import clear_expired_sessions, close_abandoned_launches, log_audit_head, refresh_tokens
for job in (close_abandoned_launches, refresh_tokens, log_audit_head, clear_expired_sessions):
    job()
"""


@pytest.fixture(scope="module")
def previous(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The code of the release before."""
    folder = tmp_path_factory.mktemp("previous")
    unpack_previous_release(folder)
    return folder


@contextmanager
def web_of(code: Path, variables: dict[str, str]) -> Iterator[str]:
    """gunicorn of that release, checks at its start included. Yields its address without waiting for it."""
    port = free_port()
    running = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "portal.wsgi"],
        cwd=code,
        env={**variables, "BIND": f"127.0.0.1:{port}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        yield url
        assert running.poll() is None, running.stdout.read() if running.stdout else ""
    finally:
        kill(running)


def is_ready(url: str) -> bool:
    try:
        return requests.get(f"{url}/readyz", timeout=10).status_code == 200
    except requests.ConnectionError:
        return False


def sign_in_and_launch(url: str, account: HostAccount) -> requests.Response:
    """As a person does it: the sign-in page, the host's page, the button."""
    wait_until(lambda: is_ready(url))
    browser = requests.Session()
    browser.trust_env = False

    def submit(page: str, to: str, **fields: object) -> requests.Response:
        form = browser.get(url + page, timeout=30).text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token, form
        fields["csrfmiddlewaretoken"] = token[1]
        return browser.post(url + to, data=fields, allow_redirects=False, timeout=30)

    signed_in = submit("/accounts/login/", "/accounts/login/", login="staff", password=PASSWORD)
    assert signed_in.status_code == 302, signed_in.text
    return submit(f"/hosts/{account.host_id}/", "/launches/", account=account.pk)


@contextmanager
def installed_on(vendor: str, request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """Django's default database is one that today's code migrated. Yields the variables of its portal."""
    if vendor == "sqlite":
        request.getfixturevalue("fresh_db")
        if connection.vendor != "sqlite":
            pytest.skip("this run's own database is PostgreSQL")
        yield environment()
        return
    installation: Installation = request.getfixturevalue("installation")
    with default_database_is(installation.settings(installation.web)):
        yield environment(REQUIRE_AUDIT_ROLE="1")


@pytest.mark.parametrize("vendor", [pytest.param("postgresql", marks=pytest.mark.postgresql), "sqlite"])
def test_both_releases_sign_in_launch_and_work_on_the_new_schema(
    vendor: str,
    previous: Path,
    sandbox: SandboxServer,
    world: World,
    request: pytest.FixtureRequest,
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        variables = stack.enter_context(installed_on(vendor, request))
        inventory = inventory_rows.load(world, sandbox.url)
        old = stack.enter_context(web_of(previous, variables | {"DATA_DIR": str(tmp_path / "old")}))
        new = stack.enter_context(web_of(ROOT, variables | {"DATA_DIR": str(tmp_path / "new")}))

        answers = [sign_in_and_launch(url, inventory.root) for url in (old, new, old)]
        command = [sys.executable, "manage.py", "shell", "-c", JOBS]
        jobs = subprocess.run(command, cwd=previous, env=variables, capture_output=True, text=True, check=False)

        assert [answer.status_code for answer in answers] == [303, 303, 303]
        assert all(answer.headers["Location"].startswith(sandbox.url) for answer in answers)
        assert jobs.returncode == 0, jobs.stderr
        assert list(Launch.objects.values_list("state", flat=True)) == ["opened"] * 3
        report = verify()
        assert report.is_whole
        assert report.unprotected == []


@pytest.mark.database
def test_the_new_migrations_can_be_undone_and_done_again_and_nothing_is_lost(
    previous: Path,
    committed_inventory: inventory_rows.Inventory,
    meta_of: MetaOf,
) -> None:
    staff = committed_inventory.staff
    open_account(committed_inventory.root, staff, meta_of(staff))
    models: list[Any] = [AuditEvent, Grant, Host, HostAccount, IamCredential, Launch]
    target, newest = migrations_in(previous)[-1], migrations_in(ROOT)[-1]

    def rows() -> list[list[tuple[object, ...]]]:
        return [list(model.objects.order_by("pk").values_list()) for model in models]

    before = rows()
    call_command("migrate", "omaccess", target, verbosity=0)
    missing_between = triggers.missing(connection)
    call_command("migrate", "omaccess", newest, verbosity=0)

    assert rows() == before
    assert missing_between == triggers.missing(connection) == []
    assert verify().is_whole
