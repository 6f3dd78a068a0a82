"""Everybody can use every page: with a screen reader, by keyboard, enlarged, in their own colours, without motion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect
from pytest_django import Settings

from omaccess.models import Launch, LaunchState
from tests.browser import Visitor, visit
from tests.e2e.pages import Tour
from tests.factories import PASSWORD
from tests.inventory import Inventory

TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 740}
ENLARGED = {"width": 320, "height": 256}
"""A screen of 1280 by 1024 at 400 %."""

ARRIVED = re.compile(r"^http://127\.0\.0\.1:")


@pytest.fixture
def tour(visitor: Visitor, committed_inventory: Inventory, settings: Settings) -> Tour:
    return Tour(visitor, committed_inventory, settings)


def violations(page: Page) -> list[str]:
    if not page.evaluate("'axe' in window"):
        page.evaluate(Axe().axe_script)
    options = {"runOnly": {"type": "tag", "values": TAGS}, "resultTypes": ["violations"]}
    found: dict[str, Any] = page.evaluate("options => axe.run(document, options)", options)
    return [
        f"{violation['id']}: {node['target']} {node['html'][:120]} {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


def wider_than_the_screen(page: Page, width: int) -> list[str]:
    found: int = page.evaluate("document.documentElement.scrollWidth")
    return [f"{found} wide"] if found > width else []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_on_any_page_and_none_is_wider_than_its_screen(tour: Tour, scheme: str) -> None:
    page = tour.visitor.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    found: dict[str, list[str]] = {}

    for name in tour.pages():
        for size in (PHONE, DESKTOP):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            problems = violations(page) + wider_than_the_screen(page, size["width"])
            if problems:
                found[f"{name} at {size['width']}"] = problems
            tour.visitor.screenshot(f"pages/{name}-{size['width']}-{scheme}")

    assert found == {}


@pytest.fixture
def chinese_tour(
    chromium: Browser, portal_server: str, committed_inventory: Inventory, settings: Settings
) -> Iterator[Tour]:
    for visitor in visit(chromium.new_context(locale="zh-CN"), portal_server):
        yield Tour(visitor, committed_inventory, settings)


@pytest.mark.parametrize(("scheme", "size"), [("light", ENLARGED), ("dark", DESKTOP)], ids=["light", "dark"])
def test_axe_finds_nothing_in_chinese_and_nothing_is_cut(chinese_tour: Tour, scheme: str, size: Any) -> None:
    page = chinese_tour.visitor.page
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    page.set_viewport_size(size)
    found: dict[str, list[str]] = {}

    for name in chinese_tour.pages():
        expect(page.locator("html")).to_have_attribute("lang", "zh-hans")
        problems = violations(page) + wider_than_the_screen(page, size["width"])
        if problems:
            found[name] = problems
        chinese_tour.visitor.screenshot(f"chinese/{name}-{size['width']}-{scheme}")

    assert found == {}


def test_a_chosen_language_and_chosen_colours_win_over_the_browsers(visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in()
    visitor.go("/preferences/")

    page.get_by_role("combobox", name="Language").select_option("zh-hans")
    page.get_by_role("combobox", name="Colours").select_option("dark")
    page.get_by_role("button", name="Save").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("偏好设置")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    visitor.go("/")
    expect(page.locator("html")).to_have_attribute("lang", "zh-hans")


SMALL_TARGETS = """
() => [...document.querySelectorAll("a[href], button, input, select, textarea, summary")]
  .filter(target => target.checkVisibility({visibilityProperty: true}) && target.type !== "hidden")
  .filter(target => {
    const inline = getComputedStyle(target).display === "inline";
    const isInSentence = inline && target.parentElement.innerText.trim() !== target.innerText.trim();
    return !isInSentence && !target.matches(".skip");
  })
  .map(target => ({box: target.getBoundingClientRect(), text: target.outerHTML.slice(0, 120)}))
  .filter(({box}) => box.width < 24 || box.height < 24)
  .map(({box, text}) => `${Math.round(box.width)} x ${Math.round(box.height)}: ${text}`)
"""


MOVING = """
() => [...document.querySelectorAll("*")].flatMap(element => ["", "::before", "::after"].map(part => {
  const style = getComputedStyle(element, part);
  const seconds = text => parseFloat(text) * (/ms$/.test(text.trim()) ? 0.001 : 1);
  const longest = texts => Math.max(...texts.split(",").map(seconds));
  const animated = style.animationName === "none" ? 0 : longest(style.animationDuration);
  const repeats = style.animationName !== "none" && style.animationIterationCount !== "1";
  return [Math.max(animated, longest(style.transitionDuration)), repeats, element.className];
})).filter(([seconds, repeats]) => seconds > 0.01 || repeats)
  .map(([seconds, _repeats, name]) => `moves ${seconds} s: ${name}`)
"""


def test_enlarged_to_400_percent_nothing_is_cut_small_or_moving(tour: Tour) -> None:
    """No page scrolls sideways, every target has 24 by 24 pixels, and nothing moves where that was asked for."""
    page = tour.visitor.page
    page.set_viewport_size(ENLARGED)  # type: ignore[arg-type]
    page.emulate_media(reduced_motion="reduce")
    found = {}

    for name in tour.pages():
        problems = wider_than_the_screen(page, ENLARGED["width"])
        problems += page.evaluate(SMALL_TARGETS) + page.evaluate(MOVING)
        if problems:
            found[name] = problems

    assert found == {}


FOCUS = """
() => {
  const element = document.activeElement;
  const style = getComputedStyle(element);
  const box = element.getBoundingClientRect();
  return {
    name: element.getAttribute("aria-label") || element.innerText || element.name || "",
    isPage: element === document.body,
    isSeen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0 && box.bottom > 0
      && box.top < innerHeight && box.width > 0,
  };
}
"""


def press_tab_until(page: Page, name: str) -> None:
    """Every stop on the way shows that it has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        assert focus["isPage"] or focus["isSeen"], focus
        if focus["name"].startswith(name):
            return
    raise AssertionError(f"{name} is not reached by Tab")


@pytest.mark.parametrize("forced_colors", ["none", "active"])
def test_the_keyboard_alone_opens_a_session(
    visitor: Visitor, committed_inventory: Inventory, forced_colors: str
) -> None:
    page = visitor.page
    page.emulate_media(forced_colors=forced_colors)  # type: ignore[arg-type]
    visitor.go("/")

    expect(page.get_by_label("Username")).to_be_focused()
    page.keyboard.type("staff")
    press_tab_until(page, "password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(visitor.url + "/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    press_tab_until(page, "Open web-01 as root")
    with page.expect_popup() as popup:
        page.keyboard.press("Enter")

    expect(popup.value).to_have_url(ARRIVED)
    expect(page.get_by_role("status").filter(has_text="was handed to your browser")).to_be_visible()
    assert Launch.objects.get().state == LaunchState.OPENED


def test_the_first_stop_leads_past_the_navigation(visitor: Visitor) -> None:
    page = visitor.page
    visitor.sign_in()
    visitor.go("/activity/")

    press_tab_until(page, "Skip to the content")
    page.keyboard.press("Enter")

    expect(page.locator("main")).to_be_focused()


def test_a_search_keeps_the_focus_and_says_what_it_found(visitor: Visitor, committed_inventory: Inventory) -> None:
    page = visitor.page
    visitor.sign_in()
    said = page.locator("#found")
    expect(said).to_have_role("status")
    expect(said).to_have_text("")

    page.keyboard.press("/")
    page.keyboard.type("web")
    expect(said).to_have_text("1 host")
    page.keyboard.type("-nothing")
    expect(said).to_have_text("No host matches")

    expect(page.get_by_label("Search hosts")).to_be_focused()
    expect(page.get_by_label("Search hosts")).to_have_value("web-nothing")


def test_in_colours_of_ones_own_states_are_still_told_apart(tour: Tour) -> None:
    """Forced colours take away grounds and shadows; what is left are words, borders and outlines."""
    page = tour.visitor.page
    page.emulate_media(forced_colors="active")
    border = "(element, side) => getComputedStyle(element)[`border${side}Color`]"
    seen = set()

    for name in tour.pages():
        tour.visitor.screenshot(f"pages/{name}-forced")
        for badge in page.locator(".badge:visible").all():
            assert badge.inner_text().strip() or badge.locator("xpath=..").inner_text().strip(), name
        for edge in page.locator(".host-is-prod:visible").all():
            seen.add(name)
            assert edge.evaluate("element => parseFloat(getComputedStyle(element).borderInlineStartWidth)") >= 3, name
        for row in page.locator(".host.host-is-prod, .shortcut.host-is-prod, .host-top.host-is-prod").all():
            assert "production" in row.inner_text(), name
        if page.locator(".nav [aria-current=page]").count():
            current = page.locator(".nav [aria-current=page]").evaluate(border, "Bottom")
            others = [link.evaluate(border, "Bottom") for link in page.locator(".nav a:not([aria-current])").all()]
            assert current not in others, name

    assert {"hosts", "search", "host-production", "launch-opened"} <= seen


SHIFTS = """
window.shifts = [];
new PerformanceObserver(list => {
  for (const entry of list.getEntries()) {
    const moved = entry.sources.map(source => source.node && (source.node.className || source.node.nodeName));
    window.shifts.push([entry.value, entry.hadRecentInput, ...moved]);
  }
}).observe({type: "layout-shift", buffered: true});
"""


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_nothing_jumps_while_a_page_loads_or_a_search_answers(
    visitor: Visitor, committed_inventory: Inventory, size: Any
) -> None:
    page = visitor.page
    page.set_viewport_size(size)
    page.add_init_script(SHIFTS)
    visitor.sign_in()
    shifts = {}

    visitor.go("/")
    page.wait_for_load_state("networkidle")
    shifts["hosts"] = page.evaluate("shifts")
    page.keyboard.press("/")
    page.keyboard.type("web")
    expect(page.locator(".host")).to_have_count(1)
    page.wait_for_timeout(200)
    shifts["search"] = [shift for shift in page.evaluate("shifts") if not shift[1]]
    visitor.go(f"/hosts/{committed_inventory.hosts['web-01'].pk}/")
    page.wait_for_load_state("networkidle")
    shifts["host"] = page.evaluate("shifts")

    assert shifts == {"hosts": [], "search": [], "host": []}
