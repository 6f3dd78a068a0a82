"""Launches and audit events in the admin: read by roles, changed by nobody, exported on the record."""

from __future__ import annotations

import csv
import datetime as dt
import html
import io
import json
import re
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


def test_events_are_found_by_reference_person_and_what_they_are_about(ada: Client, monkeypatch: Any) -> None:
    event = note(target=HostFactory(name="web-01"), actor_name="quiet")
    other = note(target=HostFactory(name="WEB-02"), actor_name="web")

    def found(query: str) -> list[int]:
        return [row.position for row in ada.get(page(LIST), {"q": query}).context["cl"].result_list]

    for few in (1000, 0):  # found one by one, or met on the way down
        monkeypatch.setattr("omaccess.models.access.FEW", few)
        assert found("web") == [other.position, event.position]
        assert found("quiet") == [event.position]
        assert found("web-01") == [event.position]
        assert found("WEB-0") == [other.position, event.position]
        assert found("eb-01") == []


def test_events_of_a_time_stand_in_the_order_of_their_times(ada: Client, time_machine: Any) -> None:
    """A machine's clock was put back: what it recorded then is later by position, and not by time."""
    times = [dt.datetime(2026, 3, 2, hour, tzinfo=dt.UTC) for hour in (8, 12, 10, 6, 11)]
    for at in times:
        time_machine.move_to(at, tick=False)
        note(actor_name="somebody")

    def hours(query: str) -> list[int]:
        rows = ada.get(page(LIST) + f"?person=somebody&{query}").context["cl"].result_list
        return [row.at.hour for row in rows]

    assert hours("") == [11, 6, 10, 12, 8]
    assert hours("since=2026-03-02T08:00%2B00:00&until=2026-03-02T11:00%2B00:00") == [11, 10, 8]
    assert hours("until=2026-03-02T09:00%2B00:00") == [8, 6]


# --- paging ----------------------------------------------------------------------------------------


@pytest.fixture
def log_of_23(ada: Client, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Positions of 23 events about hosts, newest first, in pages of ten."""
    monkeypatch.setattr("omaccess.admin.records.AuditEventAdmin.list_per_page", 10)
    return [note().position for _number in range(23)][::-1]


def shown(browser: Client, address: str) -> tuple[list[int], dict[str, str]]:
    """The positions on a page of the list, and where its links to other pages lead, by their words."""
    response = browser.get(address)
    assert response.status_code == 200
    nav = re.search(r'<nav[^>]*aria-label="Pages">(.*?)</nav>', response.text, re.DOTALL)
    assert nav
    links = re.findall(r'<a [^>]*href="([^"]*)"[^>]*>(\w+)</a>', nav[1])
    return [row.position for row in response.context["cl"].result_list], {
        words: page(LIST) + html.unescape(href) for href, words in links
    }


CHANGED = "?kind=host:changed"


def test_pages_lead_to_the_oldest_event_and_back(ada: Client, log_of_23: list[int]) -> None:
    first, links = shown(ada, page(LIST) + CHANGED)
    assert (first, set(links)) == (log_of_23[:10], {"Older", "Oldest"})

    second, links = shown(ada, links["Older"])
    assert (second, set(links)) == (log_of_23[10:20], {"Newest", "Newer", "Older", "Oldest"})

    third, links = shown(ada, links["Older"])
    assert (third, set(links)) == (log_of_23[20:], {"Newest", "Newer"})

    again, links = shown(ada, links["Newer"])
    assert again == log_of_23[10:20]
    assert shown(ada, links["Newest"])[0] == log_of_23[:10]

    last, links = shown(ada, links["Oldest"])
    assert (last, set(links)) == (log_of_23[13:], {"Newest", "Newer"})
    # Fewer than a page are left above: the first page, and a full one.
    newer, links = shown(ada, links["Newer"])
    assert (newer, set(links)) == (log_of_23[3:13], {"Newest", "Newer", "Older", "Oldest"})
    assert shown(ada, links["Newer"])[0] == log_of_23[:10]


def test_an_address_shows_the_same_events_however_many_were_appended_since(ada: Client, log_of_23: list[int]) -> None:
    older = shown(ada, page(LIST) + CHANGED)[1]["Older"]

    before = shown(ada, older)[0]
    note()

    assert shown(ada, older)[0] == before


def test_the_pages_of_a_time_go_by_time(ada: Client, log_of_23: list[int]) -> None:
    address = page(LIST) + CHANGED + "&since=2020-01-01"

    first, links = shown(ada, address)
    second, more = shown(ada, links["Older"])

    assert (first, second) == (log_of_23[:10], log_of_23[10:20])
    assert shown(ada, more["Newer"])[0] == first


def test_a_filter_or_an_export_begins_at_the_first_page(hers: Client, log_of_23: list[int]) -> None:
    older = shown(hers, page(LIST) + CHANGED)[1]["Older"]

    response = hers.get(older)

    assert response.status_code == 200
    assert 'name="below"' not in response.text
    exports = re.findall(r'action="([^"]*/export/[^"]*)"', response.text)
    assert exports
    assert not any("below" in address for address in exports)
    lines = body_of(hers.post(page(EXPORT) + CHANGED + "&below=5", {"format": "jsonl"})).splitlines()
    assert len(lines) == 23


@pytest.mark.parametrize(
    "query",
    ["below=x", "below=%00", "below=99999999999999999999", "below=1&below=2", "above=x", "since=2026-01-01&below=3"],
)
def test_a_page_that_cannot_be_leads_to_the_whole_list(ada: Client, query: str) -> None:
    response = ada.get(page(LIST) + f"?{query}")

    assert (response.status_code, response["Location"]) == (302, f"{page(LIST)}?e=1")


def test_a_page_of_records_costs_one_query_and_counts_nothing(
    ada: Client, log_of_23: list[int], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    addresses = [page(LIST), *shown(ada, page(LIST))[1].values(), page("omaccess_launch_changelist")]

    for address in addresses:
        with django_assert_max_num_queries(6) as captured:
            ada.get(address)
        asked = [query["sql"] for query in captured.captured_queries]
        assert not [sql for sql in asked if "COUNT(" in sql.upper() or "OFFSET" in sql.upper()]
        about_records = [
            sql for sql in asked if "ORDER BY" in sql and ("auditevent" in sql or "omaccess_launch" in sql)
        ]
        assert len(about_records) == 1
        assert "LIMIT" in about_records[0]


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
