"""`make demo`: the whole portal and the Huawei Cloud sandbox on this machine, in the foreground.

    python -m portal.demo

Reads PORT, SANDBOX_PORT, DEMO_DIR and DEMO_PASSWORD. Everything lives under DEMO_DIR, of which `env` holds the
variables of this installation (readable by its owner only); its keys are made once and kept. This module runs before
there are settings, so it imports no Django of its own accord.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import http.client
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import quote

from portal.supervisor import Ended, Failed, Supervisor

ROOT = Path(__file__).resolve().parent.parent
PEOPLE = ("staff", "colleague", "admin", "auditor")

# What the processes of the demo get of the caller's environment. Not all of it: a DATABASE_URL or a VAULT_KEYS that
# somebody exported for another installation must not reach this one.
_INHERITED = (
    "PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TERM", "TMPDIR", "TZ", "VIRTUAL_ENV",
    "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX",
)  # fmt: skip
_TUNABLE = ("WEB_THREADS", "LOG_LEVEL", "ATTEMPT_SECONDS", "SITE_NAME", "TIME_ZONE")
_SECONDS_TO_ANSWER = 180.0


@dataclass(frozen=True, slots=True)
class Demo:
    """What is asked for: where the demo lives and where it answers."""

    folder: Path
    port: int
    sandbox_port: int
    password: str = field(repr=False)

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self:
        """Raises: Failed with one sentence about the variable that is wrong."""
        demo = cls(
            folder=Path(environ.get("DEMO_DIR") or ROOT / "var" / "demo").expanduser().absolute(),
            port=_port(environ, "PORT", 8000),
            sandbox_port=_port(environ, "SANDBOX_PORT", 8010),
            password=environ.get("DEMO_PASSWORD", ""),
        )
        if demo.port == demo.sandbox_port:
            raise Failed(f"PORT and SANDBOX_PORT are both {demo.port}; they must differ.")
        if any(char in f"{demo.folder}{demo.password}" for char in ("'", "\\", "${", "\n", "\r")):
            raise Failed("DEMO_DIR and DEMO_PASSWORD may not contain a quote, a backslash, ${ or a line break.")
        return demo

    @property
    def env_file(self) -> Path:
        return self.folder / "env"

    @property
    def url(self) -> str:
        """`localhost`, where the sandbox is `127.0.0.1`: so the cookies of the two never meet."""
        return f"http://localhost:{self.port}"

    @property
    def sandbox_url(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    def ready_file(self, name: str) -> Path:
        return self.folder / f"{name}.ready"


def main() -> int:
    """Returns 0 after Ctrl-C or SIGTERM, 1 with the reason on standard error otherwise."""
    try:
        demo = Demo.of(os.environ)
        with _only_one(demo.folder):
            addresses = web_addresses(demo.port)
            check_free(addresses, name="PORT")
            check_free([("127.0.0.1", demo.sandbox_port)], name="SANDBOX_PORT")
            is_new_password = write_env_file(demo)
            # make may be killed; a demo that somebody put into the background by hand may outlive its shell.
            parent = os.getppid() if "MAKELEVEL" in os.environ else None
            variables = environment(demo, os.environ)
            with Supervisor(environment=variables, cwd=ROOT, parent=parent) as supervisor:
                _prepare(supervisor, demo, is_new_password=is_new_password)
                _serve(supervisor, demo, addresses)
    except Ended:
        _say("Ended.")
    except Failed as failure:
        sys.stderr.write(f"{failure}\n")
        return 1
    return 0


def _say(text: str) -> None:
    """At once, also when somebody pipes the output into a file."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _port(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65_535):
        raise Failed(f"{name} is {text!r}; it is a number from 1 to 65535.")
    return int(text)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two demos in one folder would take each other's messages and times. Raises: Failed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        lock = (folder / "lock").open("w")
    except OSError as error:
        raise Failed(f"The demo cannot use the folder {folder}: {error.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Failed(f"Another demo is running in {folder}; end it, or choose another DEMO_DIR.") from None
        yield


# --- ports -----------------------------------------------------------------------------------------


def web_addresses(port: int) -> list[tuple[str, int]]:
    """Where `localhost` may lead: 127.0.0.1, and ::1 on machines that have it."""
    addresses = [("127.0.0.1", port)]
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return addresses
    return [*addresses, ("::1", port)]


def check_free(addresses: list[tuple[str, int]], *, name: str) -> None:
    """Raises: Failed with one sentence when somebody else listens there, or nobody may."""
    for host, port in addresses:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            # As the servers themselves do: connections of a demo that just ended do not count.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
                probe.listen(1)
            except PermissionError:
                raise Failed(f"Port {port} may not be used by you; choose another: make demo {name}=…") from None
            except OSError:
                raise Failed(f"Port {port} is in use; choose another: make demo {name}={port + 1}") from None


# --- variables ---------------------------------------------------------------------------------------


def write_env_file(demo: Demo) -> bool:
    """Write DEMO_DIR/env, 0600. Keys it already holds are kept, addresses follow this run.

    Returns whether people who exist already need a new password, because DEMO_PASSWORD now says another one.
    """
    known = _read(demo.env_file)
    password = demo.password or known.get("DEMO_PASSWORD", "") or "sallyport-demo"
    values = {
        "SECRET_KEY": known.get("SECRET_KEY") or secrets.token_urlsafe(64),
        "VAULT_KEYS": known.get("VAULT_KEYS") or f"demo:{base64.b64encode(secrets.token_bytes(32)).decode()}",
        "DATA_DIR": str(demo.folder),
        "DATABASE_URL": f"sqlite:///{quote(str(demo.folder / 'sallyport.sqlite3'))}",
        "STATIC_ROOT": str(demo.folder / "static"),
        "BROKER_URL": "filesystem://localhost",
        "CLOUD": "sandbox",
        "HTTPS": "false",
        "ALLOWED_HOSTS": "localhost",
        "SUPPORT_CONTACT": "the portal team (admin@meridian.example)",
        "LOG_FORMAT": "console",
        "LOG_LEVEL": "WARNING",
        "BIND": ",".join(
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in web_addresses(demo.port)
        ),
        "SANDBOX_PORT": str(demo.sandbox_port),
        "DEMO_PASSWORD": password,
    }
    lines = ["# Made by `make demo`. Holds keys: keep it to yourself.", *(f"{k}='{v}'" for k, v in values.items())]
    _write(demo.env_file, "\n".join(lines) + "\n")
    return bool(known) and known.get("DEMO_PASSWORD") != password


def _read(path: Path) -> dict[str, str]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    pairs = (line.partition("=") for line in lines if "=" in line and not line.startswith("#"))
    return {name: value.strip("'") for name, _, value in pairs}


def _write(path: Path, text: str) -> None:
    """At once or not at all: half a file would have lost the keys."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".env-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:  # mkstemp makes it 0600
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def environment(demo: Demo, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the demo's processes."""
    kept = {name: environ[name] for name in (*_INHERITED, *_TUNABLE) if environ.get(name)}
    return {
        **kept,
        "ENV_FILE": str(demo.env_file),
        "DJANGO_SETTINGS_MODULE": "portal.settings",
        "PYTHONUNBUFFERED": "1",
        # Everybody is root in a container; Celery would say at every start that it should not be.
        "PYTHONWARNINGS": "ignore:You're running the worker with superuser privileges",
    }


# --- processes ---------------------------------------------------------------------------------------


def _prepare(supervisor: Supervisor, demo: Demo, *, is_new_password: bool) -> None:
    _say(f"Preparing the demo in {demo.folder} …")
    manage = [sys.executable, "manage.py"]
    supervisor.run("migrate", [*manage, "migrate", "--no-input", "--verbosity", "0"])
    set_passwords = ["--set-passwords"] if is_new_password else []
    supervisor.run("demo_data", [*manage, "demo_data", "--sandbox-url", demo.sandbox_url, *set_passwords])
    supervisor.run("static", [*manage, "collectstatic", "--no-input", "--verbosity", "0"])


def _serve(supervisor: Supervisor, demo: Demo, addresses: list[tuple[str, int]]) -> None:
    """Start everything, say so once all of it answers, and stay until the end. Raises: Failed, Ended."""
    for name in ("worker", "scheduler"):
        demo.ready_file(name).unlink(missing_ok=True)
    supervisor.start("sandbox", [sys.executable, "manage.py", "sandbox", "--port", str(demo.sandbox_port)])
    supervisor.start(
        "web", [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py", "portal.wsgi:application"]
    )
    celery = [sys.executable, "-m", "celery", "--quiet", "-A", "portal.startup"]
    worker = [*celery, "worker", "--pool", "threads", "--concurrency", "2", "--without-gossip", "--without-mingle"]
    supervisor.start("worker", worker, READY_PATH=str(demo.ready_file("worker")))
    beat = [*celery, "beat", "--schedule", str(demo.folder / "schedule"), "--pidfile="]
    supervisor.start("scheduler", beat, READY_PATH=str(demo.ready_file("scheduler")))

    def everything_answers() -> bool:
        return (
            all(demo.ready_file(name).exists() for name in ("worker", "scheduler"))
            and _answers("127.0.0.1", demo.sandbox_port, "/")
            and all(_answers(host, port, "/readyz") for host, port in addresses)
        )

    supervisor.wait_until(everything_answers, what="The demo", seconds=_SECONDS_TO_ANSWER)
    _say(_welcome(demo))
    supervisor.wait()


def _answers(host: str, port: int, path: str) -> bool:
    """Does a GET answer with 200?"""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path, headers={"Host": f"localhost:{port}"} if path == "/readyz" else {})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _welcome(demo: Demo) -> str:
    password = _read(demo.env_file)["DEMO_PASSWORD"]
    return f"""
Sallyport is ready.

    Portal                 {demo.url}/
    Administration         {demo.url}/admin/
    Huawei Cloud sandbox   {demo.sandbox_url}/

    Sign in as             {", ".join(PEOPLE)}
    Password, for all      {password}

    Commands               ENV_FILE={demo.env_file} {Path(sys.executable)} manage.py doctor

Ctrl-C ends it. The data stays in {demo.folder}.
"""


if __name__ == "__main__":
    raise SystemExit(main())
