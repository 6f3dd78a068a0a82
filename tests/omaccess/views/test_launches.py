"""Asking for a session over HTTP, with the sandbox as Huawei Cloud, and the pages that tell what came of it."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest
import time_machine
from django.conf import settings as configured
from django.contrib.sessions.models import Session
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import escape
from django.utils.timezone import localtime
from pytest_django import Settings

from omaccess.causes import Cause
from omaccess.failures import CATALOGUE
from omaccess.models import AuditEvent, Grant, HostAccount, Launch, LaunchState
from omaccess.sandbox.server import SandboxServer
from omaccess.views.outcomes import AUTOMATIC, Outcome
from tests.factories import GrantFactory, HostAccountFactory, LaunchFactory, UserFactory
from tests.inventory import Inventory
from tests.omaccess.views.test_activity import make_launch

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(client: Client, inventory: Inventory) -> Client:
    client.force_login(inventory.staff)
    return client


def press(client: Client, account: HostAccount | int | str, **fields: str) -> Any:
    """The answer; `Any`, as Django's test client returns a response with more on it than the class says."""
    pk = account.pk if isinstance(account, HostAccount) else account
    return client.post("/launches/", {"account": pk, "once": str(uuid.uuid4())} | fields)


def last_launch() -> Launch:
    return Launch.objects.latest("pk")


# --- it opens ---------------------------------------------------------------------------------------


def test_a_press_answers_with_the_link_and_nothing_else(
    staff: Client, inventory: Inventory, sandbox: SandboxServer
) -> None:
    response = press(staff, inventory.root)

    assert response.status_code == 303
    assert "{0.scheme}://{0.netloc}".format(urlsplit(response["Location"])) == sandbox.url
    assert response["Cache-Control"] == "no-store"
    assert response["Referrer-Policy"] == "no-referrer"
    assert response.content == b""
    assert last_launch().state == LaunchState.OPENED


def test_the_link_is_in_no_page_cookie_or_repr(staff: Client, inventory: Inventory) -> None:
    response = press(staff, inventory.root)
    launch = last_launch()
    secret = response["Location"]
    token = urlsplit(secret).query or urlsplit(secret).path.rsplit("/", 1)[-1]

    pages = [
        staff.get(f"/launches/{launch.reference}/"),
        staff.get(f"/launches/status/{launch.once}/"),
        staff.get("/activity/"),
        staff.get(f"/hosts/{launch.account.host_id}/"),
    ]

    assert all(page.status_code == 200 for page in pages)
    assert all(token.encode() not in page.content for page in pages)
    assert token not in repr(response)
    assert token not in str(response.cookies)


def test_other_pages_keep_their_referrer_so_that_forms_have_an_origin(staff: Client) -> None:
    assert staff.get("/")["Referrer-Policy"] == "same-origin"


def test_get_never_mints(staff: Client, inventory: Inventory, sandbox: SandboxServer) -> None:
    for path in ("/launches/", "/launches/?account=1", f"/launches/{'0' * 10}/attempt/", "/launches/opening/"):
        staff.get(path)
        staff.head(path)

    assert staff.get("/launches/")["Location"] == "/activity/"
    assert staff.put("/launches/").status_code == 405
    assert not Launch.objects.exists()
    assert sandbox.control.counters() == {}


def test_a_form_pressed_twice_is_one_launch(staff: Client, inventory: Inventory) -> None:
    once = str(uuid.uuid4())

    press(staff, inventory.root, once=once)
    second = press(staff, inventory.root, once=once)

    assert Launch.objects.count() == 1
    assert second["Location"] == f"/launches/{last_launch().reference}/"


def test_rubbish_in_once_collapses_nothing(staff: Client, inventory: Inventory) -> None:
    answers = [press(staff, inventory.root, once="'; drop table") for _ in range(2)]

    assert all(answer["Location"].startswith("http://127.0.0.1") for answer in answers)
    assert Launch.objects.count() == 2


# --- it does not open -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "account", "cause"),
    [
        ("web-01", "ghost", Cause.HOST_ACCOUNT_UNKNOWN),
        ("web-01", "forbidden", Cause.IAM_USER_NO_PERMISSION),
        ("web-01", "conflict", Cause.IAM_USER_CONFLICT),
        ("web-01", "broken", Cause.UPSTREAM_UNKNOWN_ERROR),
        ("unmanaged", "root", Cause.HOST_NOT_MANAGED),
        ("legacy", "root", Cause.VERSION_TOO_OLD),
    ],
)
def test_a_refusal_leads_to_a_page_that_explains_it(
    staff: Client, inventory: Inventory, host: str, account: str, cause: Cause
) -> None:
    response = press(staff, inventory.account(account, host))
    page = staff.get(response["Location"]).content.decode()

    assert response.status_code == 303
    assert escape(str(CATALOGUE[cause].title)) in page
    assert "Nothing was opened." in page
    assert "Whose move" in page
    assert last_launch().reference in page
    assert last_launch().request_id in page


RETRIED = '<form method="post" action="/launches/" data-retry'


def test_a_refusal_that_may_be_over_soon_offers_to_try_again_with_the_same_reason(client: Client) -> None:
    launch = LaunchFactory(state=LaunchState.REFUSED, cause=Cause.CLOUD_SERVER_ERROR, reason="disk full", ticket="T-1")
    GrantFactory(user=launch.user, everything=True)
    client.force_login(launch.user)

    page = client.get(f"/launches/{launch.reference}/").content.decode()

    assert RETRIED in page
    assert 'name="reason" value="disk full"' in page
    assert 'name="ticket" value="T-1"' in page
    assert f'name="account" value="{launch.account_id}"' in page


@pytest.mark.parametrize("cause", [Cause.HOST_ACCOUNT_UNKNOWN, Cause.GRANT_ENDED, Cause.CREDENTIAL_LOCKED])
def test_a_refusal_that_somebody_has_to_mend_first_offers_no_second_try(client: Client, cause: Cause) -> None:
    launch = LaunchFactory(state=LaunchState.REFUSED, cause=cause)
    GrantFactory(user=launch.user, everything=True)
    client.force_login(launch.user)

    page = client.get(f"/launches/{launch.reference}/").content.decode()

    assert RETRIED not in page
    assert f"Back to {launch.host_name}" in page


def test_trying_again_is_not_offered_where_the_access_is_gone(client: Client) -> None:
    launch = LaunchFactory(state=LaunchState.REFUSED, cause=Cause.CLOUD_SERVER_ERROR)
    client.force_login(launch.user)

    assert RETRIED not in client.get(f"/launches/{launch.reference}/").content.decode()


@pytest.mark.parametrize("account", ["0", "-1", "x", "", "99999999999999999999999", "1 OR 1=1", "1\x00"])
def test_rubbish_for_an_account_is_not_found(staff: Client, inventory: Inventory, account: str) -> None:
    assert press(staff, account).status_code == 404
    assert not Launch.objects.exists()


def test_an_invisible_account_is_not_found_and_audited(staff: Client) -> None:
    outsider = UserFactory()
    staff.force_login(outsider)
    foreign = HostAccountFactory()

    assert press(staff, foreign).status_code == 404
    assert press(staff, 10**9).status_code == 404
    assert AuditEvent.objects.filter(kind="launch:denied", actor_name=outsider.username).count() == 2


def test_a_grant_revoked_while_the_page_was_open_is_explained(staff: Client, inventory: Inventory) -> None:
    Grant.objects.filter(pk=inventory.grant.pk).update(revoked_at=timezone.now(), revoked_by=UserFactory())

    response = press(staff, inventory.root)

    assert last_launch().state == LaunchState.DENIED
    assert b"Your access was revoked" in staff.get(response["Location"]).content


def test_a_missing_reason_gives_the_form_back_with_what_was_typed(client: Client) -> None:
    account = HostAccountFactory()
    grant = GrantFactory(host=account.host, is_reason_required=True, ticket_pattern="INC[0-9]{6}")
    assert grant.user is not None
    client.force_login(grant.user)

    response = press(client, account, reason="", ticket='"><script>')
    page = response.content.decode()

    assert response.status_code == 422
    assert "&quot;&gt;&lt;script&gt;" in page
    assert page.count('aria-invalid="true"') == 2
    assert page.count("autofocus") == 1
    assert page.index("autofocus") < page.index('name="ticket"')
    assert not Launch.objects.exists()


@pytest.mark.parametrize("length", [501, 100_000])
def test_an_absurdly_long_reason_is_refused_and_given_back(client: Client, length: int) -> None:
    account = HostAccountFactory()
    grant = GrantFactory(host=account.host, is_reason_required=True)
    assert grant.user is not None
    client.force_login(grant.user)

    response = press(client, account, reason="x" * length)

    assert response.status_code == 422
    assert b"x" * 501 in response.content


def test_control_characters_in_a_reason_become_spaces(staff: Client, inventory: Inventory) -> None:
    press(staff, inventory.root, reason="disk\x00full\nsince\u202enoon")

    assert last_launch().reason == "disk full since noon"


def test_too_many_launches_are_told_when_to_come_back(staff: Client, inventory: Inventory, settings: Settings) -> None:
    settings.LAUNCHES_PER_MINUTE = 1

    press(staff, inventory.root)
    response = press(staff, inventory.root)

    assert response.status_code == 429
    assert 1 <= int(response["Retry-After"]) <= 60
    assert b"Nothing was opened" in response.content
    assert f'href="/hosts/?account={inventory.root.pk}"' in response.content.decode()


def test_what_cannot_be_recorded_is_a_503_page_that_asks_no_database(
    staff: Client, inventory: Inventory, sandbox: SandboxServer
) -> None:
    """The database goes away after the person is known: everything but reading fails."""
    refused: list[str] = []
    asked_later: list[str] = []

    def read_only(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
        if sql.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK", "BEGIN")):
            return execute(sql, params, many, context)
        if refused:
            asked_later.append(sql)
        if not sql.startswith("SELECT"):
            refused.append(sql)
            raise OperationalError("gone")
        return execute(sql, params, many, context)

    with connection.execute_wrapper(read_only):
        response = press(staff, inventory.root)

    assert response.status_code == 503
    assert b"nothing was opened" in response.content
    assert response["Cache-Control"] == "no-store"
    assert len(refused) == 1
    assert asked_later == []
    assert sandbox.control.counters() == {}


# --- signed out, stale ------------------------------------------------------------------------------


def test_an_expired_session_leads_back_to_the_same_account(staff: Client, inventory: Inventory) -> None:
    Session.objects.all().delete()

    response = press(staff, inventory.root)

    assert response.status_code == 302
    assert response["Location"] == f"/accounts/login/?next=/hosts/%3Faccount%3D{inventory.root.pk}"


def test_an_expired_session_with_rubbish_leads_to_the_list(client: Client) -> None:
    response = client.post("/launches/", {"account": "https://evil.example"})

    assert response["Location"] == "/accounts/login/?next=/"


def test_an_expired_session_on_an_attempt_leads_back_to_the_launch(client: Client) -> None:
    response = client.post("/launches/ABCDEFGH12/attempt/")

    assert response["Location"] == "/accounts/login/?next=/launches/ABCDEFGH12/"


def test_a_stale_csrf_token_leads_back_to_the_same_account(inventory: Inventory) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(inventory.staff)

    response = press(client, inventory.root)
    page = client.get(response["Location"], follow=True)

    assert response.status_code == 303
    assert response["Location"] == f"/hosts/?account={inventory.root.pk}"
    assert page.redirect_chain[-1][0] == f"/hosts/{inventory.root.host_id}/?account={inventory.root.pk}"
    assert b"nothing was opened" in page.content
    assert not Launch.objects.exists()


# --- waiting ----------------------------------------------------------------------------------------


def test_a_bastion_that_is_getting_ready_makes_the_launch_wait(staff: Client, inventory: Inventory) -> None:
    response = press(staff, inventory.account("root", "fresh"))
    page = staff.get(response["Location"]).content.decode()

    assert last_launch().state == LaunchState.WAITING
    assert f'action="/launches/{last_launch().reference}/attempt/"' in page
    assert 'data-automatic-seconds="1' in page
    assert "Nothing was opened yet" in page


def test_a_waiting_page_says_how_often_and_until_when_it_tries(staff: Client, inventory: Inventory) -> None:
    press(staff, inventory.account("root", "fresh"))
    launch = last_launch()
    until = date_format(localtime(Outcome.of(launch).waits_until), "H:i")

    page = staff.get(f"/launches/{launch.reference}/").content.decode()

    assert f"At most {configured.WAITING_ATTEMPTS - 1} more tries, until about {until}." in page
    assert f"{configured.WAITING_ATTEMPTS - 1} tries are left." in page


def test_a_wait_whose_time_has_run_out_offers_the_host_and_no_try(staff: Client, inventory: Inventory) -> None:
    press(staff, inventory.account("root", "fresh"))
    launch = last_launch()
    Launch.objects.filter(pk=launch.pk).update(attempt=configured.WAITING_ATTEMPTS)

    page = staff.get(f"/launches/{launch.reference}/").content.decode()

    assert "Try now" not in page
    assert "Back to fresh" in page


def test_an_attempt_opens_when_the_bastion_is_ready(
    staff: Client, inventory: Inventory, sandbox: SandboxServer
) -> None:
    press(staff, inventory.account("root", "fresh"))
    launch = last_launch()
    sandbox.control.advance_clock(60)

    with time_machine.travel(timezone.now() + dt.timedelta(seconds=10)):
        response = staff.post(f"/launches/{launch.reference.lower()}/attempt/")

    assert response.status_code == 303
    assert response["Location"].startswith(sandbox.url)
    assert response["Referrer-Policy"] == "no-referrer"


def test_a_waiting_page_found_again_later_does_nothing_by_itself(staff: Client, inventory: Inventory) -> None:
    press(staff, inventory.account("root", "fresh"))
    launch = last_launch()
    Launch.objects.filter(pk=launch.pk).update(attempted_at=timezone.now() - AUTOMATIC - dt.timedelta(seconds=1))

    page = staff.get(f"/launches/{launch.reference}/").content.decode()

    assert 'data-automatic-seconds="0"' in page
    assert "Try now" in page


def test_an_attempt_of_somebody_elses_launch_is_not_found(staff: Client, inventory: Inventory) -> None:
    press(staff, inventory.account("root", "fresh"))
    staff.force_login(UserFactory())

    assert staff.post(f"/launches/{last_launch().reference}/attempt/").status_code == 404
    assert staff.post("/launches/nonsense/attempt/").status_code == 404
    assert last_launch().attempt == 1


# --- the launch's page ------------------------------------------------------------------------------


def test_a_reference_is_read_tolerantly(client: Client) -> None:
    user = UserFactory()
    launch = make_launch(user, HostAccountFactory(), reference="0123ABCD1X")
    client.force_login(user)

    answers = [client.get(f"/launches/{text}/") for text in ("o123abcdlx", "O123-ABCD-IX")]

    assert [answer["Location"] for answer in answers] == [f"/launches/{launch.reference}/"] * 2
    assert client.get(f"/launches/{launch.reference}/").status_code == 200


@pytest.mark.parametrize("text", ["0123ABCD1Y", "short", "%00", "0123ABCD1X0", "ÄÖÜ", "x" * 5000])
def test_an_unknown_reference_is_not_found(client: Client, text: str) -> None:
    client.force_login(UserFactory())

    assert client.get(f"/launches/{text}/").status_code == 404


def test_the_launch_of_somebody_else_is_not_found(client: Client) -> None:
    launch = make_launch(UserFactory(), HostAccountFactory())
    client.force_login(UserFactory())

    assert client.get(f"/launches/{launch.reference}/").status_code == 404
    assert client.get(f"/launches/status/{launch.once or uuid.uuid4()}/").status_code == 204


@pytest.mark.parametrize("cause", list(Cause))
def test_every_cause_has_a_page_and_a_status(client: Client, cause: Cause) -> None:
    user, once = UserFactory(), uuid.uuid4()
    launch = make_launch(user, HostAccountFactory(), state=LaunchState.REFUSED, cause=cause, once=once)
    client.force_login(user)

    page = client.get(f"/launches/{launch.reference}/")
    status = client.get(f"/launches/status/{once}/")

    assert page.status_code == 200
    assert launch.reference in page.content.decode()
    assert 'data-launch-state="refused"' in status.content.decode()
    assert "{" not in page.context["explanation"].what + page.context["explanation"].next_step


def test_what_the_cloud_said_is_escaped_and_cut(client: Client) -> None:
    user = UserFactory()
    launch = make_launch(
        user,
        HostAccountFactory(),
        state=LaunchState.REFUSED,
        cause=Cause.UPSTREAM_UNKNOWN_ERROR,
        upstream_description="<script>alert(1)</script>" + "y" * 470,
    )
    client.force_login(user)

    page = client.get(f"/launches/{launch.reference}/").content.decode()

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert "y" * 300 not in page


def test_a_launch_under_way_is_told_neutrally(client: Client) -> None:
    user, once = UserFactory(), uuid.uuid4()
    launch = make_launch(user, HostAccountFactory(), state=LaunchState.PENDING, ended_at=None, once=once)
    client.force_login(user)

    page = client.get(f"/launches/{launch.reference}/").content.decode()

    assert "Huawei Cloud is being asked" in page
    assert "data-waiting" not in page
    assert client.get(f"/launches/status/{once}/").status_code == 204


def test_an_opened_launch_has_the_instances_help(client: Client) -> None:
    user, once, account = UserFactory(), uuid.uuid4(), HostAccountFactory()
    account.host.instance.help_text = "Use the VPN.\nSee https://wiki.example/ <b>"
    account.host.instance.save()
    launch = make_launch(user, account, once=once)
    client.force_login(user)

    for path in (f"/launches/{launch.reference}/", f"/launches/status/{once}/"):
        page = client.get(path).content.decode()

        assert "Use the VPN.<br>" in page
        assert 'href="https://wiki.example/"' in page
        assert "<b>" not in page


def test_a_host_that_became_invisible_is_not_linked(client: Client) -> None:
    user = UserFactory()
    launch = make_launch(user, HostAccountFactory())
    client.force_login(user)

    page = client.get(f"/launches/{launch.reference}/").content.decode()

    assert f"/hosts/{launch.account.host_id}/" not in page


def test_the_opening_page_does_nothing(staff: Client, sandbox: SandboxServer) -> None:
    response = staff.get("/launches/opening/")

    assert response.status_code == 200
    assert b"<form" not in response.content
    assert sandbox.control.counters() == {}


@pytest.mark.parametrize("path", ["/activity/", "/launches/{reference}/"])
def test_a_launch_on_production_says_so(client: Client, path: str) -> None:
    launch = LaunchFactory(account__host__labels={"env": "prod"})
    other = LaunchFactory(user=launch.user)
    client.force_login(launch.user)

    page = client.get(path.format(reference=launch.reference)).content.decode()

    assert page.count("badge-prod") == 1
    assert "badge-prod" not in client.get(f"/launches/{other.reference}/").content.decode()
