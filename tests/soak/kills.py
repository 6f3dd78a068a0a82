"""Launches under random kills: people press, the clouds misbehave, and processes die by SIGKILL at any moment.

Uses the database that Django is set up for, which must be migrated and empty of people and inventory. Afterwards the
sweep ends what was left open, and the record is compared with what the browsers were told.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from celery import Celery
from django.db import connection, connections
from django.utils import timezone

from omaccess.actions import launches as actions
from omaccess.models import AuditEvent, Launch
from tests.factories import GrantFactory, UserFactory
from tests.faults.kills_portal import is_running, mortal_web, workers_of
from tests.processes import process, sender_for, wait_until
from tests.soak import record
from tests.soak.clouds import Clouds, clouds
from tests.soak.figures import FINDINGS, Figure
from tests.soak.load import People, Presser, Told

CLIENTS = 6
LONG_AFTER = dt.timedelta(minutes=20)
"""When nothing that is still open may stay so: neither pending nor waiting."""
_LINKS_BETWEEN_KILLS = 1, 20
"""Kills are paced by what comes through, not by the clock: else nothing would, on a slow machine."""
_LONGEST_LIFE_SECONDS = 4.0
_WORKER_TOO = 0.08
"""Part of the kills after which the Celery worker is killed as well."""
_TASKS = ("omaccess.tasks.refresh_tokens", "omaccess.tasks.close_abandoned_launches")
_MOST_UNRECORDED = 0.02
"""Part of all launches that may be answered 503: a lock not had within two seconds is no loss, on a busy machine."""
_NOTICED_SECONDS = 0.2
"""How long after a death a client may still take its connection for whole."""


def run(*, launches: int, seconds: float, seed: int) -> list[Figure]:
    """Ask for so many launches within so many seconds while processes are killed; say what was found on stderr."""
    began = time.monotonic()
    people = _people()
    told = Told(launches)
    with tempfile.TemporaryDirectory(prefix="sallyport-soak-") as folder, clouds() as those, ExitStack() as stack:
        server, url = stack.enter_context(
            mortal_web(
                WEB_PROCESSES=_web_processes(), WEB_THREADS=str(2 * CLIENTS), ATTEMPT_SECONDS="1.5", DATA_DIR=folder
            )
        )
        worker = stack.enter_context(_Worker(folder))
        reaper = Reaper(server, worker, those, told, random.Random(f"{seed} kills"))
        is_done = _load(url, people, those, told, reaper, seed=seed, ends_at=began + seconds)
        those.settle()
        pressed = time.monotonic() - began
        exchanges, at_once = those.exchanges(), those.most_exchanges_at_once()
    abandoned_before = Launch.objects.filter(state="abandoned").count()
    swept = _sweep_all()
    found = [] if is_done else [f"{max(told.launches, 0)} launches were not asked for within {seconds:.0f} seconds"]
    found += _findings(told, reaper, people, at_once)
    for text in found:
        sys.stderr.write(f"finding (SEED={seed}): {text}\n")
    return [
        Figure("launches", launches - max(told.launches, 0), ""),
        Figure("on record", Launch.objects.count(), ""),
        Figure("links handed out", len(told.links), ""),
        Figure("answered without a link", len(told.references), ""),
        Figure("told that nothing can be recorded", told.unrecorded, ""),
        Figure("requests cut off", len(told.broken), ""),
        Figure("exchanges", exchanges, ""),
        Figure("web processes killed", len(reaper.kills), ""),
        Figure("workers killed", reaper.workers_killed, ""),
        Figure("abandoned", abandoned_before + swept, ""),
        Figure("audit events", AuditEvent.objects.count(), ""),
        Figure("time under load", round(pressed), "seconds"),
        Figure("time", round(time.monotonic() - began), "seconds"),
        Figure(FINDINGS, len(found), ""),
    ]


def _web_processes() -> str:
    """As each mode runs: SQLite is for one web process."""
    return "1" if connection.vendor == "sqlite" else "2"


def _people() -> People:
    staff = [UserFactory(username=f"staff-{number}") for number in range(CLIENTS)]
    formers = [UserFactory(username=f"former-{number}") for number in range(2)]
    strangers = [UserFactory(username=f"stranger-{number}") for number in range(2)]
    for user in staff:
        GrantFactory(user=user, everything=True)
    for user in formers:
        GrantFactory(user=user, everything=True, expired=True)
    return People(staff, formers, strangers)


def _load(url: str, people: People, those: Clouds, told: Told, reaper: Reaper, *, seed: int, ends_at: float) -> bool:
    """Press from several threads, killing and spoiling the weather meanwhile. Whether all were asked for in time."""
    stop, crashes = threading.Event(), list[BaseException]()
    pressers = [Presser(number, url, people, those, told, seed) for number in range(CLIENTS)]

    def guarded(work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # raised again below, on the caller's thread
                crashes.append(error)
                stop.set()
            finally:
                connections.close_all()

        return run

    clients = [threading.Thread(target=guarded(functools.partial(presser.run, stop))) for presser in pressers]
    others = [
        threading.Thread(target=guarded(work))
        for work in (lambda: reaper.run(stop), lambda: _weather(those, stop, seed))
    ]
    for thread in (*clients, *others):
        thread.start()
    try:
        for client in clients:
            client.join(timeout=max(0.0, ends_at - time.monotonic()))
        is_done = not any(client.is_alive() for client in clients)
    finally:
        stop.set()
    for thread in (*clients, *others):
        thread.join(timeout=60)
    if crashes:
        raise crashes[0]
    return is_done


def _weather(those: Clouds, stop: threading.Event, seed: int) -> None:
    chance = random.Random(f"{seed} weather")
    while not stop.wait(chance.uniform(0.05, 0.4)):
        those.change_weather(chance)


@dataclass
class Reaper:
    """Kills web processes at random moments, often while a call of the cloud is under way, and sometimes the worker."""

    server: subprocess.Popen[str]
    worker: _Worker
    those: Clouds
    told: Told
    chance: random.Random
    kills: list[tuple[float, float]] = field(default_factory=list)
    workers_killed: int = 0

    def run(self, stop: threading.Event) -> None:
        while self.told.wait_for_links(self.chance.randint(*_LINKS_BETWEEN_KILLS), _LONGEST_LIFE_SECONDS, stop):
            self.worker.send_tasks()
            call = self.chance.choice(["", "", "", "cbh.om_url", "cbh.om_url", "iam.token"])
            if call:
                self.those.wait_for_a_call(call, self.chance, 0.5)
                stop.wait(self.chance.uniform(0, 0.03))
            self._kill()
            if self.chance.random() < _WORKER_TOO:
                self.worker.kill_and_start_again()
                self.workers_killed += 1

    def _kill(self) -> None:
        running = workers_of(self.server)
        if not running:
            return
        victim, began = self.chance.choice(running), time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        # On a busy machine it takes a while to die, and its connections break only then.
        wait_until(lambda: not is_running(victim))
        self.kills.append((began, time.monotonic()))

    def explains(self, began: float, ended: float) -> bool:
        """A process was dying while this request was under way, or right before it met a closed connection."""
        return any(begun - _NOTICED_SECONDS <= ended and began <= gone + _NOTICED_SECONDS for begun, gone in self.kills)


class _Worker:
    """The Celery worker over the filesystem broker, and what wakes it as the scheduler would, only more often."""

    def __init__(self, folder: str) -> None:
        self._variables = {"BROKER_URL": "filesystem://", "BROKER_KEY_PREFIX": "", "DATA_DIR": folder}
        self._stack = ExitStack()
        self._sender: Celery | None = None

    def __enter__(self) -> _Worker:
        self._sender = sender_for(self._variables)
        self._start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()
        if self._sender is not None:
            self._sender.close()

    def kill_and_start_again(self) -> None:
        self._stack.close()
        self._start()

    def send_tasks(self) -> None:
        if self._sender is None:
            return
        queue = Path(self._variables["DATA_DIR"]) / "celery" / "queue"
        if len(list(queue.iterdir())) < 2 * len(_TASKS):
            for task in _TASKS:
                self._sender.send_task(task)

    def _start(self) -> None:
        options = ("-P", "threads", "-c", "2", "--without-gossip", "--without-mingle")
        command = ("celery", "--quiet", "-A", "portal.startup", "worker", *options)
        variables = {**self._variables, "ATTEMPT_SECONDS": "1.5", "LOG_LEVEL": "CRITICAL"}
        self._stack.enter_context(process(*command, **variables))


def _sweep_all() -> int:
    """The scheduled sweep, long after; as often as it finds something, for it takes a thousand at a time."""
    total = 0
    while closed := actions.close_abandoned(now=timezone.now() + LONG_AFTER):
        total += closed
    return total


def _findings(told: Told, reaper: Reaper, people: People, most_exchanges_at_once: int) -> Iterator[str]:
    yield from record.findings(links=told.links, references=told.references, is_over=True)
    yield from told.unexpected
    if told.unrecorded > _MOST_UNRECORDED * Launch.objects.count():
        yield f"{told.unrecorded} people were told that their launch cannot be recorded"
    for began, ended, how in told.broken:
        if not reaper.explains(began, ended):
            yield f"a request ended without an answer though nothing was killed: {how}"
    if most_exchanges_at_once > 1:
        yield f"{most_exchanges_at_once} exchanges were under way at once for one IAM user"
    names = [user.username for user in people.strangers]
    denied = AuditEvent.objects.filter(kind="launch:denied", actor_name__in=names).count()
    if denied < told.refused_to_strangers:
        yield f"{told.refused_to_strangers} launches were refused to strangers, and {denied} are on record"
    if Launch.objects.filter(user_name__in=names).exists():
        yield "a stranger has a launch"
