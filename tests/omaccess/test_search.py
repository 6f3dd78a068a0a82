"""What the search box finds, in which order, and that it shows nobody more than they may open."""

from __future__ import annotations

import pytest
from django.db import connection
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from accounts.models import User
from omaccess import search
from omaccess.models import Host, HostAccount, access
from omaccess.models.search_key import fold
from omaccess.reach import Openable
from tests.factories import BastionInstanceFactory, GrantFactory, HostAccountFactory, HostFactory, UserFactory

pytestmark = pytest.mark.database


def found(text: str) -> list[str]:
    return [host.name for host in search.find(Host.objects.all(), text, first=50)]


@pytest.fixture(autouse=True, params=[0, 1, 2, access.FEW])
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a term is one that few hosts match or not makes no difference to what is found."""
    monkeypatch.setattr(access, "FEW", request.param)


@pytest.fixture(autouse=True)
def hosts(db: None) -> None:
    instance = BastionInstanceFactory()
    HostFactory(instance=instance, name="web-1", address="192.0.2.1", labels={"env": "prod", "team": "shop"})
    HostFactory(instance=instance, name="web-10", address="192.0.2.10", labels={"env": "test", "team": "shop"})
    HostFactory(instance=instance, name="db_1", address="2001:DB8::1", labels={"env": "prod"})


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ["db_1", "web-1", "web-10"]),
        ("web", ["web-1", "web-10"]),
        ("WEB-1", ["web-1", "web-10"]),
        ("eb-1", ["web-1", "web-10"]),
        ("b-10", ["web-10"]),
        ("192.0.2.1", ["web-1", "web-10"]),
        (".0.2.10", ["web-10"]),
        ("2001:db8::", ["db_1"]),
        ("01:db8", ["db_1"]),
        ("2001:0db8:0000::0001", ["db_1"]),
        ("env=prod", ["db_1", "web-1"]),
        ("ENV=PROD", ["db_1", "web-1"]),
        ("env:test", ["web-10"]),
        ("env=pro", []),
        ("env:pro", []),
        ("web team=shop env=prod", ["web-1"]),
        ("eb- 0.2.10", ["web-10"]),
        ("db%", []),
        ("db_", ["db_1"]),
        ("=prod", []),
        ("\u0301", ["db_1", "web-1", "web-10"]),
    ],
)
def test_search_finds_names_addresses_and_labels(text: str, names: list[str]) -> None:
    assert found(text) == names


@pytest.mark.parametrize("text", ["w", "we", "WE", "19", "db", "20"])
def test_fewer_than_three_characters_are_the_beginning_of_a_name_or_address(text: str) -> None:
    HostFactory(name="a-we-db", address="203.0.113.19", owner="we db 19")

    names = found(text)

    assert names
    assert all(
        host.name.startswith(text.lower()) or host.address.startswith(text)
        for host in Host.objects.filter(name__in=names)
    )


def test_owners_are_found_by_any_part() -> None:
    HostFactory(name="mail", owner="Payments team")

    assert found("ments") == ["mail"]
    assert found("payments mail") == ["mail"]


@pytest.mark.parametrize(
    "text", ["munchen", "MÜNCHEN", "Mu\u0308nchen", "\uff4d\uff55\uff4e\uff43\uff48\uff45\uff4e", "nchen", "mü", "mu"]
)
def test_accents_case_and_the_width_of_letters_make_no_difference(text: str) -> None:
    HostFactory(name="München")

    assert found(text) == ["München"]


@pytest.mark.parametrize("text", ["数据", "数据库", "据库主"])
def test_names_without_letters_of_an_alphabet_are_found(text: str) -> None:
    HostFactory(name="数据库主机")

    assert found(text) == (["数据库主机"] if text.startswith("数") or len(text) > 2 else [])


def test_exact_hits_come_first_then_names_then_words_then_addresses_then_any_part() -> None:
    instance = BastionInstanceFactory()
    HostFactory(instance=instance, name="zz-app10", address="10.1.0.1")
    HostFactory(instance=instance, name="app10", address="10.1.0.2")
    HostFactory(instance=instance, name="app10-z", address="10.1.0.3")
    HostFactory(instance=instance, name="a_app10", address="10.1.0.4")
    HostFactory(instance=instance, name="aapp10", address="10.1.0.5")
    HostFactory(instance=instance, name="a1", address="app10.example")
    HostFactory(instance=instance, name="a2", owner="app10")

    assert found("app10") == ["app10", "app10-z", "a_app10", "zz-app10", "a1", "a2", "aapp10"]


def test_exact_hits_come_before_prefixes() -> None:
    HostFactory(name="web", address="192.0.2.77")

    assert found("web")[0] == "web"
    assert found("192.0.2.10")[0] == "web-10"


def test_a_name_of_several_words_that_is_typed_whole_comes_first() -> None:
    for name in ("a web server one", "web server"):
        HostFactory(name=name)

    assert found("Web Server") == ["web server", "a web server one"]


@pytest.mark.parametrize(
    "text",
    [
        "%",
        "_",
        "%%%",
        "___",
        "\\",
        "\\\\\\",
        '"',
        '"""',
        "*",
        "web*",
        '"web"',
        "NEAR(web",
        "web^",
        "AND",
        "web OR db_1",
        "NOT web",
        "search_text",
        "w%b",
        "w_b-1",
        "(web)",
        "-web-",
        "';--",
        "{name}",
        "%s%s%s",
    ],
)
def test_nothing_is_a_wildcard_or_an_operator(text: str) -> None:
    assert found(text) == []


def test_what_looks_like_an_operator_is_found_where_it_is() -> None:
    for name in ('a "quoted" %s name', "x AND y NEAR z", "{name}*"):
        HostFactory(name=name)

    assert found('"quoted"') == ['a "quoted" %s name']
    assert found("and near") == ["x AND y NEAR z"]
    assert found("name}*") == ["{name}*"]


def test_odd_characters_and_absurd_lengths_are_harmless() -> None:
    assert search.clean_query("web\x00-1\n\t x\u202e") == "web -1 x"
    assert len(search.clean_query("x" * 10_000)) == search.MAX_QUERY
    assert found("\x00") == ["db_1", "web-1", "web-10"]
    assert found(" ".join("w" for _ in range(100))) == ["web-1", "web-10"]
    assert found("\ufdfa" * 200) == []


@pytest.mark.parametrize(("label", "count"), [("env=prod", 2), ("env=PROD", 0), ("env", 0), ("", 0)])
def test_a_label_filter_is_exact(label: str, count: int) -> None:
    assert search.with_label(Host.objects.all(), label).count() == count


def test_a_search_can_stand_within_another_query() -> None:
    names = Host.objects.filter(pk__in=search.find(Host.objects.all(), "web env:prod", first=50).values("pk"))

    assert [host.name for host in names] == ["web-1"]
    assert search.find(Host.objects.filter(name="db_1"), "1", first=50).count() == 0
    assert search.find(Host.objects.filter(name="db_1"), "2001", first=50).count() == 1


# --- accounts, and who may know of them --------------------------------------------------------------------


@pytest.fixture
def person() -> User:
    return UserFactory()


def shown(person: User, text: str) -> list[str]:
    return [host.name for host in Openable(person, at=timezone.now()).hosts().find(text, first=50)]


def account(host: str, name: str, *, is_enabled: bool = True) -> HostAccount:
    return HostAccountFactory(host=Host.objects.get(name=host), name=name, is_enabled=is_enabled)


def test_an_account_term_finds_hosts_with_an_account_of_exactly_that_name(person: User) -> None:
    account("web-1", "root")
    account("web-10", "rooted")
    account("db_1", "Root")
    GrantFactory(user=person, everything=True)

    assert shown(person, "account:root") == ["db_1", "web-1"]
    assert shown(person, "ACCOUNT:ROOT web") == ["web-1"]
    assert shown(person, "account:roo") == []


def test_an_account_that_one_may_not_open_is_not_revealed_by_a_search(person: User) -> None:
    for name in ("web-1", "web-10"):
        account(name, "root")
        account(name, "deploy")
    account("db_1", "root", is_enabled=False)
    account("db_1", "deploy")
    GrantFactory(user=person, host=Host.objects.get(name="web-1"), every_account=False, names=["deploy"])
    GrantFactory(user=person, by_labels=True, labels={"env": "test"}, every_account=False, names=["deploy"])
    GrantFactory(user=person, host=Host.objects.get(name="db_1"))

    assert shown(person, "account:deploy") == ["db_1", "web-1", "web-10"]
    assert shown(person, "account:root") == []


@pytest.mark.parametrize("text", ["web", "0.2.", "env:prod", "team=shop", "example", "account:root"])
def test_a_search_shows_only_hosts_that_one_may_open(person: User, text: str) -> None:
    for host in Host.objects.all():
        account(host.name, "root")
    GrantFactory(user=person, host=Host.objects.get(name="web-1"))
    GrantFactory(host=Host.objects.get(name="web-10"))

    assert set(shown(person, text)) <= {"web-1"}


def test_account_names_are_what_was_asked_for() -> None:
    assert search.account_names("web account:Root env:prod Account:deploy account:Root account:") == ("Root", "deploy")
    assert search.account_names("") == ()


# --- the column -----------------------------------------------------------------------------------


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


def test_every_way_of_saving_a_host_keeps_what_it_is_found_by() -> None:
    host = Host.objects.get(name="web-1")
    host.name, host.owner = "Zürich", "Ops"
    host.save(update_fields=["name", "owner"])
    instance = host.instance
    Host.objects.bulk_create([Host(instance=instance, name="Bulk", address="10.9.9.9", address_key="10.9.9.9")])

    texts = dict(Host.objects.filter(name__in=["Zürich", "Bulk"]).values_list("name", "search_text"))

    assert texts == {"Zürich": "zurich\n192.0.2.1\n192.0.2.1\nops", "Bulk": "bulk\n10.9.9.9\n10.9.9.9\n"}
    assert found("uric") == ["Zürich"]
    assert found("eb-1") == ["web-10"]


def test_a_host_that_is_gone_is_not_found() -> None:
    Host.objects.filter(name="web-1").delete()

    assert found("eb-1") == ["web-10"]


def test_what_the_release_before_wrote_is_found_by_the_beginning_of_its_name_and_address() -> None:
    Host.objects.filter(name="web-1").update(name="Renamed", address="198.51.100.7", address_key="198.51.100.7")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE omaccess_host SET search_text = '' WHERE name = 'db_1'")

    assert found("renam") == ["Renamed"]
    assert found("198.51") == ["Renamed"]
    assert found("db_1") == ["db_1"]
