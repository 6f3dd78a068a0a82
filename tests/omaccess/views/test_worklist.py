"""A pasted list, and its hosts to open one after the other."""

from __future__ import annotations

import datetime as dt
import re

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from omaccess.causes import Cause
from omaccess.models import LaunchState, Worklist
from omaccess.paste import MOST_LINES
from tests.factories import GrantFactory, HostAccountFactory, HostFactory, LaunchFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture
def user() -> User:
    user: User = UserFactory()
    GrantFactory(user=user, everything=True)
    return user


@pytest.fixture
def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def pasted(client: Client, text: str) -> str:
    response = client.post("/worklist/", {"pasted": text}, follow=True)
    assert response.redirect_chain == [("/worklist/", 303)]
    return response.content.decode()


def test_a_pasted_list_says_what_was_found_and_what_was_not(signed_in: Client) -> None:
    web = HostAccountFactory(host__name="web-01", name="root")
    HostAccountFactory(host__name="db-01")

    page = pasted(signed_in, "web-01, nowhere\ndb-01")

    assert "2 of 3 entries found" in page
    assert "1 entry was not found" in page
    assert re.search(r'class="chip">nowhere<', page)
    assert f'name="account" value="{web.pk}"' in page
    assert page.index("web-01</a>") < page.index("db-01</a>")


def test_an_invisible_host_looks_like_none(client: Client) -> None:
    stranger = UserFactory()
    client.force_login(stranger)
    HostAccountFactory(host__name="secret", host__address="10.9.9.9")

    page = pasted(client, "secret 10.9.9.9 nowhere")

    assert "0 of 3 entries found" in page
    assert "/hosts/1" not in page


def test_the_list_of_somebody_else_is_not_shown(signed_in: Client) -> None:
    Worklist.objects.create(user=UserFactory(), lines=["their-host"])

    assert "their-host" not in signed_in.get("/worklist/").content.decode()


@pytest.mark.parametrize("text", ["", "  \n ", "---", "\x00", "…"])
def test_a_paste_without_names_is_given_back_and_the_old_list_stays(signed_in: Client, user: User, text: str) -> None:
    pasted(signed_in, "web-01")

    response = signed_in.post("/worklist/", {"pasted": text})

    assert response.status_code == 422
    assert "There is no name or address in it." in response.content.decode()
    assert Worklist.objects.get(user=user).lines == ["web-01"]


def test_too_long_a_list_is_cut_and_says_so(signed_in: Client, user: User) -> None:
    page = pasted(signed_in, " ".join(f"h{number}" for number in range(MOST_LINES + 50)))

    assert f"Only the first {MOST_LINES} entries are in the list." in page
    assert len(Worklist.objects.get(user=user).lines) == MOST_LINES


def test_hostile_text_is_escaped_and_harmless(signed_in: Client) -> None:
    page = pasted(signed_in, "<script>alert(1)</script>\x00\u202e '\"--")

    assert "<script>alert" not in page


def test_the_list_can_be_cleared(signed_in: Client) -> None:
    pasted(signed_in, "web-01")

    signed_in.post("/worklist/", {"clear": "yes", "pasted": "web-01"})

    assert not Worklist.objects.exists()
    assert "Paste a list" in signed_in.get("/worklist/").content.decode()


def test_hosts_that_were_asked_for_since_show_their_outcome_and_the_next_one_is_marked(
    signed_in: Client, user: User
) -> None:
    first, second, third = (HostAccountFactory(host__name=name) for name in ("one", "two", "three"))
    LaunchFactory(user=user, account=third, created_at=timezone.now() - dt.timedelta(days=1))
    pasted(signed_in, "one two three")
    LaunchFactory(user=user, account=first)
    refused = LaunchFactory(user=user, account=second, state=LaunchState.REFUSED, cause=Cause.HOST_NOT_MANAGED)

    page = signed_in.get("/worklist/").content.decode()

    rows = re.findall(r'<li class="host.*?</li>\s*(?=<li class="host|</ul>)', page, re.DOTALL)
    assert ["data-done" in row for row in rows] == [True, True, False]
    assert ['aria-current="step"' in row for row in rows] == [False, False, True]
    assert "Link handed to the browser" in rows[0]
    assert f"/launches/{refused.reference}/" in rows[1]
    assert "1 opened" in page


def test_hosts_of_the_same_name_are_for_somebody_to_choose(signed_in: Client) -> None:
    for _ in range(2):
        HostAccountFactory(host=HostFactory(name="twin"))

    page = pasted(signed_in, "twin")

    assert "2 hosts are called twin" in page
    assert "data-work" not in page


def test_an_expired_session_leads_back_to_the_list(client: Client) -> None:
    response = client.post("/worklist/", {"pasted": "web-01"})

    assert response["Location"] == "/accounts/login/?next=/worklist/"
    assert not Worklist.objects.exists()
