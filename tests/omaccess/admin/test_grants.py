"""Grants in the admin: deny by default, revoked with one action, never for oneself."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User
from omaccess.models import AuditEvent, Grant
from tests.factories import GrantFactory, HostFactory, UserFactory
from tests.omaccess.admin.conftest import BrowserOf, filled, page, refusal

pytestmark = pytest.mark.database

ADD = "omaccess_grant_add"


@pytest.fixture
def form(ada: Client) -> Any:
    """A grant of the account root on one host for somebody else, ready to be sent."""
    return filled(ada.get(page(ADD))) | {
        "user": UserFactory(username="staff").pk,
        "target": "host",
        "host": HostFactory(name="web-01").pk,
        "account_names-TOTAL_FORMS": "1",
        "account_names-0-name": "root",
    }


def address_of(grant: Grant) -> str:
    return page("omaccess_grant_change", grant.pk)


def test_a_grant_is_given_and_recorded(ada: Client, form: dict[str, Any], admin: User) -> None:
    response = ada.post(page(ADD), form)

    assert response.status_code == 302
    grant = Grant.objects.get()
    assert grant.created_by == admin
    assert [row.name for row in grant.account_names.all()] == ["root"]
    event = AuditEvent.objects.latest("position")
    assert (event.kind, event.actor_name, event.target_name) == ("grant:created", "ada", "staff → web-01")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"user": ""}, "one person or one group"),
        ({"host": ""}, "Choose a host"),
        ({"target": "all"}, "Choose a host"),
        ({"target": "labels", "host": ""}, "at least one label clause"),
        ({"label_clauses-TOTAL_FORMS": "1", "label_clauses-0-key": "env"}, "belong to grants"),
        ({"account_names-TOTAL_FORMS": "0"}, "Name at least one account"),
        ({"every_account": "on"}, "not both"),
        ({"ticket_pattern": "(["}, "regular expression"),
        ({"valid_until_0": "2001-01-01", "valid_until_1": "00:00:00"}, "ends after it begins"),
        ({"account_names-0-name": "ro\not"}, "Control characters"),
        ({"target": "everything"}, "valid choice"),
    ],
)
def test_what_is_no_complete_grant_is_not_saved(
    ada: Client, form: dict[str, Any], changes: dict[str, Any], words: str
) -> None:
    response = ada.post(page(ADD), form | changes)

    assert response.status_code == 200
    assert words in refusal(response)
    assert not Grant.objects.exists()


def test_one_subject_only(ada: Client, form: dict[str, Any]) -> None:
    response = ada.post(page(ADD), form | {"group": Group.objects.create(name="team").pk})

    assert "one person or one group" in refusal(response)


@pytest.mark.parametrize("reach", ["host", "labels", "all"])
@pytest.mark.parametrize("how", ["alone", "group", "role"])
def test_nobody_grants_to_themselves_and_the_screen_says_so(
    ada: Client, admin: User, form: dict[str, Any], how: str, reach: str
) -> None:
    group = Group.objects.create(name="team")
    admin.groups.add(group)
    subjects: dict[str, dict[str, Any]] = {
        "alone": {"user": admin.pk},
        "group": {"user": "", "group": group.pk},
        "role": {"user": "", "group": Group.objects.get(name="admins").pk},
    }
    targets: dict[str, dict[str, Any]] = {
        "host": {},
        "labels": {
            "target": "labels",
            "host": "",
            "label_clauses-TOTAL_FORMS": "1",
            "label_clauses-0-key": "env",
            "label_clauses-0-value": "prod",
        },
        "all": {"target": "all", "host": ""},
    }

    response = ada.post(page(ADD), form | subjects[how] | targets[reach])

    assert "nobody grants anything to themselves" in refusal(response)
    assert not Grant.objects.exists()
    assert AuditEvent.objects.latest("position").kind == "change:refused"


def test_superusers_grant_nothing_to_themselves_either(
    superuser: User, browser_of: BrowserOf, form: dict[str, Any]
) -> None:
    response = browser_of(superuser).post(page(ADD), form | {"user": superuser.pk})

    assert "nobody grants anything to themselves" in refusal(response)
    assert not Grant.objects.exists()


def test_nobody_edits_a_grant_of_their_own(ada: Client, admin: User) -> None:
    grant = GrantFactory(user=admin, expired=True)
    form = filled(ada.get(address_of(grant))) | {"valid_until_0": "", "valid_until_1": ""}

    response = ada.post(address_of(grant), form)

    assert "nobody grants anything to themselves" in refusal(response)
    assert Grant.objects.get().valid_until is not None


def test_who_and_what_kind_stay_as_they_were_given(ada: Client, admin: User) -> None:
    grant = GrantFactory(user=UserFactory(username="staff"))
    forged = {"user": admin.pk, "group": "", "target": "all", "host": "", "note": "changed"}
    form = filled(ada.get(address_of(grant))) | forged

    response = ada.post(address_of(grant), form)

    grant.refresh_from_db()
    assert response.status_code == 302
    assert (grant.user.username, grant.target, grant.note) == ("staff", "host", "changed")


def test_a_grant_is_revoked_after_a_question(ada: Client, admin: User) -> None:
    grant = GrantFactory()
    address = page("omaccess_grant_revoke", grant.pk)

    asked = ada.get(address)
    still = Grant.objects.get().revoked_at
    ada.post(address)

    assert "ends now" in asked.content.decode()
    assert still is None
    assert Grant.objects.get().revoked_by == admin
    assert AuditEvent.objects.latest("position").kind == "grant:revoked"


def test_many_are_revoked_together_after_a_question_each_with_its_event(ada: Client) -> None:
    chosen = [GrantFactory(), GrantFactory(), GrantFactory(revoked=True)]
    other = GrantFactory()
    sent = {"action": "revoke_selected", "_selected_action": [grant.pk for grant in chosen]}
    address = page("omaccess_grant_changelist")

    asked = ada.post(address, sent)
    before = Grant.objects.filter(revoked_at=None).count()
    ada.post(address, sent | {"confirmed": "yes"})

    assert "These 3 grants end now" in asked.content.decode()
    assert before == 3
    assert list(Grant.objects.filter(revoked_at=None)) == [other]
    assert AuditEvent.objects.filter(kind="grant:revoked").count() == 2


def test_a_revoked_grant_is_read_only(ada: Client) -> None:
    grant = GrantFactory(revoked=True, note="as it was")
    form = filled(ada.get(address_of(GrantFactory()))) | {"note": "changed"}

    response = ada.post(address_of(grant), form)

    assert response.status_code == 302
    assert "revoked this grant" in ada.get(address_of(grant)).content.decode()
    grant.refresh_from_db()
    assert grant.note == "as it was"


def test_an_auditor_neither_grants_nor_revokes(auditor: User, browser_of: BrowserOf, form: dict[str, Any]) -> None:
    grant = GrantFactory()
    auditors = browser_of(auditor)
    bulk = {"action": "revoke_selected", "_selected_action": [grant.pk], "confirmed": "yes"}

    assert auditors.post(page(ADD), form).status_code == 403
    assert auditors.post(page("omaccess_grant_revoke", grant.pk)).status_code == 403
    auditors.post(page("omaccess_grant_changelist"), bulk)
    assert Grant.objects.get().revoked_at is None


def test_a_lone_admin_reads_what_to_do(ada: Client) -> None:
    for name in (ADD, "omaccess_grant_changelist"):
        assert "Make a second admin account" in ada.get(page(name)).content.decode()


def test_grants_are_filtered_by_their_state(ada: Client) -> None:
    grants = {
        "in_force": GrantFactory(),
        "to_come": GrantFactory(not_yet=True),
        "ended": GrantFactory(expired=True),
        "revoked": GrantFactory(revoked=True),
    }

    for state, grant in grants.items():
        response = ada.get(page("omaccess_grant_changelist") + f"?state={state}")
        assert list(response.context["cl"].result_list) == [grant]


def test_every_moment_of_a_grant_is_told_in_one_way_with_its_zone(ada: Client) -> None:
    at = dt.datetime(2026, 11, 23, 17, 46, tzinfo=dt.UTC)
    until, revoker = at + dt.timedelta(hours=1), UserFactory(username="rita")
    grant = GrantFactory(valid_from=at, valid_until=until, revoked_at=at, revoked_by=revoker)

    body = ada.get(address_of(grant)).text
    rows = ada.get(page("omaccess_grant_changelist")).text

    assert "rita revoked this grant on 2026-11-23 17:46 UTC. It stays for the record" in body
    assert body.count("2026-11-23 17:46 UTC") == 3
    for text in (body, rows):
        assert "2026-11-23 17:46 UTC" in text
        assert "2026-11-23 18:46 UTC" in text
    assert ".m." not in body


@pytest.mark.parametrize("chosen", ["x", "", "99999999999999999999", "1,2"])
def test_a_list_action_on_what_is_no_row_is_a_bad_request(ada: Client, chosen: str) -> None:
    response = ada.post(page("omaccess_grant_changelist"), {"action": "revoke_selected", "_selected_action": chosen})

    assert response.status_code == 400
