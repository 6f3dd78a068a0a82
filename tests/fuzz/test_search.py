"""Search box, filters and pages of staff: any text finds what one may open, or nothing; never an error."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import pytest
from django.db import connection, reset_queries
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from accounts.models import User
from omaccess.models import Host
from tests.factories import GrantFactory, HostAccountFactory, HostFactory, UserFactory
from tests.fuzz.budget import Explorer
from tests.fuzz.web import MOST_CPU_SECONDS, check_manners, escaped, queries
from tests.omaccess.admin.conftest import BACKEND

pytestmark = [pytest.mark.database, pytest.mark.django_db]

MOST_QUERIES = 20
"""More than the page takes with the longest search; a query for each term, host or label would be above it."""


@dataclass
class Searcher:
    user: User
    client: Client
    mine: set[int]


@pytest.fixture
def searcher(db: None) -> Searcher:
    """Somebody who may open two of five hosts whose names, addresses and labels are alike."""
    user = UserFactory()
    client = Client()
    client.force_login(user, backend=BACKEND)
    labels = {"env": "prod", "team": "shop", "%": "_", "odd": "\\"}
    hosts = [
        HostAccountFactory(host=HostFactory(name=name, labels=labels)).host
        for name in ("web-01", "web-02", "web-03", "%_\\", "\u0130")
    ]
    for host in hosts[:2]:
        GrantFactory(user=user, host=host)
    for host in hosts[2:4]:
        GrantFactory(host=host)
    return Searcher(user, client, {host.pk for host in hosts[:2]})


addresses: SearchStrategy[str] = st.one_of(
    queries(st.sampled_from(("q", "q", "q", "label", "label", "instance", "page"))).map("/?{}".format),
    queries(st.sampled_from(("q", "label"))).map("/?{}".format),
    queries(st.sampled_from(("account",))).map("/hosts/?{}".format),
    queries(st.sampled_from(("before",))).map("/activity/?{}".format),
    escaped.map("/hosts/{}/".format),
    st.integers(-1, 2**70).map("/hosts/{}/".format),
    escaped.map("/launches/{}/".format),
    escaped.map("/launches/{}/attempt/".format),
    escaped.map("/launches/status/{}/".format),
    escaped.map("/{}".format),
)

EXAMPLES = (
    "/?q=%00",
    "/?q=%ed%a0%80",
    "/?q=%25_%5C",
    "/?q=" + "%28" * 3000,
    "/?q=a&label=%00%3D%00&instance=9223372036854775808&page=99999999999999999999",
    "/?page=%D9%A3&instance=%C2%BD",
    "/hosts/9223372036854775808/",
    "/hosts/?account=9223372036854775807",
    "/activity/?before=9223372036854775807",
    "/launches/status/%00/",
    "/launches/%C4%B1%C4%B1%C4%B1%C4%B1%C4%B1%C4%B1%C4%B1%C4%B1%C4%B1%C4%B1/",
)  # fmt: skip


def test_any_search_shows_only_what_one_may_open(searcher: Searcher, explorer: Explorer) -> None:
    others = set(Host.objects.exclude(pk__in=searcher.mine).values_list("pk", flat=True))

    def check(asked: tuple[str, bool]) -> None:
        address, is_htmx = asked
        began = time.thread_time()
        reset_queries()  # Django keeps the last 9,000 of a test, and complains beyond
        with CaptureQueriesContext(connection) as captured:
            response = searcher.client.get(address, headers={"HX-Request": "true"} if is_htmx else {})

        check_manners(response)
        assert time.thread_time() - began < MOST_CPU_SECONDS
        assert len(captured) <= MOST_QUERIES
        if response.status_code == 200 and address.startswith("/?"):
            shown = {row.host.pk for row in response.context["rows"]}
            assert shown <= searcher.mine
            linked = {int(found) for found in re.findall(rb'href="/hosts/([0-9]+)/', response.content)}
            assert linked >= shown
            assert not linked & others
            explorer.count("pages with hosts", 1 if shown else 0)

    inputs = st.tuples(addresses, st.booleans())
    explorer.explore(inputs, check, few=150, share=0.015, examples=[(address, False) for address in EXAMPLES])

    assert explorer.counts["pages with hosts"] > 0


def test_a_search_for_a_whole_name_or_its_beginning_finds_it(searcher: Searcher, explorer: Explorer) -> None:
    """Hosts with any name; what LIKE takes for a wildcard is a character like others."""

    def check(asked: tuple[str, int]) -> None:
        name, length = asked
        host = Host.objects.get(pk=min(searcher.mine))
        Host.objects.filter(pk=host.pk).update(name=name)

        response = searcher.client.get("/", {"q": name[:length]})

        assert host.pk in {row.host.pk for row in response.context["rows"]}

    names = st.text(
        st.sampled_from("abzAZ09%_\\-.'\"/*?[](){}|^$~!@#&;,<>\u00e9\u4e2d\U0001f511"), min_size=1, max_size=20
    )
    explorer.explore(
        st.tuples(names, st.integers(1, 20)), check, few=50, share=0.01, examples=[("%_\\", 3), ("a_b", 2), ("\\", 1)]
    )
