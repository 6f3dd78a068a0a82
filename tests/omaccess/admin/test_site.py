"""Who enters the admin site, under which policy, and what its first page says."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from accounts.models import User
from omaccess.admin.overview import steps
from omaccess.admin.site import site
from omaccess.models import LoginAddress
from tests.factories import GrantFactory, HostAccountFactory, IamCredentialFactory, UserFactory
from tests.omaccess.admin.conftest import BrowserOf, page

pytestmark = pytest.mark.database

LISTS = [f"{model._meta.app_label}_{model._meta.model_name}_changelist" for model in site._registry]


@pytest.mark.parametrize("name", ["index", "why", *LISTS])
def test_anonymous_people_are_led_to_everybodys_sign_in(db: None, client: Client, name: str) -> None:
    response = client.get(page(name), follow=True)

    assert response.redirect_chain[-1][0] == f"{reverse('account_login')}?next={page(name)}"
    assert response.status_code == 200


@pytest.mark.parametrize("name", ["index", "why", *LISTS])
def test_staff_get_403_and_no_sign_in_loop(db: None, browser_of: BrowserOf, name: str) -> None:
    response = browser_of(UserFactory()).get(page(name))

    assert response.status_code == 403


@pytest.mark.parametrize("name", ["index", "why", *LISTS])
@pytest.mark.parametrize("role", ["admin", "auditor", "superuser"])
def test_roles_see_every_list(request: pytest.FixtureRequest, browser_of: BrowserOf, role: str, name: str) -> None:
    user = request.getfixturevalue(role)

    response = browser_of(user).get(page(name))

    assert response.status_code == 200


def test_an_inactive_admin_does_not_enter(admin: User, ada: Client) -> None:
    admin.is_active = False
    admin.save()

    assert ada.get(page("index")).status_code == 302


def test_the_sites_own_sign_in_leads_to_everybodys(db: None, client: Client, ada: Client) -> None:
    anonymous = site.login(_request(client, "/admin/login/?next=/admin/why/"))
    signed_in = ada.get("/admin/login/?next=/admin/why/")
    elsewhere = ada.get("/admin/login/?next=https://evil.example/")

    assert anonymous["Location"] == "/accounts/login/?next=/admin/why/"
    assert signed_in["Location"] == "/admin/why/"
    assert elsewhere["Location"] == "/admin/"


def test_signing_out_and_passwords_are_everybodys(ada: Client) -> None:
    assert ada.get(page("password_change"))["Location"] == reverse("account_change_password")
    assert ada.get(page("logout"))["Location"] == reverse("account_logout")
    assert ada.post(page("logout"))["Location"] == reverse("account_login")
    assert ada.get(page("index")).status_code == 302


def test_the_looser_policy_is_confined_to_the_admin(ada: Client) -> None:
    inside = ada.get(page("index"))["Content-Security-Policy"]
    outside = ada.get("/")["Content-Security-Policy"]

    assert "script-src 'self' 'unsafe-eval'" in inside
    assert "style-src 'self' 'unsafe-inline'" in inside
    assert "unsafe" not in outside
    for policy in (inside, outside):
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "https:" not in policy.replace("form-action 'self' https:", "")
        assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]


def test_no_page_asks_another_host_for_anything(ada: Client) -> None:
    body = ada.get(page("index")).content.decode()

    for attribute in ('src="http', 'src="//', 'href="http', 'href="//', "url(http"):
        assert attribute not in body


def test_unfolds_own_search_is_not_offered(ada: Client) -> None:
    assert ada.get(page("search") + "?s=host&page=x").status_code == 404


def test_the_sandbox_wears_a_badge(ada: Client, settings: Settings) -> None:
    settings.IS_SANDBOX = True
    with_badge = ada.get(page("index")).content.decode()
    settings.IS_SANDBOX = False
    without = ada.get(page("index")).content.decode()

    assert "Sandbox" in with_badge
    assert "Sandbox" not in without


@pytest.mark.parametrize("name", ["index", "omaccess_host_changelist", "omaccess_grant_add", "why"])
def test_the_sandboxs_banner_is_on_every_page(ada: Client, settings: Settings, name: str) -> None:
    text = "Nothing here reaches a real server."

    with_sandbox = ada.get(page(name))
    settings.IS_SANDBOX = False
    without = ada.get(page(name))

    assert text in with_sandbox.text
    assert text not in without.text


def test_the_checklist_says_what_is_missing_and_goes_when_nothing_is(ada: Client) -> None:
    empty = ada.get(page("index")).content.decode()
    account = HostAccountFactory()
    LoginAddress.objects.create(instance=account.host.instance, origin="https://203.0.113.7")
    halfway = [step.is_done for step in steps()]
    GrantFactory(host=account.host)
    complete = ada.get(page("index")).content.decode()

    assert empty.count("radio_button_unchecked") == 5
    assert page("omaccess_iamcredential_changelist") in empty
    assert halfway == [True, True, True, True, False]
    assert "Before anybody can open anything" not in complete


def test_nothing_can_be_deleted_not_even_by_superusers(superuser: User, browser_of: BrowserOf) -> None:
    account = HostAccountFactory()
    grant = GrantFactory()
    subjects = [account, account.host, account.host.instance, account.host.instance.credential, grant, grant.user]

    for subject in subjects:
        meta = subject._meta
        address = page(f"{meta.app_label}_{meta.model_name}_delete", subject.pk)
        assert browser_of(superuser).post(address, {"post": "yes"}).status_code == 403
        assert type(subject).objects.filter(pk=subject.pk).exists()


def _request(client: Client, address: str) -> Any:
    return client.get(address).wsgi_request


@pytest.mark.parametrize(
    "path",
    [
        "/admin/omaccess/grant/add/?user=x&host=%00&group=999999999999999999999&valid_from=never",
        "/admin/omaccess/grant/?user__id__exact=x",
        "/admin/omaccess/grant/?state=x&target__exact=x",
        "/admin/omaccess/host/?instance__id__exact=%00&p=x&o=99",
        "/admin/omaccess/host/99999999999999999999999/change/",
        "/admin/omaccess/host/x/change/",
        "/admin/omaccess/bastioninstance/99999999999999999999999/change/",
        "/admin/omaccess/bastioninstance/99999999999999999999999/add-address/",
        "/admin/omaccess/grant/99999999999999999999999/revoke/",
        "/admin/omaccess/hostaccount/x/change/",
        "/admin/omaccess/auditevent/?since=x&p=-1",
        "/admin/omaccess/auditevent/x/change/",
        "/admin/omaccess/launch/?e=1&q=%00&p=99999999",
        "/admin/accounts/user/?q=%00",
        "/admin/accounts/user/add/?groups=x&username=y",
        "/admin/autocomplete/?app_label=x",
    ],
)
def test_rubbish_in_an_address_is_no_error_of_ours(ada: Client, path: str) -> None:
    response = ada.get(path, follow=True)

    assert response.status_code in {200, 403, 404, 405}


TOO_LARGE = "99999999999999999999"
LOOKUPS = {
    "omaccess_grant": ["user__id__exact", "group__id__exact", "host__id__exact", "user", "user_id", "id__in"],
    "omaccess_host": ["instance__id__exact", "instance"],
    "omaccess_hostaccount": ["host__instance__id__exact", "host__instance"],
    "omaccess_launch": ["user", "account", "retry_after_seconds__in"],
    "omaccess_bastioninstance": ["credential"],
    "omaccess_auditevent": ["position", "position__in"],
    "accounts_user": ["groups", "groups__id__in"],
}


@pytest.mark.parametrize(("name", "key"), [(name, key) for name, keys in LOOKUPS.items() for key in keys])
@pytest.mark.parametrize("value", [TOO_LARGE, f"-{TOO_LARGE}", "%00", "x"])
def test_an_id_that_no_row_can_have_leads_to_the_whole_list(ada: Client, name: str, key: str, value: str) -> None:
    address = page(f"{name}_changelist")

    response = ada.get(f"{address}?{key}={value}")

    assert response.status_code == 302
    assert response["Location"] == f"{address}?e=1"


@pytest.mark.parametrize(
    ("name", "condition"),
    [
        ("omaccess_launch", "reference=%00"),
        ("omaccess_launch", "reference__regex=("),
        ("omaccess_launch", "cause=%00"),
        ("omaccess_launch", "id__range=123"),
        ("omaccess_launch", "created_at__year=99999"),
        ("omaccess_auditevent", "kind=%00"),
        ("omaccess_auditevent", "facts__contains=x"),
        ("omaccess_grant", "id__in=1,2,99999999999999999999"),
    ],
)
def test_a_condition_only_a_database_could_refuse_leads_to_the_whole_list(
    ada: Client, name: str, condition: str
) -> None:
    response = ada.get(page(f"{name}_changelist") + f"?{condition}")

    assert response.status_code == 302
    assert response["Location"].endswith("/?e=1")


def test_conditions_that_a_row_can_meet_still_choose(ada: Client) -> None:
    grant = GrantFactory()
    GrantFactory()
    conditions = [f"user__id__exact={grant.user_id}", f"user={grant.user_id}", f"id__in={grant.pk}"]
    conditions += [f"host__id__exact={grant.host_id}", f"group__isnull=True&host={grant.host_id}"]

    for condition in conditions:
        response = ada.get(page("omaccess_grant_changelist") + f"?{condition}")
        assert list(response.context["cl"].result_list) == [grant]


def test_a_list_offers_no_way_to_show_all_of_it(ada: Client) -> None:
    UserFactory.create_batch(51)
    address = page("accounts_user_changelist")

    for asked in (address, f"{address}?is_active__exact=1", f"{address}?q=nobody", f"{address}?all="):
        response = ada.get(asked)
        assert "Show all" not in response.text
        assert len(response.context["cl"].result_list) <= 50
    assert "52 " in ada.get(address).text


def test_the_overview_counts_credentials_by_their_health(ada: Client) -> None:
    IamCredentialFactory()

    body = ada.get(page("index")).text

    assert f"{page('omaccess_iamcredential_changelist')}?health=no_secret" in body
