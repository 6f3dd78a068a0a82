"""People who press: what they ask for, and whether the answers are those that may come."""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import requests

from accounts.models import User
from omaccess.models import HostAccount
from tests.soak.clouds import Clouds
from tests.soak.person import Person

_PAUSE_SECONDS = 3.2
"""After which the portal lets a waiting launch be tried again."""
_TRIED_AGAIN = 0.3


@dataclass(frozen=True)
class People:
    """`staff` may open everything, `formers` could until a while ago, `strangers` never could."""

    staff: Sequence[User]
    formers: Sequence[User]
    strangers: Sequence[User]


@dataclass
class Told:
    """What the browsers were told, and what broke when. Shared by all threads."""

    launches: int
    """How many have still to be asked for."""
    links: list[str] = field(default_factory=list)
    references: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    broken: list[tuple[float, float, str]] = field(default_factory=list)
    """Requests without an answer: when they began and ended, and how."""
    refused_to_strangers: int = 0
    unrecorded: int = 0
    unexpected: list[str] = field(default_factory=list)
    lock: threading.Condition = field(default_factory=threading.Condition)

    def take(self) -> bool:
        """One launch less to ask for; False when there are none left."""
        with self.lock:
            self.launches -= 1
            return self.launches >= 0

    def wait_for_links(self, number: int, seconds: float, stop: threading.Event) -> bool:
        """Until so many more links were handed out, or so many seconds are over; False when the end comes first."""
        ends_at = time.monotonic() + seconds
        with self.lock:
            wanted = len(self.links) + number
            while len(self.links) < wanted and not stop.is_set() and time.monotonic() < ends_at:
                self.lock.wait(0.2)
        return not stop.is_set()


class Presser:
    """One client: its people, its connections, its own chance. Runs on a thread of its own."""

    def __init__(self, number: int, url: str, people: People, clouds: Clouds, told: Told, seed: int) -> None:
        self._chance = random.Random(f"{seed} client {number}")
        self._clouds, self._told = clouds, told
        self._staff = Person(url, people.staff[number % len(people.staff)])
        self._former = Person(url, people.formers[number % len(people.formers)])
        self._stranger = Person(url, people.strangers[number % len(people.strangers)])
        self._waiting: list[tuple[float, str]] = []
        self._last: tuple[HostAccount, uuid.UUID] | None = None

    def run(self, stop: threading.Event) -> None:
        people = (self._staff, self._former, self._stranger)
        try:
            while not stop.is_set() and self._told.take():
                self._press_once()
        finally:
            for person in people:
                person.http.close()

    def _press_once(self) -> None:
        kind = self._chance.random()
        if self._waiting and self._waiting[0][0] <= time.monotonic():
            _when, reference = self._waiting.pop(0)
            self._ask("attempt", lambda: self._staff.try_again(reference))
        elif kind < 0.03:
            self._ask("stranger", lambda: self._stranger.press(self._account()))
        elif kind < 0.06:
            self._ask("former", lambda: self._former.press(self._account()))
        else:
            # Now and then the same form again: a double click, or somebody who was cut off.
            if self._last is None or self._chance.random() > 0.05:
                self._last = self._account(), uuid.UUID(int=self._chance.getrandbits(128), version=4)
            account, once = self._last
            self._ask("staff", lambda: self._staff.press(account, once=once))

    def _account(self) -> HostAccount:
        """Most people want what opens."""
        if self._chance.random() < 0.6:
            return self._chance.choice([account for account in self._clouds.accounts if account.name == "ops"])
        return self._chance.choice(self._clouds.accounts)

    def _ask(self, who: str, request: Callable[[], requests.Response]) -> None:
        began = time.monotonic()
        try:
            answer = request()
        except requests.RequestException as error:
            with self._told.lock:
                self._told.broken.append((began, time.monotonic(), f"{who}: {type(error).__name__}"))
            return
        with self._told.lock:
            self._note(who, answer)
            self._told.lock.notify_all()

    def _note(self, who: str, answer: requests.Response) -> None:
        told, place = self._told, answer.headers.get("Location", "")
        told.answers[f"{who} {answer.status_code}"] += 1
        if who == "stranger" and answer.status_code == 404:
            told.refused_to_strangers += 1
        elif answer.status_code == 503:
            told.unrecorded += 1
        elif answer.status_code == 303 and self._clouds.lead_to(place) and who in ("staff", "attempt"):
            told.links.append(place)
        elif answer.status_code == 303 and place.startswith("/launches/"):
            reference = place.split("/")[2]
            told.references.add(reference)
            # It may be one that waits. Pressing again for any other must do nothing, which is worth a try as well.
            if who == "staff" and self._chance.random() < _TRIED_AGAIN:
                self._waiting.append((time.monotonic() + _PAUSE_SECONDS, reference))
        else:
            told.unexpected.append(f"{who} was answered {answer.status_code} to {place.partition('?')[0]!r}")
