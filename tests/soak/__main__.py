"""`make soak`: what the suite tries for seconds, for minutes: python -m tests.soak

Launches under random kills, as many on SQLite as on PostgreSQL, then random inputs. Everything runs in temporary
installations with the sandbox. Prints a table, writes var/soak/<time>.json, and ends with 1 when anything was found.
The same SEED makes the same choices; when the processes act on them is the machine's affair. SOAK_LAUNCHES,
SOAK_INPUTS and SOAK_MINUTES change its size.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import production, services
from tests.soak.figures import FINDINGS, Figure, findings

LAUNCHES, INPUTS, MINUTES = 10_000, 100_000, 30.0
KILL_SECONDS, INPUT_SECONDS = 19 * 60.0, 9 * 60.0
"""For both databases together, and for the inputs, of the thirty minutes."""
_SQLITE, _POSTGRESQL, _INPUTS = "launches and kills, SQLite", "launches and kills, PostgreSQL", "inputs"


@dataclass(frozen=True)
class Part:
    """One process of the soak: what it does, how much of it, and for how long at most."""

    name: str
    count: int
    seconds: float

    @property
    def module(self) -> str:
        return "inputs" if self.name == _INPUTS else "kills"


def main() -> int:
    seed = int(os.environ.get("SEED") or secrets.randbelow(1_000_000))
    began_at, ends_at = dt.datetime.now(dt.UTC), time.monotonic() + 60 * _number("SOAK_MINUTES", MINUTES)
    _say(f"SEED={seed} repeats this run.")
    results: dict[str, list[Figure]] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sallyport-soak-")))
        for part, env in _installations(folder):
            _say(f"\n{part.name}:")
            results[part.name] = _run(part, env, seed, ends_at, folder / "figures.json")
            _print(results[part.name])
    total = sum(findings(figures) for figures in results.values())
    target = _write(began_at, seed, results, total)
    _say(f"\nfindings: {total}\nThe numbers are in {target.relative_to(production.ROOT)}.")
    return 1 if total else 0


def _installations(folder: Path) -> Iterator[tuple[Part, dict[str, str]]]:
    """Each part with the variables of a migrated installation of its own, which ends when the next one is asked for."""
    launches, inputs = int(_number("SOAK_LAUNCHES", LAUNCHES)), int(_number("SOAK_INPUTS", INPUTS))
    if services.postgresql().at:
        yield Part(_SQLITE, launches, KILL_SECONDS / 2), _on_sqlite(folder / "kills")
        with production.postgresql(_variables(folder / "kills-postgresql")) as env:
            yield Part(_POSTGRESQL, launches, KILL_SECONDS / 2), env
    else:
        yield Part(_SQLITE, launches, KILL_SECONDS), _on_sqlite(folder / "kills")
        _say(f"\n{_POSTGRESQL}: not done. {services.postgresql().why}.")
    # These make databases of their own, as the suite does.
    yield Part(_INPUTS, inputs, INPUT_SECONDS), dict(os.environ)


def _variables(folder: Path) -> dict[str, str]:
    folder.mkdir()
    return {
        **production.variables(folder),
        "CLOUD": "sandbox",
        "ALLOW_SANDBOX": "1",
        "HTTPS": "false",
        "ALLOWED_HOSTS": "localhost,127.0.0.1,testserver",
        "LAUNCHES_PER_MINUTE": "1000000",
        "LOG_LEVEL": "CRITICAL",
        "STATICFILES_BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage",
    }


def _on_sqlite(folder: Path) -> dict[str, str]:
    env = _variables(folder)
    production.manage("migrate", "--no-input", "--verbosity", "0", env=env).check_returncode()
    return env


def _run(part: Part, env: Mapping[str, str], seed: int, ends_at: float, target: Path) -> list[Figure]:
    """The part in a process of its own. Returns its figures; whatever keeps it from reporting them is a finding."""
    target.unlink(missing_ok=True)
    began, left = time.monotonic(), ends_at - time.monotonic()
    # The part's own limit comes first, so that it can still say what it has found.
    limit = min(part.seconds, left - 30)
    command = [sys.executable, "-m", "tests.soak", part.module, str(part.count), str(limit), str(seed), str(target)]
    running = subprocess.Popen(command, cwd=production.ROOT, env=dict(env), start_new_session=True)
    problem = ""
    try:
        code = running.wait(timeout=max(0.0, left))
        if code or not target.exists():
            problem = f"it ended with code {code}"
    except subprocess.TimeoutExpired:
        problem = "it was not done when the soak's time was up"
    finally:
        _end(running)
    if problem:
        _say(f"finding (SEED={seed}): {part.name}: {problem}")
        return [Figure("time", round(time.monotonic() - began), "seconds"), Figure(FINDINGS, 1, "")]
    return [Figure(**facts) for facts in json.loads(target.read_text(encoding="utf-8"))]


def _end(running: subprocess.Popen[bytes]) -> None:
    """First as Ctrl-C does, so that it ends what it has started in sessions of their own."""
    if running.poll() is None:
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(timeout=15)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(running.pid, signal.SIGKILL)
    running.wait()


def run_part(module: str, count: int, seconds: float, seed: int, target: Path) -> int:
    """Inside the part's process."""
    if module == "kills":
        _set_up()
        from tests.soak import kills

        figures = kills.run(launches=count, seconds=seconds, seed=seed)
    else:
        from tests.soak import inputs

        figures = inputs.run(inputs=count, seconds=seconds, seed=seed)
    target.write_text(json.dumps([dataclasses.asdict(figure) for figure in figures]), encoding="utf-8")
    return 0


def _set_up() -> None:
    import django
    from django.conf import settings

    django.setup()
    settings.STATIC_ROOT.mkdir(parents=True, exist_ok=True)  # whitenoise wants it to be there


def _print(figures: list[Figure]) -> None:
    for figure in figures:
        _say(f"  {figure.name:<36}{figure.value:>10,} {figure.unit}".rstrip())


def _write(began_at: dt.datetime, seed: int, results: Mapping[str, list[Figure]], total: int) -> Path:
    folder = production.ROOT / "var" / "soak"
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: [dataclasses.asdict(figure) for figure in figures] for name, figures in results.items()}
    content = {"began_at": began_at.isoformat(), "seed": seed, "findings": total, "parts": parts}
    target = folder / f"{began_at:%Y%m%dT%H%M%SZ}.json"
    target.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return target


def _number(name: str, default: float) -> float:
    return float(os.environ.get(name) or default)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if len(sys.argv) == 1:
        raise SystemExit(main())
    raise SystemExit(run_part(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5])))
