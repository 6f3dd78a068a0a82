"""People and groups in the admin, and what nobody may do there."""

from __future__ import annotations

import datetime as dt

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import ADMINS, User
from omaccess.models import AuditEvent
from tests.factories import PASSWORD, GrantFactory, UserFactory
from tests.omaccess.admin.conftest import BrowserOf, ada, admin, auditor, browser_of, filled, page, refusal, superuser

__all__ = ["ada", "admin", "auditor", "browser_of", "superuser"]

pytestmark = pytest.mark.database

ADD = "accounts_user_add"


def address_of(user: User) -> str:
    return page("accounts_user_change", user.pk)


def test_a_person_is_added_with_a_password_that_works_and_is_nowhere_seen(ada: Client, client: Client) -> None:
    secret = "a brand new phrase"
    form = filled(ada.get(page(ADD))) | {"username": "new", "name": "New One", "new_password": secret}

    response = ada.post(page(ADD), form)

    assert response.status_code == 302
    user = User.objects.get(username="new")
    assert user.check_password(secret)
    event = AuditEvent.objects.latest("position")
    assert event.kind == "user:created"
    assert event.facts["after"]["password"] == "set"
    assert secret not in str(list(AuditEvent.objects.values()))
    assert user.password not in ada.get(address_of(user)).content.decode()


def test_without_a_password_nobody_can_sign_in_as_the_person(ada: Client) -> None:
    form = filled(ada.get(page(ADD))) | {"username": "new"}

    ada.post(page(ADD), form)

    assert not User.objects.get(username="new").has_usable_password()


@pytest.mark.parametrize("password", ["short", "123456789012345", "password1234", "newperson1234"])
def test_weak_passwords_are_refused(ada: Client, password: str) -> None:
    form = filled(ada.get(page(ADD))) | {"username": "newperson1", "new_password": password}

    response = ada.post(page(ADD), form)

    assert "new_password" in refusal(response)
    assert not User.objects.filter(username="newperson1").exists()


@pytest.mark.parametrize("name", ["Staff", "STAFF", "sta\x00ff", "a b", "x" * 151, ""])
def test_names_are_one_per_person_and_plain(ada: Client, name: str) -> None:
    UserFactory(username="staff")
    form = filled(ada.get(page(ADD))) | {"username": name}

    response = ada.post(page(ADD), form)

    assert "username" in refusal(response)
    assert User.objects.count() == 2


def test_a_new_password_ends_the_persons_sessions(ada: Client, browser_of: BrowserOf) -> None:
    person = UserFactory()
    theirs = browser_of(person)
    before = theirs.get("/").status_code
    form = filled(ada.get(address_of(person))) | {"new_password": "a brand new phrase"}

    ada.post(address_of(person), form)

    assert before == 200
    assert theirs.get("/").status_code == 302
    assert AuditEvent.objects.latest("position").facts["after"]["password"] == "replaced"


def test_an_empty_field_keeps_the_password(ada: Client) -> None:
    person = UserFactory()
    form = filled(ada.get(address_of(person))) | {"name": "Renamed"}

    ada.post(address_of(person), form)

    person.refresh_from_db()
    assert person.name == "Renamed"
    assert person.check_password(PASSWORD)


def test_somebody_else_is_put_into_a_group(ada: Client) -> None:
    person, group = UserFactory(), Group.objects.create(name="team")
    GrantFactory(user=None, group=group)
    form = filled(ada.get(address_of(person))) | {"groups": [group.pk]}

    ada.post(address_of(person), form)

    assert list(person.groups.all()) == [group]
    assert AuditEvent.objects.latest("position").facts["after"]["groups"] == ["team"]


def test_nobody_changes_their_own_groups(ada: Client, admin: User) -> None:
    group = Group.objects.create(name="team")
    GrantFactory(user=None, group=group)
    mine = [*admin.groups.values_list("pk", flat=True), group.pk]
    form = filled(ada.get(address_of(admin))) | {"groups": mine}

    response = ada.post(address_of(admin), form)

    assert "nobody changes their own groups" in refusal(response)
    assert [one.name for one in admin.groups.all()] == [ADMINS]
    assert AuditEvent.objects.latest("position").kind == "change:refused"


def test_superusers_change_neither_their_groups_nor_their_rank(superuser: User, browser_of: BrowserOf) -> None:
    group = Group.objects.create(name="team")
    theirs = browser_of(superuser)
    form = filled(theirs.get(address_of(superuser)))
    without_rank = {key: value for key, value in form.items() if key != "is_superuser"}

    for sent in (form | {"groups": [group.pk]}, without_rank):
        response = theirs.post(address_of(superuser), sent)
        assert "nobody changes their own groups" in refusal(response)

    superuser.refresh_from_db()
    assert superuser.is_superuser
    assert not superuser.groups.exists()


def test_an_admin_makes_no_superuser_of_anybody(ada: Client) -> None:
    person = UserFactory()
    form = filled(ada.get(address_of(person)))
    forged = {"is_superuser": "on", "user_permissions": [Permission.objects.earliest("pk").pk], "is_staff": "on"}

    ada.post(address_of(person), form | forged)
    ada.post(page(ADD), filled(ada.get(page(ADD))) | {"username": "new"} | forged)

    assert "is_superuser" not in ada.get(address_of(person)).content.decode()
    for user in User.objects.all():
        assert not user.is_superuser
        assert not user.user_permissions.exists()


def test_an_admin_takes_over_no_superuser(ada: Client, superuser: User) -> None:
    form = filled(ada.get(page(ADD))) | {"new_password": "a brand new phrase", "is_active": "on"}

    response = ada.post(address_of(superuser), form)

    assert response.status_code == 403
    superuser.refresh_from_db()
    assert superuser.check_password(PASSWORD)
    assert "new_password" not in ada.get(address_of(superuser)).content.decode()


def test_an_auditor_changes_nobody(auditor: User, browser_of: BrowserOf, ada: Client) -> None:
    person = UserFactory()
    form = filled(ada.get(address_of(person))) | {"name": "changed"}
    auditors = browser_of(auditor)

    assert auditors.get(address_of(person)).status_code == 200
    assert auditors.post(address_of(person), form).status_code == 403
    assert auditors.post(page(ADD), form | {"username": "new"}).status_code == 403


def test_a_group_shows_its_members_and_changes_neither_them_nor_its_rights(ada: Client) -> None:
    group = Group.objects.create(name="team")
    member = UserFactory(username="member", groups=[group])
    address = page("auth_group_change", group.pk)
    shown = ada.get(address).content.decode()
    forged = {"name": "renamed", "permissions": [Permission.objects.earliest("pk").pk], "user_set": [], "members": ""}

    response = ada.post(address, filled(ada.get(address)) | forged)

    group.refresh_from_db()
    assert "member" in shown
    assert response.status_code == 302
    assert group.name == "renamed"
    assert not group.permissions.exists()
    assert list(group.user_set.all()) == [member]
    assert AuditEvent.objects.latest("position").kind == "group:changed"


def test_the_roles_keep_their_names(ada: Client) -> None:
    group = Group.objects.get(name=ADMINS)
    address = page("auth_group_change", group.pk)

    ada.post(address, filled(ada.get(address)) | {"name": "nobody"})

    group.refresh_from_db()
    assert group.name == ADMINS


def test_lists_of_people_cost_a_constant_number_of_queries(
    ada: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    groups = [Group.objects.create(name=f"team {number}") for number in range(3)]
    for _number in range(12):
        UserFactory(groups=groups)

    with django_assert_max_num_queries(14):
        ada.get(page("accounts_user_changelist"))
    with django_assert_max_num_queries(12):
        ada.get(page("auth_group_changelist"))


def test_a_form_that_was_wrong_asks_for_a_typed_password_again(ada: Client) -> None:
    form = filled(ada.get(page(ADD))) | {"username": ""}

    typed = ada.post(page(ADD), form | {"new_password": PASSWORD})
    untyped = ada.post(page(ADD), form)

    assert "Type the password again." in typed.text
    assert PASSWORD not in typed.text
    assert "Type the password again." not in untyped.text


def test_a_persons_moments_are_told_as_in_the_lists(ada: Client) -> None:
    at = dt.datetime(2026, 11, 23, 17, 46, tzinfo=dt.UTC)
    user = UserFactory(date_joined=at, last_login=at)
    ada.post(address_of(user), filled(ada.get(address_of(user))) | {"name": "Renamed"})
    changed = LogEntry.objects.get()

    body = ada.get(address_of(user)).text
    history = ada.get(page("accounts_user_history", user.pk)).text

    assert body.count("2026-11-23 17:46 UTC") == 2
    assert f"{timezone.localtime(changed.action_time):%Y-%m-%d %H:%M %Z}" in history
    assert ".m." not in body + history
