"""The admin in a real Chromium: nothing it needs is blocked, and it asks nobody else for anything."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from playwright.sync_api import expect

from accounts.models import ADMINS
from omaccess.models import AuditEvent, HostAccount
from tests.browser import Visitor
from tests.factories import UserFactory
from tests.inventory import Inventory

pytestmark = pytest.mark.e2e


@pytest.fixture
def ada(visitor: Visitor, committed_inventory: Inventory) -> Visitor:
    """An admin, signed in. `visitor` fails the test when the browser complains of anything, a blocked request too."""
    UserFactory(username="ada", groups=[Group.objects.get(name=ADMINS)])
    visitor.go("/admin/")
    visitor.sign_in("ada")
    return visitor


def test_every_kind_of_page_works_under_its_policy_and_asks_nobody_else(
    ada: Visitor, committed_inventory: Inventory
) -> None:
    account = committed_inventory.root
    asked: list[str] = []
    ada.page.on("request", lambda request: asked.append(request.url))

    for path in (
        "/admin/",
        "/admin/omaccess/host/",
        f"/admin/omaccess/host/{account.host_id}/change/",
        "/admin/omaccess/grant/add/",
        "/admin/omaccess/iamcredential/add/",
        "/admin/omaccess/auditevent/",
        f"/admin/why/?account={account.pk}",
        "/admin/accounts/user/add/",
    ):
        ada.go(path)
        ada.page.wait_for_load_state("networkidle")

    assert [url for url in asked if not url.startswith((f"{ada.url}/", "data:"))] == []


def test_an_account_is_added_by_hand_and_tested(ada: Visitor, committed_inventory: Inventory) -> None:
    host = committed_inventory.hosts["unmanaged"]
    number = host.accounts.count()
    ada.go(f"/admin/omaccess/host/{host.pk}/change/")

    ada.page.get_by_text("Add another Host account").click()
    ada.page.fill(f"[name=accounts-{number}-name]", "new")
    ada.page.click("button[name=_continue]")
    row = ada.page.locator("li", has=ada.page.locator("code", has_text="new"))
    row.get_by_role("button", name="Test this account").click()

    expect(ada.page.get_by_text("Add the host with exactly this address to the bastion")).to_be_visible()
    assert HostAccount.objects.filter(host=host, name="new").exists()
    kinds = AuditEvent.objects.filter(actor_name="ada").order_by("position").values_list("kind", flat=True)
    assert list(kinds)[-3:] == ["host:changed", "test:requested", "test:refused"]


def test_people_are_found_by_typing(ada: Visitor, committed_inventory: Inventory) -> None:
    ada.go(f"/admin/why/?account={committed_inventory.root.pk}")

    ada.page.locator(".select2-selection").first.click()
    ada.page.locator(".select2-search__field").fill("sta")
    ada.page.locator(".select2-results__option", has_text="staff").click()
    ada.page.get_by_role("button", name="Explain").click()

    expect(ada.page.locator("#decision")).to_contain_text("staff can open root@web-01 now")
