"""The benchmark itself still runs: tiny sizes, SQLite only, a few seconds. What it measures then says nothing."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.bench.options import Options, UnknownOption
from tests.bench.report import Report, Row, at_least, at_most
from tests.bench.timing import Sample, WrongAnswer, bursts, interleaved, ratio
from tests.production import ROOT

TINY = {
    "BENCH_DATABASES": "sqlite",
    "BENCH_HOSTS": "12",
    "BENCH_EVENTS": "60,120",
    "BENCH_ROUNDS": "1",
    "BENCH_SECONDS": "1",
}


def _bench(folder: Path, **options: str) -> dict[str, Any]:
    """What a run wrote."""
    kept = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    env = {**kept, "TMPDIR": str(folder), **TINY, **options, "BENCH_DIR": str(folder / "results")}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    content: dict[str, Any] = json.loads((folder / "results" / "latest.json").read_text(encoding="utf-8"))
    return content


def test_a_tiny_run_measures_writes_its_table_and_leaves_nothing_behind(tmp_path: Path) -> None:
    written = _bench(tmp_path, BENCH_ONLY="launch,audit")

    figures = {(row["part"], row["what"]): row["figure"] for row in written["rows"]}
    assert figures["launch", "launch, 1 client"] is not None
    assert figures["audit", "audit_verify"] > 0
    assert figures["memory", "a web worker"] > 0
    assert not [note for note in written["notes"] if "because" in note], written["notes"]
    assert written["where"]["versions"]["python"]
    assert [path.name for path in tmp_path.iterdir()] == ["results"]


@pytest.mark.e2e
def test_a_tiny_run_looks_at_real_screens(tmp_path: Path, chromium_path: Path) -> None:
    # Chromium's socket wants a shorter path than a test's own folder has.
    with tempfile.TemporaryDirectory() as short:
        written = _bench(tmp_path, BENCH_ONLY="screens", CHROMIUM_PATH=str(chromium_path), TMPDIR=short)

    figures = {row["what"]: row["figure"] for row in written["rows"]}
    assert figures["key to painted answer"] == 1
    assert figures["hosts page, cold cache, processor 4 x slower, 12 hosts: largest paint"] > 0
    assert figures["hosts page, cold cache, processor 4 x slower: layout shift"] == 0
    assert not [note for note in written["notes"] if "because" in note], written["notes"]


def test_a_side_may_say_itself_how_long_it_took() -> None:
    sample = Sample()

    sample.run(lambda: 12.5)

    assert sample.times == [12.5]


def test_sides_are_measured_in_turn() -> None:
    order: list[str] = []

    found = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=4, seconds=60, warm=0)

    assert order == ["a", "b", "b", "a", "a", "b", "b", "a"]
    assert [len(sample.times) for sample in found.values()] == [4, 4]


def test_a_wrong_answer_is_counted_and_not_timed() -> None:
    def wrong() -> None:
        raise WrongAnswer("status 500")

    found = interleaved({"wrong": wrong}, rounds=3, seconds=60, warm=0)["wrong"]

    assert found.times == []
    assert found.wrong == {"status 500": 3}
    assert math.isnan(ratio(found, Sample([1.0])))


def test_clients_of_a_burst_work_at_once_and_are_counted_together() -> None:
    found = bursts({"both": [lambda: None, lambda: None]}, turns=1, seconds=0.05)["both"]

    assert found.seconds >= 0.05
    assert found.rate == pytest.approx(len(found.sample.times) / found.seconds)


@pytest.mark.parametrize(
    ("figure", "goal", "verdict"),
    [
        (1.4, at_most(1.4), "met"),
        (1.41, at_most(1.4), "missed"),
        (0.7, at_least(0.7), "met"),
        (0.69, at_least(0.7), "missed"),
        (math.nan, at_most(1.4), "missed"),
        (1.0, None, ""),
    ],
)
def test_a_goal_is_judged_by_its_figure(figure: float, goal: Any, verdict: str) -> None:
    row = Row("part", "sqlite", "what", "measured", figure=figure, goal=goal)

    assert row.verdict == verdict


def test_a_figure_that_could_not_be_measured_is_written_as_nothing(tmp_path: Path) -> None:
    report = Report(say=lambda _text: None)
    report.add(Row("part", "sqlite", "what", "no answer", figure=math.nan, goal=at_most(2)))
    where = {"processor": "", "cores": 2, "memory_gb": 4, "date": "", "commit": ""}

    written = report.write(tmp_path, where)

    assert json.loads(written.read_text(encoding="utf-8"))["rows"][0]["figure"] is None


def test_an_unknown_part_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownOption, match=r"lunch.*launch"):
        Options.of({"BENCH_ONLY": "lunch"})
