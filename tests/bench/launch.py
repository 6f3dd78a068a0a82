"""Part `launch`: what a launch with a warm token adds to the call itself, the cloud answering in 50 ms."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

from tests.bench import servers
from tests.bench.bare import PATH
from tests.bench.browser import BareCloud, Form, Requester
from tests.bench.databases import Installation
from tests.bench.report import Goal, Row, at_most
from tests.bench.servers import Server
from tests.bench.timing import Burst, Sample, bursts, interleaved, ratio
from tests.bench.workbench import Stocked, Workbench, prepare

PART = "launch"
LATENCY_SECONDS = 0.05
HOSTS = 1_000
CLIENTS = 8
THREADS = 16
"""Half of a process's threads may wait for the cloud; with the default eight, eight clients would find it busy."""


def run(bench: Workbench, vendor: str) -> None:
    cloud = bench.bare_cloud()
    stocked = bench.stocked(vendor, min(HOSTS, bench.options.hosts[-1]))
    prepare(stocked.installation, "scratch", "--role", stocked.installation.role)
    with bare_server(stocked.installation, cloud) as bare:
        with servers.portal(stocked.installation.env) as web:
            _one_client(bench, stocked, cloud, web, bare)
            bench.note_memory(PART, vendor, web)
        if vendor == "postgresql":
            with servers.portal(stocked.installation.env, processes=2, threads=THREADS) as web:
                _many_clients(bench, stocked, cloud, web)
                bench.note_memory(PART, vendor, web)


def bare_server(installation: Installation, cloud: BareCloud) -> contextlib.AbstractContextManager[Server]:
    return servers.portal(
        installation.env,
        DJANGO_SETTINGS_MODULE="tests.bench.bare_settings",
        BENCH_TOKEN=cloud.token,
        BENCH_CALL=cloud.address,
    )


def _one_client(bench: Workbench, stocked: Stocked, cloud: BareCloud, web: Server, bare: Server) -> None:
    form, browser = stocked.form(web, "client-0"), stocked.browser(web, "client-0")
    bare_form = replace(form, url=bare.url + PATH)
    bench.sandbox.latency(LATENCY_SECONDS)
    found = interleaved(
        {
            "launch": _pressing(form),
            "bare": cloud.call,
            "bare view": _pressing(bare_form),
            "bare again": cloud.call,
            "script": cloud.script,
            "healthz": lambda: browser.get("/healthz"),
        },
        rounds=bench.options.rounds,
        seconds=3 * bench.options.seconds,
    )
    bench.sandbox.latency(0)
    database = stocked.installation.vendor

    def row(what: str, side: str, against: str, goal: Goal | None = None) -> None:
        ours, other = found[side], found[against]
        named = f"{_NAMES[against]}, {other.text()}"
        facts = {"ours": ours.facts(), "other": other.facts()}
        bench.report.add(Row(PART, database, what, ours.text(), named, ratio(ours, other), goal=goal, facts=facts))

    row("control: the bare call against itself", "bare again", "bare")
    row("launch, 1 client", "launch", "bare", at_most(1.4))
    row("for comparison: a bare view with two commits", "bare view", "bare")
    row("launch, 1 client", "launch", "script", at_most(1))
    row("launch, 1 client (JumpServer's token: 4 to 5.5 x, without a cloud)", "launch", "healthz")


_NAMES = {
    "bare": "bare call",
    "bare again": "bare call",
    "bare view": "bare view",
    "script": "today's script",
    "healthz": "own /healthz",
}


def _many_clients(bench: Workbench, stocked: Stocked, cloud: BareCloud, web: Server) -> None:
    forms = [stocked.form(web, f"client-{number}") for number in range(CLIENTS)]
    bench.sandbox.latency(LATENCY_SECONDS)
    found = bursts(
        {
            "launch": [_pressing(form) for form in forms],
            "bare": [_calling(bench) for _client in forms],
            "bare again": [_calling(bench) for _client in forms],
        },
        turns=3,
        seconds=bench.options.seconds / 3,
    )
    bench.sandbox.latency(0)
    launch, bare, again = (found[name] for name in ("launch", "bare", "bare again"))
    database = stocked.installation.vendor
    bench.report.add(_burst_row(database, "control: the bare call against itself, 8 clients", again, bare))
    what = f"launch, {CLIENTS} clients on 2 processes of {THREADS} threads"
    bench.report.add(_burst_row(database, what, launch, bare, at_most(2)))


def _burst_row(database: str, what: str, ours: Burst, other: Burst, goal: Goal | None = None) -> Row:
    facts = {"ours": ours.sample.facts(), "other": other.sample.facts(), "a_second": ours.rate}
    against = f"bare call, {CLIENTS} clients, {other.sample.text()}"
    figure = ratio(ours.sample, other.sample)
    return Row(PART, database, what, _rated(ours.sample, ours.rate), against, figure, goal=goal, facts=facts)


def _rated(sample: Sample, rate: float) -> str:
    return f"{sample.text()}, {rate:.0f} a second"


def _pressing(form: Form) -> Callable[[], None]:
    """Presses with a connection of its own that is kept alive."""
    http = Requester()
    return lambda: http.press(form)


def _calling(bench: Workbench) -> Callable[[], None]:
    """Calls with a token and a connection of its own."""
    return bench.bare_cloud().call
