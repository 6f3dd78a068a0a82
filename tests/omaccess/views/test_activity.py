"""My own history."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from omaccess.causes import Cause
from omaccess.models import HostAccount, Launch, LaunchState
from omaccess.views.activity import PAGE
from tests.factories import HostAccountFactory, UserFactory

pytestmark = pytest.mark.django_db


def make_launch(user: object, account: HostAccount, **fields: object) -> Launch:
    now = timezone.now()
    values: dict[str, object] = {
        "state": LaunchState.OPENED,
        "host_name": account.host.name,
        "account_name": account.name,
        "attempted_at": now,
        "ended_at": now,
    }
    return Launch.objects.create(**(values | {"user": user, "account": account} | fields))


def test_it_lists_my_launches_and_nobody_elses(client: Client) -> None:
    user, account = UserFactory(), HostAccountFactory()
    mine = make_launch(user, account, state=LaunchState.REFUSED, cause=Cause.HOST_NOT_MANAGED)
    foreign = make_launch(UserFactory(), account)
    client.force_login(user)

    page = client.get("/activity/").content.decode()

    assert mine.reference in page
    assert "refused by Huawei Cloud" in page
    assert foreign.reference not in page


def test_it_says_when_there_is_nothing(client: Client) -> None:
    client.force_login(UserFactory())

    assert b"You have not opened anything yet" in client.get("/activity/").content
    assert b"Nothing older" in client.get("/activity/?before=1").content


def test_it_comes_in_pages_that_a_new_launch_does_not_shift(client: Client) -> None:
    user, account = UserFactory(), HostAccountFactory()
    launches = [make_launch(user, account) for _ in range(PAGE + 2)]
    client.force_login(user)

    first = client.get("/activity/")
    make_launch(user, account)
    second = client.get("/activity/", {"before": first.context["before"]})

    assert [outcome.launch for outcome in first.context["outcomes"]] == launches[:1:-1]
    assert [outcome.launch for outcome in second.context["outcomes"]] == launches[1::-1]
    assert second.context["before"] is None


def test_the_number_of_queries_does_not_depend_on_the_number_of_launches(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    user = UserFactory()
    client.force_login(user)
    make_launch(user, HostAccountFactory(), state=LaunchState.FAILED, cause=Cause.CLOUD_TIMEOUT)
    with CaptureQueriesContext(connection) as few:
        client.get("/activity/")
    for _ in range(10):
        make_launch(user, HostAccountFactory(), state=LaunchState.FAILED, cause=Cause.CLOUD_TIMEOUT)

    with django_assert_num_queries(len(few.captured_queries)):
        client.get("/activity/")
