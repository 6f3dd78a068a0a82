"""What somebody may not see does not exist: not in an answer, a count, a list, a search, a filter or an error."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest

from omaccess.models import AuditEvent, BastionInstance, Host, HostAccount, Label, Launch, LoginAddress
from tests.access.people import People, browser, launched
from tests.factories import GrantFactory, HostAccountFactory, HostFactory, UserFactory
from tests.inventory import Inventory

pytestmark = pytest.mark.database

UNKNOWN = 987_654_321


def bare(response: Any, *words: str) -> str:
    """An answer without what differs from one to the next: ids of requests, CSRF masks, and what was asked for."""
    headers = sorted(f"{name}: {value}" for name, value in response.items() if name not in {"X-Request-Id", "Expires"})
    text = "\n".join([str(response.status_code), *headers, response.content.decode()])
    text = re.sub(r'name="csrfmiddlewaretoken" value="[^"]*"', "", text)
    text = re.sub(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", "", text)
    for word in words:
        # Short numbers are in many words; what was asked for stands in an address or a field.
        for spelling in (f"instance={word}", f'value="{word}"') if word.isdigit() else (word,):
            text = text.replace(spelling, "ASKED")
    return re.sub(r"Content-Length: \d+", "", text)


@pytest.fixture
def secret_host(inventory: Inventory) -> Host:
    """A host that nobody of `people` may open, on an instance of its own, with a label of its own."""
    host = HostFactory(name="hidden-db", address="10.66.6.6", owner="Hidden team", labels={"project": "merger"})
    HostAccountFactory(host=host, name="hiddenroot")
    LoginAddress.objects.create(instance=host.instance, origin="http://127.0.0.1:6666")
    return host


@pytest.mark.parametrize("name", ["staff", "colleague", "auditor", "admin", "superuser"])
def test_a_host_that_is_invisible_is_answered_like_one_that_is_unknown(
    people: People, secret_host: Host, name: str
) -> None:
    account = HostAccount.objects.get(host=secret_host)

    for there, nowhere in (
        (f"/hosts/{secret_host.pk}/", f"/hosts/{UNKNOWN}/"),
        (f"/hosts/{secret_host.pk}/?account={account.pk}", f"/hosts/{UNKNOWN}/?account={UNKNOWN}"),
        (f"/hosts/?account={account.pk}", f"/hosts/?account={UNKNOWN}"),
        (f"/?instance={secret_host.instance_id}", f"/?instance={UNKNOWN}"),
        ("/?label=project%3Dmerger", "/?label=project%3Dsurely"),
        ("/?label=project", "/?label=nothing"),
        ("/?q=hidden-db", "/?q=nowhere-x"),
        ("/?q=10.66.6.6", "/?q=10.66.6.7"),
        ("/?q=hiddenroot", "/?q=nosuchroot"),
    ):
        one, other = people[name].get(there), people[name].get(nowhere)
        asked, missed = there.split("=")[-1], nowhere.split("=")[-1]
        assert one.status_code == other.status_code
        assert bare(one, asked, asked.replace("%3D", "=")) == bare(other, missed, missed.replace("%3D", "=")), there


def test_a_post_for_an_account_that_is_invisible_is_answered_like_one_for_rubbish(
    people: People, secret_host: Host
) -> None:
    account = HostAccount.objects.get(host=secret_host)
    answers = [
        bare(people["staff"].post("/launches/", {"account": asked, "once": str(uuid.uuid4())}))
        for asked in (account.pk, UNKNOWN, 0, "rubbish", 2**70)
    ]

    assert answers[0].startswith("404")
    assert len(set(answers)) == 1
    assert not Launch.objects.exists()
    denied = AuditEvent.objects.filter(kind="launch:denied")
    assert {event.target_name for event in denied} == {""}


def test_somebody_else_s_launch_is_answered_like_none(people: People, inventory: Inventory) -> None:
    theirs = launched(inventory.staff, inventory.root, "0123456789", state="waiting")
    Launch.objects.filter(pk=theirs.pk).update(once=uuid.uuid4())
    theirs.refresh_from_db()

    for name in ("colleague", "auditor", "admin", "superuser"):
        client = people[name]
        assert bare(client.get("/launches/0123456789/")) == bare(client.get("/launches/9876543210/"))
        one, other = client.post("/launches/0123456789/attempt/"), client.post("/launches/9876543210/attempt/")
        assert one.status_code == 404
        assert bare(one) == bare(other)
        one, other = (client.get(f"/launches/status/{once}/") for once in (theirs.once, uuid.uuid4()))
        assert one.status_code == 204
        assert bare(one) == bare(other)
        assert b"0123456789" not in client.get("/activity/").content
        assert b"0123456789" not in client.get(f"/activity/?before={theirs.pk + 1}").content
    theirs.refresh_from_db()
    assert theirs.state == "waiting"


def test_one_once_of_two_people_are_two_launches(people: People, inventory: Inventory) -> None:
    """A form's number that somebody saw or guessed leads neither to the other's launch nor stops their own."""
    GrantFactory(user=people.users["colleague"], host=inventory.root.host)
    once = str(uuid.uuid4())

    first = people["staff"].post("/launches/", {"account": inventory.root.pk, "once": once})
    second = people["colleague"].post("/launches/", {"account": inventory.root.pk, "once": once})

    assert first.status_code == second.status_code == 303
    assert first["Location"] != second["Location"]
    assert sorted(Launch.objects.values_list("user__username", "state")) == [
        ("colleague", "opened"),
        ("staff", "opened"),
    ]


def test_nothing_of_what_others_may_open_is_on_any_page(
    people: People, inventory: Inventory, secret_host: Host
) -> None:
    """Names, addresses, labels, instances in the filter, origins in the content policy, and how many there are."""
    launched(inventory.staff, inventory.root, "0123456789")
    pages = ["/", "/?q=web", "/?label=env%3Dprod", "/activity/", f"/hosts/{inventory.hosts['legacy'].pk}/"]
    hidden = ["web-01", "10.0.0.11", "hidden-db", "10.66.6.6", "merger", "Hidden team", "hiddenroot", ":6666"]
    hidden += ["Shop team", "shop@acme.example", str(secret_host.instance), "0123456789"]

    for address in pages:
        for headers in ({}, {"hx-request": "true"}):
            response = people["colleague"].get(address, headers=headers)
            assert response.status_code == 200
            text = str(dict(response.items())) + response.content.decode()
            for word in hidden:
                if word not in address:
                    assert word not in text, (address, word)
    assert "legacy" in people["colleague"].get("/").text


def test_an_account_of_a_visible_host_that_no_grant_names_is_on_no_page(people: People, inventory: Inventory) -> None:
    person = UserFactory()
    grant = GrantFactory(user=person, host=inventory.root.host, every_account=False, names=["ops"])
    client = browser(person)

    text = client.get("/").text + client.get(f"/hosts/{inventory.root.host_id}/?account={inventory.root.pk}").text
    refused = client.post("/launches/", {"account": inventory.root.pk})

    assert grant.account_names.get().name == "ops"
    assert "ops" in text
    for name in ("ghost", "forbidden", "conflict", "broken", f'name="account" value="{inventory.root.pk}"'):
        assert name not in text
    assert refused.status_code == 404


def test_the_end_of_a_list_does_not_depend_on_what_others_have(people: People, inventory: Inventory) -> None:
    """Pages are made of one's own hosts: no empty page, no link to a next one, no number, for what is hidden."""
    before = bare(people["colleague"].get("/"))
    instance = BastionInstance.objects.get(name="old-bastion")
    for number in range(60):
        host = Host.objects.create(instance=instance, name=f"a{number:03}", address=f"10.77.0.{number}")
        Label.objects.create(host=host, key="env", value="prod")
        HostAccount.objects.create(host=host, name="root")

    assert bare(people["colleague"].get("/")) == before
    assert bare(people["colleague"].get("/?page=2")) == bare(people["colleague"].get("/?page=3")).replace(
        "page=3", "page=2"
    )


@pytest.mark.parametrize("name", ["staff", "colleague", "admin"])
def test_roles_and_superusers_find_in_the_portal_only_what_is_granted(
    people: People, secret_host: Host, name: str
) -> None:
    assert "hidden-db" not in people[name].get("/?q=hidden").text
    GrantFactory(user=people.users[name], host=secret_host)
    assert "hidden-db" in people[name].get("/?q=hidden").text
