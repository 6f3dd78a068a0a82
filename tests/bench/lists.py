"""Part `lists`: what people look at, and a launch, in inventories of several sizes that are served side by side."""

from __future__ import annotations

import contextlib
from functools import partial

from tests.bench import servers
from tests.bench.browser import Browser
from tests.bench.report import Row, at_most
from tests.bench.servers import Server
from tests.bench.sizes import REACH, SEARCHED, host_name
from tests.bench.timing import Sample, Side, WrongAnswer, interleaved, ratio
from tests.bench.workbench import Stocked, Workbench

PART = "lists"
EMPTY = "/activity/?before=1"
"""A signed-in page without rows: of a person who never launched, below the first launch of all."""
TYPED = {"HX-Request": "true", "HX-Target": "results"}
"""A search as the page asks for it while somebody types."""
PEOPLE = {
    "everything": "one who may open everything",
    "by_hosts": f"one with {REACH:,} single-host grants",
    "by_label": f"one with a label of {REACH:,} hosts",
}


def run(bench: Workbench, vendor: str) -> None:
    bench.sandbox.latency(0)
    with contextlib.ExitStack() as serving:
        served: dict[int, tuple[Stocked, Server]] = {}
        for hosts in bench.options.hosts:
            stocked = bench.stocked(vendor, hosts)
            served[hosts] = stocked, serving.enter_context(servers.portal(stocked.installation.env))
        _compare(bench, vendor, served)
        for _stocked, web in served.values():
            bench.note_memory(PART, vendor, web)


def _compare(bench: Workbench, vendor: str, served: dict[int, tuple[Stocked, Server]]) -> None:
    largest = max(served)
    stocked, web = served[largest]
    nobody = stocked.browser(web, "nothing")
    by_size = {hosts: _operations(*pair) for hosts, pair in served.items()}
    controls: dict[int, Side] = {}
    for hosts, (one, server) in served.items():
        controls[hosts] = partial(one.browser(server, "nothing").get, EMPTY)
    found = interleaved(controls, rounds=bench.options.rounds, seconds=bench.options.seconds)
    _add_growth(bench, vendor, "control: a signed-in empty page", found)
    for what in by_size[largest]:
        sides: dict[object, Side] = {hosts: operations[what] for hosts, operations in by_size.items()}
        sides["empty"] = partial(nobody.get, EMPTY)
        sides["healthz"] = partial(nobody.get, "/healthz")
        samples = interleaved(sides, rounds=bench.options.rounds, seconds=bench.options.seconds)
        sizes = {hosts: samples[hosts] for hosts in served}
        _add_growth(bench, vendor, what, sizes)
        empty, health = samples["empty"], samples["healthz"]
        against = f"a signed-in empty page, {empty.text()}"
        measured = f"{largest:,}: {sizes[largest].text()}"
        figure = ratio(sizes[largest], empty)
        bench.report.add(Row(PART, vendor, what, measured, against, figure, goal=at_most(3)))
        if what.startswith(("hosts page", "launch")):
            known = "8 to 10 x" if what.startswith("hosts page") else "4 to 5.5 x"
            against = f"own /healthz, {health.text()} (JumpServer: {known})"
            bench.report.add(Row(PART, vendor, what, measured, against, ratio(sizes[largest], health)))


def _add_growth(bench: Workbench, vendor: str, what: str, sizes: dict[int, Sample]) -> None:
    """The slowest of the larger sizes against the smallest."""
    smallest, *larger = sorted(sizes)
    if not larger:
        return
    figures = {hosts: ratio(sizes[hosts], sizes[smallest]) for hosts in larger}
    worst = max(figures, key=lambda hosts: (figures[hosts] != figures[hosts], figures[hosts]))
    measured = "; ".join(f"{hosts:,}: {sizes[hosts].text()}" for hosts in larger)
    against = f"{smallest:,} hosts, {sizes[smallest].text()}"
    facts = {f"{hosts} hosts": sample.facts() for hosts, sample in sizes.items()}
    goal = None if what.startswith("control") else at_most(2)
    bench.report.add(Row(PART, vendor, what, measured, against, figures[worst], goal=goal, facts=facts))


def _operations(stocked: Stocked, web: Server) -> dict[str, Side]:
    """By name. What is searched for all three people may open."""
    operations: dict[str, Side] = {}
    for person, words in PEOPLE.items():
        browser = stocked.browser(web, person)
        form = browser.form(stocked.host, stocked.account)
        operations |= {
            f"hosts page, {words}": partial(browser.get, "/"),
            f"exact search, {words}": partial(_find, browser, f"/?q={stocked.exact}", stocked.exact, TYPED),
            f"prefix search, {words}": partial(_find, browser, f"/?q={SEARCHED}", SEARCHED, TYPED),
            f"any-part search, {words}": partial(_find, browser, f"/?q={SEARCHED[1:]}", SEARCHED, TYPED),
            f"host page, {words}": partial(browser.get, f"/hosts/{stocked.host}/"),
            f"launch, {words}": partial(browser.press, form),
        }
    admin = stocked.browser(web, "admin")
    operations["admin host list"] = partial(admin.get, "/admin/omaccess/host/")
    operations["admin host search"] = partial(_find, admin, f"/admin/omaccess/host/?q={host_name(7)}", host_name(7))
    return operations


def _find(browser: Browser, path: str, expected: str, headers: dict[str, str] | None = None) -> None:
    """Raises: WrongAnswer when the page does not hold it; an empty page is quick."""
    # More often than in a search box or an address, so among what was found.
    if browser.get(path, headers).count(expected) < 2:
        raise WrongAnswer("not found")
