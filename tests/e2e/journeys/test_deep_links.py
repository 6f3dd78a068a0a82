"""An address that somebody was sent: a host, and the account that is meant."""

from __future__ import annotations

import re

from django.contrib.sessions.models import Session
from playwright.sync_api import expect

from omaccess.models import Launch
from tests.browser import Visitor
from tests.inventory import Inventory

ARRIVED = re.compile(r"^http://127\.0\.0\.1:")


def link(inventory: Inventory) -> str:
    account = inventory.account("ops")
    return f"/hosts/{account.host_id}/?account={account.pk}"


def test_it_survives_the_sign_in_and_asks_before_it_opens(visitor: Visitor, committed_inventory: Inventory) -> None:
    address = visitor.url + link(committed_inventory)

    visitor.go(link(committed_inventory))
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.sign_in()

    expect(visitor.page).to_have_url(address)
    expect(visitor.page.locator(".account-selected button")).to_be_focused()
    visitor.screenshot("deep-link")
    assert not Launch.objects.exists()
    with visitor.page.expect_popup() as popup:
        visitor.page.keyboard.press("Enter")
    expect(popup.value).to_have_url(ARRIVED)
    assert Launch.objects.get().account == committed_inventory.account("ops")


def test_it_survives_a_session_that_ended(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.sign_in()
    Session.objects.all().delete()

    visitor.go(link(committed_inventory))
    visitor.sign_in()

    expect(visitor.page).to_have_url(visitor.url + link(committed_inventory))
    expect(visitor.page.locator(".account-selected")).to_contain_text("ops")
    assert not Launch.objects.exists()


def test_it_survives_a_wrong_password(visitor: Visitor, committed_inventory: Inventory) -> None:
    page = visitor.page
    visitor.go(link(committed_inventory))
    page.get_by_label("Username").fill("staff")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_be_visible()

    visitor.sign_in()

    expect(page).to_have_url(visitor.url + link(committed_inventory))


def test_back_and_forward_lead_to_it_and_open_nothing(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.sign_in()
    visitor.go("/?q=web")
    visitor.go(link(committed_inventory))

    visitor.page.go_back()
    expect(visitor.page.get_by_role("searchbox")).to_have_value("web")
    visitor.page.go_forward()

    expect(visitor.page.locator(".account-selected")).to_contain_text("ops")
    assert not Launch.objects.exists()


def test_it_works_without_scripts(visitor_without_scripts: Visitor, committed_inventory: Inventory) -> None:
    visitor = visitor_without_scripts
    visitor.go(link(committed_inventory))
    visitor.sign_in()

    expect(visitor.page.locator(".account-selected")).to_contain_text("ops")
    assert not Launch.objects.exists()
    expect(visitor.open("ops")).to_have_url(ARRIVED)
