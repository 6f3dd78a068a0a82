"""Measuring sides against each other in turn, so that a noisy machine hits all of them alike."""

from __future__ import annotations

import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

FEWEST_ROUNDS = 3

Name = TypeVar("Name")
Side = Callable[[], object]
"""Does the thing once. Returns how many seconds it took (a float) where only it can see that. Raises: WrongAnswer."""


class WrongAnswer(Exception):
    """What was measured did not do what it should; the text says what came instead."""


@dataclass(slots=True)
class Sample:
    """How long one side took, in seconds, and what went wrong how often."""

    times: list[float] = field(default_factory=list)
    wrong: Counter[str] = field(default_factory=Counter)

    @property
    def median(self) -> float:
        """Seconds; not a number when nothing succeeded."""
        return statistics.median(self.times) if self.times else float("nan")

    @property
    def p90(self) -> float:
        if len(self.times) < 2:
            return self.median
        return statistics.quantiles(self.times, n=10, method="inclusive")[8]

    def run(self, side: Side) -> None:
        began = time.perf_counter()
        try:
            seen = side()
        except WrongAnswer as wrong:
            self.wrong[str(wrong)] += 1
        else:
            self.times.append(seen if isinstance(seen, float) else time.perf_counter() - began)

    def text(self) -> str:
        said = f"{self.median * 1000:.1f} ms (p90 {self.p90 * 1000:.1f})" if self.times else "no answer"
        return said + "".join(f"; {count} x {what}" for what, count in self.wrong.items())

    def facts(self) -> dict[str, object]:
        return {
            "median_ms": round(self.median * 1000, 3) if self.times else None,
            "p90_ms": round(self.p90 * 1000, 3) if self.times else None,
            "measured": len(self.times),
            "wrong": dict(self.wrong),
        }


def ratio(side: Sample, other: Sample) -> float:
    """Of the medians; not a number without both."""
    return side.median / other.median if side.times and other.times else float("nan")


def interleaved(sides: Mapping[Name, Side], *, rounds: int, seconds: float, warm: int = 2) -> dict[Name, Sample]:
    """A B C, B C A, C A B …: so many rounds, or as many as fit into the time, but no fewer than three.

    A side that is too slow for that is left at what it has.
    """
    for side in sides.values():
        began = time.perf_counter()
        for _turn in range(warm):
            if time.perf_counter() - began < seconds / 4:
                Sample().run(side)
    samples = {name: Sample() for name in sides}
    order = list(sides)
    ends_at = time.perf_counter() + seconds
    for turn in range(rounds):
        if turn >= FEWEST_ROUNDS and time.perf_counter() > ends_at:
            break
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            samples[name].run(sides[name])
    return samples


@dataclass(slots=True)
class Burst:
    """What several clients at once got: their samples together, and the time from the first start to the last end."""

    sample: Sample = field(default_factory=Sample)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        """Done a second; wrong answers are not done."""
        return len(self.sample.times) / self.seconds if self.seconds else float("nan")


def bursts(sides: Mapping[Name, Sequence[Side]], *, turns: int, seconds: float, warm: int = 2) -> dict[Name, Burst]:
    """In turn: all clients of one side work for some seconds at once, then all of the next side."""
    for clients in sides.values():
        for client in clients:
            for _turn in range(warm):
                Sample().run(client)
    found = {name: Burst() for name in sides}
    order = list(sides)
    for turn in range(turns):
        for name in order[turn % len(order) :] + order[: turn % len(order)]:
            _burst(found[name], sides[name], seconds)
    return found


def _burst(into: Burst, clients: Sequence[Side], seconds: float) -> None:
    samples = [Sample() for _client in clients]
    start = threading.Barrier(len(clients) + 1)

    def work(client: Side, sample: Sample) -> None:
        start.wait()
        ends_at = time.perf_counter() + seconds
        while time.perf_counter() < ends_at:
            sample.run(client)

    pairs = zip(clients, samples, strict=True)
    threads = [threading.Thread(target=work, args=pair, daemon=True) for pair in pairs]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    into.seconds += time.perf_counter() - began
    for sample in samples:
        into.sample.times += sample.times
        into.sample.wrong += sample.wrong
