"""Leaving: by the menu, and for good."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser import Visitor


def test_the_menu_signs_out_and_back_shows_nothing_any_more(visitor: Visitor) -> None:
    visitor.sign_in()
    visitor.page.locator(".menu summary").click()
    visitor.page.keyboard.press("Escape")
    expect(visitor.page.get_by_role("button", name="Sign out")).to_be_hidden()

    visitor.page.locator(".menu summary").click()
    visitor.screenshot("menu")
    visitor.page.get_by_role("button", name="Sign out").click()

    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
    visitor.page.go_back()
    expect(visitor.page.get_by_role("heading", name="Sign in")).to_be_visible()
