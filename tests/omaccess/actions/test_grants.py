"""Giving access and taking it away."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.utils import timezone

from accounts.models import User
from omaccess.actions import grants
from omaccess.actions.changes import OwnReach
from omaccess.errors import InvalidTransition
from omaccess.meta import Meta
from omaccess.models import AuditEvent, Grant, GrantAccount
from tests.factories import GrantFactory, HostFactory, UserFactory

pytestmark = [pytest.mark.database, pytest.mark.django_db]

META = Meta(address="192.0.2.7")


@pytest.fixture
def admin() -> Any:
    return UserFactory(username="ada")


def only_event() -> AuditEvent:
    return AuditEvent.objects.get()


def test_a_grant_to_somebody_else_is_recorded_whole(admin: User) -> None:
    host = HostFactory(name="web-01")

    with grants.GrantChange.of(None, by=admin, meta=META) as change:
        change.subject = GrantFactory(
            user=UserFactory(username="staff"), host=host, every_account=False, names=["root"], created_by=admin
        )

    event = only_event()
    assert event.kind == "grant:created"
    assert event.target_name == "staff → web-01"
    assert event.facts["after"]["user"] == "staff"
    assert event.facts["after"]["account_names"] == ["root"]


@pytest.mark.parametrize("how", ["alone", "by_group"])
@pytest.mark.parametrize("target", [{}, {"everything": True}, {"by_labels": True, "labels": {"env": "prod"}}])
def test_nobody_grants_to_themselves(admin: User, how: str, target: dict[str, Any]) -> None:
    group = Group.objects.create(name="team")
    admin.groups.add(group)
    subject = {"user": admin} if how == "alone" else {"user": None, "group": group}

    with pytest.raises(OwnReach), grants.GrantChange.of(None, by=admin, meta=META) as change:
        change.subject = GrantFactory(**subject, **target)

    assert not Grant.objects.exists()
    event = only_event()
    assert event.kind == "change:refused"
    assert event.facts["why"] == "own_grant"
    assert event.facts["wanted"]


def test_superusers_are_no_exception() -> None:
    root = UserFactory(is_superuser=True)

    with pytest.raises(OwnReach), grants.GrantChange.of(None, by=root, meta=META) as change:
        change.subject = GrantFactory(user=root)

    assert not Grant.objects.exists()


def test_nobody_prolongs_or_widens_their_own_grant(admin: User) -> None:
    grant = GrantFactory(user=admin, every_account=False, names=["app"], expired=True)

    with pytest.raises(OwnReach), grants.GrantChange.of(grant, by=admin, meta=META):
        _prolong_and_widen(grant)

    grant.refresh_from_db()
    assert grant.valid_until is not None
    assert grant.account_names.count() == 1


def test_a_grant_is_not_turned_towards_oneself(admin: User) -> None:
    grant = GrantFactory()

    with pytest.raises(OwnReach), grants.GrantChange.of(grant, by=admin, meta=META):
        _turn_towards(admin, grant)

    assert Grant.objects.get(pk=grant.pk).user != admin


def test_revoking_ends_a_grant_and_is_recorded(admin: User) -> None:
    grant = GrantFactory()

    grants.revoke(grant, by=admin, meta=META)

    grant.refresh_from_db()
    assert grant.revoked_by == admin
    assert not Grant.objects.in_force(timezone.now()).exists()
    event = only_event()
    assert event.kind == "grant:revoked"
    assert event.facts["grant"]["host"] == grant.host.name


def test_ones_own_access_can_always_be_given_up(admin: User) -> None:
    grant = GrantFactory(user=admin)

    grants.revoke(grant, by=admin, meta=META)

    assert only_event().kind == "grant:revoked"


def test_a_revoked_grant_is_neither_revoked_again_nor_changed(admin: User) -> None:
    grant = GrantFactory(revoked=True)

    with pytest.raises(InvalidTransition):
        grants.revoke(grant, by=admin, meta=META)
    with pytest.raises(InvalidTransition), grants.GrantChange.of(grant, by=admin, meta=META):
        pass

    assert not AuditEvent.objects.exists()


def _prolong_and_widen(grant: Grant) -> None:
    Grant.objects.filter(pk=grant.pk).update(valid_until=None)
    GrantAccount.objects.create(grant=grant, name="root")


def _turn_towards(user: User, grant: Grant) -> None:
    grant.user = user
    grant.save()
