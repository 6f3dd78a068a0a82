"""CBH: links into the bastion's own pages, as the IAM user and as its administrator.

Source: CBH API reference, "Logging In to a CBH Instance as an IAM User" (LoginInstance), "Logging In to a CBH
Instance as User admin" (LoginInstanceAdmin).
"""

from __future__ import annotations

import json

from werkzeug.wrappers import Response

from omaccess.sandbox.callers import at_cbh
from omaccess.sandbox.links import login_link
from omaccess.sandbox.lookups import find_instance, require_working
from omaccess.sandbox.refusals import bad_parameter, cbh_refused
from omaccess.sandbox.replies import json_reply
from omaccess.sandbox.simulation import Call, Simulation
from omaccess.sandbox.tickets import Opens
from omaccess.sandbox.world_types import LOGIN_ACTION


def login(cloud: Simulation, call: Call, project_id: str) -> Response:
    """`POST /v2/{project_id}/cbs/instance/login`: a `login_url` for the IAM user."""
    caller, project = at_cbh(cloud, call, project_id, LOGIN_ACTION)
    instance = find_instance(cloud, project, _server_id_of(cloud, call))
    require_working(cloud, instance)
    link = login_link(cloud, call.fault, Opens(instance=instance), caller.user.name)
    return json_reply({} if link is None else {"login_url": link})


def admin_url(cloud: Simulation, call: Call, project_id: str, server_id: str) -> Response:
    """`GET /v2/{project_id}/cbs/instances/{server_id}/admin-url`: an `admin_url`.

    The page says that this needs no permission of its own. So it does not here either: whoever holds any
    credential of the project can become the bastion's administrator, which is worth finding out in a sandbox.
    """
    caller, project = at_cbh(cloud, call, project_id, None)
    instance = find_instance(cloud, project, server_id)
    require_working(cloud, instance)
    link = login_link(cloud, call.fault, Opens(instance=instance, as_admin=True), caller.user.name)
    return json_reply({} if link is None else {"admin_url": link})


def _server_id_of(cloud: Simulation, call: Call) -> str:
    try:
        body = json.loads(call.request.get_data())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict):
        raise cbh_refused(cloud.world.style, 400, "CBH.10020009", "Request message format error")
    server_id = body.get("server_id")
    if not isinstance(server_id, str):
        raise bad_parameter(cloud.world.style)
    return server_id
