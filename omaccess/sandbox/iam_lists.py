"""IAM: the projects and the account that a caller can see; clients discover their project id here.

Source: IAM API reference, "Querying Project Information", "Querying the List of Projects Accessible to Users",
"Querying Account Information Accessible to IAM Users".
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from werkzeug.wrappers import Response

from omaccess.sandbox.callers import Caller, at_iam
from omaccess.sandbox.refusals import iam_refused
from omaccess.sandbox.replies import json_reply
from omaccess.sandbox.simulation import Call, Simulation
from omaccess.sandbox.world_types import Project


def projects(cloud: Simulation, call: Call) -> Response:
    """`GET /v3/projects`: the projects of the caller's account, filtered and in pages."""
    caller = at_iam(cloud, call)
    # Every account also has the built-in project that object storage uses.
    storage = Project(account=caller.account.name, name="MOS", id=caller.account.id[::-1])
    everything = [
        _project_body(cloud, project, caller) for project in (storage, *cloud.world.projects_of(caller.account.name))
    ]
    found = [facts for facts in everything if _matches(facts, call.request.args)]
    links = {"self": f"{cloud.base_url}/v3/projects", "previous": None, "next": None}
    return json_reply({"links": links, "projects": _page_of(cloud, call, found)})


def auth_projects(cloud: Simulation, call: Call) -> Response:
    """`GET /v3/auth/projects`: the projects the caller may use, which can be fewer than its account has."""
    caller = at_iam(cloud, call)
    usable = [project for project in cloud.world.projects_of(caller.account.name) if caller.user.may_use(project)]
    links = {"self": f"{cloud.base_url}/v3/auth/projects"}
    return json_reply({"links": links, "projects": [_project_body(cloud, project, caller) for project in usable]})


def auth_domains(cloud: Simulation, call: Call) -> Response:
    """`GET /v3/auth/domains`: the caller's account, always one."""
    account = at_iam(cloud, call).account
    domain = {
        "id": account.id,
        "name": account.name,
        "enabled": True,
        "description": "",
        "links": {"self": f"{cloud.base_url}/v3/domains/{quote(account.id)}"},
    }
    return json_reply({"links": {"self": f"{cloud.base_url}/v3/auth/domains"}, "domains": [domain]})


def _matches(facts: Mapping[str, object], query: Mapping[str, str]) -> bool:
    texts = all(query[key] == facts[key] for key in ("name", "domain_id", "parent_id") if key in query)
    flags = all((query[key].lower() == "true") is facts[key] for key in ("enabled", "is_domain") if key in query)
    return texts and flags


def _page_of(cloud: Simulation, call: Call, found: list[dict[str, object]]) -> list[dict[str, object]]:
    query = call.request.args
    if "page" not in query and "per_page" not in query:
        return found
    numbers = []
    for key, most in (("page", 1_000_000), ("per_page", 5_000)):
        text = query.get(key, "")
        if not (text.isascii() and text.isdigit() and len(text) <= 7 and 1 <= int(text) <= most):
            raise iam_refused(cloud.world.style, 400, "IAM.0007", f"Request parameter {key} is invalid.")
        numbers.append(int(text))
    page, per_page = numbers
    return found[(page - 1) * per_page : page * per_page]


def _project_body(cloud: Simulation, project: Project, caller: Caller) -> dict[str, object]:
    return {
        "id": project.id,
        "name": project.name,
        "domain_id": caller.account.id,
        "parent_id": caller.account.id,
        "enabled": project.enabled,
        "is_domain": False,
        "description": "",
        "links": {"self": f"{cloud.base_url}/v3/projects/{quote(project.id)}"},
    }
