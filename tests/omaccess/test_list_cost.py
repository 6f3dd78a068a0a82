"""What lists and searches cost: a constant number of statements, each of them by an index, on either database."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import User
from omaccess.models import BastionInstance, Grant, GrantLabel, Host, HostAccount, Label
from tests.factories import BastionInstanceFactory, UserFactory

pytestmark = pytest.mark.database

SEARCHES = ["/?q=host-0001", "/?q=host-000", "/?q=10.0.0.", "/?q=env%3Dprod", "/?q=nothing"]
STAFF_PAGES = ["/", *SEARCHES, "/hosts/{host}/", "/worklist/"]
ADMIN_PAGES = [
    "/admin/omaccess/host/",
    "/admin/omaccess/host/?q=host-000",
    "/admin/omaccess/hostaccount/",
    "/admin/omaccess/hostaccount/?q=root@host-000",
    "/admin/omaccess/grant/",
]


@pytest.fixture
def instance(db: None) -> BastionInstance:
    return BastionInstanceFactory()


def add_hosts(instance: BastionInstance, numbers: Iterable[int]) -> list[Host]:
    """Hosts with two labels and one account each."""
    addresses = {number: f"10.{number // 65536}.{number // 256 % 256}.{number % 256}" for number in numbers}
    hosts = Host.objects.bulk_create(
        Host(instance=instance, name=f"host-{number:04}", address=address, address_key=address)
        for number, address in addresses.items()
    )
    Label.objects.bulk_create(
        Label(host=host, key=key, value=value)
        for host in hosts
        for key, value in (("env", "prod"), ("name", host.name))
    )
    HostAccount.objects.bulk_create(HostAccount(host=host, name="root") for host in hosts)
    return hosts


def grant_everything(user: User, _hosts: list[Host], number: int) -> None:
    _grants({"user": user, "target": Grant.Target.ALL} for _ in range(number))


def grant_hosts(user: User, hosts: list[Host], number: int) -> None:
    _grants({"user": user, "host": hosts[one % len(hosts)]} for one in range(number))


def grant_labels(user: User, hosts: list[Host], number: int) -> None:
    grants = _grants({"user": user, "target": Grant.Target.LABELS} for _ in range(number))
    GrantLabel.objects.bulk_create(
        GrantLabel(grant=grant, key="name", value=hosts[one % len(hosts)].name) for one, grant in enumerate(grants)
    )


def _grants(rows: Iterable[dict[str, Any]]) -> list[Grant]:
    return Grant.objects.bulk_create(Grant(every_account=True, valid_from=timezone.now(), **row) for row in rows)


def paste(browser: Client, hosts: Iterable[Host]) -> None:
    """As a worklist; among them as many that there are not."""
    names = [name for host in hosts for name in (host.name, f"no-{host.name}")]
    assert browser.post("/worklist/", {"pasted": "\n".join(names)}).status_code == 303


def statements(browser: Client, address: str) -> list[str]:
    """What a page asks the database, asked for a second time: nothing of a process's beginning."""
    for _round in range(2):
        with CaptureQueriesContext(connection) as captured:
            answer = browser.get(address)
        assert answer.status_code == 200
    return [query["sql"] for query in captured]


@pytest.mark.parametrize("grant", [grant_everything, grant_hosts, grant_labels])
def test_the_pages_of_staff_cost_the_same_number_of_statements_whatever_there_is(
    instance: BastionInstance, client: Client, grant: Callable[[User, list[Host], int], None]
) -> None:
    user = UserFactory()
    client.force_login(user)
    hosts = add_hosts(instance, range(5))
    grant(user, hosts, 2)
    paste(client, hosts)
    pages = [page.format(host=hosts[1].pk) for page in STAFF_PAGES]
    few = [len(statements(client, page)) for page in pages]

    hosts += add_hosts(instance, range(5, 60))
    grant(user, hosts, 198)
    paste(client, hosts)
    many = [len(statements(client, page)) for page in pages]

    assert dict(zip(pages, many, strict=True)) == dict(zip(pages, few, strict=True))
    assert max(many) <= 23


def test_the_lists_of_admins_cost_the_same_number_of_statements_whatever_there_is(
    instance: BastionInstance, client: Client
) -> None:
    client.force_login(UserFactory(is_superuser=True))
    user, hosts = UserFactory(), add_hosts(instance, range(5))
    grant_labels(user, hosts, 2)
    few = [len(statements(client, page)) for page in ADMIN_PAGES]

    hosts += add_hosts(instance, range(5, 60))
    grant_labels(user, hosts, 198)
    many = [len(statements(client, page)) for page in ADMIN_PAGES]

    assert dict(zip(ADMIN_PAGES, many, strict=True)) == dict(zip(ADMIN_PAGES, few, strict=True))


# --- plans ---------------------------------------------------------------------------------------


@contextmanager
def _recorded() -> Iterator[list[tuple[str, Any]]]:
    asked: list[tuple[str, Any]] = []

    def record(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        asked.append((sql, params))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(record):
        yield asked


def scans(browser: Client, address: str) -> list[str]:
    """Lines of the plans of a page's statements that read a whole table of hosts, accounts or labels."""
    with _recorded() as asked:
        assert browser.get(address).status_code == 200
    found = []
    for sql, params in asked:
        large = _large_tables(sql)
        # Whether a bastion has anything to open is asked for each of them, and ends at the first host.
        if large and ' FROM "omaccess_bastioninstance" ' not in sql:
            found += [f"{line}: {sql[:300]}" for line in _plan(sql, params) if _scanned(line) in large]
    return found


def _large_tables(sql: str) -> set[str]:
    """Hosts, accounts and labels under the names that a statement gives them."""
    named = re.findall(
        r'"(omaccess_(?:host|hostaccount|label))"(?: ((?!ON\b|WHERE\b|INNER\b|LEFT\b|ORDER\b)\w+))?', sql
    )
    return {name.lower() for pair in named for name in pair if name}


def _plan(sql: str, params: Any) -> list[str]:
    explain = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{explain} {sql}", params)
        return [str(row[-1]).strip() for row in cursor.fetchall()]


def _scanned(line: str) -> str:
    """The table or alias that a line of a plan reads from beginning to end; empty for other lines."""
    pattern = r"Seq Scan on (\w+)" if connection.vendor == "postgresql" else r"SCAN (\w+)$"
    found = re.search(pattern, line)
    return found.group(1).lower() if found else ""


@pytest.fixture
def many_hosts(instance: BastionInstance) -> list[Host]:
    """More than a person's few: only then is there something to win. PostgreSQL knows how many; SQLite never does."""
    hosts = add_hosts(instance, range(6_000))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE omaccess_host, omaccess_hostaccount, omaccess_label, omaccess_grant")
    return hosts


def test_searches_read_no_table_from_beginning_to_end(many_hosts: list[Host], client: Client) -> None:
    found = {}
    for grant, number in ((grant_everything, 1), (grant_hosts, 100)):
        user = UserFactory()
        grant(user, many_hosts, number)
        client.force_login(user)
        for text in ("host-0007", "host-007", "10.0.3.7", "10.0.3.11", "name%3Dhost-0007"):
            found[grant.__name__, text] = scans(client, f"/?q={text}")

    assert {key: lines for key, lines in found.items() if lines} == {}


def test_an_admins_searches_read_no_table_from_beginning_to_end(many_hosts: list[Host], client: Client) -> None:
    client.force_login(UserFactory(is_superuser=True))
    pages = [
        "/admin/omaccess/host/?q=host-0007",
        "/admin/omaccess/host/?q=host-007",
        "/admin/omaccess/hostaccount/?q=root@host-007",
        "/admin/omaccess/hostaccount/?q=10.0.3.11",
    ]

    found = {page: scans(client, page) for page in pages}

    assert {page: lines for page, lines in found.items() if lines} == {}
