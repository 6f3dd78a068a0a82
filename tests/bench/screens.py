"""Part `screens`: what somebody sees, in a real Chromium: from a key to the painted answer, and the first page."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Error, Page, sync_playwright

from tests import services
from tests.bench import servers
from tests.bench.report import Row, at_most
from tests.bench.servers import Server
from tests.bench.sizes import SEARCHED
from tests.bench.timing import Side, WrongAnswer, interleaved, ratio
from tests.bench.workbench import Stocked, Workbench

PART = "screens"
SLOWER = 4
MOST_SECONDS_TO_PAINT = 1.5
PATIENCE_MS = 20_000
_WATCH_PAINTS = """
    window.seen = {paint: 0, shift: 0};
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) { window.seen.paint = entry.startTime; }
    }).observe({type: "largest-contentful-paint", buffered: true});
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) { window.seen.shift += entry.value; }
    }).observe({type: "layout-shift", buffered: true});
"""
_PAINTED = """
    () => new Promise((resolve) => {
      const look = () => (window.seen.paint > 0 ? resolve(window.seen) : setTimeout(look, 20));
      look();
    })"""
_WATCH_KEY = """() => {
    window.answered = new Promise((resolve) => {
      let pressed = 0;
      document.addEventListener("keydown", (event) => { pressed = event.timeStamp; }, {capture: true, once: true});
      document.addEventListener("htmx:afterSwap", () => {
        // The frame after the next has been painted with the answer in it.
        requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - pressed)));
      }, {once: true});
    });
    }"""


def run(bench: Workbench, vendor: str) -> None:
    if not services.chromium().at:
        bench.report.note(f"{PART}: no rows for {vendor}, because {services.chromium().why}.")
        return
    bench.sandbox.latency(0)
    with contextlib.ExitStack() as serving:
        served: dict[int, tuple[Stocked, Server]] = {}
        for hosts in bench.options.hosts:
            stocked = bench.stocked(vendor, hosts)
            # Chromium takes cookies for secure connections only from there; HTTPS itself is the proxy's.
            env = {**stocked.installation.env, "ALLOWED_HOSTS": f"{servers.HOST},localhost"}
            served[hosts] = stocked, serving.enter_context(servers.portal(env))
        with _chromium() as browser:
            _keys(bench, vendor, served, browser)
            _first_page(bench, vendor, served, browser)


def _keys(bench: Workbench, vendor: str, served: dict[int, tuple[Stocked, Server]], browser: Browser) -> None:
    """The same nineteen hosts are found at every size; before the key there were others."""
    with contextlib.ExitStack() as open_pages:
        sides: dict[int, Side] = {}
        for hosts, (stocked, web) in served.items():
            page = open_pages.enter_context(_context(browser, stocked, web)).new_page()
            page.goto(f"{_address(web)}/?q={SEARCHED[:-1]}")
            sides[hosts] = partial(_key_to_paint, page)
        found = interleaved(sides, rounds=bench.options.rounds, seconds=3 * bench.options.seconds)
    smallest, largest = min(found), max(found)
    measured = "; ".join(f"{hosts:,}: {sample.text()}" for hosts, sample in found.items() if hosts != smallest)
    bench.report.add(
        Row(
            PART,
            vendor,
            "key to painted answer",
            measured or found[smallest].text(),
            f"{smallest:,} hosts, {found[smallest].text()}",
            ratio(found[largest], found[smallest]),
            goal=at_most(2),
            facts={f"{hosts} hosts": sample.facts() for hosts, sample in found.items()},
        )
    )


def _key_to_paint(page: Page) -> float:
    """Seconds from the last letter of a name to the frame that shows what it found, with the pause for more letters.

    Raises: WrongAnswer.
    """
    try:
        page.get_by_role("searchbox").press("End")
        page.evaluate(_WATCH_KEY)
        page.keyboard.press(SEARCHED[-1])
        milliseconds = float(page.evaluate("window.answered"))
        if page.locator("#results [data-row]").count() == 0:
            raise WrongAnswer("not found")
        page.evaluate(_WATCH_KEY)
        page.keyboard.press("Backspace")
        page.evaluate("window.answered")
    except Error as error:
        raise WrongAnswer(error.message.splitlines()[0][:80]) from None
    return milliseconds / 1000


def _first_page(bench: Workbench, vendor: str, served: dict[int, tuple[Stocked, Server]], browser: Browser) -> None:
    shifts: list[float] = []
    sides: dict[int, Side] = {
        hosts: partial(_largest_paint, browser, stocked, web, shifts) for hosts, (stocked, web) in served.items()
    }
    found = interleaved(sides, rounds=max(3, bench.options.rounds // 4), seconds=4 * bench.options.seconds, warm=1)
    slow = f"cold cache, processor {SLOWER} x slower"
    for hosts, sample in found.items():
        what = f"hosts page, {slow}, {hosts:,} hosts: largest paint"
        goal = at_most(MOST_SECONDS_TO_PAINT)
        row = Row(PART, vendor, what, sample.text(), figure=sample.median, unit="s", goal=goal, facts=sample.facts())
        bench.report.add(row)
    worst = max(shifts, default=float("nan"))
    measured = f"{worst:.4f}, the worst of {len(shifts)} loads"
    bench.report.add(Row(PART, vendor, f"hosts page, {slow}: layout shift", measured, "", worst, "", at_most(0)))


def _largest_paint(browser: Browser, stocked: Stocked, web: Server, shifts: list[float]) -> float:
    """Seconds. Raises: WrongAnswer."""
    with _context(browser, stocked, web) as context:
        page = context.new_page()
        page.add_init_script(_WATCH_PAINTS)
        context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": SLOWER})
        try:
            page.goto(f"{_address(web)}/", wait_until="networkidle")
            # Not wait_for_function, which evaluates texts inside the page, where the policy forbids it.
            seen: dict[str, Any] = page.evaluate(_PAINTED)
        except Error as error:
            raise WrongAnswer(error.message.splitlines()[0][:80]) from None
        if page.locator("#results [data-row]").count() == 0:
            raise WrongAnswer("no hosts")
    shifts.append(float(seen["shift"]))
    return float(seen["paint"]) / 1000


@contextlib.contextmanager
def _chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=services.chromium().at, args=services.CHROMIUM_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def _context(browser: Browser, stocked: Stocked, web: Server) -> Iterator[BrowserContext]:
    """Somebody who may open everything, signed in, with nothing in the cache."""
    context = browser.new_context(extra_http_headers={"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7"})
    context.set_default_timeout(PATIENCE_MS)
    session = {"name": "__Host-session", "value": stocked.sessions["everything"], "secure": True, "httpOnly": True}
    context.add_cookies([{**session, "url": _address(web).replace("http:", "https:")}])  # type: ignore[typeddict-item]
    try:
        yield context
    finally:
        context.close()


def _address(web: Server) -> str:
    return f"http://localhost:{urlsplit(web.url).port}"
