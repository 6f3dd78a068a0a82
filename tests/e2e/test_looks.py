"""How the pages behave on small and large screens, in light and dark."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from omaccess.causes import Cause
from omaccess.models import LaunchState
from tests.browser import Visitor
from tests.factories import HostAccountFactory, HostFactory
from tests.inventory import Inventory
from tests.omaccess.views.test_activity import make_launch

LONG = "an-extraordinarily-long-host-name-for-the-quarterly-reporting-cluster-node-0001.internal.acme.example"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1280])
def test_no_page_is_wider_than_its_screen(
    visitor: Visitor, committed_inventory: Inventory, width: int, scheme: str
) -> None:
    host = HostFactory(
        instance=committed_inventory.instances["bastion"],
        name=LONG,
        address="2001:db8:85a3::8a2e:370:7334",
        owner="Reporting and regulatory compliance engineering",
        labels={"env": "prod", "data-classification": "strictly-confidential", "note": "x" * 190},
    )
    account = HostAccountFactory(host=host, name="ACME\\svc-" + "maintenance" * 15)
    launch = make_launch(
        committed_inventory.staff,
        account,
        state=LaunchState.REFUSED,
        cause=Cause.UPSTREAM_UNKNOWN_ERROR,
        host_address=host.address,
        upstream_description="W" * 500,
        reason="r" * 500,
    )
    visitor.page.set_viewport_size({"width": width, "height": 800})
    visitor.page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    visitor.expects("404")
    widths = {}

    for name, path in {
        "login": "/accounts/login/",
        "hosts": "/",
        "no-match": "/?q=nothing-like-this",
        "host": f"/hosts/{host.pk}/",
        "launch": f"/launches/{launch.reference}/",
        "activity": "/activity/",
        "password": "/accounts/password/change/",
        "missing": "/nowhere/",
        "opening": "/launches/opening/",
    }.items():
        visitor.go(path)
        widths[name] = visitor.page.evaluate("document.documentElement.scrollWidth")
        visitor.screenshot(f"{name}-{width}-{scheme}")
        if name == "login":
            visitor.sign_in()

    assert {name: found for name, found in widths.items() if found > width} == {}


def test_targets_are_large_enough_for_fingers(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.page.set_viewport_size({"width": 390, "height": 844})
    visitor.sign_in()
    small = []

    for path in ("/", f"/hosts/{committed_inventory.hosts['web-01'].pk}/", "/activity/"):
        visitor.go(path)
        for target in visitor.page.locator("button:visible, nav a:visible, summary:visible, select:visible").all():
            box = target.bounding_box()
            if box and (box["height"] < 24 or box["width"] < 24):
                small.append((path, target.inner_text(), box))

    assert small == []


def test_the_menu_signs_out(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.page.locator(".menu summary").click()
    visitor.page.keyboard.press("Escape")
    expect(visitor.page.get_by_role("button", name="Sign out")).to_be_hidden()

    visitor.page.locator(".menu summary").click()
    visitor.page.get_by_role("button", name="Sign out").click()

    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.page.go_back()
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
