"""The main job: sign in, find a host, open a session; and every way in which that can go otherwise."""

from __future__ import annotations

import re

import pytest
from django.contrib.sessions.models import Session
from django.utils import timezone
from playwright.sync_api import Route, expect

from omaccess.causes import Cause
from omaccess.models import AuditEvent, Grant, HostAccount, Launch, LaunchState, LoginAddress
from omaccess.sandbox.server import SandboxServer
from tests.browser import Visitor
from tests.factories import GrantFactory, UserFactory
from tests.inventory import Inventory

OUTCOME = re.compile(r".*/launches/[0-9A-Z]{10}/$")
ARRIVED = re.compile(r"^http://127\.0\.0\.1:")


def test_from_sign_in_to_the_session(visitor: Visitor, committed_inventory: Inventory, sandbox: SandboxServer) -> None:
    visitor.go("/")
    visitor.screenshot("sign-in")
    visitor.sign_in()
    visitor.page.keyboard.press("/")
    visitor.page.keyboard.type("web")
    expect(visitor.page.locator(".host")).to_have_count(1)
    expect(visitor.page).to_have_url(re.compile(r"\?q=web"))
    visitor.screenshot("hosts")

    session = visitor.open("root")
    expect(session).to_have_url(ARRIVED)
    status = visitor.page.locator("[data-launch-state=opened]")
    expect(status).to_contain_text("was handed to your browser")
    status.get_by_text("Nothing there?", exact=True).click()
    expect(status).to_contain_text("Ask the bastion team.")
    visitor.screenshot("opened")
    visitor.screenshot("session", session)

    launch = Launch.objects.get()
    assert launch.state == LaunchState.OPENED
    expect(status).to_contain_text(launch.reference)
    assert session.evaluate("window.opener") is None
    assert session.evaluate("document.referrer") == ""
    assert [event.kind for event in AuditEvent.objects.filter(reference=launch.reference).order_by("position")] == [
        "launch:requested",
        "launch:opened",
    ]
    status.get_by_role("link", name=launch.reference).click()
    expect(visitor.page.get_by_role("heading", level=1)).to_have_text("The link was handed to your browser")
    visitor.page.reload()
    assert Launch.objects.count() == 1


@pytest.mark.parametrize(
    ("host", "account", "title"),
    [
        ("web-01", "ghost", "The bastion does not know this account"),
        ("web-01", "forbidden", None),
        ("web-01", "conflict", None),
        ("web-01", "broken", None),
        ("unmanaged", "root", "The bastion does not manage this host"),
        ("legacy", "root", None),
    ],
)
def test_a_refusal_is_explained_in_both_windows(
    visitor: Visitor, committed_inventory: Inventory, host: str, account: str, title: str | None
) -> None:
    visitor.sign_in()
    visitor.go(f"/hosts/{committed_inventory.hosts[host].pk}/")

    window = visitor.open(account, host)
    expect(window).to_have_url(OUTCOME)
    launch = Launch.objects.get()
    heading = window.get_by_role("heading", level=1)
    if title:
        expect(heading).to_have_text(title)
    expect(window.locator("main")).to_contain_text("Nothing was opened.")
    expect(window.locator("main")).to_contain_text(launch.reference)
    expect(visitor.page.locator("[data-launch-state=refused]")).to_contain_text(heading.inner_text())
    visitor.screenshot(f"refused-{account}-{host}", window)


def test_a_bastion_that_is_getting_ready_opens_by_itself(
    visitor: Visitor, committed_inventory: Inventory, sandbox: SandboxServer
) -> None:
    visitor.sign_in()
    visitor.go(f"/hosts/{committed_inventory.hosts['fresh'].pk}/")

    window = visitor.open("root", "fresh")
    expect(window.get_by_role("heading", level=1)).to_have_text("The bastion is getting ready")
    expect(window.get_by_role("progressbar")).to_be_visible()
    expect(visitor.page.locator("[data-launch-state=waiting]")).to_be_visible()
    visitor.screenshot("waiting", window)
    sandbox.control.advance_clock(60)

    expect(window).to_have_url(ARRIVED)
    launch = Launch.objects.get()
    assert (launch.state, launch.attempt) == (LaunchState.OPENED, 2)
    assert window.evaluate("window.opener") is None


def test_waiting_can_be_stopped(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.sign_in()
    visitor.go(f"/hosts/{committed_inventory.hosts['fresh'].pk}/")

    window = visitor.open("root", "fresh")
    window.get_by_role("button", name="Stop").click()

    expect(window.get_by_role("progressbar")).to_be_hidden()
    expect(window.get_by_role("button", name="Try now")).to_be_visible()


def test_a_double_click_opens_one_session(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.sign_in()
    visitor.go(f"/hosts/{committed_inventory.hosts['web-01'].pk}/")

    with visitor.page.expect_popup() as popup:
        visitor.page.get_by_role("button", name="Open web-01 as root").dblclick()

    expect(popup.value).to_have_url(ARRIVED)
    expect(visitor.page.locator("[data-launch-state=opened]")).to_be_visible()
    assert Launch.objects.count() == 1
    assert len(visitor.context.pages) == 2


def test_back_and_reload_open_nothing(visitor: Visitor, committed_inventory: Inventory, sandbox: SandboxServer) -> None:
    visitor.sign_in()
    session = visitor.open("root")
    expect(session).to_have_url(ARRIVED)
    expect(visitor.page.locator("[data-launch-state=opened]")).to_be_visible()

    session.go_back()
    expect(session).not_to_have_url(ARRIVED)
    visitor.page.reload()
    visitor.go("/activity/")
    visitor.page.go_back()

    expect(visitor.page.locator(".host").first).to_be_visible()
    expect(visitor.page.locator("#launch-status")).to_be_empty()
    assert Launch.objects.count() == 1


def test_a_page_whose_session_expired_leads_back_to_the_same_account(
    visitor: Visitor, committed_inventory: Inventory
) -> None:
    visitor.sign_in()
    Session.objects.all().delete()

    window = visitor.open("ops")
    expect(window.get_by_role("heading", name="Sign in")).to_be_visible()
    expect(visitor.page.locator("#launch-status")).to_contain_text("See the other window")
    visitor.sign_in(page=window)

    expect(window.locator(".account-selected")).to_contain_text("ops")
    expect(window.locator(".account-selected button")).to_be_focused()
    assert not Launch.objects.exists()


def test_a_search_whose_session_expired_leads_to_the_sign_in(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.sign_in()
    Session.objects.all().delete()

    visitor.page.get_by_label("Search hosts").fill("web")
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.sign_in()

    expect(visitor.page).to_have_url(re.compile(r"\?q=web"))


def test_a_stale_form_leads_back_to_the_same_account(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.sign_in()
    visitor.context.clear_cookies(name="sallyport-csrf")

    window = visitor.open("ops")

    expect(window.locator(".alert-warning")).to_contain_text("nothing was opened")
    expect(window.locator(".account-selected")).to_contain_text("ops")
    assert not Launch.objects.exists()


def test_a_page_left_open_while_access_ended_is_explained(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.sign_in()
    Grant.objects.filter(pk=committed_inventory.grant.pk).update(revoked_at=timezone.now(), revoked_by=UserFactory())

    window = visitor.open("root")

    expect(window.get_by_role("heading", level=1)).to_have_text("Your access was revoked")
    expect(visitor.page.locator("[data-launch-state=denied]")).to_be_visible()


def test_an_address_added_after_the_page_was_loaded_is_explained(
    visitor: Visitor, committed_inventory: Inventory, sandbox: SandboxServer
) -> None:
    instance = committed_inventory.instances["bastion"]
    LoginAddress.objects.all().update(origin="http://127.0.0.1:9")
    visitor.expects("Content Security Policy")
    visitor.sign_in()
    visitor.go(f"/hosts/{committed_inventory.hosts['web-01'].pk}/")
    LoginAddress.objects.filter(instance=instance).update(origin=sandbox.url)

    visitor.open("root")

    status = visitor.page.locator("#launch-status")
    expect(status).to_contain_text("Its address was added after this page was loaded")
    status.get_by_role("button", name="Reload").click()
    expect(status).to_be_empty()
    expect(visitor.open("root")).to_have_url(ARRIVED)


def test_a_blocked_window_is_said_and_asks_nothing(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.page.add_init_script("window.open = () => null")
    visitor.sign_in()

    visitor.page.get_by_role("button", name="Open web-01 as root").click()

    status = visitor.page.locator("#launch-status")
    expect(status).to_contain_text("blocked the new window")
    status.get_by_role("button", name="Close").click()
    expect(status).to_be_empty()
    assert not Launch.objects.exists()


def test_offline_nothing_is_asked_for_and_it_is_said(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.sign_in()
    visitor.context.set_offline(True)

    visitor.page.get_by_role("button", name="Open web-01 as root").click()

    status = visitor.page.locator("#launch-status")
    expect(status).to_contain_text("You are offline")
    visitor.screenshot("offline")
    assert len(visitor.context.pages) == 1
    assert not Launch.objects.exists()
    visitor.context.set_offline(False)
    expect(visitor.open("root")).to_have_url(ARRIVED)


def test_a_network_that_fails_for_a_moment_loses_no_outcome(visitor: Visitor, committed_inventory: Inventory) -> None:
    visitor.sign_in()
    failed: list[str] = []

    def fail_once(route: Route) -> None:
        if failed:
            route.continue_()
        else:
            failed.append(route.request.url)
            route.abort("internetdisconnected")

    visitor.page.route("**/launches/status/**", fail_once)
    visitor.open("root")

    expect(visitor.page.locator("[data-launch-state=opened]")).to_be_visible()
    assert failed


def test_reason_and_ticket_are_asked_before_anything_opens(visitor: Visitor, committed_inventory: Inventory) -> None:
    person = UserFactory(username="careful")
    account: HostAccount = committed_inventory.root
    GrantFactory(user=person, host=account.host, is_reason_required=True, ticket_pattern="INC[0-9]{6}")
    visitor.expects("422")
    visitor.sign_in("careful")
    visitor.page.get_by_role("link", name="root on web-01: more is needed before it opens").click()
    form = visitor.page.locator(".account-selected form")
    expect(form.get_by_label("Reason")).to_be_focused()

    form.get_by_label("Reason").fill("disk full")
    form.get_by_label("Ticket").fill("nonsense")
    window = visitor.open("root")
    form = window.locator(".account-selected form")
    expect(form.locator(".field-error")).to_contain_text("not a ticket")
    expect(form.get_by_label("Ticket")).to_be_focused()
    expect(form.get_by_label("Reason")).to_have_value("disk full")
    visitor.screenshot("answers-needed", window)
    form.get_by_label("Ticket").fill("INC123456")
    with window.expect_popup() as popup:
        form.get_by_role("button", name="Open web-01 as root").click()

    expect(popup.value).to_have_url(ARRIVED)
    assert (Launch.objects.get().reason, Launch.objects.get().ticket) == ("disk full", "INC123456")


def test_a_wait_that_huawei_cloud_asked_for_is_counted_down(visitor: Visitor, committed_inventory: Inventory) -> None:
    now = timezone.now()
    launch = Launch.objects.create(
        user=committed_inventory.staff,
        account=committed_inventory.root,
        host_name="web-01",
        account_name="root",
        state=LaunchState.FAILED,
        cause=Cause.CLOUD_THROTTLED,
        retry_after_seconds=40,
        attempted_at=now,
        ended_at=now,
    )
    visitor.go("/")
    visitor.sign_in()
    visitor.page.clock.install()

    visitor.go(f"/launches/{launch.reference}/")
    expect(visitor.page.locator("[data-countdown]")).to_contain_text("then try again.")
    visitor.page.clock.fast_forward(45_000)

    expect(visitor.page.locator("[data-countdown]")).to_have_text("You can try again now.", use_inner_text=True)
