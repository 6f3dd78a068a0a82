"""Launches and audit events in the admin: read by roles, changed by nobody, exported on the record."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any, cast

import pytest
from django.db import transaction
from django.db.models import Model
from django.template.loader import get_template
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from accounts.models import User
from omaccess.actions import launches
from omaccess.admin.records import template_of
from omaccess.audit import Kind, record
from omaccess.meta import Meta
from omaccess.models import AuditEvent, AuditHead, Launch
from omaccess.sandbox.server import SandboxServer
from tests.factories import HostFactory, UserFactory
from tests.inventory import Inventory
from tests.omaccess.admin.conftest import BrowserOf, filled, page
from tests.omaccess.audit.log import drop_triggers, undone

pytestmark = pytest.mark.database

LIST = "omaccess_auditevent_changelist"
EXPORT = "omaccess_auditevent_export"
NASTY = "<script>alert(1)</script>"


def note(
    kind: Kind | str = Kind.HOST_CHANGED,
    *,
    by: User | None = None,
    target: Model | None = None,
    actor_name: str = "",
    **facts: Any,
) -> AuditEvent:
    with transaction.atomic():
        return record(
            cast(Kind, kind), by=by, meta=Meta(address="192.0.2.7"), target=target, actor_name=actor_name, **facts
        )


def body_of(response: Any) -> bytes:
    return b"".join(response.streaming_content)


@pytest.fixture
def hers(auditor: User, browser_of: BrowserOf) -> Any:
    """The auditor's browser."""
    return browser_of(auditor)


# --- looking ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_has_its_template_and_tells_it_without_any_facts(ada: Client, kind: Kind) -> None:
    event = note(kind)

    body = ada.get(page("omaccess_auditevent_change", event.pk)).content.decode()

    assert get_template(template_of(kind))
    assert event.hash in body
    assert event.previous_hash in body


def test_facts_are_escaped_in_every_story(ada: Client) -> None:
    facts: dict[str, Any] = dict.fromkeys(
        ("account", "host", "attempt", "login_origin", "rotated", "key", "format"), NASTY
    )
    rows = {"name": NASTY, "labels": [NASTY], "accounts": [{"name": NASTY}]}

    for kind in Kind:
        event = note(kind, actor_name=NASTY, before={"name": "x"}, after=rows, **facts)
        body = ada.get(page("omaccess_auditevent_change", event.pk)).content.decode()
        assert NASTY not in body
        assert "alert(1)" in body


def test_a_kind_of_another_version_is_shown_with_its_facts(ada: Client) -> None:
    event = note("future:thing", what="something new")

    body = ada.get(page("omaccess_auditevent_change", event.pk)).content.decode()

    assert "something new" in body


def test_a_change_shows_what_is_different_first(ada: Client) -> None:
    before = {"address": "10.0.0.1", "labels": ["a=1", "b=2"], "name": "web"}
    event = note(before=before, after={"address": "10.0.0.1 ", "labels": ["a=1", "b=3"], "name": "web"})

    body = ada.get(page("omaccess_auditevent_change", event.pk)).content.decode()

    assert "“10.0.0.1 ”" in body  # otherwise the space could not be seen
    assert body.count("and 1 the same") == 2
    assert body.index("labels") < body.index(">web<")


@pytest.mark.parametrize("role", ["admin", "auditor", "superuser"])
def test_nobody_adds_changes_or_deletes_records(
    request: pytest.FixtureRequest,
    browser_of: BrowserOf,
    inventory: Inventory,
    meta_of: Callable[[User], Meta],
    role: str,
) -> None:
    browser = browser_of(request.getfixturevalue(role))
    launches.launch(account_id=inventory.root.pk, reason="", ticket="", once=None, by=inventory.staff, meta=Meta())
    launch, event = Launch.objects.get(), AuditEvent.objects.earliest("position")

    for name, row in (("launch", launch), ("auditevent", event)):
        assert browser.get(page(f"omaccess_{name}_change", row.pk)).status_code == 200
        assert browser.post(page(f"omaccess_{name}_change", row.pk), {"state": "opened"}).status_code == 403
        assert browser.post(page(f"omaccess_{name}_add"), {}).status_code == 403
        assert browser.post(page(f"omaccess_{name}_delete", row.pk), {"post": "yes"}).status_code == 403
        bulk = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
        browser.post(page(f"omaccess_{name}_changelist"), bulk)
        assert type(row).objects.filter(pk=row.pk).exists()


def test_a_launch_shows_the_remedy_and_no_link(ada: Client, inventory: Inventory, sandbox: SandboxServer) -> None:
    launches.launch(
        account_id=inventory.account("ghost").pk,
        reason="",
        ticket="",
        once=None,
        by=inventory.staff,
        meta=Meta(),
    )

    body = ada.get(page("omaccess_launch_change", Launch.objects.get().pk)).content.decode()

    assert "Add the account in the bastion" in body
    assert "cbhinfo" not in body


def test_launches_are_found_by_reference_person_and_host(ada: Client, inventory: Inventory) -> None:
    launches.launch(account_id=inventory.root.pk, reason="", ticket="", once=None, by=inventory.staff, meta=Meta())
    launch = Launch.objects.get()
    spoken = f"{launch.reference[:5]}-{launch.reference[5:]}".lower()

    for query in (f"q={spoken}", "q=staff", "q=web", "person=staff", f"state__exact={launch.state}"):
        response = ada.get(page("omaccess_launch_changelist") + f"?{query}")
        assert list(response.context["cl"].result_list) == [launch]
    for query in ("q=taf", "q=%00", "person=nobody", "cause=no_grant"):
        response = ada.get(page("omaccess_launch_changelist") + f"?{query}", follow=True)
        assert launch not in response.context["cl"].result_list or query == "q=%00"


def test_events_are_filtered_by_kind_person_time_reference_and_cause(ada: Client, admin: User) -> None:
    host = HostFactory(name="web-01")
    event = note(by=admin, target=host)
    other = note(Kind.SIGNED_OUT, actor_name="somebody")
    today = timezone.localtime(event.at).date()

    def positions(query: str) -> list[int]:
        cl = ada.get(page(LIST) + f"?{query}").context["cl"]
        return [row.position for row in cl.result_list if row.kind != "session:signed_in"]

    assert positions("kind=host:changed") == [event.position]
    assert positions("person=somebody") == [other.position]
    assert positions("q=web") == [event.position]
    assert positions("q=eb-0") == []
    assert positions("ref=0123456789") == []
    assert positions("cause=no_grant") == []
    assert positions(f"since={today}&until={today}") == [other.position, event.position]
    assert positions(f"until={today - timedelta(days=1)}") == []
    assert positions(f"since={today + timedelta(days=1)}") == []


def test_the_list_never_counts_everything(
    ada: Client, monkeypatch: pytest.MonkeyPatch, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    monkeypatch.setattr("omaccess.admin.pages.COUNTED", 10)
    for _number in range(15):
        note()

    with django_assert_max_num_queries(8) as captured:
        response = ada.get(page(LIST))

    assert "the first 10 audit events" in response.content.decode()
    counts = [query["sql"] for query in captured.captured_queries if "COUNT" in query["sql"]]
    assert counts
    assert all("LIMIT 11" in sql for sql in counts)


# --- exporting -------------------------------------------------------------------------------------


def test_an_export_holds_what_was_filtered_and_is_recorded_before_it_begins(hers: Client, auditor: User) -> None:
    wanted = note(by=UserFactory(username="staff"), target=HostFactory(name="=cmd()"))
    note(Kind.SIGNED_OUT, actor_name="other")

    response = hers.post(page(EXPORT) + "?kind=host:changed", {"format": "csv"})
    exported = AuditEvent.objects.get(kind="audit:exported")
    rows = list(csv.DictReader(io.StringIO(body_of(response).decode("utf-8-sig"))))

    assert response["Content-Disposition"].startswith('attachment; filename="audit-')
    assert "no-store" in response["Cache-Control"]
    assert [int(row["position"]) for row in rows] == [wanted.position]
    assert rows[0]["target_name"] == "'=cmd()"
    assert exported.actor_name == auditor.username
    assert exported.facts == {
        "filters": {"kind": ["host:changed"]},
        "format": "csv",
        "up_to": exported.position - 1,
    }


def test_json_lines_carry_the_hashes(hers: Client) -> None:
    event = note()

    response = hers.post(page(EXPORT), {"format": "jsonl"})
    lines = [json.loads(line) for line in body_of(response).splitlines()]

    found = {line["event"]["position"]: line["hash"] for line in lines}
    assert found[event.position] == event.hash
    assert "audit:exported" not in {line["event"]["kind"] for line in lines}


@pytest.mark.parametrize(
    "query",
    [
        "?since=yesterday",
        "?since=0001-01-01T00:00:00%2B23:59",
        "?until=9999-12-31T23:59:59-23:59",
        "?nonsense=1",
        "?p=x&kind=",
    ],
)
def test_an_export_whose_filter_is_not_understood_is_no_export(hers: Client, query: str) -> None:
    response = hers.post(page(EXPORT) + query, {"format": "csv"})

    understood = response.status_code == 200
    assert understood == (query == "?p=x&kind=")
    assert AuditEvent.objects.filter(kind="audit:exported").exists() == understood


def test_only_posts_by_whoever_may_export_do(ada: Client, hers: Client, browser_of: BrowserOf) -> None:
    assert hers.get(page(EXPORT)).status_code == 405
    assert hers.post(page(EXPORT), {"format": "xml"}).status_code == 400
    assert ada.post(page(EXPORT), {"format": "csv"}).status_code == 403
    assert browser_of(UserFactory()).post(page(EXPORT), {"format": "csv"}).status_code == 403
    assert not AuditEvent.objects.filter(kind="audit:exported").exists()
    assert page(EXPORT) not in ada.get(page(LIST)).content.decode()
    assert page(EXPORT) in hers.get(page(LIST)).content.decode()


def test_what_cannot_be_recorded_is_not_exported_and_not_changed(hers: Client, ada: Client) -> None:
    host = HostFactory(owner="before")
    address = page("omaccess_host_change", host.pk)
    form = filled(ada.get(address)) | {"owner": "after"}

    with undone():
        drop_triggers()
        AuditHead.objects.all().delete()
        exported = hers.post(page(EXPORT), {"format": "csv"})
        changed = ada.post(address, form)
        host.refresh_from_db()

    assert (exported.status_code, changed.status_code) == (503, 503)
    assert host.owner == "before"
