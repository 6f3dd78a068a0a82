"""Two people at one browser, one connection, one process: what belongs to one never reaches the other."""

from __future__ import annotations

import http.client
import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from django.conf import settings as django_settings
from django.test import Client

from accounts.models import User
from omaccess.meta import Meta
from omaccess.models import Launch
from tests.access.people import People, launched
from tests.factories import PASSWORD, GrantFactory, UserFactory
from tests.inventory import Inventory
from tests.omaccess.admin.conftest import page
from tests.processes import web

LOGIN = "/accounts/login/"


def token_of(text: str) -> str:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', text)
    assert found
    return found[1]


def sign_in(client: Client, name: str) -> None:
    form = {"login": name, "password": PASSWORD, "csrfmiddlewaretoken": token_of(client.get(LOGIN).text)}
    assert client.post(LOGIN, form).status_code == 302


def sign_out(client: Client) -> None:
    form = {"csrfmiddlewaretoken": token_of(client.get("/accounts/logout/").text)}
    assert client.post("/accounts/logout/", form).status_code == 302


@pytest.fixture
def shared(people: People) -> Client:
    """One browser that people take turns at; it keeps its cookies and is asked for CSRF tokens."""
    return Client(enforce_csrf_checks=True)


@pytest.mark.database
def test_a_form_that_one_person_loaded_opens_nothing_when_another_sends_it(
    shared: Client, people: People, inventory: Inventory
) -> None:
    sign_in(shared, "staff")
    form = {
        "account": inventory.root.pk,
        "csrfmiddlewaretoken": token_of(shared.get(f"/hosts/{inventory.root.host_id}/").text),
    }
    sign_out(shared)
    sign_in(shared, "colleague")

    stale = shared.post("/launches/", form)
    fresh = shared.post("/launches/", form | {"csrfmiddlewaretoken": token_of(shared.get("/").text)})

    assert stale.status_code == 303
    assert stale["Location"].startswith("/hosts/?account=")
    assert fresh.status_code == 404
    assert not Launch.objects.exists()


@pytest.mark.database
def test_a_form_that_both_may_send_is_the_senders(shared: Client, people: People, inventory: Inventory) -> None:
    GrantFactory(user=people.users["colleague"], host=inventory.root.host)
    sign_in(shared, "staff")
    once = re.search(r'name="once" value="([^"]+)"', shared.get(f"/hosts/{inventory.root.host_id}/").text)
    assert once
    sign_out(shared)
    sign_in(shared, "colleague")
    token = token_of(shared.get("/").text)

    shared.post("/launches/", {"account": inventory.root.pk, "once": once[1], "csrfmiddlewaretoken": token})

    assert Launch.objects.get().user == people.users["colleague"]


@pytest.mark.database
def test_a_waiting_launch_is_not_tried_again_by_whoever_comes_next(
    shared: Client, people: People, inventory: Inventory
) -> None:
    launch = launched(inventory.staff, inventory.root, "0123456789", state="waiting")
    sign_in(shared, "colleague")
    token = token_of(shared.get("/").text)

    answer = shared.post("/launches/0123456789/attempt/", {"csrfmiddlewaretoken": token})

    launch.refresh_from_db()
    assert answer.status_code == 404
    assert launch.state == "waiting"


@pytest.mark.database
def test_a_sign_in_form_of_a_second_tab_does_not_take_over_a_session(shared: Client, people: People) -> None:
    stale = {"login": "colleague", "password": PASSWORD, "csrfmiddlewaretoken": token_of(shared.get(LOGIN).text)}
    sign_in(shared, "staff")

    shared.post(LOGIN, stale)

    assert shared.get("/").context["user"].username == "staff"


@pytest.mark.database
def test_an_admin_form_is_saved_by_whoever_sends_it_or_not_at_all(
    shared: Client, people: People, inventory: Inventory
) -> None:
    User.objects.filter(username="admin").update(password=inventory.staff.password)
    sign_in(shared, "admin")
    address = page("omaccess_grant_revoke", GrantFactory().pk)
    token = token_of(shared.get(address).text)
    sign_out(shared)
    sign_in(shared, "staff")

    answers = [
        shared.post(address, {"csrfmiddlewaretoken": token}),
        shared.post(address, {"csrfmiddlewaretoken": token_of(shared.get("/").text)}),
    ]

    assert [answer.status_code for answer in answers] == [403, 403]


@pytest.mark.database
def test_no_page_of_a_person_may_be_kept_for_another(people: People, inventory: Inventory) -> None:
    """Not by the browser (`no-store`), nor by anything between: pages that name a person, refusals, not-founds."""
    launched(inventory.staff, inventory.root, "0123456789")
    addresses = [
        "/",
        f"/hosts/{inventory.root.host_id}/",
        "/activity/",
        "/activity/access/",
        "/activity/export/",
        "/launches/0123456789/",
    ]
    kept: list[str] = []

    for address in addresses:
        response = people["staff"].get(address)
        assert "no-store" in response["Cache-Control"], address
        assert "private" in response["Cache-Control"], address
    for name, address in (
        ("staff", "/hosts/987654321/"),
        ("staff", "/admin/"),
        ("staff", "/accounts/password/change/"),
        ("admin", page("omaccess_host_changelist")),
        ("admin", page("accounts_user_changelist")),
    ):
        response = people[name].get(address)
        directives = response.get("Cache-Control", "")
        if "no-store" not in directives and "Cookie" not in response.get("Vary", ""):
            kept.append(address)

    assert kept == []
    assert "username" not in people["staff"].get("/launches/opening/").text


def test_two_sessions_that_take_turns_on_one_connection_never_cross(
    committed_inventory: Inventory, meta_of: Callable[[User], Meta]
) -> None:
    """One thread of one process, one kept-alive connection: whatever a thread remembers would show."""
    other = UserFactory(username="colleague")
    committed_inventory.grant.delete()
    GrantFactory(user=committed_inventory.staff, host=committed_inventory.root.host)
    GrantFactory(user=other, host=committed_inventory.hosts["legacy"])
    launched(committed_inventory.staff, committed_inventory.root, "0123456789")
    launched(other, committed_inventory.account("root", "legacy"), "9876543210")
    own = {
        "staff": (meta_of(committed_inventory.staff).session_key, {"web-01", "0123456789"}),
        "colleague": (meta_of(other).session_key, {"legacy", "9876543210"}),
    }
    words = {word for _key, found in own.values() for word in found}

    with web(WEB_THREADS="2") as (_process, url):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)
        sockets = set()
        for turn in range(24):
            name = ("staff", "colleague")[turn % 2] if turn % 5 else "nobody"
            key, mine = own.get(name, ("", set()))
            status, text = _ask(connection, ("/", "/activity/", "/?q=e")[turn % 3], key)
            sockets.add(id(connection.sock))
            assert status == (200 if key else 302)
            assert {word for word in words if word in text} <= mine
            if key:
                assert name.title() in text or name in text
        for name, (key, _mine) in own.items():
            theirs = "9876543210" if name == "staff" else "0123456789"
            assert _ask(connection, f"/launches/{theirs}/", key)[0] == 404
        answers = [
            _press(connection, key, committed_inventory.root.pk)[0] for key, _mine in (*own.values(), *own.values())
        ]
        connection.close()

    assert len(sockets) == 1
    assert answers == [303, 404, 303, 404]
    assert set(Launch.objects.filter(state="opened").values_list("user__username", flat=True)) == {"staff", "colleague"}
    assert Launch.objects.filter(user=other).count() == 1


def _ask(connection: http.client.HTTPConnection, path: str, key: str, **options: Any) -> tuple[int, str]:
    cookies = f"{django_settings.SESSION_COOKIE_NAME}={key}" if key else ""
    connection.request("GET", path, headers={"Cookie": cookies})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def _press(connection: http.client.HTTPConnection, key: str, account: int) -> tuple[int, str]:
    secret = "c" * 32
    cookies = f"{django_settings.SESSION_COOKIE_NAME}={key}; {django_settings.CSRF_COOKIE_NAME}={secret}"
    body = urlencode({"account": account, "csrfmiddlewaretoken": secret})
    headers = {"Cookie": cookies, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request("POST", "/launches/", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.database
def test_a_message_for_one_person_is_not_told_to_the_next(shared: Client, people: People, inventory: Inventory) -> None:
    """A message waits for the next page. When that page is somebody else's, it is gone."""
    User.objects.filter(username="admin").update(password=inventory.staff.password)
    sign_in(shared, "admin")
    token = token_of(shared.get("/").text)
    shared.post(page("omaccess_hostaccount_test", inventory.root.pk), {"csrfmiddlewaretoken": token})
    shared.cookies.pop(django_settings.SESSION_COOKIE_NAME)  # the session ended: by time, by an admin, by its row

    shown = shared.get(LOGIN).text
    sign_in(shared, "colleague")

    assert "root@web-01" not in shown + shared.get("/activity/").text
