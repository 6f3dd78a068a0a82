"""What somebody keeps using."""

from __future__ import annotations

import pytest

from omaccess.models import LaunchState
from omaccess.usual import LOOKED_AT, OFFERED, Usual
from tests.factories import HostAccountFactory, LaunchFactory, UserFactory

pytestmark = pytest.mark.django_db


def test_the_last_used_stands_first_and_the_most_used_is_known() -> None:
    user, often, lately = UserFactory(), HostAccountFactory(), HostAccountFactory()
    for account in (often, often, lately):
        LaunchFactory(user=user, account=account, state=LaunchState.OPENED)

    usual = Usual.of(user)

    assert usual.hosts == (lately.host_id, often.host_id)
    assert usual.often == (often.host_id, lately.host_id)
    assert usual.account_of == {lately.host_id: lately.pk, often.host_id: often.pk}


def test_only_what_this_person_opened_counts() -> None:
    user = UserFactory()
    LaunchFactory(user=user, state=LaunchState.REFUSED)
    LaunchFactory(state=LaunchState.OPENED)

    assert Usual.of(user) == Usual()


def test_only_the_last_launches_are_looked_at() -> None:
    user, old, new = UserFactory(), HostAccountFactory(), HostAccountFactory()
    LaunchFactory(user=user, account=old, state=LaunchState.OPENED)
    for _ in range(LOOKED_AT):
        LaunchFactory(user=user, account=new, state=LaunchState.OPENED)

    assert Usual.of(user).hosts == (new.host_id,)


def test_the_last_reasons_and_tickets_are_known_whatever_came_of_them() -> None:
    user = UserFactory()
    LaunchFactory(user=user, reason="disk full", ticket="T-1")
    LaunchFactory(user=user, reason="backup", ticket="")
    LaunchFactory(user=user, reason="disk full", ticket="T-2", state=LaunchState.REFUSED)
    LaunchFactory(reason="somebody else's", ticket="T-9")

    usual = Usual.of(user)

    assert usual.reasons == ("disk full", "backup")
    assert usual.tickets == ("T-2", "T-1")


def test_only_a_few_reasons_are_offered() -> None:
    user = UserFactory()
    for number in range(OFFERED + 2):
        LaunchFactory(user=user, reason=f"reason {number}")

    assert len(Usual.of(user).reasons) == OFFERED
