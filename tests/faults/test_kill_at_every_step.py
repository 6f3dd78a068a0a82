"""A web process killed before and after each statement, commit and call of a launch. See `kills_wsgi` for how."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
import requests
import time_machine
from django.core.cache import caches
from django.utils import timezone
from pytest_django import Settings

from omaccess import tokens
from omaccess.actions.launch_intent import intend
from omaccess.cloud.types import Deadline
from omaccess.meta import Meta
from omaccess.models import HostAccount, IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from tests.faults.kills_portal import ABANDONED_AFTER, is_running, kill_workers, let_lease_run_out, mortal_web, sweep
from tests.inventory import Inventory
from tests.launching import in_thread, kinds_of
from tests.processes import wait_until
from tests.soak import record
from tests.soak.person import Person

pytestmark = pytest.mark.database


@dataclass
class Door:
    """A portal whose processes die on request, a person before it, and all that this person was given."""

    server: subprocess.Popen[str]
    person: Person
    root: HostAccount
    sandbox: SandboxServer
    links: list[str] = field(default_factory=list)
    references: list[str] = field(default_factory=list)

    def note(self, answer: requests.Response) -> requests.Response:
        """Keep what was told: a link, or the launch's page."""
        assert answer.status_code == 303, answer.text
        place = answer.headers["Location"]
        if place.startswith(self.sandbox.url):
            self.links.append(place)
        else:
            self.references.append(place.split("/")[-2])
        return answer

    def press(self, account: HostAccount, headers: dict[str, str] | None = None) -> requests.Response:
        return self.note(self.person.press(account, headers=headers))

    def open(self) -> None:
        """Launch as everybody does; only a link will do."""
        before = len(self.links)
        self.press(self.root)
        assert len(self.links) == before + 1, Launch.objects.latest("id").cause

    def try_again(self, reference: str, headers: dict[str, str] | None = None) -> requests.Response:
        """One more attempt, as if the pause after the last one were over."""
        a_while_ago = timezone.now() - dt.timedelta(seconds=4)
        Launch.objects.filter(reference=reference, state="waiting").update(attempted_at=a_while_ago)
        return self.note(self.person.try_again(reference, headers=headers))

    def do(self, task: str, headers: dict[str, str]) -> requests.Response:
        """A scheduled job, in a process that serves."""
        return self.person.http.get(self.person.url, headers={**headers, "X-Task": task}, timeout=30)

    def forget_token(self) -> None:
        """Nothing is left of any exchange: the next launch makes lease and token anew."""
        IamUserLease.objects.all().delete()
        caches["tokens"].clear()

    def check(self) -> None:
        assert record.findings(links=self.links, references=self.references) == []

    def check_at_the_end(self) -> None:
        """Also: nothing is open, and never were two exchanges under way."""
        assert record.findings(links=self.links, references=self.references, is_over=True) == []
        assert self.sandbox.control.most_in_flight()["iam.token"] <= 1


@pytest.fixture
def door(committed_inventory: Inventory, sandbox: SandboxServer, settings: Settings) -> Iterator[Door]:
    settings.LAUNCHES_PER_MINUTE = 1_000_000
    with mortal_web() as (server, url), Person(url, committed_inventory.staff) as person:
        yield Door(server, person, committed_inventory.root, sandbox)


Request = Callable[[dict[str, str]], requests.Response]


def killed_at_each_step(door: Door, begin: Callable[[], Request], states: set[str]) -> list[str]:
    """Begin again and again, each time dying one step later, until there is no further step. Returns the steps.

    `begin` prepares and returns the request; `states` are those in which the launch may be found after its death.
    """
    for step in itertools.count(1):
        request, answer = begin(), None
        opened = set(Launch.objects.exclude(state="waiting").values_list("pk", flat=True))
        with contextlib.suppress(requests.ConnectionError):
            answer = request({"X-Kill-At": str(step)})
        steps = answer.headers["X-Steps"].split() if answer is not None else []
        if answer is not None and step > len(steps):
            go_on(door)
            return steps
        if answer is not None:
            # It dies when the answer has left, and must not take the next request before it does.
            assert step == len(steps)
            wait_until(lambda process=int(answer.headers["X-Process"]): not is_running(process))
        assert set(Launch.objects.exclude(pk__in=opened).values_list("state", flat=True)) <= states
        go_on(door)
    raise AssertionError


def go_on(door: Door) -> None:
    """After a death: the record is true, what was left is ended or goes on, and the next launch works."""
    door.check()
    left = list(Launch.objects.filter(state="pending").values_list("pk", flat=True))
    assert sweep() == len(left)
    assert Launch.objects.filter(pk__in=left, state="abandoned").count() == len(left)
    let_lease_run_out()
    door.sandbox.control.clear_faults()
    for reference in Launch.objects.filter(state="waiting").values_list("reference", flat=True):
        door.try_again(reference)
    door.open()


def test_a_launch_without_a_token_killed_at_each_step(door: Door) -> None:
    def begin() -> Request:
        door.forget_token()
        return lambda headers: door.press(door.root, headers)

    steps = killed_at_each_step(door, begin, {"pending", "opened"})

    door.check_at_the_end()
    assert steps.count("COMMIT") >= 2
    assert steps.count("SEND") == 3  # the exchange's head and body, and get-om-url


def test_a_launch_with_a_token_killed_at_each_step(door: Door) -> None:
    door.open()

    steps = killed_at_each_step(door, lambda: lambda headers: door.press(door.root, headers), {"pending", "opened"})

    door.check_at_the_end()
    assert (steps.count("COMMIT"), steps.count("SEND")) == (2, 1)
    assert door.sandbox.control.counters()["iam.token"] == 1


def test_a_launch_that_has_to_wait_killed_at_each_step(door: Door) -> None:
    door.open()

    def begin() -> Request:
        door.sandbox.control.add_fault("cbh.om_url", state="INS_WHITE_LIST_INITIALIZING", times=None)
        return lambda headers: door.press(door.root, headers)

    steps = killed_at_each_step(door, begin, {"pending", "waiting"})

    door.check_at_the_end()
    assert (steps.count("COMMIT"), steps.count("SEND")) == (2, 1)


def test_one_more_attempt_killed_at_each_step(door: Door) -> None:
    def begin() -> Request:
        door.sandbox.control.add_fault("cbh.om_url", state="INS_WHITE_LIST_INITIALIZING")
        door.press(door.root)
        reference = door.references[-1]
        return lambda headers: door.try_again(reference, headers)

    steps = killed_at_each_step(door, begin, {"pending", "waiting", "opened"})

    door.check_at_the_end()
    assert (steps.count("COMMIT"), steps.count("SEND")) == (2, 1)
    assert not Launch.objects.filter(attempt__gt=2).exclude(state="opened").exists()


@pytest.mark.parametrize("call", ["iam.token", "cbh.om_url"])
@pytest.mark.parametrize(
    "fault",
    [
        {"hold": "before"},
        {"hold": "after"},
        {"drip": {"part": "headers", "interval_seconds": 0.5, "piece_bytes": 8}},
        {"drip": {"part": "body", "interval_seconds": 0.5, "piece_bytes": 8}},
    ],
    ids=["before it is carried out", "after it is carried out", "amid its headers", "amid its body"],
)
def test_killed_in_a_call_of_the_cloud(door: Door, call: str, fault: dict[str, object]) -> None:
    """The call is at the cloud when the process dies, so the cloud's side of it goes on."""
    door.sandbox.control.add_fault(call, times=1, **fault)
    answers: list[object] = []
    thread = in_thread(lambda: answers.append(answer_or_error(lambda: door.press(door.root))))
    assert door.sandbox.control.wait(call, received=1, held=int("hold" in fault))

    kill_workers(door.server)
    thread.join(timeout=20)

    assert isinstance(answers[0], requests.ConnectionError)
    assert Launch.objects.get().state == "pending"
    assert IamUserLease.objects.exclude(holder="").exists() == (call == "iam.token")
    door.sandbox.control.release()
    go_on(door)
    assert kinds_of(Launch.objects.earliest("id")) == ["launch:requested", "launch:abandoned"]
    door.check_at_the_end()


def test_the_sweep_killed_at_each_step_ends_each_launch_once(door: Door) -> None:
    left: list[int] = []

    def begin() -> Request:
        left[:] = [leave_pending(door), leave_pending(door)]
        return lambda headers: door.do("close_abandoned_launches", headers)

    steps = killed_at_each_step(door, begin, {"pending", "abandoned"})

    assert set(Launch.objects.filter(pk__in=left).values_list("state", flat=True)) == {"abandoned"}
    door.check_at_the_end()
    assert (steps.count("COMMIT"), steps.count("UPDATE")) == (2, 2)


def test_the_refresh_of_tokens_killed_at_each_step_leaves_launches_working(door: Door) -> None:
    def begin() -> Request:
        door.forget_token()
        fetch_token_that_is_due(door)
        return lambda headers: door.do("refresh_tokens", headers)

    steps = killed_at_each_step(door, begin, set())

    door.check_at_the_end()
    assert steps.count("SEND") == 2


def leave_pending(door: Door) -> int:
    """A launch whose process died after the intent, long enough ago for the sweep."""
    intent = intend(
        account_id=door.root.pk,
        reason="",
        ticket="",
        once=None,
        has_slot=True,
        by=door.person.user,
        meta=Meta(address="192.0.2.7"),
    )
    Launch.objects.filter(pk=intent.launch.pk).update(attempted_at=timezone.now() - ABANDONED_AFTER)
    return intent.launch.pk


def fetch_token_that_is_due(door: Door) -> None:
    """A token of which so much life is over that the scheduled refresh fetches the next one."""
    instance = door.root.host.instance
    with time_machine.travel(timezone.now() - dt.timedelta(hours=23, minutes=30)):
        tokens.token_for(instance.credential, instance, deadline=Deadline.after(10))


def answer_or_error(request: Callable[[], requests.Response]) -> object:
    try:
        return request()
    except requests.RequestException as error:
        return error
