"""Processes that live and die together, tried with real ones."""

from __future__ import annotations

import fcntl
import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from portal.supervisor import Ended, Failed, Supervisor

ROOT = Path(__file__).resolve().parents[2]

# Holds a shared lock for as long as it lives; so does its own child. Zombies hold none.
FAMILY = """
import fcntl, os, signal, sys, time
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
lock = open(sys.argv[1])
fcntl.flock(lock, fcntl.LOCK_SH)
if os.fork() == 0:
    own = open(sys.argv[1])
    fcntl.flock(own, fcntl.LOCK_SH)
    print("both are up", flush=True)
time.sleep(600)
"""


def until(is_true: Callable[[], bool], *, seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "alive"
    path.touch()
    return path


def nobody_lives(lock: Path) -> bool:
    with lock.open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def supervisor(out: io.StringIO | None = None, *, grace_seconds: float = 5.0, parent: int | None = None) -> Supervisor:
    return Supervisor(
        environment=dict(os.environ), cwd=ROOT, grace_seconds=grace_seconds, parent=parent, out=out or io.StringIO()
    )


def family(lock: Path, *options: str) -> list[str]:
    return [sys.executable, "-c", FAMILY, str(lock), *options]


def test_the_end_takes_children_and_grandchildren_along(lock: Path) -> None:
    out = io.StringIO()

    with supervisor(out) as processes:
        processes.start("family", family(lock))
        processes.wait_until(lambda: "both are up" in out.getvalue(), what="the family", seconds=20)

    assert nobody_lives(lock)
    assert "family    | both are up\n" in out.getvalue()


def test_who_does_not_listen_is_killed_after_the_grace(lock: Path) -> None:
    out = io.StringIO()

    with supervisor(out, grace_seconds=0.2) as processes:
        processes.start("family", family(lock, "stubborn"))
        processes.wait_until(lambda: "both are up" in out.getvalue(), what="the family", seconds=20)

    assert nobody_lives(lock)


def test_one_that_ends_by_itself_is_told_with_its_last_lines_and_ends_the_others(lock: Path) -> None:
    out = io.StringIO()

    with supervisor(out) as processes:
        processes.start("family", family(lock))
        processes.wait_until(lambda: "both are up" in out.getvalue(), what="the family", seconds=20)
        processes.start("web", [sys.executable, "-c", "print('no such table'); raise SystemExit(4)"])
        with pytest.raises(Failed) as failure:
            processes.wait()

    assert "web ended with exit code 4." in str(failure.value)
    assert "    no such table" in str(failure.value)
    assert nobody_lives(lock)


def test_a_step_that_fails_is_told_with_its_last_lines() -> None:
    with pytest.raises(Failed, match=r"(?s)migrate ended with exit code 1.*no such column"), supervisor() as processes:
        processes.run("migrate", [sys.executable, "-c", "raise SystemExit('no such column')"])


def test_a_step_that_works_says_nothing_and_the_next_follows() -> None:
    out = io.StringIO()

    with supervisor(out) as processes:
        processes.run("one", [sys.executable, "-c", "print('noise')"])
        processes.run("two", [sys.executable, "-c", "print('noise')"])

    assert out.getvalue() == ""


def test_what_never_answers_is_told_when_the_time_is_over(lock: Path) -> None:
    with supervisor() as processes:
        processes.start("family", family(lock))
        with pytest.raises(Failed, match="The demo did not answer within 0 seconds"):
            processes.wait_until(lambda: False, what="The demo", seconds=0.1)

    assert nobody_lives(lock)


def test_a_signal_ends_the_wait() -> None:
    with supervisor() as processes:
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Ended):
            processes.wait()


def test_a_parent_that_is_gone_counts_as_asked_to_end() -> None:
    with pytest.raises(Ended), supervisor(parent=os.getppid() + 1) as processes:
        processes.wait()


def test_variables_of_one_process_are_its_own() -> None:
    out = io.StringIO()
    show = [sys.executable, "-c", "import os, time; print(os.environ.get('ONLY'), flush=True); time.sleep(600)"]

    with supervisor(out) as processes:
        processes.start("one", show, ONLY="mine")
        processes.start("two", show)
        processes.wait_until(lambda: out.getvalue().count("\n") == 2, what="both", seconds=20)

    assert "one       | mine" in out.getvalue()
    assert "two       | None" in out.getvalue()


SUPERVISE = """
import os, sys
from pathlib import Path
from portal.supervisor import Supervisor
with Supervisor(environment=dict(os.environ), cwd=Path(sys.argv[1]), grace_seconds=5) as processes:
    processes.start("family", sys.argv[2:])
    processes.wait()
"""


def test_sigkill_of_the_supervisor_ends_everything(lock: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISE, str(ROOT), *family(lock)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert "both are up" in process.stdout.readline()

    process.kill()
    process.communicate(timeout=20)

    assert until(lambda: nobody_lives(lock))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child of its parent's death")
def test_sigkill_of_a_leash_ends_what_it_held(lock: Path) -> None:
    leash = subprocess.Popen(
        [sys.executable, "-I", "portal/leash.py", "5", sys.executable, "-c", "import subprocess, sys\n"
         "child = subprocess.Popen(sys.argv[1:])\nchild.wait()", *family(lock)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert leash.stdout is not None
    assert "both are up" in leash.stdout.readline()
    group = int(Path(f"/proc/{leash.pid}/task/{leash.pid}/children").read_text().split()[0])

    leash.kill()

    try:
        assert until(lambda: not Path(f"/proc/{group}").exists() or "Z" in Path(f"/proc/{group}/stat").read_text())
    finally:
        os.killpg(group, signal.SIGKILL)
        leash.communicate(timeout=20)


def test_a_leash_tells_the_exit_code_as_a_shell_would() -> None:
    def code_of(source: str) -> int:
        command = [sys.executable, "-I", "portal/leash.py", "5", sys.executable, "-c", source]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:
            # Not `communicate`, which would let go of the leash.
            return process.wait(timeout=20)

    assert code_of("raise SystemExit(7)") == 7
    assert code_of("import os, signal; os.kill(os.getpid(), signal.SIGKILL)") == 128 + signal.SIGKILL
