"""A handful of processes that live and die together, in the foreground.

Each runs on a leash (`leash.py`): when this process ends in any way, even by SIGKILL, they end too. When one of them
ends, the others are ended and the reason is told. No Django: it runs before there are settings.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from types import FrameType, TracebackType
from typing import TextIO

_LEASH = Path(__file__).with_name("leash.py")
_LAST_LINES = 30
_LONGEST_LINE = 4000
_LOOK_UP_SECONDS = 1.0
"""How often to look whether the parent is still there."""


class Failed(Exception):
    """Something could not start or ended by itself; the text says it in plain words."""


class Ended(Exception):
    """Somebody asked for the end: Ctrl-C or SIGTERM."""


@dataclass(eq=False)
class Child:
    """One process on its leash, and the last lines it wrote."""

    name: str
    process: subprocess.Popen[str]
    last_lines: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    reader: threading.Thread | None = None

    def let_go(self) -> None:
        """Close the leash: the process and all it started end within its grace."""
        assert self.process.stdin is not None  # noqa: S101 - started with a pipe
        with contextlib.suppress(OSError):
            self.process.stdin.close()


class Supervisor:
    """Starts processes, shows what they say with their names in front, and ends them all. A context manager.

    Inside the context SIGINT, SIGTERM and SIGHUP raise `Ended` from `run`, `wait_until` and `wait`.
    """

    def __init__(
        self,
        *,
        environment: Mapping[str, str],
        cwd: Path,
        grace_seconds: float = 8.0,
        parent: int | None = None,
        out: TextIO | None = None,
    ) -> None:
        """`parent` is a process id; when that is no longer this process's parent, it counts as asked to end."""
        self._environment = dict(environment)
        self._cwd = cwd
        self._grace_seconds = grace_seconds
        self._parent = parent
        self._out = out or sys.stdout
        self._children: list[Child] = []
        # What has happened: a child that ended, or None for a signal. `put` is safe in a signal handler.
        self._events: SimpleQueue[Child | None] = SimpleQueue()
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Supervisor:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._before[number] = signal.signal(number, lambda _number, _frame: self._events.put(None))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, name: str, command: Sequence[str]) -> None:
        """Run a step and wait for it.

        Raises: Failed with its last lines when its exit code is not 0; Ended.
        """
        child = self._spawn(name, command, {}, is_quiet=True)
        ended = self._next_event()
        if ended is not child or child.process.returncode:
            raise Failed(_ending(ended or child))
        self._children.remove(child)

    def start(self, name: str, command: Sequence[str], **variables: str) -> None:
        """Start a process that is meant to stay, with these variables on top of the common ones."""
        self._spawn(name, command, variables, is_quiet=False)

    def wait_until(self, is_true: Callable[[], bool], *, what: str, seconds: float, every: float = 0.2) -> None:
        """Ask again and again until the answer is yes.

        Raises: Failed when a process ends meanwhile or the time is over; Ended.
        """
        deadline = time.monotonic() + seconds
        while not is_true():
            if time.monotonic() > deadline:
                raise Failed(f"{what} did not answer within {seconds:.0f} seconds.")
            event = self._next_event(timeout=every)
            if event is not None:
                raise Failed(_ending(event))

    def wait(self) -> None:
        """Wait for the first process that ends. Raises: Failed, Ended; it never returns."""
        event = self._next_event()
        raise Failed(_ending(event) if event else "")

    def end(self) -> None:
        """End every process; returns when all are gone. A second signal cuts their grace short."""
        for child in reversed(self._children):
            child.let_go()
        while any(child.process.poll() is None for child in self._children):
            with contextlib.suppress(Empty):
                if self._events.get(timeout=0.1) is None:
                    for child in self._children:
                        child.process.terminate()
        for child in self._children:
            if child.reader is not None:
                child.reader.join(timeout=2)
        self._children.clear()

    def _spawn(self, name: str, command: Sequence[str], variables: Mapping[str, str], *, is_quiet: bool) -> Child:
        process = subprocess.Popen(  # noqa: S603 - our own commands
            [sys.executable, "-I", str(_LEASH), str(self._grace_seconds), *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            cwd=self._cwd,
            env={**self._environment, **variables},
            start_new_session=True,
        )
        child = Child(name, process)
        child.reader = threading.Thread(target=self._read, args=(child, is_quiet), name=f"read {name}", daemon=True)
        child.reader.start()
        threading.Thread(target=self._watch, args=(child,), name=f"watch {name}", daemon=True).start()
        self._children.append(child)
        return child

    def _read(self, child: Child, is_quiet: bool) -> None:
        assert child.process.stdout is not None  # noqa: S101 - started with a pipe
        with child.process.stdout as lines:
            for line in lines:
                text = line.rstrip("\n")[:_LONGEST_LINE]
                child.last_lines.append(text)
                if not is_quiet:
                    # One write per line, so that lines of two processes do not mix.
                    self._out.write(f"{child.name:<9} | {text}\n")
                    self._out.flush()

    def _watch(self, child: Child) -> None:
        child.process.wait()
        child.let_go()
        self._events.put(child)

    def _next_event(self, timeout: float | None = None) -> Child | None:
        """The next child that ended; None when the time is over. Raises: Ended."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            left = _LOOK_UP_SECONDS if deadline is None else max(0.0, deadline - time.monotonic())
            try:
                event = self._events.get(timeout=min(left, _LOOK_UP_SECONDS))
            except Empty:
                if self._parent is not None and os.getppid() != self._parent:
                    raise Ended from None
                if deadline is not None and time.monotonic() >= deadline:
                    return None
                continue
            if event is None:
                raise Ended
            if event.reader is not None:
                event.reader.join(timeout=2)
            return event


def _ending(child: Child) -> str:
    lines = itertools.chain(
        [f"{child.name} ended with exit code {child.process.returncode}. Its last lines:"],
        (f"    {line}" for line in child.last_lines or ["(none)"]),
    )
    return os.linesep.join(lines)
