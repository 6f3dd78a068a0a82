"""The properties of tests/fuzz with very many inputs, on every database that answers.

pytest runs them as in the suite, told by variables how many inputs and how long (see tests/fuzz/budget.py), so that a
property is written once and has the same fixtures here.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from tests import services
from tests.soak.figures import FINDINGS, Figure

ROOT = Path(__file__).resolve().parents[2]

ON_POSTGRESQL = 0.25
"""What part of the time and the inputs the properties that concern a database get there, besides SQLite."""
PATIENCE_SECONDS = 180.0
"""How much longer than told a stage may take: a property that has begun finishes its round. Then it hangs."""


@dataclass
class _Tried:
    """What the tests wrote down, added up."""

    inputs: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    findings: int = 0


def run(*, inputs: int, seconds: float, seed: int) -> list[Figure]:
    """Try about `inputs` inputs, for no longer than about `seconds`; what was found goes to stderr.

    The figures are of inputs that were really tried and differ from each other.
    """
    tried = _Tried()
    is_on_postgresql = bool(services.postgresql().at)
    part = ON_POSTGRESQL if is_on_postgresql else 0.0
    if is_on_postgresql:
        stage = {"TEST_STAGE": "postgresql", "DATABASE_URL": services.postgresql().at}
        _stage(tried, ["-m", "database"], stage, inputs=round(inputs * part), seconds=seconds * part, seed=seed)
    _stage(tried, [], {}, inputs=inputs, seconds=seconds * (1 - part), seed=seed)
    return [
        Figure("inputs", tried.inputs.total(), "different ones"),
        *(Figure(f"inputs: {area}", number, "") for area, number in sorted(tried.inputs.items())),
        *(Figure(name, number, "") for name, number in sorted(tried.counts.items())),
        Figure(FINDINGS, tried.findings, ""),
    ]


def _stage(
    tried: _Tried, options: list[str], variables: dict[str, str], *, inputs: int, seconds: float, seed: int
) -> None:
    """One run of pytest in processes of its own, all of which end with it."""
    with tempfile.TemporaryDirectory(prefix="sallyport-soak-") as folder:
        figures = Path(folder) / "figures.jsonl"
        figures.touch()
        budget = {
            "FUZZ_INPUTS": str(inputs),
            "FUZZ_ENDS_AT": str(time.time() + seconds),
            "FUZZ_SEED": str(seed),
            "FUZZ_FIGURES": str(figures),
        }
        kept = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "TEST_STAGE")}
        command = [sys.executable, "-m", "pytest", "tests/fuzz", "-q", "-rfE", "-p", "no:cacheprovider"]
        command += ["-n", os.environ.get("TEST_PROCESSES", "2"), "--dist", "worksteal", *options]
        code, output = _pytest(command, {**kept, **variables, **budget}, seconds + PATIENCE_SECONDS)
        for line in figures.read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            tried.inputs[told["area"]] += told["tried"]
            tried.counts.update(told["counts"])
        failed = [line for line in output.splitlines() if line.startswith(("FAILED tests/fuzz/", "ERROR tests/fuzz/"))]
        if code:
            tried.findings += max(1, len(failed))
            sys.stderr.write(f"{output}\nTo see it again: FUZZ_SEED={seed}, {inputs} inputs, {' '.join(command)}\n")


def _pytest(command: list[str], variables: dict[str, str], most_seconds: float) -> tuple[int, str]:
    """Exit code and output; a run that hangs is ended with all its processes, and counts as failed."""
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as running:
        try:
            output, _none = running.communicate(timeout=most_seconds)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
            output, _none = running.communicate()
            return 1, f"{output}\nIt did not end in time."
        return running.returncode, output
