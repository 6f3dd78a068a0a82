"""Changing people: recorded, and never one's own rights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group

from accounts.models import User
from omaccess.actions import people
from omaccess.actions.changes import OwnReach
from omaccess.meta import Meta
from omaccess.models import AuditEvent
from tests.factories import PASSWORD, GrantFactory, UserFactory

pytestmark = [pytest.mark.database, pytest.mark.django_db]

META = Meta(address="192.0.2.7")


@pytest.fixture
def admin() -> Any:
    return UserFactory(username="ada")


def test_who_joins_and_leaves_a_group_is_recorded(admin: User) -> None:
    person = UserFactory(username="staff", groups=[Group.objects.create(name="old")])

    with people.UserChange.of(person, by=admin, meta=META):
        person.groups.set([Group.objects.create(name="new")])

    event = AuditEvent.objects.get()
    assert event.kind == "user:changed"
    assert (event.facts["before"]["groups"], event.facts["after"]["groups"]) == (["old"], ["new"])


def test_a_replaced_password_is_recorded_without_it(admin: User) -> None:
    person = UserFactory()

    with people.UserChange.of(person, by=admin, meta=META):
        person.set_password("another correct horse")
        person.save()

    event = AuditEvent.objects.get()
    assert (event.facts["before"]["password"], event.facts["after"]["password"]) == ("set", "replaced")
    assert person.password not in str(event.facts)
    assert "horse" not in str(event.facts)


def _join(user: User) -> None:
    user.groups.add(Group.objects.get(name="team"))


def _leave(user: User) -> None:
    user.groups.clear()


def _switch_off(user: User) -> None:
    type(user).objects.filter(pk=user.pk).update(is_active=False)


def _promote(user: User) -> None:
    type(user).objects.filter(pk=user.pk).update(is_superuser=True)


@pytest.mark.parametrize("alter", [_join, _leave, _switch_off, _promote])
def test_nobody_changes_their_own_rights(admin: User, alter: Callable[[Any], None]) -> None:
    GrantFactory(user=None, group=Group.objects.create(name="team"))
    admin.groups.add(Group.objects.create(name="present"))

    with pytest.raises(OwnReach), people.UserChange.of(admin, by=admin, meta=META):
        alter(admin)

    admin.refresh_from_db()
    assert (admin.is_active, admin.is_superuser) == (True, False)
    assert [group.name for group in admin.groups.all()] == ["present"]
    assert AuditEvent.objects.get().facts["why"] == "own_membership"


def test_ones_own_name_and_password_are_ones_own(admin: User) -> None:
    with people.UserChange.of(admin, by=admin, meta=META):
        admin.name = "Ada L."
        admin.set_password(PASSWORD + "!")
        admin.save()

    assert AuditEvent.objects.get().kind == "user:changed"


def test_a_new_person_and_a_new_group_are_recorded(admin: User) -> None:
    with people.UserChange.of(None, by=admin, meta=META) as change:
        change.subject = UserFactory(username="new")
    with people.GroupChange.of(None, by=admin, meta=META) as group_change:
        group_change.subject = Group.objects.create(name="team")

    kinds = [event.kind for event in AuditEvent.objects.order_by("position")]
    assert kinds == ["user:created", "group:created"]
