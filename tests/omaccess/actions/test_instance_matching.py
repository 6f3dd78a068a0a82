"""What the cloud lists beside the inventory: recognised, compared, and never more than a proposal."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from pytest_django import Settings

from omaccess.actions.instance_matching import Bastion, Likeness, Place, bastions
from omaccess.cloud.types import CbhInstance
from omaccess.models import BastionInstance, LoginAddress
from tests.factories import BastionInstanceFactory

pytestmark = [pytest.mark.database, pytest.mark.django_db]

PLACE = Place("cn-north-4", "https://cbh.cn-north-4.myhuaweicloud.com", "cn-north-4", "project-1", "acme")
SERVER, INSTANCE = "5c9a2f7e-1f7b-4a59-8c0e-0f6a4f0b8a11", "6d0b3a8f-2a8c-4b6a-9d1f-1a7b5a1c9b22"
LISTED = CbhInstance(
    name="edge",
    server_id=SERVER,
    instance_id=INSTANCE,
    region="cn-north-4",
    status="ACTIVE",
    task_status="NO_TASK",
    instance_status="ok",
    version="3.3.62.0",
    public_ip="203.0.113.7",
    private_ip="10.1.0.5",
    vip="",
    web_port=443,
    ha_id="",
    ha_role="",
)


def only(**values: Any) -> Bastion:
    (found,) = bastions([replace(LISTED, **values)], PLACE)
    return found


def row(**values: Any) -> BastionInstance:
    return BastionInstanceFactory(**{"server_id": "elsewhere", "instance_id": "", "endpoint": PLACE.endpoint, **values})


# --- recognising -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "likeness"),
    [
        ({"instance_id": INSTANCE}, Likeness.INSTANCE_ID),
        ({"server_id": SERVER}, Likeness.SERVER_ID),
        ({"server_id": INSTANCE}, Likeness.SWAPPED),
        ({"instance_id": SERVER}, Likeness.SWAPPED),
        ({"name": "edge"}, Likeness.NAME),
    ],
)
def test_an_instance_is_recognised_by_its_ids_and_then_by_its_name(values: dict[str, str], likeness: Likeness) -> None:
    known = row(**values)

    found = only()

    assert (found.known, found.likeness) == (known, likeness)


@pytest.mark.parametrize(
    "values",
    [
        {"region": "cn-east-3"},
        {"endpoint": "https://cbh.cn-east-3.myhuaweicloud.com"},
        {"credential__account_name": "another"},
    ],
)
def test_one_of_the_same_name_elsewhere_or_in_another_account_is_another(values: dict[str, str]) -> None:
    row(name="edge", **values)

    assert only().known is None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, []),
        ({"project_id": "project-1", "project_name": "renamed"}, []),
        ({"project_name": "", "project_id": "project-1"}, []),
        ({"credential__account_name": "another"}, ["in the account another; this list is of the account acme"]),
        ({"project_name": "prod"}, ["in the project prod; this list is of the project cn-north-4"]),
        ({"project_id": "project-2"}, ["this list is of the project cn-north-4"]),
    ],
)
def test_another_account_or_project_is_warned_of_however_it_was_recognised(
    values: dict[str, str], words: list[str]
) -> None:
    row(instance_id=INSTANCE, **values)

    warnings = [str(warning) for warning in only().warnings]

    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


def test_the_surest_likeness_wins_and_no_row_is_taken_twice() -> None:
    named, by_id = row(name="edge"), row(instance_id=INSTANCE)

    first, second = bastions([LISTED, replace(LISTED, instance_id="i-2", server_id="s-2")], PLACE)

    assert (first.known, first.likeness) == (by_id, Likeness.INSTANCE_ID)
    assert (second.known, second.likeness) == (named, Likeness.NAME)


def test_blank_ids_recognise_nothing() -> None:
    row(instance_id="", server_id=" ", name="other")

    assert only(instance_id="", server_id="").known is None


def test_the_number_of_queries_does_not_grow_with_the_list(django_assert_num_queries: Any) -> None:
    for number in range(3):
        LoginAddress.objects.create(instance=row(instance_id=f"i-{number}"), origin="https://192.0.2.1")

    with django_assert_num_queries(2):
        found = bastions([replace(LISTED, instance_id=f"i-{number}") for number in range(3)], PLACE)
        assert all(one.differences for one in found)


# --- comparing -------------------------------------------------------------------------------------


def test_ids_that_differ_and_login_addresses_that_are_missing_are_named() -> None:
    known = row(instance_id=INSTANCE, project_id="", ha_id="old")
    LoginAddress.objects.create(instance=known, origin="https://10.1.0.5")

    differences = {(one.field, one.before, one.after) for one in only(ha_id="ha-1", ha_role="master").differences}

    assert differences == {
        ("server_id", "elsewhere", SERVER),
        ("project_id", "", "project-1"),
        ("ha_id", "old", "ha-1"),
        ("login_address", "", "https://203.0.113.7"),
    }


def test_what_the_cloud_does_not_say_is_no_difference() -> None:
    row(name="edge", instance_id="kept", ha_id="kept", server_id=SERVER, project_id="project-1")

    found = only(instance_id="", ha_id="", public_ip="", private_ip="")

    assert found.differences == []


def test_a_pair_is_one_bastion_and_its_master_counts() -> None:
    master = replace(LISTED, ha_id="ha-1", ha_role="master", vip="10.1.0.9", public_ip="")
    slave = replace(LISTED, ha_id="ha-1", ha_role="slave", server_id="s-2", instance_id="i-2", private_ip="10.1.0.6")
    known = row(server_id="s-2")

    (found,) = bastions([slave, master], PLACE)

    assert found.listed == master
    assert found.proposal.server_id == SERVER
    assert (found.known, found.likeness) == (known, Likeness.SERVER_ID)
    assert ("server_id", "s-2", SERVER) in {(one.field, one.before, one.after) for one in found.differences}
    assert "https://10.1.0.9" in found.proposal.origins


def test_a_standby_without_its_master_cannot_be_saved() -> None:
    found = only(ha_id="ha-1", ha_role="slave")

    assert not found.can_be_saved
    assert not found.is_usable
    assert "standby" in str(found.condition)


# --- whether it can be used ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "is_usable", "word"),
    [
        ({}, True, "running"),
        ({"status": "HA", "task_status": ""}, True, "running"),
        ({"status": "SHUTOFF"}, False, "switched off"),
        ({"status": "FROZEN"}, False, "frozen"),
        ({"status": "SOMETHING_NEW"}, False, "does not know"),
        ({"status": ""}, False, "does not know"),
        ({"task_status": "rebooting"}, False, "rebooting"),
        ({"instance_status": "abnormal"}, False, "abnormal"),
        ({"server_id": ""}, False, "server id"),
    ],
)
def test_whether_it_can_be_used_now_is_said_in_words(values: dict[str, str], is_usable: bool, word: str) -> None:
    found = only(**values)

    assert found.is_usable is is_usable
    assert word in str(found.condition)


# --- where its links may lead ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "origins"),
    [
        ({}, ("https://203.0.113.7", "https://10.1.0.5")),
        ({"web_port": 8443, "private_ip": ""}, ("https://203.0.113.7:8443",)),
        ({"web_port": None, "public_ip": "2001:db8::1", "private_ip": ""}, ("https://[2001:db8::1]",)),
        ({"vip": "203.0.113.7", "private_ip": ""}, ("https://203.0.113.7",)),
        ({"public_ip": "", "private_ip": ""}, ()),
    ],
)
def test_login_addresses_are_proposed_as_the_model_writes_them(
    values: dict[str, Any], origins: tuple[str, ...]
) -> None:
    assert only(**values).proposal.origins == origins


def test_plain_http_is_proposed_for_the_sandbox_only(settings: Settings) -> None:
    here = {"public_ip": "127.0.0.1", "web_port": 8010, "private_ip": ""}
    in_sandbox = only(**here).proposal.origins
    settings.IS_SANDBOX = False

    assert in_sandbox == ("http://127.0.0.1:8010",)
    assert only(**here).proposal.origins == ("https://127.0.0.1:8010",)
