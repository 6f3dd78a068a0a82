"""Several hosts from a ticket, opened one after the other."""

from __future__ import annotations

import re

from django.contrib.sessions.models import Session
from playwright.sync_api import Page, expect

from omaccess.models import Launch, LaunchState
from tests.browser import Visitor
from tests.factories import UserFactory

ARRIVED = re.compile(r"^http://127\.0\.0\.1:")
TICKET = "Please look at:\n- web-01.\n- legacy\n- 10.0.0.99\n- nowhere-77\n"


def go_to_the_list(page: Page) -> None:
    page.get_by_role("link", name="Paste a list").click()
    page.wait_for_url("**/worklist/")  # and its scripts have run


def paste(page: Page, text: str = TICKET) -> None:
    go_to_the_list(page)
    page.get_by_label("Names or addresses").fill(text)
    page.get_by_role("button", name="Find them").click()
    expect(page.get_by_text("3 of 7 entries found")).to_be_visible()


def test_each_press_of_n_opens_the_next_host_in_a_window_of_its_own(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/")
    visitor.sign_in()
    paste(page)
    visitor.screenshot("worklist")

    opened = []
    for host in ("web-01", "legacy", "unmanaged"):
        expect(page.locator("[aria-current=step]")).to_contain_text(host)
        with page.expect_popup() as popup:
            page.keyboard.press("n")
        opened.append(popup.value)
        expect(page.locator(".host", has_text=host)).to_contain_text("Asked for just now")
        expect(page.locator("[data-launch-state]")).to_be_visible()
    expect(page.get_by_role("button", name="Open next")).to_be_disabled()

    expect(opened[1]).to_have_url(re.compile(r".*/launches/[0-9A-Z]{10}/$"))
    assert Launch.objects.count() == 3
    page.reload()
    expect(page.locator(".host", has_text="unmanaged")).to_contain_text("does not manage")
    visitor.screenshot("worklist-done")


def test_a_window_that_the_browser_blocked_opens_nothing_and_is_not_skipped(visitor: Visitor) -> None:
    page = visitor.page
    page.add_init_script("window.open = () => null")
    visitor.go("/")
    visitor.sign_in()
    paste(page)

    page.get_by_role("button", name="Open next").click()

    expect(page.locator("#launch-status")).to_contain_text("blocked the new window")
    expect(page.locator("[aria-current=step]")).to_contain_text("web-01")
    assert not Launch.objects.exists()


def test_what_was_pasted_survives_a_session_that_ended(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/")
    visitor.sign_in()
    go_to_the_list(page)
    page.get_by_label("Names or addresses").fill(TICKET)
    Session.objects.all().delete()

    page.get_by_role("button", name="Find them").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.sign_in()

    expect(page.get_by_text("Your text is still here")).to_be_visible()
    expect(page.get_by_label("Names or addresses")).to_have_value(TICKET)
    visitor.screenshot("worklist-after-expiry")
    page.get_by_role("button", name="Find them").click()
    expect(page.get_by_text("3 of 7 entries found")).to_be_visible()
    expect(page.get_by_text("Your text is still here")).to_be_hidden()


def paste_into_the_search_box(page: Page, text: str = TICKET) -> None:
    page.get_by_role("searchbox").evaluate(
        """(box, text) => {
            const clipboardData = new DataTransfer();
            clipboardData.setData("text/plain", text);
            box.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true }));
        }""",
        text,
    )


def test_a_list_that_is_pasted_into_the_search_box_becomes_a_worklist(visitor: Visitor) -> None:
    page = visitor.page
    visitor.go("/")
    visitor.sign_in()

    paste_into_the_search_box(page)
    expect(page.get_by_text("3 of 7 entries found")).to_be_visible()
    expect(page.get_by_text("Your text is still here")).to_be_hidden()
    visitor.go("/")
    paste_into_the_search_box(page, "legacy\n10.2.0.5\n")

    expect(page.get_by_text("This is what you pasted just now")).to_be_visible()
    expect(page.get_by_text("3 of 7 entries found")).to_be_visible()
    page.get_by_role("button", name="Find them").click()
    expect(page.get_by_text("2 of 2 entries found")).to_be_visible()


def test_words_that_are_pasted_into_the_search_box_are_a_search(visitor: Visitor) -> None:
    visitor.go("/")
    visitor.sign_in()

    paste_into_the_search_box(visitor.page, "web-01 shop\n")

    expect(visitor.page.get_by_role("heading", name="Hosts", exact=True)).to_be_visible()
    assert visitor.page.evaluate("window.sessionStorage.getItem('sallyport-pasted')") is None


def test_what_was_pasted_is_not_shown_to_whoever_signs_in_next(visitor: Visitor) -> None:
    page = visitor.page
    UserFactory(username="colleague")
    visitor.sign_in()
    visitor.go("/worklist/")
    page.get_by_label("Names or addresses").fill(TICKET)
    Session.objects.all().delete()

    page.get_by_role("button", name="Find them").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.sign_in("colleague")

    expect(page.get_by_role("heading", name="Worklist")).to_be_visible()
    expect(page.get_by_label("Names or addresses")).to_have_value("")
    assert page.evaluate("window.sessionStorage.getItem('sallyport-pasted')") is None


def test_a_list_works_without_scripts(visitor_without_scripts: Visitor) -> None:
    page = visitor_without_scripts.page
    visitor_without_scripts.go("/")
    visitor_without_scripts.sign_in()
    paste(page)
    expect(page.get_by_role("button", name="Open next")).to_be_hidden()

    with page.expect_popup() as popup:
        page.get_by_role("button", name="Open web-01 as ops in a new window").click()
    expect(popup.value).to_have_url(ARRIVED)
    page.reload()

    expect(page.locator(".host", has_text="web-01")).to_contain_text("Link handed to the browser")
    assert Launch.objects.get().state == LaunchState.OPENED
