"""CBH: the link that opens a host (get-om-url), the list of instances, an instance's status.

Source: CBH API reference, "Obtaining an O&M URL" (ShowOmUrl), "Querying CBH Instances" (ListInstances),
"Querying the Status of a CBH Instance" (ShowInstanceStatus), "Error Codes".
"""

from __future__ import annotations

import uuid
from typing import Final

from werkzeug.wrappers import Response

from omaccess.sandbox.faults import UNSET, Fault
from omaccess.sandbox.replies import Refused, gateway_refused, json_reply
from omaccess.sandbox.simulation import Call, Simulation
from omaccess.sandbox.tokens import Token, TokenProblem
from omaccess.sandbox.world import (
    LIST_ACTION,
    OM_URL_ACTION,
    STATE_NUMBERS,
    Host,
    HostAccount,
    Instance,
    Project,
)

_LONGEST_PARAMETER: Final = 64
_WORKING_STATUSES: Final = ("ACTIVE", "HA")
_TOKEN_REFUSALS: Final = {
    TokenProblem.MISSING: ("APIGW.0301", "Incorrect IAM authentication information"),
    TokenProblem.ALTERED: ("APIGW.0301", "Incorrect IAM authentication information: decrypt token fail"),
    TokenProblem.EXPIRED: ("APIGW.0301", "Incorrect IAM authentication information: decrypt token fail"),
    TokenProblem.REVOKED: ("APIGW.0307", "The token must be updated."),
}
# The text for HOST_NOT_MANAGE was observed on the live service; the other Chinese texts are ours.
DESCRIPTIONS: Final = {
    "zh": {
        "HOST_NOT_MANAGE": "主机未被CBH纳管。",
        "HOST_ACCOUNT_NOT_EXIST": "主机账户不可用。",
        "IAM_USER_NO_PERMISSION": "IAM用户没有该主机的运维权限。",
        "IAM_USER_CONFLICT": "IAM用户冲突。",
        "CUR_VERSION_NOT_SUPPORT_OPERATION": "当前版本不支持该操作。",
        "INS_WHITE_LIST_INITIALIZING": "实例白名单正在初始化。请稍后重试。",
        "UNKNOWN_ERROR": "未知错误。",
    },
    "en": {
        "HOST_NOT_MANAGE": "The host is not managed by CBH.",
        "HOST_ACCOUNT_NOT_EXIST": "The host account is unavailable.",
        "IAM_USER_NO_PERMISSION": "The IAM user is not allowed to operate this host.",
        "IAM_USER_CONFLICT": "IAM user conflict.",
        "CUR_VERSION_NOT_SUPPORT_OPERATION": "The current version does not support this operation.",
        "INS_WHITE_LIST_INITIALIZING": "The instance trustlist is being initialized. Try again later.",
        "UNKNOWN_ERROR": "Unknown error.",
    },
}


def om_url(cloud: Simulation, call: Call, project_id: str) -> Response:
    """`GET /v2/{project_id}/cbs/instance/get-om-url`: 200 for success and refusal; `state` is the verdict."""
    token, project = _authorised(cloud, call, project_id, OM_URL_ACTION)
    server_id = _parameter(cloud, call, "server_id")
    address = _parameter(cloud, call, "ip_address")
    account_name = _parameter(cloud, call, "host_account_name")
    instance = _instance(cloud, project, server_id)
    state = call.fault.state or _state_of(cloud, instance, address, account_name, token.user.name)
    login_url = None
    if state == "SUCCESS" or call.fault.login_url is not None:
        host, account = _target(cloud, instance, address, account_name)
        login_url = _login_url(cloud, call.fault, instance, host, account, token.user.name)
    return json_reply(_om_url_body(cloud, call.fault, state, login_url))


def instances(cloud: Simulation, call: Call, project_id: str) -> Response:
    """`GET /v2/{project_id}/cbs/instance/list`: the project's instances, under the key `instance`."""
    _, project = _authorised(cloud, call, project_id, LIST_ACTION)
    limit = _number(cloud, call, "limit", 1000, least=1, most=1000)
    offset = _number(cloud, call, "offset", 0, least=0, most=2**31)
    found = list(cloud.world.instances_in(project))
    wanted = call.request.args.get("instance_id")
    if wanted is not None:
        found = [instance for instance in found if instance.instance_id == wanted]
    page = found[offset : offset + limit]
    return json_reply({"total": len(found), "instance": [_instance_body(i) for i in page]})


def status(cloud: Simulation, call: Call, project_id: str, server_id: str) -> Response:
    """`GET /v2/{project_id}/cbs/instance/{server_id}/status`."""
    _, project = _authorised(cloud, call, project_id, LIST_ACTION)
    instance = _instance(cloud, project, server_id)
    return json_reply({"name": instance.name, "status": instance.status, "server_id": instance.server_id})


def _refused(cloud: Simulation, status_code: int, code: str, message: str) -> Refused:
    return Refused(status_code, code, message, envelope=cloud.world.style.cbh_errors)


def _authorised(cloud: Simulation, call: Call, project_id: str, action: str) -> tuple[Token, Project]:
    """Who calls, for which project. The gateway's checks come before the service's own (inferred order)."""
    token = cloud.tokens.check(call.request.headers.get("X-Auth-Token"))
    if isinstance(token, TokenProblem):
        if cloud.world.style.gatekeeper == "cbh":
            raise _refused(cloud, 401, "CBH.10020100", "The IAM token is invalid.")
        raise gateway_refused(401, *_TOKEN_REFUSALS[token])
    if token.project is None:
        # CBH demands a project-scoped token; how another is refused is not documented. Assumed: gateway, 401.
        detail = "the token is not project-scoped"
        raise gateway_refused(401, "APIGW.0301", f"Incorrect IAM authentication information: {detail}")
    if token.project.id != project_id:
        raise _refused(cloud, 400, "CBH.10020001", "Incorrect tenant ID.")
    if not token.project.enabled:
        raise gateway_refused(403, "APIGW.0310", "The project is unavailable.")
    if not token.user.may(action):
        raise _refused(cloud, 403, "CBH.10020002", "Tenant has no authority.")
    return token, token.project


def _bad_parameter(cloud: Simulation) -> Refused:
    return _refused(cloud, 400, "CBH.10020010", "Request message param error.")


def _parameter(cloud: Simulation, call: Call, name: str) -> str:
    """A required query parameter, given once, of 1 to 64 characters. `+` and `%20` both mean a space."""
    values = call.request.args.getlist(name)
    if len(values) != 1 or not 1 <= len(values[0]) <= _LONGEST_PARAMETER:
        raise _bad_parameter(cloud)
    return values[0]


def _number(cloud: Simulation, call: Call, name: str, default: int, *, least: int, most: int) -> int:
    text = call.request.args.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise _bad_parameter(cloud)
    return int(text)


def _instance(cloud: Simulation, project: Project, server_id: str) -> Instance:
    try:
        uuid.UUID(server_id)
    except ValueError:
        raise _refused(cloud, 400, "CBH.10020011", "Incorrect server ID.") from None
    for instance in cloud.world.instances_in(project):
        if instance.server_id == server_id:
            return instance
    # The page documents 404, the code table files this code under 400.
    raise _refused(cloud, cloud.world.style.missing_instance_status, "CBH.10027007", "No resource found.")


def _state_of(cloud: Simulation, instance: Instance, address: str, account_name: str, user_name: str) -> str:
    if instance.status not in _WORKING_STATUSES:
        message = "Operation failed. The operation is not allowed in the current instance status."
        raise _refused(cloud, 400, "CBH.10027011", message)
    if instance.supports_om_url and not cloud.trustlist.is_ready(instance):
        return "INS_WHITE_LIST_INITIALIZING"
    return cloud.world.verdict(instance, address, account_name, user_name)


def _target(cloud: Simulation, instance: Instance, address: str, name: str) -> tuple[Host, HostAccount]:
    """Host and account of a link; a fault may force a link for a pair the world does not know."""
    host = cloud.world.managed_host(instance, address)
    if host is None:
        host = Host(name=address, address=address, instance=instance.name, accounts=())
    return host, host.account(name) or HostAccount(name=name, may_open=())


def _login_url(
    cloud: Simulation, fault: Fault, instance: Instance, host: Host, account: HostAccount, user_name: str
) -> str | None:
    """The link, or the odd one a fault asks for; None when it is to be missing.

    Its form, `https://host:443?cbhinfo=…` without a path, is the one published for the sibling login calls.
    """
    odd = fault.login_url or "valid"
    if fault.login_url == "":
        return ""
    if odd == "missing":
        return None
    secret = cloud.tickets.issue(instance=instance, host=host, account=account, user_name=user_name)
    origin = instance.login_origin or cloud.base_url
    scheme, _, authority = origin.partition("://")
    link = f"{origin}?cbhinfo={secret}"
    forms = {
        "valid": link,
        "blank": "   ",
        "relative": f"/?cbhinfo={secret}",
        "http": f"http://bastion.example.com?cbhinfo={secret}",
        "javascript": f"javascript:alert('{secret}')",
        "userinfo": f"{scheme}://operator:sandbox@{authority}?cbhinfo={secret}",
        "foreign_origin": f"https://bastion.invalid:443?cbhinfo={secret}",
        "huge": link + "A" * 5000,
    }
    return forms.get(odd, odd)


def _om_url_body(cloud: Simulation, fault: Fault, state: str, login_url: str | None) -> dict[str, object]:
    style = cloud.world.style
    body: dict[str, object] = {}
    if not fault.omit_state:
        spelled = _spelled(state, fault.state_format or style.state_format)
        body["state"] = spelled if fault.custom_state is UNSET else fault.custom_state
    if fault.description is not UNSET:
        body["description"] = fault.description
    elif state != "SUCCESS":  # the documented success has no description
        body["description"] = DESCRIPTIONS[style.language][state]
    if login_url is not None:
        body["login_url"] = login_url
    return body


def _spelled(state: str, form: str) -> str | int:
    """The spellings that the documents leave possible; the live service was seen to send names."""
    number = STATE_NUMBERS[state]
    forms: dict[str, str | int] = {
        "name": state,
        "int": number,
        "numeric_string": str(number),
        "named_number": f"{state}({number})",
        "hash_number": f"#{state}({number})",
    }
    return forms[form]


def _instance_body(instance: Instance) -> dict[str, object]:
    is_active = instance.status == "ACTIVE"
    return {
        "name": instance.name,
        "server_id": instance.server_id,
        "instance_id": instance.instance_id,
        "alter_permit": is_active,
        "enterprise_project_id": "0",
        "period_num": "12",
        "start_time": "1735689600",
        "end_time": "1798761600",
        "created_time": "2025-01-01T00:00:00Z",
        "upgrade_time": 0,
        "update": "OLD" if instance.supports_om_url else "NEW",
        "bastion_version": instance.version,
        "az_info": {
            "region": instance.project,
            "zone": instance.availability_zone,
            "availability_zone_display": instance.availability_zone,
            "slave_zone": "",
            "slave_zone_display": "",
        },
        "status_info": {
            "status": instance.status,
            "task_status": "NO_TASK",
            "create_instance_status": "",
            "instance_status": "ok" if is_active else "abnormal",
            "instance_description": "",
            "fail_reason": "",
        },
        "resource_info": {
            "specification": instance.specification,
            "order_id": "",
            "resource_id": instance.instance_id,
            "data_disk_size": 0.2,
            "disk_resource_id": [],
        },
        "network": _network_body(instance),
        "ha_info": {"ha_id": instance.ha_id, "instance_type": instance.ha_role if instance.ha_id else ""},
    }


def _network_body(instance: Instance) -> dict[str, object]:
    def derived(name: str) -> str:
        return str(uuid.uuid5(uuid.UUID(instance.server_id), name))

    private = instance.private_ip
    return {
        "vip": private if instance.ha_id else "",
        "web_port": "443",
        "public_ip": instance.public_ip,
        # Without a public address the service sends blanks instead of nothing.
        "public_id": derived("eip") if instance.public_ip else "        ",
        "private_ip": private,
        "vpc_id": derived("vpc"),
        "subnet_id": derived("subnet"),
        "security_group_id": derived("security-group"),
    }
