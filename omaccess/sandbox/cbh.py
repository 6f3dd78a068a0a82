"""CBH: the link that opens a host (get-om-url).

Source: CBH API reference, "Obtaining an O&M URL" (ShowOmUrl), "Error Codes".
"""

from __future__ import annotations

from typing import Final

from werkzeug.wrappers import Response

from omaccess.sandbox.callers import at_cbh
from omaccess.sandbox.faults import UNSET, Fault
from omaccess.sandbox.links import login_link
from omaccess.sandbox.lookups import find_instance, require_working
from omaccess.sandbox.refusals import bad_parameter
from omaccess.sandbox.replies import json_reply
from omaccess.sandbox.simulation import Call, Simulation
from omaccess.sandbox.tickets import Opens
from omaccess.sandbox.world_types import OM_URL_ACTION, STATE_NUMBERS, Host, HostAccount, Instance

_LONGEST_PARAMETER: Final = 64
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
    caller, project = at_cbh(cloud, call, project_id, OM_URL_ACTION)
    server_id = _parameter(cloud, call, "server_id")
    address = _parameter(cloud, call, "ip_address")
    account_name = _parameter(cloud, call, "host_account_name")
    instance = find_instance(cloud, project, server_id)
    state = call.fault.state or _state_of(cloud, instance, address, account_name, caller.user.name)
    login_url = None
    if state == "SUCCESS" or call.fault.login_url is not None:
        host, account = _target(cloud, instance, address, account_name)
        target = Opens(instance=instance, host=host, account=account)
        login_url = login_link(cloud, call.fault, target, caller.user.name)
    return json_reply(_om_url_body(cloud, call.fault, state, login_url))


def _parameter(cloud: Simulation, call: Call, name: str) -> str:
    """A required query parameter, given once, of 1 to 64 characters. `+` and `%20` both mean a space."""
    values = call.request.args.getlist(name)
    if len(values) != 1 or not 1 <= len(values[0]) <= _LONGEST_PARAMETER:
        raise bad_parameter(cloud.world.style)
    return values[0]


def _state_of(cloud: Simulation, instance: Instance, address: str, account_name: str, user_name: str) -> str:
    require_working(cloud, instance)
    if instance.supports_om_url and not cloud.trustlist.is_ready(instance):
        return "INS_WHITE_LIST_INITIALIZING"
    return cloud.world.verdict(instance, address, account_name, user_name)


def _target(cloud: Simulation, instance: Instance, address: str, name: str) -> tuple[Host, HostAccount]:
    """Host and account of a link; a fault may force a link for a pair the world does not know."""
    host = cloud.world.managed_host(instance, address)
    if host is None:
        host = Host(name=address, address=address, instance=instance.name, accounts=())
    return host, host.account(name) or HostAccount(name=name, may_open=())


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
