"""Part `records`: the auditor's list in a short and in a long audit, served side by side."""

from __future__ import annotations

import contextlib
import datetime as dt
import re
from functools import partial
from html import unescape
from urllib.parse import parse_qsl, urlencode

from tests.bench import servers
from tests.bench.browser import Browser
from tests.bench.report import Row, at_most
from tests.bench.sizes import A_DAY, BUSY
from tests.bench.timing import Sample, Side, WrongAnswer, interleaved, ratio
from tests.bench.workbench import Workbench

PART = "records"
_LIST = "/admin/omaccess/auditevent/"
_OLDER = re.compile(r'rel="next" href="\?([^"]+)"')


def run(bench: Workbench, vendor: str) -> None:
    if len(bench.options.events) < 2:
        bench.report.note(f"{PART}: no rows, because BENCH_EVENTS names one size only.")
        return
    with contextlib.ExitStack() as serving:
        browsers: dict[int, Browser] = {}
        for events in bench.options.events:
            installation, session = bench.audited(vendor, events)
            web = serving.enter_context(servers.portal(installation.env))
            browsers[events] = Browser(web.url, session)
        _compare(bench, vendor, browsers)
        bench.note_memory(PART, vendor, web)


def _compare(bench: Workbench, vendor: str, browsers: dict[int, Browser]) -> None:
    small, *_others, large = sorted(browsers)
    pages = {events: _pages(events) | _middle(browsers[events], events) for events in (small, large)}
    for what in pages[large]:
        sides: dict[object, Side] = {
            events: partial(_list, browsers[events], pages[events][what]) for events in (small, large)
        }
        sides["healthz"] = partial(browsers[large].get, "/healthz")
        found = interleaved(sides, rounds=bench.options.rounds, seconds=bench.options.seconds)
        _add(bench, vendor, f"auditor's list, {what}", large, found[large], small, found[small])
        if what == "first page":
            named = f"own /healthz, {found['healthz'].text()} (JumpServer: 15 to 18 x)"
            figure = ratio(found[large], found["healthz"])
            bench.report.add(Row(PART, vendor, f"auditor's list, {what}", found[large].text(), named, figure))
    controls: dict[object, Side] = {
        "one": partial(_list, browsers[small], _LIST),
        "again": partial(_list, browsers[small], _LIST),
    }
    found = interleaved(controls, rounds=bench.options.rounds, seconds=bench.options.seconds)
    figure = ratio(found["again"], found["one"])
    texts = found["again"].text(), found["one"].text()
    bench.report.add(Row(PART, vendor, "control: the first page against itself", *texts, figure))


def _add(bench: Workbench, vendor: str, what: str, large: int, ours: Sample, small: int, other: Sample) -> None:
    facts = {f"{large} events": ours.facts(), f"{small} events": other.facts()}
    measured, against = f"{large:,} events: {ours.text()}", f"{small:,} events: {other.text()}"
    bench.report.add(Row(PART, vendor, what, measured, against, ratio(ours, other), goal=at_most(2), facts=facts))


def _pages(events: int) -> dict[str, str]:
    """Addresses by name. The week lies in the middle of the log; the far end is the list's own last page."""
    middle = dt.datetime.now(dt.UTC) - dt.timedelta(days=events / A_DAY / 2)
    week = {"since": f"{middle - dt.timedelta(days=4):%Y-%m-%d}", "until": f"{middle + dt.timedelta(days=3):%Y-%m-%d}"}
    by_user = {"person": BUSY}
    return {
        "first page": _LIST,
        "by user": f"{_LIST}?{urlencode(by_user)}",
        "by user and week": f"{_LIST}?{urlencode(by_user | week)}",
        "far end": f"{_LIST}?{urlencode({'above': ''})}",
        "by user, far end": f"{_LIST}?{urlencode(by_user | {'above': ''})}",
    }


def _middle(browser: Browser, events: int) -> dict[str, str]:
    """As if somebody had followed the link to older events for hours: the page's own link, with another position."""
    link = _OLDER.search(browser.get(_LIST))
    if link is None:
        return {}
    query = [(name, str(events // 2) if name == "below" else value) for name, value in parse_qsl(unescape(link[1]))]
    return {"in the middle": f"{_LIST}?{urlencode(query)}"}


def _list(browser: Browser, path: str) -> None:
    """Raises: WrongAnswer when the page has no rows; an empty page is quick."""
    if browser.get(path).count(f'href="{_LIST}') < 10:
        raise WrongAnswer("a page without rows")
