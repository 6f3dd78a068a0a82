"""A compiled query finds what the same query finds when it is composed anew, with the values of each run."""

import datetime as dt

import pytest
from django.db import connection
from django.db.models import CharField, DateTimeField
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from omaccess.compiled import Compiled, given
from omaccess.models import Grant, Host
from tests.inventory import Inventory

pytestmark = pytest.mark.database

HOSTS = Compiled(lambda: Host.objects.select_related("instance").filter(name=given("name", CharField())))
NAMES = Compiled(lambda: Host.objects.filter(name=given("name", CharField())).values_list("name", flat=True))
VISIBLE = Compiled(lambda: Grant.objects.visible(given("at", DateTimeField())))


def test_each_run_finds_the_rows_of_its_own_values(inventory: Inventory) -> None:
    host = inventory.root.host

    found = [HOSTS.rows(name=host.name), HOSTS.rows(name="no such host"), HOSTS.rows(name=host.name)]

    assert found == [[host], [], [host]]


def test_related_rows_come_along(inventory: Inventory) -> None:
    host = Host.objects.select_related("instance").get(pk=inventory.root.host.pk)

    with CaptureQueriesContext(connection) as captured:
        found = HOSTS.first(name=host.name)
        assert found is not None
        assert found.instance == host.instance

    assert len(captured) == 1


def test_single_values_stay_single_values(inventory: Inventory) -> None:
    assert NAMES.rows(name=inventory.root.host.name) == [inventory.root.host.name]


def test_a_value_never_becomes_part_of_the_query(inventory: Inventory) -> None:
    assert HOSTS.rows(name="' OR 1=1 --") == []
    assert HOSTS.rows(name="%s") == []


def test_nothing_is_found_for_none(inventory: Inventory) -> None:
    assert HOSTS.rows(name=None) == []


def test_a_missing_value_is_an_error(inventory: Inventory) -> None:
    with pytest.raises(KeyError, match="name"):
        HOSTS.rows()


@pytest.mark.parametrize("before_the_limit", [dt.timedelta(microseconds=1), -dt.timedelta(microseconds=1)])
@pytest.mark.parametrize("microsecond", [0, 123_456])
def test_a_moment_that_is_reckoned_from_a_value_is_exact(
    inventory: Inventory, microsecond: int, before_the_limit: dt.timedelta
) -> None:
    now = timezone.now().replace(microsecond=microsecond)
    revoked_at = now - dt.timedelta(days=30) + before_the_limit
    Grant.objects.update(revoked_at=revoked_at, revoked_by=inventory.staff)

    composed = set(Grant.objects.visible(now))

    assert set(VISIBLE.rows(at=now)) == composed
    assert bool(composed) == (before_the_limit > dt.timedelta())
