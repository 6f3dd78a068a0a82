"""The star beside a host, and the hosts on top of the list."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from omaccess.actions import favourites
from omaccess.models import Favourite, HostAccount, LaunchState
from omaccess.views.hosts import SHORTCUTS
from tests.factories import GrantFactory, HostAccountFactory, HostFactory, LaunchFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def user() -> User:
    user: User = UserFactory()
    return user


@pytest.fixture
def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def granted(user: User, **host: Any) -> HostAccount:
    account: HostAccount = HostAccountFactory(host=HostFactory(**host))
    GrantFactory(user=user, host=account.host)
    return account


def shortcuts(client: Client, path: str = "/") -> list[str]:
    """The names of the hosts on top."""
    page = client.get(path).content.decode()
    _before, found, section = page.partition('class="shortcuts"')
    return re.findall(r'title="([^"]+)" data-name>', section.partition("</section>")[0]) if found else []


def test_the_star_makes_a_favourite_and_takes_it_away(signed_in: Client, user: User) -> None:
    account = granted(user, name="mine")

    made = signed_in.post("/favourites/", {"add": account.host_id, "back": "/?q=mi"})
    again = signed_in.post("/favourites/", {"add": account.host_id})

    assert (made.status_code, made["Location"]) == (303, f"/?q=mi#star-{account.host_id}")
    assert again.status_code == 303
    assert [row.host_id for row in Favourite.objects.filter(user=user)] == [account.host_id]
    assert shortcuts(signed_in) == ["mine"]

    signed_in.post("/favourites/", {"remove": account.host_id})

    assert not Favourite.objects.exists()
    assert shortcuts(signed_in) == []


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example/", "javascript:alert(1)", "/" + "x" * 2001, ""]
)
def test_the_star_leads_to_pages_of_this_portal_only(signed_in: Client, user: User, back: str) -> None:
    account = granted(user)

    response = signed_in.post("/favourites/", {"add": account.host_id, "back": back})

    assert response["Location"] == f"/#star-{account.host_id}"


def test_an_invisible_host_has_no_star(signed_in: Client) -> None:
    host = HostAccountFactory().host

    for pk in (host.pk, host.pk + 1000, 10**18, "9" * 30, "", "one"):
        assert signed_in.post("/favourites/", {"add": pk}).status_code == 404
    assert signed_in.post("/favourites/").status_code == 404
    assert not Favourite.objects.exists()


def test_signed_out_nothing_is_kept(client: Client, user: User) -> None:
    account = granted(user)

    response = client.post("/favourites/", {"add": account.host_id})

    assert response["Location"] == f"/accounts/login/?next=/hosts/{account.host_id}/"
    assert not Favourite.objects.exists()


def test_a_star_without_a_token_is_refused(user: User) -> None:
    account = granted(user)
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)

    assert client.post("/favourites/", {"add": account.host_id}).status_code == 403
    assert not Favourite.objects.exists()


def test_no_more_favourites_than_a_list_can_be_read_with(signed_in: Client, user: User) -> None:
    for _ in range(favourites.MOST):
        Favourite.objects.create(user=user, host=HostFactory())
    account = granted(user)

    page = signed_in.post("/favourites/", {"add": account.host_id}, follow=True).content.decode()

    assert "there is no room for more" in page
    assert Favourite.objects.filter(user=user).count() == favourites.MOST


def test_favourites_come_first_then_the_last_opened_then_the_most_used(signed_in: Client, user: User) -> None:
    often, lately, starred, _other = (granted(user, name=name) for name in ("often", "lately", "starred", "other"))
    for account in (often, often, often, lately):
        LaunchFactory(user=user, account=account, state=LaunchState.OPENED)
    Favourite.objects.create(user=user, host=starred.host)

    assert shortcuts(signed_in) == ["starred", "lately", "often"]


def test_what_may_no_longer_be_opened_is_not_on_top(signed_in: Client, user: User) -> None:
    account = granted(user, name="gone")
    Favourite.objects.create(user=user, host=account.host)
    LaunchFactory(user=user, account=account, state=LaunchState.OPENED)
    user.grants.update(revoked_at=timezone.now(), revoked_by=user)

    assert shortcuts(signed_in) == []


def test_nobody_sees_the_favourites_of_others(signed_in: Client, user: User) -> None:
    account = granted(user, name="shared")
    Favourite.objects.create(user=UserFactory(), host=account.host)

    assert shortcuts(signed_in) == []
    assert 'aria-pressed="true"' not in signed_in.get("/").content.decode()


def test_somebody_who_searches_sees_only_what_was_found(signed_in: Client, user: User) -> None:
    Favourite.objects.create(user=user, host=granted(user, name="web-01").host)

    assert shortcuts(signed_in, "/?q=web") == []
    assert shortcuts(signed_in, "/?page=2") == []


def test_the_account_used_last_is_offered_first(signed_in: Client, user: User) -> None:
    first = granted(user, name="two")
    first.name = "alpha"
    first.save()
    second = HostAccountFactory(host=first.host, name="zulu")
    LaunchFactory(user=user, account=second, state=LaunchState.OPENED)

    for path in ("/", f"/hosts/{first.host_id}/"):
        page = signed_in.get(path).content.decode()
        assert page.index("Open two as zulu") < page.index("Open two as alpha"), path


def test_the_queries_do_not_depend_on_how_many_there_are(signed_in: Client, user: User) -> None:
    def add(number: int) -> None:
        for _ in range(number):
            account = granted(user)
            Favourite.objects.create(user=user, host=account.host)
            LaunchFactory(user=user, account=account, state=LaunchState.OPENED)

    add(2)
    with CaptureQueriesContext(
        connection,
    ) as few:
        signed_in.get("/")
    add(SHORTCUTS)
    with CaptureQueriesContext(connection) as many:
        signed_in.get("/")

    assert len(many) == len(few)
    assert len(shortcuts(signed_in)) == SHORTCUTS
