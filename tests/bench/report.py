"""The table: what was measured, against what, and whether the goal was met. Printed, and written to var/bench/."""

from __future__ import annotations

import datetime as dt
import json
import math
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from tests.production import ROOT

_PACKAGES = ("django", "gunicorn", "psycopg", "requests", "urllib3")
_HEADERS = ("", "database", "what", "measured", "against", "figure", "goal", "")


@dataclass(frozen=True, slots=True)
class Goal:
    """At most, or at least, so much."""

    sign: str
    number: float

    def is_met(self, figure: float) -> bool:
        if math.isnan(figure):
            return False
        return figure <= self.number if self.sign == "≤" else figure >= self.number

    def __str__(self) -> str:
        return f"{self.sign} {self.number:,g}"


def at_most(number: float) -> Goal:
    return Goal("≤", number)


def at_least(number: float) -> Goal:
    return Goal("≥", number)


@dataclass(frozen=True, slots=True)
class Row:
    """One comparison. `figure` is a ratio unless `unit` names something else; None where there is none to give."""

    part: str
    database: str
    what: str
    measured: str
    against: str = ""
    figure: float | None = None
    unit: str = "x"
    goal: Goal | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        if self.goal is None or self.figure is None:
            return ""
        return "met" if self.goal.is_met(self.figure) else "missed"

    def cells(self) -> tuple[str, ...]:
        goal = "" if self.goal is None else str(self.goal)
        return self.part, self.database, self.what, self.measured, self.against, self._figure(), goal, self.verdict

    def _figure(self) -> str:
        if self.figure is None:
            return ""
        if math.isnan(self.figure):
            return "none"
        if self.unit == "x":
            return f"{self.figure:.2f} x"
        return f"{self.figure:,.0f} {self.unit}" if self.figure >= 10 else f"{self.figure:.2f} {self.unit}"


@dataclass(slots=True)
class Report:
    """Rows as they come; a run that is cut short still has those it got."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is not there and why, and what a reader should know about the rows."""
    say: Callable[[str], None] = lambda text: _say(text)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.say("  ".join(cell for cell in row.cells() if cell))

    def note(self, text: str) -> None:
        self.notes.append(text)
        self.say(text)

    def markdown(self, where: dict[str, Any]) -> str:
        lines = [_line(_HEADERS), _line(["---"] * len(_HEADERS)), *(_line(row.cells()) for row in self.rows)]
        machine = f"{where['processor']}, {where['cores']} cores, {where['memory_gb']} GB; {where['date']}"
        notes = [f"* {note}" for note in self.notes]
        return "\n".join([f"Measured on {machine}, commit {where['commit']}.", "", *lines, "", *notes]) + "\n"

    def write(self, folder: Path, where: dict[str, Any]) -> Path:
        """The JSON's path; the same table as Markdown is beside it. `latest.*` are copies of the newest."""
        folder.mkdir(parents=True, exist_ok=True)
        rows = [{**asdict(row), "goal": str(row.goal or ""), "verdict": row.verdict} for row in self.rows]
        content = json.dumps({"where": where, "rows": _plain(rows), "notes": self.notes}, indent=2, ensure_ascii=False)
        stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        for name in (stamp, "latest"):
            (folder / f"{name}.json").write_text(content + "\n", encoding="utf-8")
            (folder / f"{name}.md").write_text(self.markdown(where), encoding="utf-8")
        return folder / f"{stamp}.json"


def machine(**services: str) -> dict[str, Any]:
    """Where and when, and with which versions. `services` are added as they are."""
    return {
        "date": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD") or "unknown",
        "has_uncommitted_changes": bool(_git("status", "--porcelain")),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": platform.platform(),
        "load_before": os.getloadavg(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}, **services},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def _git(*arguments: str) -> str:
    """Its output; empty where there is no git or no repository."""
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()


def _plain(value: Any) -> Any:
    """JSON has no not-a-number."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value


def _line(cells: Any) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
