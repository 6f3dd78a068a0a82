"""The first visit, in the inventory that comes with the demo; and the picture that README opens with."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest
from django.core.management import call_command
from playwright.sync_api import Browser, expect

from accounts.models import User
from omaccess.models import Favourite, Host, HostAccount, LaunchState
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import load_world
from tests.browser import Visitor, visit
from tests.factories import LaunchFactory

ARRIVED = re.compile(r"^http://127\.0\.0\.1:")
DEMO_PASSWORD = "sallyport-demo"
MOST_SECONDS = 20


@pytest.fixture
def newcomer(chromium: Browser, portal_server: str) -> Iterator[Visitor]:
    with SandboxServer(load_world()) as cloud:
        call_command("demo_data", sandbox_url=cloud.url, verbosity=0)
        context = chromium.new_context(viewport={"width": 1280, "height": 860})
        yield from visit(context, portal_server)


def test_a_named_host_is_open_twenty_seconds_after_the_sign_in_page(newcomer: Visitor) -> None:
    newcomer.go("/")
    began = time.monotonic()

    newcomer.sign_in("staff", password=DEMO_PASSWORD)
    newcomer.page.keyboard.type("web-hz-02")
    expect(newcomer.page.locator("#found")).to_have_text("1 host")
    with newcomer.page.expect_popup() as popup:
        newcomer.page.keyboard.press("Enter")

    expect(popup.value).to_have_url(ARRIVED)
    expect(popup.value.get_by_role("heading", level=1)).to_have_text("deploy on web-hz-02")
    assert time.monotonic() - began < MOST_SECONDS


def test_somebodys_own_hosts_stand_on_top(newcomer: Visitor) -> None:
    staff = User.objects.get(username="staff")
    for name in ("web-hz-01", "db-hz-01"):
        Favourite.objects.create(user=staff, host=Host.objects.get(name=name))
    for name in ("k8s-fra-master-1", "web-hz-staging", "db-fra-01", "web-hz-01"):
        account = HostAccount.objects.filter(host__name=name).order_by("name").first()
        LaunchFactory(user=staff, account=account, state=LaunchState.OPENED)

    newcomer.go("/")
    newcomer.sign_in("staff", password=DEMO_PASSWORD)

    expect(newcomer.page.locator(".shortcut-name")).to_have_text(
        [re.compile(name) for name in ("db-hz-01", "web-hz-01", "db-fra-01", "web-hz-staging", "k8s-fra-master-1")]
    )
    # tests/pictures/hosts.png is a copy of it.
    newcomer.screenshot("readme", full_page=False)
