"""Part `audit`: appending with the chain against a plain insert, and proving a long chain whole."""

from __future__ import annotations

import contextlib
import json
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psutil

from tests.bench.databases import Installation
from tests.bench.report import Row, at_least, at_most
from tests.bench.servers import end
from tests.bench.timing import Sample, ratio
from tests.bench.workbench import Workbench, prepare
from tests.production import ROOT

PART = "audit"
WRITERS = 8
_COUNTED = re.compile(r"([0-9]+) events? w(?:as|ere) checked in ([0-9.]+) s")
_SECONDS_TO_VERIFY = 110


def run(bench: Workbench, vendor: str) -> None:
    installation = bench.install(vendor)
    prepare(installation, "scratch", "--role", installation.role)
    _append(bench, installation)
    installation, _session = bench.audited(vendor, bench.options.events[-1])
    _verify(bench, installation)


# --- appending -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Writer:
    process: subprocess.Popen[str]

    def order(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("a writer ended by itself")
        facts: dict[str, Any] = json.loads(line)
        return facts


@contextlib.contextmanager
def _writers(installation: Installation, number: int) -> Iterator[list[_Writer]]:
    """So many processes that are ready to append, as the role that the portal runs as."""
    with contextlib.ExitStack() as ending:
        writers = []
        for _writer in range(number):
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.bench.writer"],
                cwd=ROOT,
                env=installation.env,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
            ending.callback(end, process)
            writers.append(_Writer(process))
        for writer in writers:
            writer.answer()
        yield writers


def _append(bench: Workbench, installation: Installation) -> None:
    rounds, seconds = 25 * bench.options.rounds, bench.options.seconds
    number = WRITERS if installation.vendor == "postgresql" else 1
    with _writers(installation, number) as writers:
        writers[0].order(f"compare {rounds} {seconds}")
        found = {name: Sample(times) for name, times in writers[0].answer().items()}
        chained, plain, again = found["chained"], found["plain"], found["plain again"]
        _add_append(bench, installation, "control: a plain insert against itself", again, plain)
        _add_append(bench, installation, "append with the chain, 1 writer", chained, plain)
        if number > 1:
            _together(bench, installation, writers)


def _add_append(bench: Workbench, installation: Installation, what: str, ours: Sample, plain: Sample) -> None:
    goal = None if what.startswith("control") else at_most(1.5)
    facts = {"ours": ours.facts(), "plain": plain.facts()}
    texts = [f"{1 / sample.median:,.0f} a second, {sample.text()}" for sample in (ours, plain)]
    against = f"the same plain insert, {texts[1]}"
    figure = ratio(ours, plain)
    bench.report.add(Row(PART, installation.vendor, what, texts[0], against, figure, goal=goal, facts=facts))


def _together(bench: Workbench, installation: Installation, writers: list[_Writer]) -> None:
    """One writer for a while, then all at once for a while, and so on. Then the first alone against itself."""
    seconds = bench.options.seconds / 4
    groups = {"one": writers[:1], "all": writers, "one again": writers[:1]}
    done: dict[str, list[float]] = {name: [] for name in groups}
    for _turn in range(3):
        for name, group in groups.items():
            for writer in group:
                writer.order(f"append {seconds}")
            answers = [writer.answer() for writer in group]
            done[name].append(sum(answer["appended"] / answer["seconds"] for answer in answers))
    one, together, again = (sorted(done[name])[1] for name in groups)

    def row(what: str, ours: float, is_control: bool) -> None:
        goal = None if is_control else at_least(0.7)
        facts = {"runs": done}
        measured, against = f"{ours:,.0f} a second", f"1 writer, {one:,.0f} a second"
        figure = ours / one if one else float("nan")
        bench.report.add(Row(PART, installation.vendor, what, measured, against, figure, goal=goal, facts=facts))

    row("control: 1 writer against itself", again, True)
    row(f"append with the chain, {WRITERS} writers together", together, False)


# --- proving ---------------------------------------------------------------------------------------


def _verify(bench: Workbench, installation: Installation) -> None:
    """The command itself, in a process of its own; memory is looked at from outside, children included."""
    before, began = _processor_seconds(), time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "audit_verify"],
        cwd=ROOT,
        env=installation.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    peak = 0.0
    while process.poll() is None and time.perf_counter() - began < _SECONDS_TO_VERIFY:
        peak = max(peak, _resident(process.pid))
        time.sleep(0.05)
    if process.poll() is None:
        end(process)
        bench.report.note(f"{PART}, {installation.vendor}: audit_verify did not end in {_SECONDS_TO_VERIFY} s.")
        return
    processor = _processor_seconds() - before
    wall = time.perf_counter() - began
    output = process.stdout.read() if process.stdout else ""
    counted = _COUNTED.search(output)
    if process.returncode or counted is None:
        bench.report.note(f"{PART}, {installation.vendor}: audit_verify failed: {output[-500:]}")
        return
    events = int(counted[1])
    rate = events / wall
    facts = {"events": events, "seconds": wall, "own_seconds": float(counted[2]), "processor_seconds": processor}
    measured = f"{events:,} events in {wall:.1f} s with its start ({counted[2]} s by its own watch)"
    against = f"{processor:.1f} s of a processor, {events / processor:,.0f} a second of it"
    bench.report.add(
        Row(PART, installation.vendor, "audit_verify", measured, against, rate, "a second", at_least(50_000), facts)
    )
    text = f"{peak:.0f} MB at the most"
    facts = {"peak_mb": peak}
    bench.report.add(Row(PART, installation.vendor, "audit_verify, memory", text, "", peak, "MB", at_most(150), facts))


def _processor_seconds() -> float:
    """Of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _resident(pid: int) -> float:
    """Megabytes, of the process and its children."""
    total = 0
    with contextlib.suppress(psutil.NoSuchProcess):
        first = psutil.Process(pid)
        for member in (first, *first.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                total += member.memory_info().rss
    return total / 2**20
