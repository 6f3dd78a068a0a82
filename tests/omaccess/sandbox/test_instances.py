from __future__ import annotations

import pytest

from omaccess.sandbox.instances import _PHASES
from omaccess.sandbox.world import INSTANCE_STATUSES
from tests.omaccess.sandbox.conftest import Caller, refusal
from tests.omaccess.sandbox.worlds import (
    FOREIGN_SERVER_ID,
    LAUNCH_KEY,
    OLD_SERVER_ID,
    PROJECT_ID,
    READ_KEY,
    SERVER_ID,
    STOPPED_SERVER_ID,
)

CBH = f"/v2/{PROJECT_ID}/cbs"
LIST = f"{CBH}/instance/list"
TEXT, NULL = {str}, {str, type(None)}
FIELDS: dict[str, object] = {
    "name": TEXT, "server_id": TEXT, "instance_id": TEXT, "alter_permit": {bool}, "enterprise_project_id": TEXT,
    "period_num": TEXT, "start_time": TEXT, "end_time": TEXT, "created_time": TEXT,
    "upgrade_time": {int, type(None)}, "update": TEXT, "bastion_version": TEXT,
    "az_info": {
        "region": TEXT, "zone": TEXT, "availability_zone_display": TEXT, "slave_zone": NULL,
        "slave_zone_display": NULL,
    },
    "status_info": {
        "status": TEXT, "task_status": TEXT, "create_instance_status": NULL, "instance_status": TEXT,
        "instance_description": NULL, "fail_reason": NULL,
    },
    "resource_info": {
        "specification": TEXT, "order_id": TEXT, "resource_id": TEXT, "data_disk_size": {float},
        "disk_resource_id": {list},
    },
    "network": {
        "vip": NULL, "web_port": TEXT, "public_ip": TEXT, "public_id": TEXT, "private_ip": TEXT, "vpc_id": TEXT,
        "subnet_id": TEXT, "security_group_id": TEXT,
    },
    "ha_info": {"ha_id": NULL, "instance_type": NULL},
}  # fmt: skip


def matches(found: object, expected: object) -> bool:
    """Whether an answer has exactly these fields, each of one of its types."""
    if isinstance(expected, dict):
        assert isinstance(found, dict)
        return set(found) == set(expected) and all(matches(found[key], expected[key]) for key in expected)
    assert isinstance(expected, set)
    return type(found) in expected


def test_instances_are_listed_with_the_id_that_links_need(caller: Caller) -> None:
    body = caller.get(LIST, {"X-Auth-Token": caller.token("reader")}).json()

    assert set(body) == {"total", "instance"}
    assert body["total"] == 4
    assert {instance["server_id"] for instance in body["instance"]} >= {SERVER_ID, OLD_SERVER_ID}
    assert caller.signed(READ_KEY, LIST).json() == body


def test_an_instance_has_every_documented_field_in_its_type(caller: Caller) -> None:
    for instance in caller.signed(READ_KEY, LIST).json()["instance"]:
        assert matches(instance, FIELDS), instance
        assert len(instance["start_time"]) <= 12
        assert len(instance["end_time"]) <= 12
        assert instance["network"]["private_ip"]


def test_a_public_address_is_where_links_lead_or_blank(caller: Caller) -> None:
    public, private = caller.signed(READ_KEY, LIST).json()["instance"][:2]

    assert f"http://{public['network']['public_ip']}:{public['network']['web_port']}" == caller.server.url
    assert public["network"]["public_id"].strip()
    assert private["network"]["public_ip"] == ""
    assert private["network"]["public_id"].isspace()


def test_a_pair_has_one_floating_address_and_two_roles(caller: Caller) -> None:
    single, master, slave, _ = caller.signed(READ_KEY, LIST).json()["instance"]

    assert master["ha_info"] == {"ha_id": "ha-1", "instance_type": "master"}
    assert slave["ha_info"] == {"ha_id": "ha-1", "instance_type": "slave"}
    assert master["network"]["vip"] == slave["network"]["vip"] == "10.0.0.50"
    assert master["network"]["private_ip"] != slave["network"]["private_ip"]
    assert master["az_info"]["slave_zone"] == "cn-north-4c"
    assert single["ha_info"] == {"ha_id": None, "instance_type": None}
    assert single["network"]["vip"] is None


def test_a_stopped_instance_is_not_ok(caller: Caller) -> None:
    stopped = caller.signed(READ_KEY, LIST).json()["instance"][3]

    assert (stopped["status_info"]["status"], stopped["status_info"]["instance_status"]) == ("SHUTOFF", "abnormal")
    assert stopped["alter_permit"] is False


def test_every_status_has_words_in_the_published_sets() -> None:
    tasks = {
        "powering-on", "powering-off", "rebooting", "delete_wait", "frozen", "NO_TASK", "unfrozen", "alter", "updating",
        "configuring-ha", "data-migrating", "rollback", "traffic-switchover",
    }  # fmt: skip
    wholes = {"building", "deleting", "deleted", "unpaid", "upgrading", "resizing", "abnormal", "error", "ok"}
    shorts = {
        "POWERING_ON", "POWERING_OFF", "DELETE_WAITE", "REBOOTING", "RESIZE", "UPGRADING", "FROZEN", "ACTIVE",
    }  # fmt: skip

    assert set(_PHASES) == set(INSTANCE_STATUSES)
    assert {phase.task for phase in _PHASES.values()} <= tasks
    assert {phase.instance for phase in _PHASES.values()} <= wholes
    assert {phase.short for phase in _PHASES.values()} <= shorts


def test_instances_come_in_pages_and_one_by_one(caller: Caller) -> None:
    auth = {"X-Auth-Token": caller.token("reader")}

    page = caller.get(LIST, auth, limit="2", offset="3").json()
    second = caller.get(LIST, auth, limit="1", offset="1").json()
    beyond = caller.get(LIST, auth, offset="4").json()
    one = caller.get(LIST, auth, instance_id="instance-2").json()
    none = caller.get(LIST, auth, instance_id="12345").json()

    assert (page["total"], [instance["name"] for instance in page["instance"]]) == (4, ["stopped"])
    assert (second["total"], [instance["name"] for instance in second["instance"]]) == (4, ["old"])
    assert beyond == {"total": 4, "instance": []}
    assert (one["total"], [instance["name"] for instance in one["instance"]]) == (1, ["old"])
    assert none == {"total": 0, "instance": []}


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "1001"}, {"limit": ""}, {"limit": "1.5"}, {"offset": "-1"}, {"offset": "x"}]
)
def test_page_numbers_out_of_bounds_are_an_error(caller: Caller, query: dict[str, str]) -> None:
    auth = {"X-Auth-Token": caller.token("reader")}

    assert refusal(caller.get(LIST, auth, **query)) == (400, "CBH.10020010")


def test_the_status_of_an_instance(caller: Caller) -> None:
    def status_of(server_id: str) -> object:
        return caller.signed(READ_KEY, f"{CBH}/instance/{server_id}/status").json()

    assert status_of(SERVER_ID) == {"name": "bastion", "status": "ACTIVE", "server_id": SERVER_ID}
    assert status_of(STOPPED_SERVER_ID) == {
        "name": "stopped", "status": "POWERING_OFF", "server_id": STOPPED_SERVER_ID,
    }  # fmt: skip


def test_the_status_of_what_is_no_instance_here_is_an_error(caller: Caller) -> None:
    foreign = caller.signed(READ_KEY, f"{CBH}/instance/{FOREIGN_SERVER_ID}/status")
    nothing = caller.signed(READ_KEY, f"{CBH}/instance/instance-1/status")

    assert refusal(foreign) == (404, "CBH.10027007")
    assert refusal(nothing) == (400, "CBH.10020011")


def test_the_features_are_switches_and_versions(caller: Caller) -> None:
    body = caller.signed(READ_KEY, f"{CBH}/feature/config").json()

    switches, versions = body["switch_info"], body["version_info"]
    assert len(switches) == 20
    assert all(isinstance(switch, bool) for switch in switches.values())
    assert switches["is_support_iam_login"] is True
    assert switches["is_support_cluster"] is False
    assert set(versions) == {"require_eip", "iam_login", "admin_login", "float_ipv6"}
    assert all(isinstance(version, str) for version in versions.values())


@pytest.mark.parametrize("path", [LIST, f"{CBH}/instance/{SERVER_ID}/status", f"{CBH}/feature/config"])
def test_reading_needs_the_permission_to_list(caller: Caller, path: str) -> None:
    assert refusal(caller.signed(LAUNCH_KEY, path)) == (403, "CBH.10020002")
    assert refusal(caller.get(path)) == (401, "APIGW.0301")


def test_the_features_can_be_made_to_fail(caller: Caller) -> None:
    caller.server.control.add_fault("cbh.features", merge={"switch_info": {"is_support_iam_login": False}})

    body = caller.signed(READ_KEY, f"{CBH}/feature/config").json()

    assert body["switch_info"]["is_support_iam_login"] is False
    assert caller.server.control.counters()["cbh.features"] == 1
