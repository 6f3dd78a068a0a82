"""Why can, or cannot, this person open this account?"""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from accounts.models import User
from omaccess.models import HostAccount
from tests.factories import GrantFactory, HostAccountFactory, HostFactory, UserFactory
from tests.omaccess.admin.conftest import BrowserOf, page

pytestmark = pytest.mark.database


@pytest.fixture
def staff(db: None) -> Any:
    return UserFactory(username="staff")


@pytest.fixture
def account(db: None) -> Any:
    return HostAccountFactory(name="root", host=HostFactory(name="web-01", labels={"env": "prod"}))


def answer(browser: Client, user: User, account: HostAccount) -> Any:
    return browser.get(page("why"), {"user": user.pk, "account": account.pk})


def test_a_grant_that_applies_is_named_with_its_conditions(ada: Client, staff: User, account: HostAccount) -> None:
    grant = GrantFactory(user=staff, host=account.host, is_reason_required=True, ticket_pattern="INC[0-9]+")

    response = answer(ada, staff, account)

    body = response.content.decode()
    assert "staff can open root@web-01 now" in body
    assert "a reason and a ticket" in body
    (one,) = response.context["considered"]
    assert (one.grant, one.applies) == (grant, True)


@pytest.mark.parametrize(
    ("traits", "words"),
    [
        ({"not_yet": True}, "it begins on"),
        ({"expired": True}, "it ended on"),
        ({"revoked": True}, "revoked it on"),
        ({"every_account": False, "names": ["app"]}, "its account names are app"),
        ({"is_step_up_required": True}, "second factor"),
    ],
)
def test_a_grant_that_does_not_apply_says_why(
    ada: Client, staff: User, account: HostAccount, traits: dict[str, Any], words: str
) -> None:
    GrantFactory(user=staff, host=account.host, **traits)

    response = answer(ada, staff, account)

    assert "staff cannot open root@web-01 now" in response.content.decode()
    (one,) = response.context["considered"]
    assert not one.applies
    assert words in "; ".join(one.reasons)


def test_a_label_that_the_host_lacks_is_named(ada: Client, staff: User, account: HostAccount) -> None:
    GrantFactory(user=staff, by_labels=True, labels={"env": "prod", "tier": "1"})

    (one,) = answer(ada, staff, account).context["considered"]

    assert one.reasons == ["the host has no label tier=1"]


def test_grants_by_a_group_are_looked_at_too_those_that_apply_first(
    ada: Client, staff: User, account: HostAccount
) -> None:
    group = Group.objects.create(name="team")
    staff.groups.add(group)
    by_group = GrantFactory(user=None, group=group, everything=True)
    GrantFactory(user=staff, host=account.host, expired=True)

    response = answer(ada, staff, account)

    assert [one.applies for one in response.context["considered"]] == [True, False]
    assert response.context["considered"][0].grant == by_group


def test_nothing_at_all_is_an_answer(ada: Client, staff: User, account: HostAccount) -> None:
    GrantFactory(user=staff)  # of another host

    response = answer(ada, staff, account)

    assert response.context["considered"] == []
    assert "does not exist" in response.content.decode()


def test_a_disabled_host_is_the_reason_whatever_is_granted(ada: Client, staff: User, account: HostAccount) -> None:
    GrantFactory(user=staff, host=account.host)
    account.host.is_enabled = False
    account.host.save()

    body = answer(ada, staff, account).content.decode()

    assert "This host is switched off in the portal" in body


@pytest.mark.parametrize("query", ["", "?user=x&account=y", "?user=999999&account=1", "?account=%00", "?user="])
def test_rubbish_gets_the_form(ada: Client, query: str) -> None:
    response = ada.get(page("why") + query)

    assert response.status_code == 200
    assert "decision" not in response.context


def test_the_form_lists_nobody(ada: Client, staff: User) -> None:
    body = ada.get(page("why")).content.decode()

    assert "staff" not in body.partition('name="user"')[2].partition("</select>")[0]


def test_auditors_may_ask_and_nobody_may_post(
    auditor: User, browser_of: BrowserOf, ada: Client, staff: User, account: HostAccount
) -> None:
    assert answer(browser_of(auditor), staff, account).status_code == 200
    assert answer(browser_of(staff), staff, account).status_code == 403
    assert ada.post(page("why"), {"user": staff.pk, "account": account.pk}).status_code == 405


def test_moments_are_told_as_in_the_lists(ada: Client, staff: User, account: HostAccount) -> None:
    until = timezone.now() + dt.timedelta(days=2)
    GrantFactory(user=staff, host=account.host, valid_until=until)

    body = answer(ada, staff, account).text

    assert f"Until {timezone.localtime(until):%Y-%m-%d %H:%M %Z}." in body
