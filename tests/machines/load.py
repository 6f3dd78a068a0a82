"""People who go on pressing through a load balancer while machines are restarted under them."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import requests
from django.conf import settings
from urllib3.exceptions import MaxRetryError, NewConnectionError

from accounts.models import User
from omaccess.models import HostAccount
from tests.factories import GrantFactory, UserFactory
from tests.processes import wait_until
from tests.soak.person import Person

_CLIENTS = 3
_PAUSE_SECONDS = 0.1
"""Between two launches of a client: the processes that start meanwhile need the same two processors."""
# Enough of them to stay below what a minute allows to each.
_PEOPLE = 24
_NO_KEEPING = {"Connection": "close"}


@dataclass
class Answer:
    """What one launch came to. `response` is None when the connection broke after the request was sent."""

    began: float
    ended: float
    response: requests.Response | None

    @property
    def link(self) -> str:
        """The O&M link; empty when there is none."""
        place = self.response.headers.get("Location", "") if self.response is not None else ""
        return place if place.startswith("http") else ""

    @property
    def kind(self) -> str:
        """`opened`, `explained` (a page says what is the matter), or what went wrong."""
        if self.response is None:
            return "broken"
        status = self.response.status_code
        if self.link:
            return "opened"
        if status == 303 or (status == 503 and "Not possible right now" in self.response.text):
            return "explained"
        return str(status)


@dataclass
class Load:
    """Several clients at once, each launch over a new connection, taking turns among the machines.

    As a load balancer does, a connection that is refused, so that nothing was sent, goes to the next machine.
    """

    urls: Sequence[str]
    account: HostAccount
    people: Sequence[Person]
    answers: list[Answer] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self, turns: Iterator[int]) -> None:
        while not self._stop.wait(_PAUSE_SECONDS):
            turn = next(turns)
            began = time.monotonic()
            response = self._launch(turn)
            self.answers.append(Answer(began, time.monotonic(), response))

    def stop(self) -> None:
        self._stop.set()

    def wait_for_opened(self, number: int, *, seconds: float = 30) -> None:
        """Until so many more launches have opened."""
        wanted = self.opened() + number
        wait_until(lambda: self.opened() >= wanted, seconds=seconds)

    def opened(self) -> int:
        return sum(1 for answer in list(self.answers) if answer.kind == "opened")

    def kinds(self) -> Counter[str]:
        return Counter(answer.kind for answer in self.answers)

    def links(self) -> list[str]:
        return [answer.link for answer in self.answers if answer.link]

    def _launch(self, turn: int) -> requests.Response | None:
        person = self.people[turn % len(self.people)]
        for attempt in range(len(self.urls)):
            url = self.urls[(turn + attempt) % len(self.urls)]
            try:
                with person.at(url) as window:
                    return window.press(self.account, headers=_NO_KEEPING)
            except requests.ConnectionError as error:
                if not _was_refused(error):
                    return None
            except requests.RequestException:
                return None
        return None


def _was_refused(error: requests.ConnectionError) -> bool:
    """Nothing was sent: no connection came about."""
    reason = error.args[0] if error.args else None
    return isinstance(reason, MaxRetryError) and isinstance(reason.reason, NewConnectionError)


@contextmanager
def pressing(urls: Sequence[str], account: HostAccount) -> Iterator[Load]:
    """A load that goes on until the block ends; all answers are in then."""
    load = Load(urls, account, [_person(urls[0], number) for number in range(_PEOPLE)])
    turns = itertools.count()
    clients = [threading.Thread(target=load.run, args=(turns,), daemon=True) for _each in range(_CLIENTS)]
    for client in clients:
        client.start()
    try:
        load.wait_for_opened(4)
        yield load
    finally:
        load.stop()
        for client in clients:
            client.join(timeout=60)
    assert not any(client.is_alive() for client in clients)
    assert len(load.answers) < _PEOPLE * settings.LAUNCHES_PER_MINUTE


def _person(url: str, number: int) -> Person:
    user: User = UserFactory(username=f"presser-{number}")
    GrantFactory(user=user, everything=True)
    person = Person(url, user, seconds=40)
    person.at(url)  # loads the form that all windows of this person will send
    return person
