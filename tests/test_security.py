"""What has gone wrong at comparable doors with addresses, headers and pages, tried here from the attacker's side."""

from __future__ import annotations

import http.client
import socket
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from pytest_django import Settings

from accounts.models import ADMINS
from omaccess.causes import Cause
from omaccess.models import AuditEvent, BastionInstance, IamCredential, Launch, LaunchState
from omaccess.sandbox.server import SandboxServer
from tests.factories import PASSWORD, UserFactory
from tests.inventory import Inventory


@pytest.fixture
def staff(client: Client, inventory: Inventory) -> Client:
    client.force_login(inventory.staff)
    return client


def press(client: Client, account_id: object, **fields: str) -> Any:
    return client.post("/launches/", {"account": account_id, "once": str(uuid.uuid4())} | fields)


def handed_out(sandbox: SandboxServer, response: Any) -> bool:
    """Whether this answer leads to the bastion."""
    return bool(response.get("Location", "").startswith(sandbox.url))


# --- open redirects -------------------------------------------------------------------------------

ELSEWHERE = [
    "https://evil.example/",
    "//evil.example/",
    "///evil.example/",
    "/\\evil.example/",
    "\\\\evil.example/",
    "/\t/evil.example/",
    "\t//evil.example/",
    "\r\n//evil.example/",
    "https:evil.example",
    "https:/evil.example",
    "http:///evil.example/",
    "https://testserver@evil.example/",
    "https://testserver.evil.example/",
    "javascript:alert(1)",
    "java\nscript:alert(1)",
    "data:text/html,x",
    "//evil.example\\@testserver/",
    "/%0d%0aLocation:%20https://evil.example/",
    "ftp://testserver/",
]


def stays_here(location: str) -> bool:
    """As a browser reads it: tabs and line ends vanish, a backslash is a slash."""
    plain = "".join(char for char in location if char > " ").replace("\\", "/")
    return plain.startswith("/") and not plain.startswith("//") and not urlsplit(plain).netloc


def test_the_judge_of_redirects_knows_the_ways_out() -> None:
    assert [place for place in ELSEWHERE if stays_here(place)] == ["/%0d%0aLocation:%20https://evil.example/"]


@pytest.mark.django_db
@pytest.mark.parametrize("where", ELSEWHERE)
def test_no_next_leads_out_of_the_portal(client: Client, where: str) -> None:
    user = UserFactory(groups=[Group.objects.get(name=ADMINS)])
    fields = {"login": user.username, "password": PASSWORD, "next": where}

    answers = [client.post("/accounts/login/", fields)]
    answers += [client.get(path, {"next": where}) for path in ("/accounts/login/", "/admin/login/")]
    answers.append(client.post("/accounts/reauthenticate/", {"password": PASSWORD, "next": where}))
    change = {"oldpassword": PASSWORD, "password1": f"{PASSWORD} 2", "password2": f"{PASSWORD} 2", "next": where}
    answers.append(client.post("/accounts/password/change/", change))
    answers.append(client.post("/accounts/logout/", {"next": where}))
    answers.append(client.get("/admin/login/", {"next": where}))

    places = [answer["Location"] for answer in answers]
    assert len(places) == 7
    assert [place for place in places if not stays_here(place)] == []


@pytest.mark.django_db
@pytest.mark.parametrize("where", ["https://other.example.com/", "http://intern/", "https://forms.example.net/"])
def test_no_next_leads_to_another_name_that_the_installation_knows(
    client: Client, settings: Settings, where: str
) -> None:
    settings.ALLOWED_HOSTS = ["testserver", ".example.com", "intern"]
    settings.CSRF_TRUSTED_ORIGINS = ["https://forms.example.net"]
    user = UserFactory()

    response = client.post("/accounts/login/", {"login": user.username, "password": PASSWORD, "next": where})

    assert (response.status_code, response["Location"]) == (302, "/")


# --- CRLF and control characters ------------------------------------------------------------------

INJECTED = "%0d%0aX-Injected:%20yes%0d%0a%0d%0a"


def raw_exchange(base: str, head: bytes) -> http.client.HTTPResponse:
    """Bytes as an attacker types them; no client library that would refuse or mend them."""
    place = urlsplit(base)
    with socket.create_connection((place.hostname or "", place.port or 0), timeout=30) as connection:
        connection.sendall(head)
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.read()
        return response


@pytest.mark.database
@pytest.mark.parametrize(
    "target",
    [
        f"/?q={INJECTED}&label={INJECTED}&instance={INJECTED}&page={INJECTED}",
        f"/hosts/?account=1{INJECTED}",
        f"/hosts/1{INJECTED}/",
        f"/launches/{INJECTED}/",
        f"/launches/0123456789{INJECTED}/attempt/",
        f"/accounts/login/?next=/{INJECTED}",
        f"/admin/login/?next=/{INJECTED}",
        f"/admin/{INJECTED}",
        f"/{INJECTED}",
        f"/healthz?{INJECTED}",
        "/%00",
        "/hosts/?account=%00%1b[2J",
    ],
)
def test_line_ends_in_an_address_make_no_header(portal_server: str, target: str) -> None:
    lines = f"GET {target} HTTP/1.0\r\nHost: localhost\r\nX-Request-Id: a%0d%0aX-Injected: yes\r\n\r\n"

    response = raw_exchange(portal_server, lines.encode())

    assert response.status < 500
    assert response.getheader("X-Injected") is None
    assert all(value.isprintable() for _name, value in response.getheaders())


@pytest.mark.database
@pytest.mark.django_db
@pytest.mark.parametrize("field", ["account", "reason", "ticket", "once"])
def test_control_characters_in_a_launch_form_make_no_header_and_no_error(
    staff: Client, inventory: Inventory, field: str
) -> None:
    hostile = "1\r\nX-Injected: yes\r\n\x00\x1b[2J\u2028\u202e"

    response = press(staff, inventory.root.pk, **{field: hostile})

    assert response.status_code in {303, 404}
    assert "X-Injected" not in response
    events = AuditEvent.objects.values_list("target_name", "cause", "actor_name", "browser")
    assert not [text for event in events for text in event if not text.isprintable()]


# --- limits keyed on what a client claims ---------------------------------------------------------

CLAIMS = ("X-Forwarded-For", "X-Real-IP", "Forwarded", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP")


def tried(client: Client, name: str, password: str, **extra: Any) -> str:
    """What a sign-in says: `in`, `wrong` or `limited`."""
    response = client.post("/accounts/login/", {"login": name, "password": password}, **extra)
    if response.status_code == 302:
        return "in"
    is_limited = response.status_code == 429 or "Too many" in response.content.decode()
    return "limited" if is_limited else "wrong"


@pytest.mark.django_db
def test_claiming_another_address_each_time_does_not_escape_the_limit_of_sign_ins(client: Client) -> None:
    said = []
    for number in range(12):
        claimed = dict.fromkeys(CLAIMS, f"198.51.100.{number}")
        said.append(tried(client, f"nobody-{number}", "wrong", headers=claimed))

    assert said == ["wrong"] * 10 + ["limited"] * 2
    assert set(AuditEvent.objects.values_list("address", flat=True)) == {"127.0.0.1"}


@pytest.mark.django_db
def test_a_closed_name_stays_closed_for_every_address_even_with_the_right_password() -> None:
    user, other = UserFactory(), UserFactory()

    said = [tried(Client(REMOTE_ADDR=f"203.0.113.{number}"), user.username, "wrong") for number in range(6)]

    assert said == ["wrong"] * 5 + ["limited"]
    assert tried(Client(REMOTE_ADDR="203.0.113.200"), user.username, PASSWORD) == "limited"
    assert tried(Client(REMOTE_ADDR="203.0.113.200"), other.username, PASSWORD) == "in"


@pytest.mark.django_db
@pytest.mark.parametrize(
    "hosts",
    [
        [f"testserver:{port}" for port in range(1000, 1008)],
        ["testserver", "testserver.", "TESTSERVER", "localhost", "127.0.0.1", "TestServer", "localhost.", "Localhost"],
    ],
)
def test_a_closed_name_stays_closed_however_the_portal_is_called(hosts: list[str]) -> None:
    user = UserFactory()

    said = [
        tried(Client(REMOTE_ADDR=f"203.0.113.{number}", headers={"host": host}), user.username, "wrong")
        for number, host in enumerate(hosts)
    ]

    assert said == ["wrong"] * 5 + ["limited"] * 3


@pytest.mark.django_db
def test_a_closed_name_stays_closed_however_it_is_spelled() -> None:
    UserFactory(username="sallyport.istvan")
    # PostgreSQL takes the long s for an S and the dotless i for an I when it compares without regard to case.
    spellings = [
        "sallyport.istvan",
        "SALLYPORT.ISTVAN",
        "\u017fallyport.istvan",
        "sallyport.\u0131stvan",
        " sallyport.istvan ",
    ]

    said = [
        tried(Client(REMOTE_ADDR=f"203.0.113.{number}"), name, "wrong")
        for number, name in enumerate([*spellings, "Sallyport.Istvan"])
    ]

    assert said == ["wrong"] * 5 + ["limited"]


# --- the server is made to call somebody else --------------------------------------------------------

INSIDE = ["http://169.254.169.254", "https://169.254.169.254", "https://iam.evil.example", "https://10.0.0.1:8443"]


@pytest.mark.django_db
@pytest.mark.parametrize("where", INSIDE)
@pytest.mark.parametrize("model", [IamCredential, BastionInstance])
def test_an_endpoint_written_past_the_forms_is_refused_at_the_moment_of_use(
    staff: Client, inventory: Inventory, sandbox: SandboxServer, model: type[Any], where: str
) -> None:
    model.objects.update(**{"iam_endpoint" if model is IamCredential else "endpoint": where})

    response = press(staff, inventory.root.pk)

    launch = Launch.objects.get()
    assert (launch.state, launch.cause) == (LaunchState.FAILED, Cause.ENDPOINT_NOT_ALLOWED)
    assert not handed_out(sandbox, response)


# --- pages that talk, and pages in somebody's frame ----------------------------------------------------


def test_health_says_one_word_and_nothing_about_the_inside(portal_server: str) -> None:
    for path, word in (("/healthz", b"ok\n"), ("/readyz", b"ready\n"), ("/healthz?verbose=1&full", b"ok\n")):
        place = urlsplit(portal_server)
        connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
        connection.request("GET", path, headers={"Accept": "application/json", "X-Debug": "1"})
        response = connection.getresponse()

        assert (response.status, response.read()) == (200, word)
        assert response.getheader("Set-Cookie") is None
        connection.close()


@pytest.mark.django_db
def test_no_page_can_be_put_into_a_frame(staff: Client, inventory: Inventory) -> None:
    admin = Client()
    admin.force_login(UserFactory(is_superuser=True))
    strict = Client(enforce_csrf_checks=True)
    pages = [
        *(staff.get(path) for path in ("/", f"/hosts/{inventory.root.host_id}/", "/activity/", "/launches/opening/")),
        *(staff.get(path) for path in ("/nothing/", "/admin/", "/accounts/password/change/", "/accounts/logout/")),
        *(admin.get(path) for path in ("/admin/", "/admin/omaccess/grant/add/", "/admin/omaccess/auditevent/")),
        Client().get("/accounts/login/"),
        strict.post("/accounts/login/", {"login": "x"}),
        press(staff, "rubbish"),
        press(staff, inventory.root.pk),
    ]

    assert sorted({page.status_code for page in pages}) == [200, 303, 403, 404]
    assert [page.request["PATH_INFO"] for page in pages if page["X-Frame-Options"] != "DENY"] == []
    policies = [page["Content-Security-Policy"] for page in pages]
    assert [policy for policy in policies if "frame-ancestors 'none'" not in policy] == []


@pytest.mark.django_db
def test_a_foreign_host_name_is_refused_before_any_page(client: Client) -> None:
    assert client.get("/accounts/login/", headers={"host": "evil.example"}).status_code == 400
