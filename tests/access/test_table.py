"""Every address by every kind of person, in one table. A route without an entry fails the test."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group

from accounts.models import ADMINS, User
from omaccess.audit import Kind, record
from omaccess.meta import Meta
from omaccess.models import AuditEvent, Launch
from tests.access.people import PEOPLE, People, launched
from tests.access.table import TABLE, routes
from tests.factories import GrantFactory, UserFactory
from tests.inventory import Inventory
from tests.omaccess.admin.conftest import filled

pytestmark = pytest.mark.database

_HARMLESS = {"launch:denied", "session:signed_out"}
LEFT_BEHIND: dict[str, set[str]] = {
    "anonymous": set(),
    "disabled": set(),
    "staff": _HARMLESS,
    "colleague": _HARMLESS,
    "auditor": _HARMLESS,
}
"""What somebody may leave in the audit who may change nothing. The others may leave anything."""

STRANGE = {"account": "1", "post": "yes", "action": "revoke_selected", "confirmed": "1", "is_superuser": "on"}


@pytest.fixture
def path_of(inventory: Inventory, people: People) -> Callable[[str], str]:
    """A route with the ids of rows that exist."""
    launched(inventory.staff, inventory.root, "0123456789")
    record(Kind.DEMO_LOADED, by=None, meta=Meta())
    ids: dict[str, object] = {
        "bastioninstance": inventory.root.host.instance_id,
        "host": inventory.root.host_id,
        "hostaccount": inventory.root.pk,
        "iamcredential": inventory.credentials["portal"].pk,
        "grant": GrantFactory(host=inventory.root.host).pk,
        "launch": Launch.objects.get().pk,
        "auditevent": AuditEvent.objects.latest("position").pk,
        "user": UserFactory().pk,
        "group": Group.objects.get(name=ADMINS).pk,
    }

    def path(route: str) -> str:
        parts = route.split("/")
        object_id = str(ids.get(parts[2], "")) if parts[0] == "admin" and len(parts) > 2 else ""
        replacements = {
            "<int:pk>": str(inventory.root.host_id),
            "<uuid:once>": str(uuid.uuid4()),
            "<str:reference>": "0123456789",
            "<path:content_type_id>": "1",
            "<path:object_id>": object_id or "1",
            **{f"<int:{name}_id>": object_id for name in ("instance", "account", "grant", "credential")},
            "^(?P<app_label>omaccess|accounts|auth)/$": "omaccess/",
            "(?P<url>.*)$": "nothing-of-the-kind/",
        }
        for placeholder, value in replacements.items():
            route = route.replace(placeholder, value)
        return "/" + route

    return path


def answer_of(response: Any) -> object:
    if response.status_code not in {301, 302, 303}:
        return response.status_code
    return "in" if response["Location"].startswith(("/accounts/login/?next=", "/admin/login/?next=")) else "to"


def test_every_route_has_an_entry_and_every_entry_a_route() -> None:
    assert set(routes()) == set(TABLE)
    assert all(len(answers) == len(PEOPLE) for entry in TABLE.values() for answers in entry)


@pytest.mark.parametrize("route", list(routes()))
def test_everybody_gets_the_answer_of_the_table(people: People, path_of: Callable[[str], str], route: str) -> None:
    path = path_of(route)

    by_get = {name: answer_of(people[name].get(path)) for name in (*PEOPLE, "disabled")}
    before = AuditEvent.objects.count()
    by_put = [people[name].put(path, {}).status_code for name in ("anonymous", "staff", "admin")]
    after_put = AuditEvent.objects.count()
    by_post = {}
    for name in (*PEOPLE, "disabled"):
        since = AuditEvent.objects.latest("position").position
        # Strangers send what would do something, everybody else nothing.
        data = STRANGE if name in {"anonymous", "disabled"} else {}
        by_post[name] = answer_of(people[name].post(path, data))
        new = set(AuditEvent.objects.filter(position__gt=since).values_list("kind", flat=True))
        assert new <= LEFT_BEHIND.get(name, set(Kind)), name

    for answers, expected in ((by_get, TABLE[route][0]), (by_post, TABLE[route][1])):
        # A session of somebody who was disabled is no session.
        assert answers == dict(zip((*PEOPLE, "disabled"), (*expected, expected[0]), strict=True))
    assert after_put == before
    assert all(status < 500 for status in by_put)
    assert User.objects.filter(is_superuser=True).count() == 2


@pytest.mark.parametrize("name", ["staff", "colleague", "auditor"])
def test_nobody_without_the_right_changes_anything_with_a_whole_form(
    people: People, path_of: Callable[[str], str], name: str
) -> None:
    """Not an empty form, which would fail for other reasons: what an admin's browser would send."""
    for model in ("bastioninstance", "host", "iamcredential", "grant"):
        path = path_of(f"admin/omaccess/{model}/<path:object_id>/change/")
        form = filled(people["superuser"].get(path)) | {"name": "taken over", "note": "taken over"}
        before = AuditEvent.objects.count()

        for address, extra in (
            (path, {}),
            (path, {"_saveasnew": "1"}),
            (path.rsplit("/", 3)[0] + "/add/", {"_popup": "1"}),
        ):
            assert people[name].post(address, form | extra).status_code == 403

        assert AuditEvent.objects.count() == before
