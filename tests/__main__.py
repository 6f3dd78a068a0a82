"""The whole suite, as `make test` runs it: python -m tests [options of pytest]

First the tests marked `database` on PostgreSQL, then everything on SQLite, so that the last line is the whole
suite's. The exit code is that of the first stage that failed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

from tests import services

_NOTHING_TO_RUN = 5
"""pytest's exit code when the options select no test; a stage without tests is no failure."""


def main(options: Sequence[str]) -> int:
    """Run both stages; returns the exit code."""
    found = [services.postgresql(), services.redis_server(), services.chromium()]
    for service in found:
        _say(service.line)
    missing = [service.name for service in found if not service.at]
    if missing and services.required():
        _say(f"REQUIRE_SERVICES=1, so tests that need {', '.join(missing)} fail.")
    common = ["-n", os.environ.get("TEST_PROCESSES", "2"), "--dist", "loadgroup", "-q", "-rs", *options]
    _say("\nTests marked `database`, on PostgreSQL:")
    stage = {"TEST_STAGE": "postgresql"}
    if services.postgresql().at:
        stage["DATABASE_URL"] = services.postgresql().at
    first = _pytest(["-m", "database", *common], stage)
    if first == _NOTHING_TO_RUN:
        first = 0
    _say("\nAll tests, on SQLite:")
    second = _pytest(common, {})
    return first or second


def _pytest(options: Sequence[str], variables: dict[str, str]) -> int:
    environment = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options], env={**environment, **variables}, check=False
    ).returncode


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
