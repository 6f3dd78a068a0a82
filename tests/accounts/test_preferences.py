"""How the pages look to one person."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import User
from accounts.preferences import zones
from omaccess.models import Launch
from tests.factories import LaunchFactory, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    user: User = UserFactory()
    return user


@pytest.fixture
def signed_in(client: Client, user: User) -> Client:
    client.force_login(user)
    return client


def lang(client: Client, path: str = "/preferences/", **headers: Any) -> str:
    return client.get(path, **headers).content.decode().partition('<html lang="')[2].partition('"')[0]


def test_what_somebody_chose_holds_on_every_page_and_in_every_browser(signed_in: Client, user: User) -> None:
    fields = {"language": "zh-hans", "time_zone": "Asia/Shanghai", "theme": "dark"}

    response = signed_in.post("/preferences/", fields)
    other = Client()
    other.force_login(user)

    assert (response.status_code, response["Location"]) == (303, "/preferences/")
    for client in (signed_in, other):
        page = client.get("/").content.decode()
        assert '<html lang="zh-hans" data-theme="dark">' in page


@pytest.mark.parametrize("path", ["/accounts/logout/", "/accounts/reauthenticate/", "/accounts/password/change/"])
def test_pages_around_the_sign_in_know_who_is_signed_in(signed_in: Client, user: User, path: str) -> None:
    User.objects.filter(pk=user.pk).update(language="zh-hans")

    assert lang(signed_in, path) == "zh-hans"


@pytest.mark.parametrize("field", ["language", "time_zone", "theme"])
@pytest.mark.parametrize("rubbish", ["klingon", "../../etc/passwd", "\x00", "x" * 10_000])
def test_rubbish_is_refused_and_nothing_is_kept(signed_in: Client, user: User, field: str, rubbish: str) -> None:
    response = signed_in.post("/preferences/", {field: rubbish})
    user.refresh_from_db()

    assert response.status_code == 422
    assert (user.language, user.time_zone, user.theme) == ("", "", "")


def test_times_are_in_the_zone_that_was_chosen_else_in_the_browsers(signed_in: Client, user: User) -> None:
    at = dt.datetime(2026, 7, 1, 12, 0, tzinfo=dt.UTC)
    LaunchFactory(user=user)
    Launch.objects.update(created_at=at, ended_at=at)
    address = f"/launches/{user.launches.get().reference}/"

    signed_in.cookies["tz"] = "Europe/Berlin"
    assert "14:00" in signed_in.get(address).content.decode()
    User.objects.update(time_zone="Asia/Shanghai")
    assert "20:00" in signed_in.get(address).content.decode()
    signed_in.cookies["tz"] = "Mars/Olympus"
    User.objects.update(time_zone="")
    assert "12:00" in signed_in.get(address).content.decode()
    assert timezone.get_current_timezone_name() == "UTC"


def test_every_zone_on_offer_is_one() -> None:
    assert {"UTC", "Europe/Berlin", "Asia/Shanghai", "America/New_York"} <= set(zones())


def test_the_browsers_language_counts_until_somebody_chose(client: Client) -> None:
    assert lang(client, "/accounts/login/", headers={"accept-language": "zh-CN,zh;q=0.9"}) == "zh-hans"
    assert lang(client, "/accounts/login/", headers={"accept-language": "fr"}) == "en"

    client.post("/preferences/language/", {"language": "en"})

    assert lang(client, "/accounts/login/", headers={"accept-language": "zh-CN"}) == "en"


def test_the_switch_is_kept_for_whoever_is_signed_in_and_leads_back(signed_in: Client, user: User) -> None:
    page = {"referer": "http://testserver/activity/?q=x"}
    response = signed_in.post("/preferences/language/", {"language": "zh-hans"}, headers=page)
    user.refresh_from_db()

    assert (response.status_code, response["Location"]) == (303, "/activity/?q=x")
    assert user.language == "zh-hans"


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "", "/" + "x" * 2001]
)
def test_the_switch_leads_to_pages_of_this_portal_only(client: Client, back: str) -> None:
    assert client.post("/preferences/language/", {"language": "en", "next": back})["Location"] == "/"


def test_each_language_is_offered_in_its_own_words(client: Client) -> None:
    page = client.get("/accounts/login/", headers={"accept-language": "zh-CN"}).content.decode()

    assert 'lang="en">English</button>' in page
    assert '<span lang="zh-hans" aria-current="true">简体中文</span>' in page


@pytest.mark.parametrize("language", ["", "xx", "en-gb", "../en"])
def test_a_language_that_there_is_not_is_a_clear_error(client: Client, language: str) -> None:
    assert client.post("/preferences/language/", {"language": language}).status_code == 400
