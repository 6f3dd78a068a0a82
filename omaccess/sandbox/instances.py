"""CBH: the list of instances, the status of one, and what the region offers.

Source: CBH API reference, "Querying CBH Instances" (ListInstances), "Querying the Status of a CBH Instance"
(ShowInstanceStatus); the vendor's client for the rest (ListSwitchConfigInfo).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from werkzeug.wrappers import Response

from omaccess.sandbox.callers import at_cbh
from omaccess.sandbox.lookups import find_instance
from omaccess.sandbox.refusals import bad_parameter
from omaccess.sandbox.replies import json_reply
from omaccess.sandbox.simulation import Call, Simulation
from omaccess.sandbox.world_types import LIST_ACTION, Instance

_OFFERED: Final = (
    "unibuy", "admin_login", "update_ha", "tms", "eps", "iam_login", "ha", "reset", "upgrade_instance",
    "change_security_group", "manually_ip", "capacity_expantion", "ha_expantion", "agency_authorize",
    "change_vpc", "period",
)  # fmt: skip
"""Spelling as published."""
_NOT_OFFERED: Final = ("float_ipv6", "ipv6", "cluster", "ondemand")


@dataclass(frozen=True, slots=True)
class _Phase:
    """The words that other fields use for one value of `status_info.status`.

    Each field's set of values is published, not which go together: that is inferred from the words.
    `short` is the answer of the status call, whose set has no word for an instance that is stopped or broken.
    """

    short: str
    task: str
    instance: str
    creating: str | None = None


_PHASES: Final[Mapping[str, _Phase]] = {
    "ACTIVE": _Phase("ACTIVE", "NO_TASK", "ok"),
    "HA": _Phase("ACTIVE", "NO_TASK", "ok"),
    "SHUTOFF": _Phase("POWERING_OFF", "NO_TASK", "abnormal"),
    "DELETING": _Phase("DELETE_WAITE", "delete_wait", "deleting"),
    "DELETED": _Phase("DELETE_WAITE", "NO_TASK", "deleted"),
    "BUILD": _Phase("POWERING_ON", "NO_TASK", "building", "creating-server"),
    "ERROR": _Phase("POWERING_OFF", "NO_TASK", "error"),
    "HAWAIT": _Phase("POWERING_ON", "configuring-ha", "building"),
    "FROZEN": _Phase("FROZEN", "frozen", "abnormal"),
    "UPGRADING": _Phase("UPGRADING", "updating", "upgrading"),
    "UNPAID": _Phase("FROZEN", "NO_TASK", "unpaid", "Waiting for payment"),
    "RESIZE": _Phase("RESIZE", "alter", "resizing"),
    "DILATATION": _Phase("RESIZE", "alter", "resizing"),
}


def instances(cloud: Simulation, call: Call, project_id: str) -> Response:
    """`GET /v2/{project_id}/cbs/instance/list`: the project's instances, under the key `instance`.

    `total` counts all that match, not those of the page (assumed).
    """
    _, project = at_cbh(cloud, call, project_id, LIST_ACTION)
    limit = _number(cloud, call, "limit", 1000, least=1, most=1000)
    offset = _number(cloud, call, "offset", 0, least=0, most=2**31)
    found = list(cloud.world.instances_in(project))
    wanted = call.request.args.get("instance_id")
    if wanted is not None:
        # Documented as a long although the field of this name is a text, so it is compared as it is.
        found = [instance for instance in found if instance.instance_id == wanted]
    page = found[offset : offset + limit]
    return json_reply({"total": len(found), "instance": [_instance_body(cloud, i) for i in page]})


def status(cloud: Simulation, call: Call, project_id: str, server_id: str) -> Response:
    """`GET /v2/{project_id}/cbs/instance/{server_id}/status`; its words are not those of the list."""
    _, project = at_cbh(cloud, call, project_id, LIST_ACTION)
    instance = find_instance(cloud, project, server_id)
    short = _PHASES[instance.status].short
    return json_reply({"name": instance.name, "status": short, "server_id": instance.server_id})


def features(cloud: Simulation, call: Call, project_id: str) -> Response:
    """`GET /v2/{project_id}/cbs/feature/config`: what the region offers, and from which version on."""
    at_cbh(cloud, call, project_id, LIST_ACTION)
    switches = {f"is_support_{name}": name in _OFFERED for name in (*_OFFERED, *_NOT_OFFERED)}
    versions = {"require_eip": "3.3.2.0", "iam_login": "3.3.44.0", "admin_login": "3.3.44.0", "float_ipv6": "3.3.62.0"}
    return json_reply({"switch_info": switches, "version_info": versions})


def _number(cloud: Simulation, call: Call, name: str, default: int, *, least: int, most: int) -> int:
    text = call.request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise bad_parameter(cloud.world.style)
    return int(text)


def _instance_body(cloud: Simulation, instance: Instance) -> dict[str, object]:
    """Every field of the reference; what an instance does not have is null, as the vendor's client allows."""
    phase = _PHASES[instance.status]
    zone = instance.availability_zone or f"{instance.project}a"
    return {
        "name": instance.name,
        "server_id": instance.server_id,
        "instance_id": instance.instance_id,
        "alter_permit": phase.instance == "ok",
        "enterprise_project_id": "0",
        "period_num": "2",
        "start_time": "1735689600",
        "end_time": "1798761600",
        "created_time": "2025-01-01T00:00:00Z",
        "upgrade_time": None,
        "update": "OLD" if instance.supports_om_url else "NEW",
        "bastion_version": instance.version,
        "az_info": {
            "region": instance.project,
            "zone": zone,
            "availability_zone_display": zone,
            "slave_zone": zone if instance.ha_id else None,
            "slave_zone_display": zone if instance.ha_id else None,
        },
        "status_info": {
            "status": instance.status,
            "task_status": phase.task,
            "create_instance_status": phase.creating,
            "instance_status": phase.instance,
            "instance_description": None,
            "fail_reason": "Simulated failure." if phase.instance == "error" else None,
        },
        "resource_info": {
            "specification": instance.specification,
            "order_id": f"CS{_derived(instance, 'order').replace('-', '')[:14].upper()}",
            "resource_id": _derived(instance, "resource"),
            "data_disk_size": 0.2,
            "disk_resource_id": [_derived(instance, "disk")],
        },
        "network": _network_body(cloud, instance),
        "ha_info": {
            "ha_id": instance.ha_id or None,
            "instance_type": instance.ha_role if instance.ha_id else None,
        },
    }


def _network_body(cloud: Simulation, instance: Instance) -> dict[str, object]:
    public_ip, web_port = instance.public_ip, "443"
    if public_ip and instance.login_origin is None:
        # Its links lead to the sandbox itself, so that is where its page is: whoever fills in an inventory from this
        # list gets addresses that work.
        parts = urlsplit(cloud.base_url)
        public_ip, web_port = str(parts.hostname), str(parts.port or 443)
    # Every real instance has an address of its own, also where the world file does not care which.
    number = uuid.UUID(instance.server_id).int
    private = instance.private_ip or f"192.168.{number % 200}.{number // 200 % 250 + 2}"
    return {
        "vip": (instance.vip or private) if instance.ha_id else None,
        "web_port": web_port,
        "public_ip": public_ip,
        # Without a public address the service was seen to send blanks instead of nothing.
        "public_id": _derived(instance, "eip") if instance.public_ip else "        ",
        "private_ip": private,
        "vpc_id": _derived(instance, "vpc"),
        "subnet_id": _derived(instance, "subnet"),
        "security_group_id": _derived(instance, "security-group"),
    }


def _derived(instance: Instance, name: str) -> str:
    """An id that stays the same from start to start."""
    return str(uuid.uuid5(uuid.UUID(instance.server_id), name))
