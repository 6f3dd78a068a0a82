"""The hosts list and the host page."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from accounts.models import User
from omaccess.models import Grant, Host, HostAccount
from omaccess.views.hosts import PAGE
from tests.factories import (
    BastionInstanceFactory,
    GrantFactory,
    HostAccountFactory,
    HostFactory,
    LaunchFactory,
    UserFactory,
)

pytestmark = pytest.mark.django_db


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


# --- the list ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/?q=web", "/hosts/", "/hosts/1/", "/activity/"])
def test_signed_out_leads_to_the_sign_in_and_back(client: Client, path: str) -> None:
    response = client.get(path)

    assert response.status_code == 302
    assert response["Location"].startswith("/accounts/login/?next=/")


def test_the_list_shows_what_may_be_opened_and_nothing_else(signed_in: Client, user: User) -> None:
    mine = granted(user, name="mine", labels={"env": "prod"}, owner="Shop team")
    HostAccountFactory(host=HostFactory(name="not-mine"))
    GrantFactory(user=user, host=HostAccountFactory(host=HostFactory(name="ended")).host, expired=True)

    page = signed_in.get("/").content.decode()

    assert "mine" in page
    assert "Shop team" in page
    assert 'class="chip chip-prod"' in page
    assert f'name="account" value="{mine.pk}"' in page
    assert "not-mine" not in page
    assert "ended" not in page


@pytest.mark.parametrize(
    ("labels", "is_production"),
    [
        ({"env": "prod"}, True),
        ({"Stage": "LIVE"}, True),
        ({"team": "shop", "environment": "production"}, True),
        ({"env": "preprod"}, False),
        ({"prod": "env"}, False),
        ({}, False),
    ],
)
def test_production_is_marked_by_word_and_edge_in_the_list_and_on_its_page(
    signed_in: Client, user: User, labels: dict[str, str], is_production: bool
) -> None:
    account = granted(user, name="mine", labels=labels)

    for path in ("/", f"/hosts/{account.host_id}/"):
        page = signed_in.get(path).content.decode()
        assert ('<span class="badge badge-prod">production</span>' in page) is is_production
        assert ("host-is-prod" in page) is is_production
        assert ("button-prod" in page) is is_production


def test_which_labels_mean_production_can_be_set(signed_in: Client, user: User, settings: Settings) -> None:
    settings.PRODUCTION_LABELS = frozenset({("tier", "customer")})
    granted(user, labels={"tier": "Customer"})
    granted(user, labels={"env": "prod"})

    page = signed_in.get("/").content.decode()

    assert page.count("badge-prod") == 1


def test_without_any_grant_the_list_says_whom_to_ask(signed_in: Client, settings: Settings) -> None:
    settings.SUPPORT_CONTACT = "bastion-team@acme.example"

    page = signed_in.get("/").content.decode()

    assert "There is no host you may open yet" in page
    assert "mailto:bastion-team@acme.example" in page


def test_without_a_match_the_list_says_so(signed_in: Client, user: User) -> None:
    granted(user)

    page = signed_in.get("/?q=zzz").content.decode()

    assert "No host matches" in page


def test_htmx_gets_only_the_list(signed_in: Client, user: User) -> None:
    granted(user, name="web-1")

    response = signed_in.get("/?q=web", headers={"HX-Request": "true"})

    assert response["Vary"].count("HX-Request") == 1
    assert b"web-1" in response.content
    assert b"<html" not in response.content


def test_filters_narrow_the_list_and_can_be_removed(signed_in: Client, user: User) -> None:
    prod = granted(user, name="prod-1", labels={"env": "prod"})
    granted(user, name="test-1", labels={"env": "test"})

    page = signed_in.get(f"/?label=env%3Dprod&instance={prod.host.instance_id}").content.decode()

    assert "prod-1" in page
    assert "test-1" not in page
    assert f'href="/?instance={prod.host.instance_id}"' in page


@pytest.mark.parametrize(
    "query", ["page=99999999999999999999", "page=-1", "page=x", "instance=x", "label=%00", "q=%00%ff"]
)
def test_rubbish_in_the_address_is_harmless(signed_in: Client, user: User, query: str) -> None:
    granted(user)

    assert signed_in.get(f"/?{query}").status_code == 200


def test_an_account_that_asks_for_a_reason_leads_to_the_host_page(signed_in: Client, user: User) -> None:
    account = HostAccountFactory()
    GrantFactory(user=user, host=account.host, is_reason_required=True)

    page = signed_in.get("/").content.decode()

    assert f'href="/hosts/{account.host_id}/?account={account.pk}"' in page
    assert 'name="account"' not in page


def test_the_list_comes_in_pages(signed_in: Client, user: User) -> None:
    instance = BastionInstanceFactory()
    GrantFactory(user=user, everything=True)
    for number in range(PAGE + 1):
        HostAccountFactory(host=HostFactory(instance=instance, name=f"n-{number:03}"))

    first, second = signed_in.get("/").content.decode(), signed_in.get("/?page=2").content.decode()

    assert "n-049" in first
    assert "n-050" not in first
    assert 'href="/?page=2"' in first
    assert "n-050" in second
    assert "n-049" not in second


def test_the_number_of_queries_does_not_depend_on_the_number_of_hosts(
    signed_in: Client, user: User, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    instance = BastionInstanceFactory()
    GrantFactory(user=user, everything=True)
    HostAccountFactory(host=HostFactory(instance=instance, labels={"env": "prod"}))
    with CaptureQueriesContext(connection) as few:
        signed_in.get("/")
    for _ in range(20):
        host = HostFactory(instance=instance, labels={"env": "test", "team": "shop"})
        HostAccountFactory(host=host, name="root")
        HostAccountFactory(host=host, name="ops")

    with django_assert_num_queries(len(few.captured_queries)):
        signed_in.get("/")


def test_hostile_names_are_escaped(signed_in: Client, user: User) -> None:
    granted(user, name="<script>alert(1)</script>", owner='"><img src=x>', labels={"k": "<b>"})

    page = signed_in.get("/").content.decode()

    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "<b>" not in page


# --- one host ---------------------------------------------------------------------------------------


def test_an_unknown_and_an_invisible_host_look_alike(signed_in: Client) -> None:
    invisible = HostAccountFactory()

    answers = [signed_in.get(f"/hosts/{pk}/") for pk in (invisible.host_id, 10**9, 10**30)]

    assert [answer.status_code for answer in answers] == [404, 404, 404]
    assert b"host-" not in answers[0].content


@pytest.mark.parametrize(
    ("trait", "words"),
    [
        ({"expired": True}, "Your access has ended"),
        ({"not_yet": True}, "Your access has not begun"),
        ({"revoked": True}, "Your access was revoked"),
        ({"is_step_up_required": True}, "This access needs a second factor"),
    ],
)
def test_a_visible_host_explains_why_it_cannot_be_opened(
    signed_in: Client, user: User, trait: dict[str, bool], words: str
) -> None:
    account = HostAccountFactory()
    GrantFactory(user=user, host=account.host, **trait)

    page = signed_in.get(f"/hosts/{account.host_id}/").content.decode()

    assert words in page
    assert f'name="account" value="{account.pk}"' not in page


@pytest.mark.parametrize("level", ["account", "host", "instance"])
def test_a_disabled_thing_is_explained(signed_in: Client, user: User, level: str) -> None:
    account = granted(user)
    things: dict[str, Any] = {"account": account, "host": account.host, "instance": account.host.instance}
    disabled = things[level]
    disabled.is_enabled = False
    disabled.save()

    page = signed_in.get(f"/hosts/{account.host_id}/").content.decode()

    assert "Whose move" not in page  # that belongs to launches
    assert 'class="refusal"' in page
    assert f'name="account" value="{account.pk}"' not in page


def test_reason_and_ticket_are_asked_only_where_needed(signed_in: Client, user: User) -> None:
    account = HostAccountFactory()
    GrantFactory(user=user, host=account.host, is_reason_required=True, ticket_pattern="INC[0-9]{6}")
    free = granted(user)

    asking = signed_in.get(f"/hosts/{account.host_id}/").content.decode()
    plain = signed_in.get(f"/hosts/{free.host_id}/").content.decode()

    assert 'name="reason"' in asking
    assert 'name="ticket"' in asking
    assert "INC[0-9]{6}" in asking
    assert 'name="reason"' not in plain
    assert 'name="ticket"' not in plain


def test_a_preselected_account_is_marked_focused_and_not_submitted(signed_in: Client, user: User) -> None:
    account = granted(user)
    other = HostAccountFactory(host=account.host, name="other")

    page = signed_in.get(f"/hosts/{account.host_id}/?account={account.pk}").content.decode()

    assert page.count("account-selected") == 1
    assert page.count("autofocus") == 1
    assert page.index("autofocus") > page.index(f'id="account-{account.pk}"')
    assert f'id="account-{other.pk}"' in page
    assert account.launches.count() == 0


def test_each_form_has_a_once_of_its_own(signed_in: Client, user: User) -> None:
    account = granted(user)
    HostAccountFactory(host=account.host, name="other")

    pages = [signed_in.get(f"/hosts/{account.host_id}/").context["rows"] for _ in range(2)]

    assert len({row.once for rows in pages for row in rows}) == 4


def test_accounts_that_nobody_granted_do_not_appear(signed_in: Client, user: User) -> None:
    host = HostFactory()
    HostAccountFactory(host=host, name="granted")
    HostAccountFactory(host=host, name="hidden-one")
    GrantFactory(user=user, host=host, every_account=False, names=["granted"])

    page = signed_in.get(f"/hosts/{host.pk}/").content.decode()

    assert "granted" in page
    assert "hidden-one" not in page


# --- by account -------------------------------------------------------------------------------------


def test_an_account_leads_to_its_host(signed_in: Client, user: User) -> None:
    account = granted(user)

    response = signed_in.get(f"/hosts/?account={account.pk}")

    assert response.status_code == 302
    assert response["Location"] == f"/hosts/{account.host_id}/?account={account.pk}"


def test_an_invisible_account_leads_nowhere(signed_in: Client) -> None:
    account = HostAccountFactory()

    assert signed_in.get(f"/hosts/?account={account.pk}").status_code == 404
    assert signed_in.get("/hosts/?account=x").status_code == 302
    assert signed_in.get("/hosts/").status_code == 302


def test_a_grant_that_ended_long_ago_hides_the_host(signed_in: Client, user: User) -> None:
    account = HostAccountFactory()
    ended = timezone.now() - dt.timedelta(days=31)
    Grant.objects.filter(pk=GrantFactory(user=user, host=account.host).pk).update(
        valid_from=ended - dt.timedelta(days=1), valid_until=ended
    )

    assert signed_in.get(f"/hosts/{account.host_id}/").status_code == 404
    assert not Host.objects.visible_to(user, at=timezone.now()).exists()


def test_the_reasons_typed_last_are_offered(signed_in: Client, user: User) -> None:
    account = HostAccountFactory()
    GrantFactory(user=user, everything=True, is_reason_required=True)
    LaunchFactory(user=user, account=account, reason="disk <full>")

    page = signed_in.get(f"/hosts/{account.host_id}/").content.decode()

    assert f'list="reason-{account.pk}-offers"' in page
    assert '<option value="disk &lt;full&gt;">' in page


@pytest.mark.parametrize(("days", "is_announced"), [(6, True), (8, False)])
def test_access_that_ends_soon_is_announced(signed_in: Client, user: User, days: int, is_announced: bool) -> None:
    account = HostAccountFactory()
    GrantFactory(user=user, everything=True, valid_until=timezone.now() + dt.timedelta(days=days))

    assert ("ends soon" in signed_in.get(f"/hosts/{account.host_id}/").content.decode()) is is_announced
    assert ("Your access ends soon" in signed_in.get("/").content.decode()) is is_announced


def test_an_account_that_was_asked_for_is_the_first_that_is_offered(signed_in: Client, user: User) -> None:
    host = HostFactory()
    for name in ("admin", "root"):
        HostAccountFactory(host=host, name=name)
    GrantFactory(user=user, everything=True)

    page = signed_in.get("/", {"q": "account:ROOT"}).content.decode()

    assert page.index(">root<") < page.index(">admin<")
