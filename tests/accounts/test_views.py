"""The pages of allauth that are in use, and that the others are not."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def test_signing_in_leads_to_where_one_wanted_to_go(client: Client) -> None:
    user = UserFactory()

    response = client.post("/accounts/login/?next=/activity/", {"login": user.username, "password": PASSWORD})

    assert (response.status_code, response["Location"]) == (302, "/activity/")


def test_signing_in_never_leads_elsewhere(client: Client) -> None:
    user = UserFactory()
    fields = {"login": user.username, "password": PASSWORD, "next": "https://evil.example/"}

    assert client.post("/accounts/login/", fields)["Location"] == "/"


def test_the_sign_in_page_keeps_the_way_back_and_offers_no_sign_up(client: Client) -> None:
    page = client.get("/accounts/login/?next=/hosts/%3Faccount%3D7").content.decode()

    assert 'value="/hosts/?account=7"' in page
    assert "sign up" not in page.lower()
    assert "account_reset" not in page


def test_a_wrong_password_and_an_unknown_name_look_alike(client: Client) -> None:
    user = UserFactory()

    pages = [
        client.post("/accounts/login/", {"login": name, "password": "wrong"}).content.decode()
        for name in (user.username, "nobody-of-that-name")
    ]

    assert all("alert-bad" in page for page in pages)
    assert [page.count("alert-bad") for page in pages] == [1, 1]


def test_signing_out_needs_a_post(client: Client) -> None:
    client.force_login(UserFactory())

    assert client.get("/accounts/logout/").status_code == 200
    assert client.get("/").status_code == 200
    assert client.post("/accounts/logout/")["Location"] == "/accounts/login/"
    assert client.get("/").status_code == 302


def test_a_password_is_changed_with_the_old_one(client: Client) -> None:
    user = UserFactory()
    client.force_login(user)
    fresh = "another fine battery staple"

    page = client.get("/accounts/password/change/")
    wrong = client.post("/accounts/password/change/", {"oldpassword": "x", "password1": fresh, "password2": fresh})
    right = client.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": fresh, "password2": fresh})

    assert page.status_code == 200
    assert b"field-error" in wrong.content
    assert right["Location"] == "/"
    user.refresh_from_db()
    assert user.check_password(fresh)


def test_whoever_has_no_password_cannot_set_one_here(client: Client) -> None:
    user = UserFactory()
    user.set_unusable_password()
    user.save()
    client.force_login(user)

    assert client.get("/accounts/password/change/").status_code == 403


@pytest.mark.parametrize(
    "path", ["signup", "email", "password/reset", "password/set", "confirm-email", "login/code", "social/signup", ""]
)
def test_what_is_not_in_use_does_not_exist(client: Client, path: str) -> None:
    client.force_login(UserFactory())

    assert client.get(f"/accounts/{path}/".replace("//", "/")).status_code == 404


@pytest.mark.parametrize("path", ["login", "inactive"])
def test_pages_for_strangers_need_no_sign_in(client: Client, path: str) -> None:
    assert client.get(f"/accounts/{path}/").status_code == 200


@pytest.mark.parametrize("path", ["password/change", "reauthenticate"])
def test_pages_about_oneself_need_a_sign_in(client: Client, path: str) -> None:
    response = client.get(f"/accounts/{path}/")

    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/")
