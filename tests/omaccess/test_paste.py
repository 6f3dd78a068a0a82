"""What a list pasted from a ticket means."""

from __future__ import annotations

import pytest
from django.utils import timezone

from omaccess.paste import MOST_HOSTS, MOST_LINES, is_cut, pasted_lines, resolve
from omaccess.reach import Openable
from tests.factories import GrantFactory, HostAccountFactory, HostFactory, UserFactory


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("web-01\r\nweb-02\n\n", ["web-01", "web-02"]),
        ("web-01, web-02;db|mail\tlog", ["web-01", "web-02", "db", "mail", "log"]),
        ("• `web-01`.\n- “web-02”,\n---\n->", ["web-01", "-", "web-02"]),
        ("web-01 WEB-01 wéb-01", ["web-01"]),
        ("请查看 web-01、web-02\uff0c\uff08db\uff09。", ["请查看", "web-01", "web-02", "db"]),
        ("a\x00b\u202ec", ["a b c"]),
        ("", []),
    ],
)
def test_entries_are_told_apart_and_each_is_taken_once(text: str, lines: list[str]) -> None:
    assert pasted_lines(text) == [line for line in lines if any(letter.isalnum() for letter in line)]


def test_no_more_than_two_hundred_are_taken_and_that_is_known() -> None:
    many = "\n".join(f"host-{number}" for number in range(MOST_LINES + 1))

    assert len(pasted_lines(many)) == MOST_LINES
    assert is_cut(many)
    assert not is_cut("web-01")
    assert is_cut("x" * 1_000_000)


@pytest.mark.django_db
@pytest.mark.database
def test_a_host_that_is_named_twice_is_met_once() -> None:
    account = HostAccountFactory(host__name="web-01", host__address="10.0.0.11")
    user = UserFactory()
    GrantFactory(user=user, everything=True)

    met = resolve(Openable(user, at=timezone.now()), ["web-01", "10.0.0.11", "nowhere", "nothing"])

    assert [(entry.line, entry.hosts) for entry in met] == [
        ("web-01", [account.host]),
        ("nowhere", []),
        ("nothing", []),
    ]


@pytest.mark.django_db
@pytest.mark.database
@pytest.mark.parametrize(
    "line",
    [
        "web-01",
        "WEB-01",
        "10.0.0.11",
        "ssh://root@web-01:22/",
        "https://10.0.0.11:8443/login?x=1",
        "web-01.example.org",
        "root@10.0.0.11",
    ],
)
def test_a_host_is_met_by_every_way_in_which_tickets_name_it(line: str) -> None:
    account = HostAccountFactory(host__name="web-01", host__address="10.0.0.11")
    HostAccountFactory(host__name="web-011", host__address="10.0.0.111")
    user = UserFactory()
    GrantFactory(user=user, everything=True)

    assert resolve(Openable(user, at=timezone.now()), [line])[0].hosts == [account.host]


@pytest.mark.django_db
@pytest.mark.database
@pytest.mark.parametrize("line", ["2001:0DB8:0:0:0:0:0:15", "[2001:db8::15]:22", "zurich"])
def test_long_ipv6_addresses_and_accents_are_met(line: str) -> None:
    first = HostAccountFactory(host__name="Zürich", host__address="2001:db8::15").host
    user = UserFactory()
    GrantFactory(user=user, everything=True)

    assert resolve(Openable(user, at=timezone.now()), [line])[0].hosts == [first]


@pytest.mark.django_db
@pytest.mark.database
def test_what_may_not_be_opened_is_not_found() -> None:
    hidden, mine = HostAccountFactory(host__name="hidden").host, HostAccountFactory(host__name="mine").host
    user = UserFactory()
    GrantFactory(user=user, host=mine)

    found = resolve(Openable(user, at=timezone.now()), ["hidden", "nowhere", "mine", hidden.address])

    assert [entry.hosts for entry in found] == [[], [], [mine], []]


@pytest.mark.django_db
def test_a_name_that_very_many_hosts_share_shows_only_some() -> None:
    user = UserFactory()
    GrantFactory(user=user, everything=True)
    for _ in range(MOST_HOSTS + 1):
        HostAccountFactory(host=HostFactory(name="twin"))

    assert len(resolve(Openable(user, at=timezone.now()), ["twin"])[0].hosts) == MOST_HOSTS
