"""Where the time of a launch goes: the portal's application with a profiler around each launch.

As an application it is served by gunicorn (tests.bench.profiled:application) with one worker. BENCH_PROFILE_FILE is
where it writes what it saw, after every launch. A profiler slows everything down, calls most of all, so what it says
is which, not how long.
"""

from __future__ import annotations

import cProfile
import os
import pstats
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.bench.workbench import Stocked

_MOST = 12
_PACKAGES = 8


class _Profiled:
    def __init__(self, application: Callable[..., Iterable[bytes]], path: str) -> None:
        self._application, self._path = application, path
        self._profile = cProfile.Profile()
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "POST":
            return self._application(environ, start_response)
        with self._lock:
            self._profile.enable()
            try:
                answer = self._application(environ, start_response)
            finally:
                self._profile.disable()
                self._profile.dump_stats(self._path)
        return answer


def __getattr__(name: str) -> Any:
    """`application` only for gunicorn: making it needs the portal's variables."""
    if name != "application":
        raise AttributeError(name)
    from portal.wsgi import application

    return _Profiled(application, os.environ["BENCH_PROFILE_FILE"])


def biggest_costs(stocked: Stocked, *, launches: int) -> list[str]:
    """Lines that name packages and functions by their own time, then the portal's by the time of all that they call."""
    from tests.bench import servers

    path = Path(stocked.installation.env["DATA_DIR"]) / "launches.profile"
    env = stocked.installation.env
    with servers.portal(env, application="tests.bench.profiled:application", BENCH_PROFILE_FILE=str(path)) as web:
        browser = stocked.browser(web, "client-0")
        form = browser.form(stocked.host, stocked.account)
        for _launch in range(launches):
            browser.press(form)
    stats: Any = pstats.Stats(str(path))
    total = stats.total_tt
    by_own = sorted(stats.stats.items(), key=lambda item: -item[1][2])[:_MOST]
    ours = [item for item in stats.stats.items() if _is_ours(item[0][0])]
    by_all = sorted(ours, key=lambda item: -item[1][3])[: 2 * _MOST]
    each = 1000 / launches
    by_package: Counter[str] = Counter()
    for where, row in stats.stats.items():
        by_package[_package(where[0])] += row[2]
    return [
        *(f"{own / total:5.1%} in {package}" for package, own in by_package.most_common(_PACKAGES)),
        *(f"{row[2] / total:5.1%} itself, {row[2] * each:.2f} ms: {_name(where)}" for where, row in by_own),
        *(f"{row[3] / total:5.1%} with all it calls, {row[3] * each:.2f} ms: {_name(where)}" for where, row in by_all),
    ]


def _is_ours(file: str) -> bool:
    return any(f"/{folder}/" in file for folder in ("omaccess", "accounts", "portal")) and "site-packages" not in file


def _package(file: str) -> str:
    """`django.db` for what lies there, `psycopg`, `omaccess`; of built-in functions nobody knows who called them."""
    parts = Path(file).with_suffix("").parts
    if "site-packages" in parts:
        return ".".join(parts[parts.index("site-packages") + 1 :][:2])
    if _is_ours(file):
        return next(part for part in parts if part in ("omaccess", "accounts", "portal"))
    return "built-in functions" if file == "~" else "the standard library"


def _name(where: tuple[str, int, str]) -> str:
    file, line, function = where
    return f"{function} ({'/'.join(Path(file).parts[-2:])}:{line})" if line else function
