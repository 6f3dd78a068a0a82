"""Runs one command that must not outlive whoever started it.

    python -I portal/leash.py GRACE_SECONDS command argument …

The starter keeps the other end of this process's standard input. When that end closes, because the starter let go or
because it died in any way (SIGKILL too), the command and all it started are asked to end (SIGTERM) and, after the
grace, killed. The command runs in a process group of its own: a terminal's Ctrl-C does not reach it, and its
children are found by the group. Standard library only and no import of the portal, for several run side by side.
"""

import contextlib
import ctypes
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

STARTER = 0
"""The file descriptor whose end of file says that the starter is gone."""
_POLL_SECONDS = 0.05
_PR_SET_PDEATHSIG = 1
_END = {signal.SIGTERM, signal.SIGINT}


def run(command: Sequence[str], *, grace_seconds: float) -> int:
    """Run the command until it ends or the starter lets go. Returns its exit code as a shell would give it."""
    wake, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        # A handler that does nothing: the wake-up pipe hears of the signal, and it ends nobody by itself.
        signal.signal(number, lambda _number, _frame: None)
    child = subprocess.Popen(  # noqa: S603 - the starter's own command
        command, stdin=subprocess.DEVNULL, process_group=0, preexec_fn=_dies_with_its_parent()
    )
    try:
        _wait(child, wake)
    finally:
        _end(child, wake, grace_seconds)
    return 128 - child.returncode if child.returncode < 0 else child.returncode


def _dies_with_its_parent() -> Callable[[], object] | None:
    """For the odd case that this very process is killed: Linux then ends the command. Elsewhere nothing does."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    return (lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)) if prctl is not None else None


def _wait(child: "subprocess.Popen[bytes]", wake: int) -> None:
    """Return when the command has ended, the starter has let go, or a signal asked for the end."""
    while child.poll() is None:
        ready, _, _ = select.select([STARTER, wake], [], [])
        if STARTER in ready and not os.read(STARTER, 4096):
            return
        if wake in ready and _END & set(os.read(wake, 64)):
            return


def _end(child: "subprocess.Popen[bytes]", wake: int, grace_seconds: float) -> None:
    """End the command and whatever it left behind; a further signal cuts the grace short."""
    deadline = time.monotonic() + grace_seconds
    _signal_group(child.pid, signal.SIGTERM)
    while _group_lives(child) and time.monotonic() < deadline:
        ready, _, _ = select.select([wake], [], [], _POLL_SECONDS)
        if ready and _END & set(os.read(wake, 64)):
            break
    _signal_group(child.pid, signal.SIGKILL)
    child.wait()


def _group_lives(child: "subprocess.Popen[bytes]") -> bool:
    child.poll()  # a command that has ended would count as alive until somebody asks for its exit code
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


if __name__ == "__main__":
    raise SystemExit(run(sys.argv[2:], grace_seconds=float(sys.argv[1])))
