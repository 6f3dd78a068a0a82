"""The same, where the browser runs no scripts: plain forms, plain pages, one more click at most."""

from __future__ import annotations

import re

from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import expect

from omaccess.actions.launch_intent import MIN_PAUSE
from omaccess.models import Launch
from omaccess.sandbox.server import SandboxServer
from tests.browser import Visitor
from tests.factories import GrantFactory, UserFactory
from tests.inventory import Inventory

ARRIVED = re.compile(r"^http://127\.0\.0\.1:")


def test_from_sign_in_to_the_session(visitor_without_scripts: Visitor, committed_inventory: Inventory) -> None:
    visitor = visitor_without_scripts
    visitor.go("/")
    visitor.sign_in()
    visitor.page.get_by_label("Search hosts").fill("env=prod")
    visitor.page.get_by_role("button", name="Search").click()
    expect(visitor.page.locator(".host")).to_have_count(1)

    session = visitor.open("root")
    expect(session).to_have_url(ARRIVED)

    visitor.page.get_by_role("link", name="My activity").first.click()
    expect(visitor.page.locator("main")).to_contain_text("link handed to the browser")


def test_a_refusal_is_explained_and_a_second_click_asks_nothing_more(
    visitor_without_scripts: Visitor, committed_inventory: Inventory
) -> None:
    visitor = visitor_without_scripts
    visitor.sign_in()

    first = visitor.open("ghost")
    expect(first.get_by_role("heading", level=1)).to_have_text("The bastion does not know this account")
    expect(first.locator("main")).to_contain_text("Nothing was opened.")
    visitor.screenshot("refused", first)
    second = visitor.open("ghost")

    expect(second).to_have_url(first.url)
    assert Launch.objects.count() == 1


def test_a_wait_has_a_button(
    visitor_without_scripts: Visitor, committed_inventory: Inventory, sandbox: SandboxServer
) -> None:
    visitor = visitor_without_scripts
    visitor.sign_in()
    visitor.go(f"/hosts/{committed_inventory.hosts['fresh'].pk}/")

    window = visitor.open("root", "fresh")
    expect(window.get_by_role("heading", level=1)).to_have_text("The bastion is getting ready")
    expect(window.locator("main")).to_contain_text("Nothing is asked until you press the button.")
    visitor.screenshot("waiting", window)
    sandbox.control.advance_clock(60)
    Launch.objects.update(attempted_at=timezone.now() - MIN_PAUSE)
    window.get_by_role("button", name="Try now").click()

    expect(window).to_have_url(ARRIVED)
    assert Launch.objects.get().attempt == 2


def test_an_expired_session_and_a_stale_form_lead_back_to_the_same_account(
    visitor_without_scripts: Visitor, committed_inventory: Inventory
) -> None:
    visitor = visitor_without_scripts
    visitor.sign_in()
    Session.objects.all().delete()

    window = visitor.open("ops")
    visitor.sign_in(page=window)
    expect(window.locator(".account-selected")).to_contain_text("ops")
    visitor.page.reload()
    visitor.context.clear_cookies(name="sallyport-csrf")
    window = visitor.open("ops")

    expect(window.locator(".alert-warning")).to_contain_text("nothing was opened")
    expect(window.locator(".account-selected")).to_contain_text("ops")
    assert not Launch.objects.exists()


def test_what_was_typed_stays_when_something_is_wrong(
    visitor_without_scripts: Visitor, committed_inventory: Inventory
) -> None:
    visitor = visitor_without_scripts
    host = committed_inventory.root.host
    GrantFactory(user=UserFactory(username="careful"), host=host, is_reason_required=True, ticket_pattern="INC[0-9]{6}")
    visitor.expects("422")
    visitor.sign_in("careful")
    visitor.page.get_by_role("link", name="root on web-01: more is needed before it opens").click()
    visitor.page.locator(".account-selected").get_by_label("Reason").fill("disk full")
    visitor.page.locator(".account-selected").get_by_label("Ticket").fill("nonsense")

    window = visitor.open("root")
    form = window.locator(".account-selected form")
    expect(form.locator(".field-error")).to_contain_text("not a ticket")
    expect(form.get_by_label("Reason")).to_have_value("disk full")
    form.get_by_label("Ticket").fill("INC123456")
    with window.expect_popup() as popup:
        form.get_by_role("button", name="Open web-01 as root").click()

    expect(popup.value).to_have_url(ARRIVED)


def test_back_opens_nothing(visitor_without_scripts: Visitor, committed_inventory: Inventory) -> None:
    visitor = visitor_without_scripts
    visitor.sign_in()
    visitor.go("/?q=web")
    session = visitor.open("root")
    expect(session).to_have_url(ARRIVED)

    visitor.go("/activity/")
    visitor.page.go_back()

    expect(visitor.page.locator(".host")).to_have_count(1)
    assert Launch.objects.count() == 1
