"""What the search box finds."""

from __future__ import annotations

import pytest

from omaccess import search
from omaccess.models import Host, access
from tests.factories import BastionInstanceFactory, HostFactory

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
        ("eb-1", []),
        ("192.0.2.1", ["web-1", "web-10"]),
        ("2001:db8::", ["db_1"]),
        ("2001:0db8:0000::0001", ["db_1"]),
        ("env=prod", ["db_1", "web-1"]),
        ("ENV=PROD", ["db_1", "web-1"]),
        ("env:test", ["web-10"]),
        ("env=pro", []),
        ("web team=shop env=prod", ["web-1"]),
        ("db%", []),
        ("db_", ["db_1"]),
        ("=prod", []),
    ],
)
def test_search_finds_names_addresses_and_labels(text: str, names: list[str]) -> None:
    assert found(text) == names


def test_exact_hits_come_before_prefixes() -> None:
    HostFactory(name="web", address="192.0.2.77")

    assert found("web")[0] == "web"
    assert found("192.0.2.10")[0] == "web-10"


def test_odd_characters_and_absurd_lengths_are_harmless() -> None:
    assert search.clean_query("web\x00-1\n\t x\u202e") == "web -1 x"
    assert len(search.clean_query("x" * 10_000)) == search.MAX_QUERY
    assert found("\x00") == ["db_1", "web-1", "web-10"]
    assert found(" ".join("w" for _ in range(100))) == ["web-1", "web-10"]


@pytest.mark.parametrize(("label", "count"), [("env=prod", 2), ("env=PROD", 0), ("env", 0), ("", 0)])
def test_a_label_filter_is_exact(label: str, count: int) -> None:
    assert search.with_label(Host.objects.all(), label).count() == count
