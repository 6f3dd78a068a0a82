"""Known holes in the locked dependencies: python -m tests.dependencies

Says what was found, and what could not be looked up: an audit that knew none of the packages must not look like a
clean one. Exit code 1 only with STRICT_AUDIT=1, because a machine without a way to the vulnerability service must
still be able to run the other checks.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

AUDIT = (
    *(sys.executable, "-m", "pip_audit", "-r", "requirements.txt", "--require-hashes", "--disable-pip"),
    *("--format", "json", "--progress-spinner", "off"),
)


@dataclass(frozen=True, slots=True)
class Result:
    """Sentences for people. `is_clean` only when every dependency was looked up and none has a known hole."""

    is_clean: bool
    lines: tuple[str, ...]


def read(output: str, errors: str) -> Result:
    """What pip-audit's JSON says; anything else means that it could not do its work."""
    try:
        dependencies: list[dict[str, Any]] = json.loads(output)["dependencies"]
    except (ValueError, KeyError, TypeError):
        last = (errors.strip().splitlines() or ["no reason was given"])[-1]
        return Result(False, (f"The dependency audit could not be done: {last}",))
    holes = [
        f"{dependency['name']} {dependency['version']}: {hole['id']}, fixed in {', '.join(hole['fix_versions']) or '-'}"
        for dependency in dependencies
        for hole in dependency.get("vulns", ())
    ]
    unknown = [dependency["name"] for dependency in dependencies if "skip_reason" in dependency]
    looked_up = len(dependencies) - len(unknown)
    lines = [
        f"{looked_up} of {len(dependencies)} locked dependencies were looked up, {len(holes)} known holes.",
        *holes,
    ]
    if unknown:
        lines.append(f"Not looked up, because the service does not answer for them: {', '.join(unknown)}.")
    return Result(not holes and not unknown and bool(dependencies), tuple(lines))


def main() -> int:
    done = subprocess.run(AUDIT, capture_output=True, text=True, check=False)
    result = read(done.stdout, done.stderr)
    sys.stdout.write("\n".join(result.lines) + "\n")
    return 1 if os.environ.get("STRICT_AUDIT", "") == "1" and not result.is_clean else 0


if __name__ == "__main__":
    raise SystemExit(main())
