"""Every address by every kind of person, in one table. A route without a row fails the test."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from accounts.models import ADMINS, AUDITORS, User
from omaccess.audit import Kind, record
from omaccess.meta import Meta
from omaccess.models import AuditEvent, Launch
from tests.factories import GrantFactory, UserFactory
from tests.inventory import Inventory

pytestmark = pytest.mark.database

PEOPLE = ("anonymous", "staff", "colleague", "auditor", "admin", "superuser")

# Answers to GET, in the order of PEOPLE. `in`: sent to the sign-in. `to`: sent elsewhere. `staff` may open the host,
# and made the launch; `colleague` may open nothing; the others have roles, which open nothing.
SIGNED_IN = ("in", 200, 200, 200, 200, 200)
MINE = ("in", 200, 404, 404, 404, 404)
ADMIN_ONLY = ("in", 403, 403, 403, 200, 200)
READERS = ("in", 403, 403, 200, 200, 200)
NOBODY = ("in", 403, 403, 403, 403, 403)
LEADS_ON = ("in", 403, 403, "to", "to", "to")
POST_ONLY = ("in", 403, 403, 405, 405, 405)

TABLE: dict[str, tuple[Any, ...]] = {
    "healthz": (200,) * 6,
    "readyz": (200,) * 6,
    "": SIGNED_IN,
    "hosts/": ("in", "to", "to", "to", "to", "to"),
    "hosts/<int:pk>/": MINE,
    "launches/": ("in", "to", "to", "to", "to", "to"),
    "launches/opening/": (200,) * 6,
    "launches/status/<uuid:once>/": ("in", 204, 204, 204, 204, 204),
    "launches/<str:reference>/": MINE,
    "launches/<str:reference>/attempt/": ("in", "to", "to", "to", "to", "to"),
    "activity/": SIGNED_IN,
    "accounts/login/": (200, "to", "to", "to", "to", "to"),
    "accounts/logout/": ("in", 200, 200, 200, 200, 200),
    "accounts/inactive/": (200,) * 6,
    "accounts/reauthenticate/": SIGNED_IN,
    "accounts/password/change/": SIGNED_IN,
}


def routes() -> Iterator[str]:
    def walk(patterns: list[Any], prefix: str) -> Iterator[str]:
        for pattern in patterns:
            path = prefix + str(pattern.pattern)
            if isinstance(pattern, URLResolver):
                yield from walk(pattern.url_patterns, path)
            elif isinstance(pattern, URLPattern):
                yield path

    yield from dict.fromkeys(walk(get_resolver().url_patterns, ""))


def expected(route: str) -> tuple[Any, ...]:
    if route in TABLE:
        return TABLE[route]
    return ADMIN_TABLE[route.removeprefix("admin/")]


def _admin_table() -> dict[str, tuple[Any, ...]]:
    table: dict[str, tuple[Any, ...]] = {
        "": READERS,
        "login/": ("in", 403, 403, "to", "to", "to"),
        "logout/": LEADS_ON,
        "password_change/": LEADS_ON,
        "password_change/done/": LEADS_ON,
        "autocomplete/": NOBODY,
        "jsi18n/": READERS,
        "search/": ("in", 403, 403, 404, 404, 404),  # asked by htmx only
        "why/": READERS,
        "r/<path:content_type_id>/<path:object_id>/": ("in", 403, 403, 404, 404, 404),
        "^(?P<app_label>omaccess|accounts|auth)/$": READERS,
        "(?P<url>.*)$": ("in", 403, 403, 404, 404, 404),
        "omaccess/bastioninstance/<int:instance_id>/add-address/": POST_ONLY,
        "omaccess/hostaccount/<int:account_id>/test/": POST_ONLY,
        "omaccess/grant/<int:grant_id>/revoke/": ADMIN_ONLY,
        "omaccess/auditevent/export/": POST_ONLY,
    }
    editable = ["bastioninstance", "host", "hostaccount", "iamcredential", "grant"]
    models = [f"omaccess/{name}/" for name in (*editable, "launch", "auditevent")] + ["accounts/user/", "auth/group/"]
    # Accounts are added on their host's page; launches and events make themselves.
    not_added = {"omaccess/hostaccount/", "omaccess/launch/", "omaccess/auditevent/"}
    for model in models:
        table |= {
            model: READERS,
            f"{model}add/": NOBODY if model in not_added else ADMIN_ONLY,
            f"{model}<path:object_id>/change/": READERS,
            f"{model}<path:object_id>/history/": READERS,
            f"{model}<path:object_id>/delete/": NOBODY,
            f"{model}<path:object_id>/": LEADS_ON,
        }
    return table


ADMIN_TABLE = _admin_table()


@pytest.fixture
def clients(inventory: Inventory) -> dict[str, Client]:
    inventory.grant.delete()
    GrantFactory(user=inventory.staff, host=inventory.root.host)
    people: dict[str, User] = {
        "staff": inventory.staff,
        "colleague": UserFactory(),
        "auditor": UserFactory(groups=[Group.objects.get(name=AUDITORS)]),
        "admin": UserFactory(groups=[Group.objects.get(name=ADMINS)]),
        "superuser": UserFactory(is_superuser=True),
    }
    clients = {"anonymous": Client()}
    for name, user in people.items():
        clients[name] = Client()
        clients[name].force_login(user)
    return clients


@pytest.fixture
def path_of(inventory: Inventory) -> Callable[[str], str]:
    """A route with the ids of rows that exist."""
    Launch.objects.create(
        reference="0123456789",
        user=inventory.staff,
        account=inventory.root,
        state="opened",
        user_name="staff",
        host_name="web-01",
        host_address="10.0.0.11",
        account_name="root",
        instance_name="bastion",
        attempted_at=timezone.now(),
        ended_at=timezone.now(),
    )
    record(Kind.DEMO_LOADED, by=None, meta=Meta())

    def path(route: str) -> str:
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
        parts = route.split("/")
        object_id = str(ids.get(parts[2], "")) if parts[0] == "admin" and len(parts) > 2 else ""
        replacements = {
            "<int:pk>": str(inventory.root.host_id),
            "<uuid:once>": str(uuid.uuid4()),
            "<str:reference>": "0123456789",
            "<path:content_type_id>": "1",
            "<path:object_id>": object_id or "1",
            "<int:instance_id>": object_id,
            "<int:account_id>": object_id,
            "<int:grant_id>": object_id,
            "^(?P<app_label>omaccess|accounts|auth)/$": "omaccess/",
            "(?P<url>.*)$": "nothing-of-the-kind/",
        }
        for placeholder, value in replacements.items():
            route = route.replace(placeholder, value)
        return "/" + route

    return path


def answer(client: Client, path: str) -> object:
    response = client.get(path)
    if response.status_code not in {301, 302, 303}:
        return response.status_code
    return "in" if response["Location"].startswith(("/accounts/login/", "/admin/login/?next=")) else "to"


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    rows = set(TABLE) | {f"admin/{route}" for route in ADMIN_TABLE}

    assert set(routes()) == rows


@pytest.mark.parametrize("route", list(routes()))
def test_everybody_gets_the_answer_of_the_table(
    clients: dict[str, Client], path_of: Callable[[str], str], route: str
) -> None:
    path = path_of(route)

    answers = {name: answer(clients[name], path) for name in PEOPLE}

    assert answers == dict(zip(PEOPLE, expected(route), strict=True))


@pytest.mark.parametrize("route", [route for route in routes() if route not in {"healthz", "readyz"}])
def test_strangers_change_nothing_by_posting(inventory: Inventory, path_of: Callable[[str], str], route: str) -> None:
    path, before = path_of(route), AuditEvent.objects.count()

    response = Client().post(path, {"account": inventory.root.pk})

    assert response.status_code in {200, 302, 303, 403, 404, 405}
    assert AuditEvent.objects.count() == before
    assert User.objects.filter(is_superuser=True).count() == 0
