"""`make demo`, as the processes it is."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from portal import demo
from portal.demo import Demo
from portal.supervisor import Failed

ROOT = Path(__file__).resolve().parent.parent
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc to find every process")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(folder: Path, **variables: str) -> subprocess.Popen[str]:
    inherited = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.Popen(
        [sys.executable, "-m", "portal.demo"],
        cwd=ROOT,
        # Somebody else's database: the demo must not even look at it.
        env={**inherited, "DEMO_DIR": str(folder), "DATABASE_URL": "postgres://nobody@127.0.0.1:9/none", **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@contextmanager
def running(folder: Path, port: int, sandbox_port: int) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A demo that has said that it is ready, and what it said until then."""
    process = start(folder, PORT=str(port), SANDBOX_PORT=str(sandbox_port), WEB_THREADS="4")
    assert process.stdout is not None
    said: list[str] = []
    try:
        for line in process.stdout:
            said.append(line)
            if line.startswith("Ctrl-C ends it"):
                break
        else:
            pytest.fail("".join(said) + process.communicate(timeout=20)[1])
        yield process, "".join(said)
    finally:
        process.kill()
        process.communicate(timeout=60)


def processes_of(folder: Path) -> list[int]:
    """Every living process that was started for the demo in this folder, found by its environment."""
    wanted = f"ENV_FILE={folder / 'env'}\0".encode()
    found = []
    for environ in Path("/proc").glob("[0-9]*/environ"):
        try:
            if wanted in environ.read_bytes():
                found.append(int(environ.parent.name))
        except OSError:
            continue  # it ended while we looked
    return found


def until(is_true: Callable[[], bool], *, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def manage(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG"}}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**variables, "ENV_FILE": str(folder / "env")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def sign_in(url: str, username: str, password: str) -> requests.Response:
    with requests.Session() as browser:
        page = browser.get(f"{url}/accounts/login/", timeout=30)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token is not None
        form = {"csrfmiddlewaretoken": token[1], "login": username, "password": password}
        return browser.post(f"{url}/accounts/login/", data=form, timeout=30)


@on_linux
def test_demo_comes_up_lets_people_in_and_ends_without_a_trace_on_sigterm(tmp_path: Path) -> None:
    folder, port, sandbox_port = tmp_path / "a demo", free_port(), free_port()

    with running(folder, port, sandbox_port) as (process, said):
        signed_in = sign_in(f"http://localhost:{port}", "staff", "sallyport-demo")
        sandbox_page = requests.get(f"http://127.0.0.1:{sandbox_port}/", timeout=30)
        doctor = manage(folder, "doctor")
        process.send_signal(signal.SIGTERM)
        output, errors = process.communicate(timeout=60)

    assert f"http://localhost:{port}/" in said
    assert "staff, colleague, admin, auditor" in said
    assert "sallyport-demo" in said
    assert signed_in.url == f"http://localhost:{port}/"
    assert "web-hz-01" in signed_in.text
    assert sandbox_page.status_code == 200
    assert doctor.returncode == 0, doctor.stdout + doctor.stderr
    assert (process.returncode, errors) == (0, "")
    assert output.endswith("Ended.\n")
    assert processes_of(folder) == []
    assert stat.S_IMODE((folder / "env").stat().st_mode) == 0o600


@on_linux
def test_a_second_run_keeps_keys_and_data_and_sigkill_of_the_supervisor_ends_everything(tmp_path: Path) -> None:
    asked = Demo(folder=tmp_path, port=free_port(), sandbox_port=free_port(), password="")
    demo.write_env_file(asked)
    keys = demo._read(asked.env_file)
    for command in (["migrate", "--verbosity", "0"], ["demo_data", "--sandbox-url", asked.sandbox_url]):
        manage(tmp_path, *command).check_returncode()
    new_sandbox_port = free_port()

    with running(tmp_path, free_port(), new_sandbox_port) as (process, _said):
        process.kill()
        process.communicate(timeout=60)
        everything_ended = until(lambda: not processes_of(tmp_path), seconds=30)

    kept = demo._read(asked.env_file)
    query = (
        "from omaccess.models import *; from accounts.models import User; print(User.objects.count(), "
        "AuditEvent.objects.count(), *set(BastionInstance.objects.values_list('endpoint', flat=True)))"
    )
    shell = manage(tmp_path, "shell", "--no-imports", "-c", query)
    assert everything_ended
    assert (kept["SECRET_KEY"], kept["VAULT_KEYS"]) == (keys["SECRET_KEY"], keys["VAULT_KEYS"])
    assert shell.stdout.split() == ["4", "2", f"http://127.0.0.1:{new_sandbox_port}"], shell.stderr


@pytest.mark.parametrize("name", ["PORT", "SANDBOX_PORT"])
def test_a_busy_port_is_one_clear_sentence_and_nothing_was_made(name: str, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen(1)
        busy = other.getsockname()[1]
        ports = {"PORT": str(free_port()), "SANDBOX_PORT": str(free_port()), name: str(busy)}
        process = start(tmp_path / "demo", **ports)
        output, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert errors == f"Port {busy} is in use; choose another: make demo {name}={busy + 1}\n"
    assert output == ""
    assert not (tmp_path / "demo" / "env").exists()


def test_a_second_demo_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    with demo._only_one(tmp_path):
        process = start(tmp_path)
        _, errors = process.communicate(timeout=60)

    assert process.returncode == 1
    assert errors == f"Another demo is running in {tmp_path}; end it, or choose another DEMO_DIR.\n"


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"PORT": "eighty"}, "PORT is 'eighty'; it is a number from 1 to 65535."),
        ({"PORT": "0"}, "PORT is '0'; it is a number from 1 to 65535."),
        ({"SANDBOX_PORT": "70000"}, "SANDBOX_PORT is '70000'; it is a number from 1 to 65535."),
        ({"PORT": "8010"}, "PORT and SANDBOX_PORT are both 8010; they must differ."),
        ({"DEMO_PASSWORD": "it's"}, "DEMO_DIR and DEMO_PASSWORD may not contain a quote"),
    ],
)
def test_a_wrong_variable_is_one_clear_sentence(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(Failed, match=re.escape(sentence)):
        Demo.of(variables)


def test_empty_variables_mean_the_defaults() -> None:
    asked = Demo.of({"PORT": "", "SANDBOX_PORT": "", "DEMO_DIR": "", "DEMO_PASSWORD": ""})

    assert (asked.port, asked.sandbox_port, asked.folder) == (8000, 8010, ROOT / "var" / "demo")


def test_the_env_file_keeps_keys_and_follows_the_ports(tmp_path: Path) -> None:
    demo.write_env_file(Demo(folder=tmp_path, port=8000, sandbox_port=8010, password=""))
    before = demo._read(tmp_path / "env")

    is_new_password = demo.write_env_file(Demo(folder=tmp_path, port=9000, sandbox_port=9010, password=""))

    after = demo._read(tmp_path / "env")
    assert not is_new_password
    assert {name for name in before if before[name] != after[name]} == {"BIND", "SANDBOX_PORT"}
    assert stat.S_IMODE((tmp_path / "env").stat().st_mode) == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["env"]


def test_another_password_is_noticed_and_kept_for_later_runs(tmp_path: Path) -> None:
    demo.write_env_file(Demo(folder=tmp_path, port=8000, sandbox_port=8010, password=""))

    is_new = demo.write_env_file(Demo(folder=tmp_path, port=8000, sandbox_port=8010, password="another one"))
    is_new_later = demo.write_env_file(Demo(folder=tmp_path, port=8000, sandbox_port=8010, password=""))

    assert (is_new, is_new_later) == (True, False)
    assert demo._read(tmp_path / "env")["DEMO_PASSWORD"] == "another one"


def test_variables_of_other_installations_do_not_reach_the_demo(tmp_path: Path) -> None:
    asked = Demo(folder=tmp_path, port=8000, sandbox_port=8010, password="")
    caller = {"PATH": "/usr/bin", "DATABASE_URL": "postgres://real", "VAULT_KEYS": "k:real", "CLOUD_PROXY": "http://p"}

    variables = demo.environment(asked, {**caller, "WEB_THREADS": "4"})

    assert not {"DATABASE_URL", "VAULT_KEYS", "CLOUD_PROXY"} & set(variables)
    assert variables["PATH"] == "/usr/bin"
    assert variables["WEB_THREADS"] == "4"
    assert variables["ENV_FILE"] == str(tmp_path / "env")
