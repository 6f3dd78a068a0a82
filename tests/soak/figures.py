"""What a part of the soak reports: numbers with a name."""

from __future__ import annotations

from dataclasses import dataclass

FINDINGS = "findings"
"""The figure that must be 0. Whoever counts one also writes to stderr what it is, and how to see it again."""


@dataclass(frozen=True, slots=True)
class Figure:
    """For example `Figure("launches", 10_000, "")` or `Figure("time", 412, "seconds")`."""

    name: str
    value: int
    unit: str


def findings(figures: list[Figure]) -> int:
    """How many findings these figures report."""
    return sum(figure.value for figure in figures if figure.name == FINDINGS)
