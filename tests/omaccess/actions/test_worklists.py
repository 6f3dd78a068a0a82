"""What somebody wants to open one after the other."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from omaccess.actions import worklists
from omaccess.models import Worklist
from tests.factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.database]


def test_a_new_list_takes_the_place_of_the_old_one_of_the_same_person() -> None:
    mine, other = UserFactory(), UserFactory()
    now = timezone.now()
    worklists.keep(["theirs"], by=other, now=now)
    worklists.keep(["old"], by=mine, now=now - dt.timedelta(days=1))

    worklists.keep(["new", "newer"], by=mine, now=now)

    assert Worklist.objects.get(user=mine).lines == ["new", "newer"]
    assert Worklist.objects.get(user=mine).made_at == now
    assert Worklist.objects.get(user=other).lines == ["theirs"]


def test_clearing_takes_only_ones_own_and_may_be_done_twice() -> None:
    mine, other = UserFactory(), UserFactory()
    for user in (mine, other):
        worklists.keep(["web-01"], by=user, now=timezone.now())

    worklists.clear(by=mine)
    worklists.clear(by=mine)

    assert [kept.user for kept in Worklist.objects.all()] == [other]


def test_lists_older_than_a_month_are_cleared() -> None:
    now = timezone.now()
    worklists.keep(["old"], by=UserFactory(), now=now - worklists.KEPT - dt.timedelta(seconds=1))
    worklists.keep(["young"], by=UserFactory(), now=now - worklists.KEPT + dt.timedelta(seconds=1))

    assert worklists.clear_old(now=now) == 1
    assert [kept.lines for kept in Worklist.objects.all()] == [["young"]]
