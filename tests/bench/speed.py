"""Part `speed`: how much the portal itself can do, the cloud answering at once; statements, memory, metrics."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from tests.bench import profiled, servers
from tests.bench.browser import Browser
from tests.bench.report import Row, at_most
from tests.bench.servers import Server
from tests.bench.timing import Burst, Sample, Side, bursts, interleaved, ratio
from tests.bench.workbench import METRICS_TOKEN, Stocked, Workbench, prepare

PART = "speed"
HOSTS = 1_000
CLIENTS = 8
THREADS = 16
MOST_STATEMENTS, MOST_COMMITS = 20, 2
MOST_MEGABYTES = 150
JUMPSERVER = {"launch": "JumpServer 38", "hosts page": "JumpServer 19"}
_PROCESSES = {"postgresql": 2, "sqlite": 1}


def run(bench: Workbench, vendor: str) -> None:
    bench.sandbox.latency(0)
    stocked = bench.stocked(vendor, min(HOSTS, bench.options.hosts[-1]))
    processes = _PROCESSES[vendor]
    with servers.portal(stocked.installation.env, processes=processes, threads=THREADS) as web:
        _rates(bench, stocked, web, processes)
        _processor(bench, stocked, web)
        _metrics(bench, stocked, web)
        bench.note_memory(PART, vendor, web)
    if bench.options.is_profiled:
        for line in profiled.biggest_costs(stocked, launches=10 * bench.options.rounds):
            bench.report.note(f"{PART}, {vendor}: {line}")
    _statements(bench, stocked)


def _rates(bench: Workbench, stocked: Stocked, web: Server, processes: int) -> None:
    people = [f"client-{number}" for number in range(CLIENTS)]
    browsers = [stocked.browser(web, person) for person in people]
    presses = [partial(b.press, b.form(stocked.host, stocked.account)) for b in browsers]
    healths = [partial(browser.get, "/healthz") for browser in browsers]
    pages = [partial(browser.get, "/activity/?before=1") for browser in browsers]
    sides: dict[tuple[str, int], Sequence[Side]] = {
        ("launch", 1): presses[:1],
        ("/healthz", 1): healths[:1],
        ("empty page", 1): pages[:1],
        ("/healthz again", 1): healths[:1],
        ("launch", CLIENTS): presses,
        ("/healthz", CLIENTS): healths,
        ("empty page", CLIENTS): pages,
    }
    found = bursts(sides, turns=3, seconds=bench.options.seconds / 4)
    database = f"{stocked.installation.vendor}"
    control = _row(database, "control: /healthz against itself", found["/healthz again", 1], found["/healthz", 1])
    bench.report.add(control)
    for clients in (1, CLIENTS):
        health = found["/healthz", clients]
        named = f"{clients} client{'s' if clients > 1 else ''}, {processes} process{'es' if processes > 1 else ''}"
        note = " (JumpServer: 4 to 5.5 x)" if clients == 1 else ""
        bench.report.add(_row(database, f"launches, {named}{note}", found["launch", clients], health))
        bench.report.add(_row(database, f"signed-in empty page, {named}", found["empty page", clients], health))


def _processor(bench: Workbench, stocked: Stocked, web: Server) -> None:
    """Time on the processor, in the web workers alone: what a busy machine cannot change much."""
    browser = stocked.browser(web, "client-0")
    form = browser.form(stocked.host, stocked.account)
    asked: dict[str, Side] = {
        "launch": partial(browser.press, form),
        "signed-in empty page": partial(browser.get, "/activity/?before=1"),
    }
    for what, side in asked.items():
        sample, before = Sample(), web.processor_seconds()
        for _turn in range(2 * bench.options.rounds):
            sample.run(side)
        each = (web.processor_seconds() - before) * 1000 / (2 * bench.options.rounds)
        named = f"processor time of a {what}"
        facts = sample.facts()
        measured, against = f"{each:.1f} ms", f"of {sample.text()} in all"
        bench.report.add(Row(PART, stocked.installation.vendor, named, measured, against, each, "ms", facts=facts))


def _row(database: str, what: str, ours: Burst, health: Burst) -> Row:
    """How much longer it takes than /healthz, at the median."""
    facts = {"a_second": ours.rate, "healthz_a_second": health.rate, "ours": ours.sample.facts()}
    measured = f"{ours.rate:.0f} a second, {ours.sample.text()}"
    against = f"/healthz, {health.rate:.0f} a second, {health.sample.text()}"
    return Row(PART, database, what, measured, against, ratio(ours.sample, health.sample), facts=facts)


def _metrics(bench: Workbench, stocked: Stocked, web: Server) -> None:
    scraper = Browser(web.url)
    scraper.headers["Authorization"] = f"Bearer {METRICS_TOKEN}"
    found = interleaved({"metrics": lambda: scraper.get("/metrics")}, rounds=20, seconds=bench.options.seconds)
    sample: Sample = found["metrics"]
    if not sample.times:
        bench.report.note(f"{PART}, {stocked.installation.vendor}: /metrics gives no answer: {sample.text()}")
        return
    bench.report.add(
        Row(
            PART,
            stocked.installation.vendor,
            "scrape of /metrics",
            sample.text(),
            figure=sample.median * 1000,
            unit="ms",
            facts=sample.facts(),
        )
    )


def _statements(bench: Workbench, stocked: Stocked) -> None:
    vendor = stocked.installation.vendor
    for what, numbers in prepare(stocked.installation, "statements").items():
        if not numbers:
            bench.report.note(f"{PART}, {vendor}: the statements of a {what} could not be counted; it failed.")
            continue
        is_launch = what == "launch"
        for unit, most in (("statements", MOST_STATEMENTS), ("commits", MOST_COMMITS)) if is_launch else _STATEMENTS:
            goal = at_most(most) if is_launch else None
            number = float(numbers[unit])
            named = f"{unit} of a {what}"
            known = JUMPSERVER.get(what, "") if unit == "statements" else ""
            bench.report.add(Row(PART, vendor, named, f"{number:.0f}", known, number, unit, goal, numbers))


_STATEMENTS = (("statements", 0),)


def report_memory(bench: Workbench) -> None:
    """The largest worker of all that served in this run."""
    for vendor in ("postgresql", "sqlite"):
        workers = [worker for worker in bench.memory if worker["database"] == vendor]
        if not workers:
            continue
        largest = max(workers, key=lambda worker: worker["rss"])
        text = "{rss:.0f} MB resident ({pss:.0f} with its share of what is shared, {uss:.0f} alone)".format(**largest)
        against = f"after {largest['part']}; the largest of {len(workers)} workers (JumpServer: 405 to 442 MB)"
        goal = at_most(MOST_MEGABYTES)
        facts = {"workers": workers}
        bench.report.add(
            Row("memory", vendor, "a web worker", text, against, largest["rss"], unit="MB", goal=goal, facts=facts)
        )
