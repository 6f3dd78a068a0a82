"""How many inputs a property is tried with: a few that are always the same in the suite, very many in the soak.

A property is written once, as a function that takes one input and asserts. `Explorer.explore` draws the inputs. The
soak sets FUZZ_INPUTS, FUZZ_SECONDS, FUZZ_SEED and FUZZ_FIGURES; without them nothing is random and nothing is written.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from hypothesis import HealthCheck, Phase, configuration, example, given, seed, settings
from hypothesis.strategies import SearchStrategy

Input = TypeVar("Input")

ROUND = 500
"""Inputs drawn under one seed. Hypothesis remembers all that it drew, so that one long run would only grow."""

# What Hypothesis keeps for itself (tables of characters) belongs to the machine, not into the source tree.
configuration.set_hypothesis_home_dir(str(Path(tempfile.gettempdir()) / "sallyport-hypothesis"))


@dataclass(frozen=True, slots=True)
class Budget:
    """`inputs` of the whole soak, 0 in the suite; `ends_at` is wall time, because several processes share it."""

    inputs: int = 0
    ends_at: float = float("inf")
    seed: int = 0
    figures: Path | None = None

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> Self:
        inputs = int(variables.get("FUZZ_INPUTS", "0"))
        if not inputs:
            return cls()
        return cls(
            inputs=inputs,
            ends_at=float(variables["FUZZ_ENDS_AT"]),
            seed=int(variables["FUZZ_SEED"]),
            figures=Path(variables["FUZZ_FIGURES"]),
        )

    @property
    def is_long(self) -> bool:
        return self.inputs > 0


@dataclass
class Explorer:
    """Tries a test's properties, and counts the different inputs that really were tried."""

    budget: Budget
    area: str
    name: str
    tried: int = 0
    counts: dict[str, int] = field(default_factory=dict)

    def explore(
        self,
        inputs: SearchStrategy[Input],
        check: Callable[[Input], None],
        *,
        few: int,
        share: float,
        examples: Sequence[Input] = (),
    ) -> None:
        """Check the examples and `few` inputs; in the soak, `share` of all its inputs or until its time is over.

        Raises: what `check` raises, for the smallest input that was found to do so.
        """
        seen: set[int] = set()

        def one(given_input: Input) -> None:
            seen.add(hash(repr(given_input)))
            check(given_input)

        wanted = round(self.budget.inputs * share) if self.budget.is_long else few
        round_number = 0
        try:
            while len(seen) < wanted and (round_number == 0 or time.time() < self.budget.ends_at):
                at_once = min(ROUND, wanted - len(seen)) if self.budget.is_long else few
                before = len(seen)
                self._round(inputs, one, at_once, round_number, examples if round_number == 0 else ())
                round_number += 1
                if len(seen) == before or not self.budget.is_long:
                    break  # there are no more different ones
        finally:
            self.tried += len(seen)

    def explore_in_bulk(
        self,
        inputs: SearchStrategy[Input],
        check: Callable[[list[Input]], None],
        *,
        few: int,
        share: float,
        examples: Sequence[Input] = (),
    ) -> None:
        """Like `explore`, for a check that is cheaper for many inputs at once; nothing is made smaller."""
        wanted = round(self.budget.inputs * share) if self.budget.is_long else few
        tried, round_number = 0, 0
        while tried < wanted and (round_number == 0 or time.time() < self.budget.ends_at):
            drawn: dict[int, Input] = {hash(repr(known)): known for known in examples} if round_number == 0 else {}

            def keep(one: Input, drawn: dict[int, Input] = drawn) -> None:
                drawn.setdefault(hash(repr(one)), one)

            self._round(inputs, keep, min(ROUND * 4, wanted - tried), round_number, ())
            check(list(drawn.values()))
            tried += len(drawn)
            self.tried += len(drawn)
            round_number += 1

    def count(self, what: str, number: int = 1) -> None:
        """Something worth reporting besides the inputs."""
        self.counts[what] = self.counts.get(what, 0) + number

    def report(self) -> None:
        """In the soak, write down what was tried; one line for each test, appended whole."""
        if self.budget.figures is None:
            return
        line = json.dumps({"area": self.area, "name": self.name, "tried": self.tried, "counts": self.counts})
        with self.budget.figures.open("a", encoding="utf-8") as file:
            file.write(f"{line}\n")

    def _round(
        self,
        inputs: SearchStrategy[Input],
        check: Callable[[Input], None],
        number: int,
        round_number: int,
        examples: Sequence[Input],
    ) -> None:
        def tried(given_input: Input) -> None:
            check(given_input)

        test = given(given_input=inputs)(tried)
        for known in examples:
            test = example(given_input=known)(test)
        if self.budget.is_long:
            test = seed(f"{self.budget.seed}/{self.name}/{round_number}")(test)
        settings(
            max_examples=number,
            derandomize=not self.budget.is_long,
            deadline=None,
            database=None,
            report_multiple_bugs=False,
            phases=[Phase.explicit, Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )(test)()


def of_this_run(area: str, name: str) -> Explorer:
    return Explorer(Budget.of(os.environ), area, name)
