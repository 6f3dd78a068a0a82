"""Asking lists and forms of the admin questions that nobody meant to answer."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission

from accounts.models import User
from omaccess.admin.site import site
from omaccess.models import AuditEvent, Grant, Host
from tests.access.people import People, browser
from tests.factories import GrantFactory, UserFactory
from tests.inventory import Inventory
from tests.omaccess.admin.conftest import filled, page

pytestmark = pytest.mark.database

LISTS = {model: f"{model._meta.app_label}_{model._meta.model_name}_changelist" for model in site._registry}

PROBES = [
    ("omaccess_grant", "user__password__startswith", "md5"),
    ("omaccess_grant", "user__password__gt", "a"),
    ("omaccess_grant", "user__password", "x"),
    ("omaccess_grant", "created_by__password__contains", "$"),
    ("omaccess_grant", "revoked_by__password__isnull", "0"),
    ("omaccess_launch", "user__password__regex", "^md5"),
    ("omaccess_launch", "user__session__session_key", "x"),
    ("omaccess_launch", "account__host__instance__credential__secret_ciphertext__startswith", "v1"),
    ("omaccess_hostaccount", "credential__secret_ciphertext__icontains", "v1"),
    ("omaccess_hostaccount", "host__instance__credential__secret_ciphertext", "x"),
    ("omaccess_bastioninstance", "credential__secret_ciphertext__startswith", "v1"),
    ("omaccess_iamcredential", "secret_ciphertext__startswith", "v1.t1."),
    ("omaccess_iamcredential", "secret_ciphertext__lt", "z"),
    ("accounts_user", "password__startswith", "md5"),
    ("accounts_user", "password__gte", "md5"),
    ("accounts_user", "groups__user__password__startswith", "md5"),
    ("auth_group", "user__password__startswith", "md5"),
]


@pytest.mark.parametrize(("name", "lookup", "value"), PROBES)
def test_no_list_answers_a_question_about_a_hidden_column(
    people: People, inventory: Inventory, name: str, lookup: str, value: str
) -> None:
    """Refused, or the whole list as if nothing had been asked: true and false look alike."""
    for person in ("admin", "superuser"):
        response = people[person].get(page(f"{name}_changelist"), {lookup: value})
        other = people[person].get(page(f"{name}_changelist"), {lookup: value + "no"})

        assert response.status_code == other.status_code
        if response.status_code == 302:
            assert response["Location"] == other["Location"]
            assert response["Location"].endswith("?e=1")
        else:
            assert response.status_code == 400


@pytest.mark.parametrize("name", ["staff", "colleague"])
def test_staff_ask_the_admin_nothing(people: People, inventory: Inventory, name: str) -> None:
    """The same 403 for what is there and what is not."""
    there, nowhere = (
        [
            people[name].get(page("omaccess_host_change", pk)),
            people[name].post(page("omaccess_hostaccount_test", pk)),
            people[name].post(page("omaccess_bastioninstance_add_address", pk), {"origin": "http://127.0.0.1:1"}),
            people[name].get(page("omaccess_host_changelist") + f"?q={pk}"),
        ]
        for pk in (inventory.root.host_id, 987_654_321)
    )

    for one, other in zip(there, nowhere, strict=True):
        assert one.status_code == other.status_code == 403
        assert len(one.content) == len(other.content)


@pytest.mark.parametrize("model", list(LISTS))
def test_no_list_deletes_or_does_what_it_does_not_offer(people: People, inventory: Inventory, model: Any) -> None:
    GrantFactory()
    rows = list(model._default_manager.values_list("pk", flat=True)[:5])
    number, before = model._default_manager.count(), AuditEvent.objects.count()

    for action in ("delete_selected", "revoke_selected", "changelist_view"):
        if action == "revoke_selected" and model is Grant:
            continue
        data = {"action": action, "_selected_action": rows, "post": "yes", "confirmed": "1", "index": "0"}
        for person in ("auditor", "superuser"):
            assert people[person].post(page(LISTS[model]), data).status_code in {200, 302, 403}

    assert model._default_manager.count() >= number
    assert AuditEvent.objects.count() == before


def test_only_who_may_change_grants_revokes_in_bulk(people: People, inventory: Inventory) -> None:
    grant = GrantFactory()
    data = {"action": "revoke_selected", "_selected_action": [grant.pk], "confirmed": "1", "index": "0"}

    for person in ("anonymous", "staff", "colleague", "auditor"):
        people[person].post(page("omaccess_grant_changelist"), data)
        grant.refresh_from_db()
        assert grant.revoked_at is None, person
    people["admin"].post(page("omaccess_grant_changelist"), data)

    grant.refresh_from_db()
    assert grant.revoked_by == people.users["admin"]


@pytest.mark.parametrize(
    ("field", "people_who_may"),
    [
        (("omaccess", "grant", "user"), {"auditor", "admin", "superuser"}),
        (("omaccess", "grant", "host"), {"auditor", "admin", "superuser"}),
        (("omaccess", "bastioninstance", "credential"), {"auditor", "admin", "superuser"}),
        (("accounts", "user", "groups"), {"auditor", "admin", "superuser"}),
        (("omaccess", "grant", "created_by"), {"auditor", "admin", "superuser"}),
        (("omaccess", "iamuserlease", "pk"), set()),
        (("auth", "group", "permissions"), set()),
        (("sessions", "session", "pk"), set()),
        (("omaccess", "grant", "no_such_field"), set()),
    ],
)
def test_autocomplete_answers_readers_of_the_subject_only(
    people: People, inventory: Inventory, field: tuple[str, str, str], people_who_may: set[str]
) -> None:
    app, model, name = field
    query = {"app_label": app, "model_name": model, "field_name": name, "term": ""}
    expected = dict.fromkeys(("staff", "colleague", "auditor", "admin", "superuser"), 403)
    expected |= dict.fromkeys(people_who_may, 200)

    answers = {person: people[person].get(page("autocomplete"), query) for person in expected}

    assert {person: answer.status_code for person, answer in answers.items()} == expected
    for answer in answers.values():
        if answer.status_code == 200:
            assert b"password" not in answer.content
            assert all(set(row) <= {"id", "text"} for row in answer.json()["results"])


def test_a_popup_asks_for_no_column_that_is_not_a_key(people: People, inventory: Inventory) -> None:
    for column in ("password", "email"):
        response = people["admin"].get(page("accounts_user_changelist"), {"_to_field": column, "_popup": "1"})
        assert response.status_code == 400
        response = people["admin"].get(
            page("accounts_user_change", people.users["staff"].pk), {"_to_field": column, "_popup": "1"}
        )
        assert response.status_code == 400


def test_an_admin_gives_nobody_rights_through_fields_that_are_not_on_the_form(people: People) -> None:
    person = UserFactory()
    address = page("accounts_user_change", person.pk)
    form = filled(people["admin"].get(address))

    people["admin"].post(
        address, form | {"is_superuser": "on", "is_staff": "on", "user_permissions": ["1"], "username": "other"}
    )
    group = Group.objects.create(name="shop")
    people["admin"].post(page("auth_group_change", group.pk), {"name": "shop", "permissions": ["1"], "members": "1"})

    fresh = User.objects.get(pk=person.pk)
    assert not fresh.is_superuser
    assert fresh.username == person.username
    assert not fresh.user_permissions.exists()
    assert not group.permissions.exists()


def test_a_superuser_is_changed_by_superusers_only(people: People) -> None:
    address = page("accounts_user_change", people.users["superuser"].pk)
    form = {"name": "Taken over", "is_active": "on", "new_password": "a password that is long enough"}

    assert people["admin"].post(address, form).status_code == 403
    assert people["auditor"].post(address, form).status_code == 403

    fresh = User.objects.get(username="superuser")
    assert fresh.name != "Taken over"


def test_somebody_who_may_look_at_one_kind_of_row_looks_at_no_other(people: People, inventory: Inventory) -> None:
    """No such role exists today; a group made in the database would be one."""
    group = Group.objects.create(name="lookers")
    group.permissions.add(Permission.objects.get(codename="enter_admin"), Permission.objects.get(codename="view_label"))
    group.permissions.add(Permission.objects.get(codename="view_host"))
    client = browser(UserFactory(groups=[group]))

    assert client.get(page("index")).status_code == 200
    for model, name in LISTS.items():
        expected = 200 if model is Host else 403
        assert client.get(page(name)).status_code == expected
    assert client.get(page("why")).status_code == 403
    assert client.post(page("omaccess_host_change", inventory.root.host_id), {}).status_code == 403
    assert client.get(page("omaccess_host_history", inventory.root.host_id)).status_code == 200
    assert client.get(page("omaccess_grant_history", GrantFactory().pk)).status_code == 403


def test_an_export_holds_what_was_asked_for_and_takes_no_other_question(people: People, inventory: Inventory) -> None:
    address = page("omaccess_auditevent_export")
    people["colleague"].post("/launches/", {"account": 987_654_321})

    mine: Any = people["auditor"].post(f"{address}?person=colleague", {"format": "jsonl"})
    odd = people["auditor"].post(f"{address}?facts__contains=a", {"format": "jsonl"})

    body = b"".join(mine.streaming_content).decode()
    assert body.count("launch:denied") == 1
    assert "audit:exported" not in body
    assert odd.status_code == 400


def test_who_is_a_superuser_only_superusers_ask(people: People) -> None:
    """Others have no such filter, and their lists answer alike whatever stands in the address."""
    for lookup in ("is_superuser", "is_superuser__exact", "is_superuser__in", "password", "password__in"):
        yes, no = (people["admin"].get(page("accounts_user_changelist"), {lookup: value}) for value in "10")

        assert yes.status_code == no.status_code == 400, lookup

    assert people["superuser"].get(page("accounts_user_changelist"), {"is_superuser__exact": "1"}).status_code == 200
