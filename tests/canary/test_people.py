"""People's passwords: signing in, confirming, changing; right and wrong ones."""

from __future__ import annotations

import secrets

import pytest
from django.core.cache import cache
from django.test import Client
from django.urls import reverse

from accounts.models import User
from omaccess.models import AuditEvent
from tests.canary.issued import Issued
from tests.canary.sinks import Sinks, add_database, add_mail, add_response
from tests.factories import PASSWORD
from tests.inventory import Inventory

pytestmark = pytest.mark.database

LOGIN = "/accounts/login/"
CHANGE = "/accounts/password/change/"


def test_no_password_of_a_person_reaches_any_sink(
    inventory: Inventory, issued: Issued, sinks: Sinks, logged: None, capfd: pytest.CaptureFixture[str]
) -> None:
    cache.clear()
    wrong, weak, fresh = (issued.add("typed password", secrets.token_urlsafe(18)) for _ in range(3))
    client = Client()
    posts = [
        (LOGIN, {"login": "staff", "password": wrong}),
        (LOGIN, {"login": "nobody-of-that-name", "password": wrong}),
        (LOGIN, {"login": "staff", "password": PASSWORD}),
        (reverse("account_reauthenticate"), {"password": wrong}),
        (reverse("account_reauthenticate"), {"password": PASSWORD}),
        (CHANGE, {"oldpassword": wrong, "password1": fresh, "password2": fresh}),
        (CHANGE, {"oldpassword": PASSWORD, "password1": weak, "password2": fresh}),
        (CHANGE, {"oldpassword": PASSWORD, "password1": fresh, "password2": fresh}),
        (reverse("account_logout"), {}),
        (LOGIN, {"login": "staff", "password": PASSWORD}),
        (LOGIN, {"login": "staff", "password": fresh}),
    ]
    for address, typed in posts:
        answer = client.post(address, typed)
        add_response(sinks, answer)
        if answer.status_code == 302:
            assert "?" not in answer["Location"]
            add_response(sinks, client.get(answer["Location"]))
    add_database(sinks)
    add_mail(sinks)
    printed = capfd.readouterr()
    sinks.add("standard output", printed.out + printed.err)

    kinds = list(AuditEvent.objects.values_list("kind", flat=True))
    assert kinds.count("session:sign_in_failed") == 4
    assert kinds.count("session:signed_in") == 2
    assert "session:password_changed" in kinds
    assert User.objects.get(username="staff").check_password(fresh)
    assert sinks.leaks(issued) == []


def test_a_browser_is_told_to_keep_its_cookies_to_itself(inventory: Inventory) -> None:
    client = Client()
    client.post(LOGIN, {"login": "staff", "password": PASSWORD})

    names = set(client.cookies)
    assert names
    for name in names:
        cookie = client.cookies[name]
        assert cookie["httponly"], name
        assert cookie["samesite"] == "Lax"
        assert not cookie["domain"]


def test_no_address_that_a_browser_could_tell_others_holds_a_secret(
    staff: Client, inventory: Inventory, issued: Issued, sinks: Sinks
) -> None:
    """Pages tell where they are in `Referer`, to our own origin only; and there is nothing in it."""
    launched = staff.post("/launches/", {"account": inventory.root.pk})
    refused = staff.post("/launches/", {"account": inventory.account("ghost").pk})

    for address in ("/", "/activity/", refused["Location"]):
        response = staff.get(address)
        assert response["Referrer-Policy"] == "same-origin"
        sinks.add("addresses on the page", response.content)
        sinks.add("address", response.wsgi_request.build_absolute_uri())

    assert launched["Referrer-Policy"] == "no-referrer"
    assert issued.tickets
    assert sinks.leaks(issued) == []
