"""What a launch may cost: so many statements, so many write transactions, on either database."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from omaccess.actions import launches
from omaccess.actions.launch_intent import MIN_PAUSE
from omaccess.models import Grant, GrantAccount, GrantLabel, HostAccount, Label, Launch, LaunchState
from omaccess.sandbox.server import SandboxServer
from tests.inventory import Inventory
from tests.omaccess.views.test_activity import make_launch

pytestmark = pytest.mark.database

MOST_STATEMENTS = 20
_AROUND = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")

Post = Callable[[], CaptureQueriesContext]


@pytest.fixture
def post(committed_inventory: Inventory) -> Post:
    """Posts a launch of root, as the browser of somebody who has launched before: session, token, allowance exist."""
    browser = Client()
    browser.force_login(committed_inventory.staff)

    def one() -> CaptureQueriesContext:
        fields = {"account": committed_inventory.root.pk, "reason": "deploy", "once": str(uuid.uuid4())}
        with CaptureQueriesContext(connection) as captured:
            answer = browser.post(reverse("omaccess:launches"), fields)
        assert answer.status_code == 303
        assert Launch.objects.latest("pk").state == LaunchState.OPENED
        return captured

    one()
    return one


def _all(captured: CaptureQueriesContext) -> list[str]:
    return [query["sql"].strip() for query in captured]


def _statements(captured: CaptureQueriesContext) -> list[str]:
    return [sql for sql in _all(captured) if not sql.startswith(_AROUND)]


def _listed(statements: list[str]) -> str:
    return "\n".join(["", *(f"{number}. {sql}" for number, sql in enumerate(statements, 1))])


def _by_labels(inventory: Inventory) -> None:
    host = inventory.root.host
    Label.objects.filter(host=host).delete()
    Label.objects.create(host=host, key="tier", value="front")
    Grant.objects.update(target=Grant.Target.LABELS)
    GrantLabel.objects.create(grant=inventory.grant, key="tier", value="front")


def _by_group(inventory: Inventory) -> None:
    group = Group.objects.create(name="web team")
    inventory.staff.groups.add(group)
    Grant.objects.update(user=None, group=group)


def _by_account_name(inventory: Inventory) -> None:
    Grant.objects.update(target=Grant.Target.HOST, host=inventory.root.host, every_account=False)
    GrantAccount.objects.create(grant=inventory.grant, name="root")


def _own_credential_and_labels(inventory: Inventory) -> None:
    HostAccount.objects.filter(pk=inventory.root.pk).update(credential=inventory.credentials["second"])
    _by_labels(inventory)


GRANTED: dict[str, Callable[[Inventory], object]] = {
    "everything": lambda inventory: None,
    "by labels": _by_labels,
    "by group": _by_group,
    "by host and account name": _by_account_name,
    "with a credential of its own, by labels": _own_credential_and_labels,
}


@pytest.mark.parametrize("grant", GRANTED.values(), ids=GRANTED)
def test_a_warm_launch_takes_at_most_twenty_statements(
    post: Post, committed_inventory: Inventory, grant: Callable[[Inventory], object]
) -> None:
    grant(committed_inventory)
    post()

    statements = _statements(post())

    assert len(statements) <= MOST_STATEMENTS, _listed(statements)


def test_a_warm_launch_takes_two_write_transactions(post: Post) -> None:
    everything = _all(post())

    assert everything.count("COMMIT") == 2, _listed(everything)
    assert [sql for sql in everything if sql.startswith(("ROLLBACK", "SAVEPOINT"))] == [], _listed(everything)


def test_between_the_two_transactions_the_cloud_is_asked_outside_any(post: Post, sandbox: SandboxServer) -> None:
    everything = _all(post())

    first = everything.index("COMMIT")
    between = everything[first + 1 : next(n for n, sql in enumerate(everything) if n > first and "BEGIN" in sql)]
    assert all("portal_cache" in sql for sql in between), _listed(everything)


def test_the_audits_head_is_locked_last(post: Post) -> None:
    everything = _all(post())

    for number, sql in enumerate(everything):
        if sql == "COMMIT":
            assert 'INTO "omaccess_auditevent"' in everything[number - 1], _listed(everything)


def test_one_more_attempt_costs_no_more_than_a_launch(
    committed_inventory: Inventory, sandbox: SandboxServer, post: Post
) -> None:
    a_while_ago = timezone.now() - MIN_PAUSE
    waiting = make_launch(
        committed_inventory.staff,
        committed_inventory.root,
        state=LaunchState.WAITING,
        attempted_at=a_while_ago,
        ended_at=None,
    )
    browser = Client()
    browser.force_login(committed_inventory.staff)

    with CaptureQueriesContext(connection) as captured:
        browser.post(reverse("omaccess:attempt", args=[waiting.reference]))

    statements = _statements(captured)
    assert Launch.objects.get(pk=waiting.pk).state == LaunchState.OPENED
    assert len(statements) <= MOST_STATEMENTS, _listed(statements)


def test_ending_what_was_abandoned_costs_three_statements_each(
    committed_inventory: Inventory,
) -> None:
    long_ago = timezone.now() - dt.timedelta(hours=1)
    for _number in range(5):
        make_launch(
            committed_inventory.staff,
            committed_inventory.root,
            state=LaunchState.PENDING,
            attempted_at=long_ago,
            ended_at=None,
        )

    with CaptureQueriesContext(connection) as captured:
        assert launches.close_abandoned(now=timezone.now()) == 5

    statements = _statements(captured)
    assert len(statements) <= 1 + 5 * 3, _listed(statements)
