"""My own history."""

from __future__ import annotations

import csv
import datetime as dt
import io

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from omaccess.causes import Cause
from omaccess.models import HostAccount, Launch, LaunchState
from omaccess.views.activity import PAGE
from tests.factories import GrantFactory, HostAccountFactory, UserFactory

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
    second = client.get(first.context["older"])

    assert [outcome.launch for outcome in first.context["outcomes"]] == launches[:1:-1]
    assert [outcome.launch for outcome in second.context["outcomes"]] == launches[1::-1]
    assert second.context["older"] == ""


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


def found(client: Client, **parameters: str) -> set[Launch]:
    return {outcome.launch for outcome in client.get("/activity/", parameters).context["outcomes"]}


def test_it_finds_what_was_not_opened(client: Client) -> None:
    user, account = UserFactory(), HostAccountFactory()
    opened = make_launch(user, account)
    failed = make_launch(user, account, state=LaunchState.FAILED, cause=Cause.CLOUD_TIMEOUT)
    denied = make_launch(user, account, state=LaunchState.DENIED, cause=Cause.NO_GRANT)
    client.force_login(user)

    assert found(client, outcome="not_opened") == {failed, denied}
    assert found(client, outcome="opened") == {opened}
    assert found(client, outcome="rubbish") == {opened, failed, denied}


@pytest.mark.parametrize("text", ["WEB", "0.0.7", "oot", "inc-1", "{reference}"])
def test_it_finds_a_launch_by_host_address_account_ticket_or_reference(client: Client, text: str) -> None:
    user, account = UserFactory(), HostAccountFactory()
    fields = {"host_name": "web-01", "host_address": "10.0.0.7", "account_name": "root", "ticket": "INC-12"}
    launch = make_launch(user, account, **fields)
    make_launch(user, account, host_name="db", account_name="postgres")
    make_launch(UserFactory(), account, **fields)
    client.force_login(user)

    assert found(client, q=text.format(reference=launch.reference.lower())) == {launch}
    assert found(client, q="nowhere") == set()


def test_older_pages_keep_the_filter(client: Client) -> None:
    user, account = UserFactory(), HostAccountFactory()
    for _ in range(PAGE + 1):
        make_launch(user, account, state=LaunchState.FAILED, cause=Cause.CLOUD_TIMEOUT)
        make_launch(user, account)
    client.force_login(user)

    first = client.get("/activity/", {"outcome": "not_opened", "q": account.name})
    second = client.get(first.context["older"])

    assert [outcome.launch.state for outcome in second.context["outcomes"]] == [LaunchState.FAILED]


def exported(client: Client, **parameters: str) -> list[dict[str, str]]:
    text = client.get("/activity/export/", parameters).getvalue().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text)))


def test_the_export_holds_my_launches_by_the_filters_and_nobody_elses(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("omaccess.views.activity.CHUNK_ROWS", 2)
    user, account = UserFactory(), HostAccountFactory()
    mine = [make_launch(user, account, reason=f"reason {number}") for number in range(5)]
    failed = make_launch(user, account, state=LaunchState.FAILED, cause=Cause.CLOUD_TIMEOUT)
    make_launch(UserFactory(), account)
    client.force_login(user)

    rows = exported(client, outcome="opened", before="3")

    assert [row["reference"] for row in rows] == [launch.reference for launch in reversed(mine)]
    assert rows[0]["outcome"] == "link handed to the browser"
    assert rows[0]["reason"] == "reason 4"
    assert exported(client, outcome="not_opened")[0]["cause"] == failed.cause


def test_a_spreadsheet_runs_nothing_of_the_export(client: Client) -> None:
    user = UserFactory()
    make_launch(user, HostAccountFactory(), reason="=HYPERLINK(1)")
    client.force_login(user)

    assert exported(client)[0]["reason"] == "'=HYPERLINK(1)"


def test_the_export_is_a_file_that_no_one_keeps(client: Client) -> None:
    client.force_login(UserFactory())

    response = client.get("/activity/export/")

    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert response["Content-Disposition"].startswith('attachment; filename="launches-')
    assert "no-store" in response["Cache-Control"]


def test_my_access_shows_what_ends_first_and_announces_what_ends_soon(client: Client) -> None:
    now = timezone.now()
    user, account = UserFactory(), HostAccountFactory()
    forever = GrantFactory(user=user, host=account.host)
    soon = GrantFactory(user=user, host=account.host, valid_until=now + dt.timedelta(days=2))
    later = GrantFactory(user=user, host=account.host, valid_until=now + dt.timedelta(days=20))
    GrantFactory(user=user, host=account.host, expired=True)
    GrantFactory(host=HostAccountFactory().host)
    client.force_login(user)

    response = client.get("/activity/access/")

    assert [row.grant for row in response.context["rows"]] == [soon, later, forever]
    assert response.content.decode().count("ends soon") == 1


def test_my_access_says_when_there_is_none(client: Client) -> None:
    client.force_login(UserFactory())

    assert b"There is no host you may open yet" in client.get("/activity/access/").content


def test_the_number_of_queries_does_not_depend_on_the_number_of_grants(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    user = UserFactory()
    client.force_login(user)
    GrantFactory(user=user, host=HostAccountFactory().host)
    with CaptureQueriesContext(connection) as few:
        client.get("/activity/access/")
    for _ in range(5):
        GrantFactory(user=user, host=HostAccountFactory().host)

    with django_assert_num_queries(len(few.captured_queries)):
        client.get("/activity/access/")
