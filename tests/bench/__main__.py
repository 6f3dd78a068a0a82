"""`make bench`: how the cost of what people do grows with the inventory: python -m tests.bench

Prints a table of ratios (a large inventory against a small one; 1.0 means that size does not matter) and writes the
numbers to var/bench/. Everything runs in a temporary SQLite installation with the sandbox, over real HTTP.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests import production

SMALL, LARGE = 100, 10_000
ROUNDS = 30


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="sallyport-bench-") as folder:
        env = {**production.variables(Path(folder)), "CLOUD": "sandbox", "HTTPS": "false", "LOG_LEVEL": "ERROR"}
        for command in ("migrate", "collectstatic"):
            production.manage(command, "--no-input", "--verbosity", "0", env=env).check_returncode()
        os.environ.update({**env, "LAUNCHES_PER_MINUTE": "1000000"})
        import django

        django.setup()
        from tests.bench.measures import measures

        with measures() as (grow, operations):
            grow(SMALL)
            small = {name: _milliseconds(run) for name, run in operations.items()}
            grow(LARGE)
            large = {name: _milliseconds(run) for name, run in operations.items()}
    _report(small, large)
    return 0


def _milliseconds(run: Callable[[], object]) -> float:
    """The median of some rounds, after one that warms up."""
    run()
    times = []
    for _round in range(ROUNDS):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1000


def _report(small: dict[str, float], large: dict[str, float]) -> None:
    lines = [f"{'':<34}{f'{SMALL} hosts':>14}{f'{LARGE} hosts':>14}{'ratio':>8}"]
    for name, before in small.items():
        lines.append(f"{name:<34}{before:>11.1f} ms{large[name]:>11.1f} ms{large[name] / before:>8.2f}")
    sys.stdout.write("\n".join(lines) + "\n")
    results = {
        name: {"small_ms": before, "large_ms": large[name], "ratio": large[name] / before}
        for name, before in small.items()
    }
    target = production.ROOT / "var" / "bench"
    target.mkdir(parents=True, exist_ok=True)
    content = {"small_hosts": SMALL, "large_hosts": LARGE, "rounds": ROUNDS, "results": results}
    (target / "latest.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
