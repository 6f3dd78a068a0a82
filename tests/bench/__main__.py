"""`make bench`: the portal's own numbers, as ratios that were measured in one run: python -m tests.bench

Production mode: gunicorn with deploy/gunicorn.conf.py, a PostgreSQL database of its own with a random name and the
restricted role, Redis with a prefix of its own; and SQLite in a temporary folder. The simulated cloud is a process on
the same machine, and so are the clients: all of them share its processors. What is compared is measured in turn
(A B A B …), so that a noisy machine hits both sides alike; figures are ratios of medians. Each part measures something
against itself too: how far that control is from 1.0 is how far the other figures may be off.

Prints a table and writes it to var/bench/ as JSON and Markdown. Nothing is asserted. What is started or made is gone at
the end. Options, by environment:

    BENCH_ONLY          parts, with commas between: launch, speed (also called memory), lists, screens, audit, records,
                        demo
    BENCH_DATABASES     postgresql, sqlite
    BENCH_HOSTS         sizes of the inventory: 100,10000,100000
    BENCH_EVENTS        sizes of the audit: 10000,1000000
    BENCH_ROUNDS        how often each side is measured at the most: 40
    BENCH_SECONDS       how long one comparison may take, but for its first three rounds: 6
    BENCH_PART_SECONDS  how long a part may take: 240; what it has by then is kept
    BENCH_PROFILE=1     name the functions that a launch spends its time in (part speed)
    BENCH_DIR           where the table is written: var/bench
    TEST_DATABASE_URL, TEST_REDIS_URL   as for the tests
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import psycopg
import redis

from tests import production, services
from tests.bench import audit, demo, launch, lists, records, screens, speed
from tests.bench.options import Options, UnknownOption
from tests.bench.report import Report, machine
from tests.bench.servers import DoesNotStart
from tests.bench.timing import WrongAnswer
from tests.bench.workbench import CouldNotPrepare, TookTooLong, Workbench, at_most_seconds

_PARTS: dict[str, Callable[[Workbench, str], None]] = {
    "launch": launch.run,
    "speed": speed.run,
    "lists": lists.run,
    "screens": screens.run,
    "audit": audit.run,
    "records": records.run,
    "demo": demo.run,
}


def main() -> int:
    try:
        options = Options.of(os.environ)
    except UnknownOption as problem:
        sys.stderr.write(f"{problem}\n")
        return 2
    signal.signal(signal.SIGTERM, _end)
    report, where = Report(), machine(**_services())
    try:
        with Workbench(options, report) as bench:
            for part in options.parts:
                _run(part, bench)
            speed.report_memory(bench)
    finally:
        _note_load(report, where["load_before"][0])
        folder = Path(os.environ.get("BENCH_DIR", "") or production.ROOT / "var" / "bench")
        written = report.write(folder, where)
        sys.stdout.write(f"\n{report.markdown(where)}\nWritten to {written}\n")
    return 0


def _run(part: str, bench: Workbench) -> None:
    """One part on each database, with a fair share of its time.

    What goes wrong in it is said, and does not keep the others from being measured.
    """
    vendors = bench.vendors(part) if part != "demo" else ["sqlite"]
    for vendor in vendors:
        began = time.monotonic()
        try:
            with at_most_seconds(bench.options.part_seconds // len(vendors)):
                _PARTS[part](bench, vendor)
        except (TookTooLong, CouldNotPrepare, DoesNotStart, WrongAnswer) as problem:
            bench.report.note(f"{part}, {vendor}: cut short, because {problem}.")
        bench.report.note(f"{part}, {vendor} took {time.monotonic() - began:.0f} s.")


def _note_load(report: Report, load_before: float) -> None:
    """Taking turns cannot make up for this: waiting takes no longer on a busy machine, and working does."""
    cores = os.cpu_count() or 1
    if load_before > cores / 2:
        report.note(
            f"The machine was busy when this began (load {load_before:.1f} on {cores} cores), so what mostly works "
            "looks slower than what mostly waits: read ratios to the cloud's call as upper bounds."
        )


def _services() -> dict[str, str]:
    """The versions of PostgreSQL and Redis, where they answer."""
    found = {}
    if services.postgresql().at:
        with psycopg.connect(services.postgresql().at) as connection:
            found["postgresql"] = str(connection.info.server_version)
    if services.redis_server().at:
        with redis.Redis.from_url(services.redis_server().at) as client:
            found["redis"] = str(client.info("server")["redis_version"])
    return found


def _end(_signal: int, _frame: FrameType | None) -> None:
    """Leave by the ways that clean up."""
    raise SystemExit(1)


if __name__ == "__main__":
    raise SystemExit(main())
