"""Finding a host and opening it without the mouse."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Route, expect

from omaccess.models import Launch, LaunchState
from tests.browser import Visitor
from tests.factories import LaunchFactory
from tests.inventory import Inventory

ARRIVED = re.compile(r"^http://127\.0\.0\.1:")


def test_a_name_and_enter_open_the_host_as_the_account_used_there_last(
    visitor: Visitor, committed_inventory: Inventory
) -> None:
    LaunchFactory(user=committed_inventory.staff, account=committed_inventory.account("ops"))
    page = visitor.page
    visitor.go("/")
    visitor.sign_in()
    expect(page.get_by_role("searchbox")).to_be_focused()

    page.keyboard.type("WEB-01")
    expect(page.locator("#found")).to_have_text("1 host")
    with page.expect_popup() as popup:
        page.keyboard.press("Enter")

    expect(popup.value).to_have_url(ARRIVED)
    assert Launch.objects.filter(state=LaunchState.OPENED).latest("pk").account.name == "ops"


def test_arrows_walk_through_hosts_and_accounts_and_escape_clears(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/")
    visitor.sign_in()
    everything = page.locator(".host").count()

    page.keyboard.type("10.")
    page.keyboard.press("Enter")
    expect(page.locator("#found")).not_to_be_empty()
    page.keyboard.press("ArrowDown")
    focused = page.locator(":focus")
    rows = page.locator(".host")
    expect(focused.and_(rows.nth(0).locator("[data-actions] :is(a, button)").first)).to_be_attached()
    page.keyboard.press("ArrowDown")
    expect(focused.and_(rows.nth(1).locator("[data-actions] :is(a, button)").first)).to_be_attached()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Escape")

    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(rows).to_have_count(everything)
    expect(page).to_have_url(f"{visitor.url}/")
    assert not Launch.objects.exists()


def test_enter_opens_nothing_that_was_not_on_the_page_yet(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/")
    visitor.sign_in()

    page.keyboard.type("web")
    page.keyboard.press("Enter")
    expect(page.locator(".host")).to_have_count(1)

    expect(page.get_by_role("searchbox")).to_be_focused()
    assert not Launch.objects.exists()


def test_an_answer_to_words_that_have_changed_meanwhile_is_dropped(visitor: Visitor) -> None:
    page = visitor.page
    held: dict[str, Route] = {}
    visitor.go("/")
    visitor.sign_in()
    everything = page.locator(".host").count()
    page.route("**/?*q=*", lambda route: held.update({parse_qs(urlsplit(route.request.url).query)["q"][0]: route}))

    with page.expect_request(re.compile(r"\?q=leg(&|$)")):
        page.keyboard.type("leg")
    page.get_by_role("searchbox").fill("web")
    with page.expect_request(re.compile(r"\?q=web(&|$)")):
        held["leg"].continue_()

    expect(page.locator(".host")).to_have_count(everything)
    held["web"].continue_()
    expect(page.locator(".host")).to_have_count(1)
    expect(page.locator(".host")).to_contain_text("web-01")


def test_a_slash_in_the_empty_box_is_no_search(visitor: Visitor) -> None:
    visitor.go("/")
    visitor.sign_in()

    visitor.page.keyboard.type("/web")

    expect(visitor.page.get_by_role("searchbox")).to_have_value("web")
