"""The hosts somebody keeps using, one click away."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from omaccess.models import Favourite
from tests.browser import Visitor
from tests.factories import LaunchFactory
from tests.inventory import Inventory

ARRIVED = re.compile(r"^http://127\.0\.0\.1:")


def test_a_starred_host_is_opened_from_the_top_with_one_click(visitor: Visitor, committed_inventory: Inventory) -> None:
    page = visitor.page
    LaunchFactory(user=committed_inventory.staff, account=committed_inventory.root)
    visitor.go("/")
    visitor.sign_in()

    page.get_by_role("button", name="Favourite: web-01").click()
    expect(page.get_by_role("button", name="Favourite: web-01", pressed=True)).to_be_visible()
    expect(page).to_have_url(re.compile(r"/#star-\d+$"))
    mine = page.get_by_role("region", name="Your hosts")
    visitor.screenshot("favourites")
    with page.expect_popup() as popup:
        mine.get_by_role("button", name="Open web-01 as root in a new window").click()

    expect(popup.value).to_have_url(ARRIVED)
    assert Favourite.objects.get().user == committed_inventory.staff


def test_the_star_works_without_scripts(visitor_without_scripts: Visitor) -> None:
    page = visitor_without_scripts.page
    visitor_without_scripts.go("/?q=web")
    visitor_without_scripts.sign_in()

    page.get_by_role("button", name="Favourite: web-01").click()
    expect(page).to_have_url(re.compile(r"/\?q=web#star-\d+$"))
    page.get_by_role("button", name="Favourite: web-01", pressed=True).click()

    expect(page.get_by_role("button", name="Favourite: web-01", pressed=False)).to_be_visible()
    assert not Favourite.objects.exists()
