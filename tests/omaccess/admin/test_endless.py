"""Pages by keys, for any order that a list may have."""

from __future__ import annotations

from typing import Any

import pytest
from django.db.models import Case, IntegerField, QuerySet, Value, When
from django.db.models.functions import Lower

from omaccess.admin import endless
from omaccess.models import Grant, HostAccount
from tests.factories import GrantFactory, HostAccountFactory, HostFactory

pytestmark = [pytest.mark.database, pytest.mark.django_db]


def ordered(queryset: QuerySet[Any]) -> list[endless.Column]:
    order = endless.columns(queryset)
    assert order is not None
    return order


def pages(queryset: QuerySet[Any], size: int) -> list[endless.Page]:
    """From the first to the last, each by the key that the one before it gave."""
    order, found = ordered(queryset), []
    below: endless.Key | None = None
    while True:
        page = endless.page(queryset, order, size, below=below, above=None)
        found.append(page)
        if page.after is None:
            return found
        below = page.after


@pytest.fixture
def accounts() -> None:
    """Names and hosts that repeat, so that every column of an order decides something."""
    for host in ("web", "web", "Web", "db ü", ""):
        row = HostFactory(name=host)
        for name in ("root", "ops", "O'ps"):
            HostAccountFactory(host=row, name=name)


RANK = Case(When(name="ops", then=Value(0)), default=Value(1), output_field=IntegerField())
ORDERS = [
    ["pk"],
    ["-pk"],
    ["name", "pk"],
    ["-name", "pk"],
    ["host__name", "name", "-pk"],
    ["-host__name", "-name", "-pk"],
    ["rank", "host__name", "pk"],
    ["is_enabled", "-rank", "-id"],
]


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
@pytest.mark.parametrize("size", [1, 4, 15])
def test_pages_hold_every_row_once_and_in_order(order: list[str], size: int) -> None:
    queryset = HostAccount.objects.annotate(rank=RANK).order_by(*order)

    found = pages(queryset, size)

    assert [row.pk for page in found for row in page.rows] == list(queryset.values_list("pk", flat=True))
    assert {len(page.rows) for page in found[:-1]} <= {size}
    assert found[0].before is None


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("order", ORDERS, ids=" ".join)
def test_the_way_back_meets_the_same_rows(order: list[str]) -> None:
    queryset = HostAccount.objects.annotate(rank=RANK).order_by(*order)
    expected = list(queryset.values_list("pk", flat=True))
    above: endless.Key | None = endless.END
    found: list[int] = []

    while above is not None:
        page = endless.page(queryset, ordered(queryset), 5, below=None, above=above)
        found = [*(row.pk for row in page.rows), *found]
        above = page.before

    assert found == expected


@pytest.mark.usefixtures("accounts")
def test_the_page_below_the_last_row_is_empty_and_leads_back() -> None:
    queryset = HostAccount.objects.order_by("pk")
    last = queryset.last()
    assert last is not None

    page = endless.page(queryset, ordered(queryset), 5, below=[str(last.pk)], above=None)

    assert (page.rows, page.before, page.after) == ([], endless.END, None)


def test_an_order_that_has_no_keys_is_said() -> None:
    assert endless.columns(HostAccount.objects.order_by(Lower("name"))) is None
    assert endless.columns(Grant.objects.order_by("user__username", "pk")) is None  # a group's grant has no user
    assert endless.columns(Grant.objects.order_by("valid_until", "pk")) is None
    assert endless.columns(HostAccount.objects.order_by("host__labels__key", "pk")) is None
    assert endless.columns(HostAccount.objects.order_by()) is None


def test_times_are_keys_too() -> None:
    grants = [GrantFactory() for _number in range(3)]
    queryset = Grant.objects.order_by("-valid_from", "-pk")

    found = pages(queryset, 1)

    assert [page.rows[0] for page in found] == sorted(grants, key=lambda one: (one.valid_from, one.pk), reverse=True)
