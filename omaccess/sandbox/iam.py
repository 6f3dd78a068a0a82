"""IAM: tokens by password, checking a token, the list of projects.

Source: IAM API reference, "Obtaining a User Token Through Password Authentication", "Verifying a Token",
"Querying Project Information".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final
from urllib.parse import quote

from werkzeug.wrappers import Response

from omaccess.sandbox.replies import Refused, json_reply
from omaccess.sandbox.simulation import Call, Simulation
from omaccess.sandbox.tokens import Token, TokenProblem
from omaccess.sandbox.users import SignInProblem
from omaccess.sandbox.world import Account, IamUser, Project

_LARGEST_BODY: Final = 32 * 1024
_SIGN_IN_REFUSALS: Final = {
    SignInProblem.WRONG: (401, "", "The username or password is wrong."),
    SignInProblem.LOCKED: (401, "IAM.0061", "Account locked."),
    SignInProblem.DISABLED: (403, "IAM.0082", "The user {user} is disabled."),
    SignInProblem.CONSOLE_ONLY: (
        403, "IAM.0081", "This user only supports console access, not programmatic access.",
    ),
}  # fmt: skip
_PLAIN_CODES: Final = {400: "IAM.0011", 401: "IAM.0062"}


def token(cloud: Simulation, call: Call) -> Response:
    """`POST /v3/auth/tokens`: 201, the token in `X-Subject-Token`, its details in the body."""
    auth = _auth_of(cloud, call)
    account_name, user_name, password = _password_of(cloud, auth)
    user = cloud.users.sign_in(account_name, user_name, password)
    if isinstance(user, SignInProblem):
        status, code, message = _SIGN_IN_REFUSALS[user]
        raise _refused(cloud, status, code, message.format(user=user_name))
    account = cloud.world.account(account_name)
    project = _scope_of(cloud, auth, account, user)
    issued = cloud.tokens.issue(user=user, account=account, project=project)
    body = {"token": _token_body(cloud, issued, with_catalog=not call.request.args.get("nocatalog"))}
    return json_reply(body, 201, {"X-Subject-Token": issued.value})


def token_check(cloud: Simulation, call: Call) -> Response:
    """`GET /v3/auth/tokens`: 200 and the details of the token in `X-Subject-Token`."""
    _caller(cloud, call)
    value = call.request.headers.get("X-Subject-Token")
    subject = cloud.tokens.check(value)
    if isinstance(subject, TokenProblem):
        if subject is TokenProblem.MISSING:
            raise _refused(cloud, 400, "IAM.0009", "X-Subject-Token is invalid in the request.")
        raise _refused(cloud, 404, "IAM.0004", "Could not find token: the token is invalid or expired.")
    body = {"token": _token_body(cloud, subject, with_catalog=not call.request.args.get("nocatalog"))}
    return json_reply(body, 200, {"X-Subject-Token": subject.value})


def projects(cloud: Simulation, call: Call) -> Response:
    """`GET /v3/projects`: the projects of the caller's account, filtered and in pages."""
    caller = _caller(cloud, call)
    query = call.request.args
    # Every account also has the built-in project that object storage uses.
    storage = Project(account=caller.account.name, name="MOS", id=caller.account.id[::-1])
    everything = [
        _project_body(cloud, project, caller.account)
        for project in (storage, *cloud.world.projects_of(caller.account.name))
    ]
    found = [facts for facts in everything if _matches(facts, query)]
    links = {"self": f"{cloud.base_url}/v3/projects", "previous": None, "next": None}
    return json_reply({"links": links, "projects": _page_of(cloud, call, found)})


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
            raise _refused(cloud, 400, "IAM.0007", f"Request parameter {key} is invalid.")
        numbers.append(int(text))
    page, per_page = numbers
    return found[(page - 1) * per_page : page * per_page]


def _refused(cloud: Simulation, status: int, code: str, message: str) -> Refused:
    """An IAM error; without a code it is one that only ever has the `{"error": {…}}` form.

    Which form carries the coded errors of this call is not documented, hence the world's switch.
    """
    style = cloud.world.style.iam_errors
    if style == "mixed":
        style = "error_msg" if code else "keystone"
    return Refused(status, code or _PLAIN_CODES.get(status, "IAM.0001"), message, envelope=style)


def _auth_of(cloud: Simulation, call: Call) -> Mapping[str, object]:
    raw = call.request.get_data()
    if not raw or len(raw) > _LARGEST_BODY:
        raise _refused(cloud, 400, "IAM.1101", f"The request body size {len(raw)} is invalid.")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _refused(cloud, 400, "", "The request body is invalid") from error
    auth = body.get("auth") if isinstance(body, dict) else None
    if not isinstance(auth, dict):
        raise _refused(cloud, 400, "", "The request body is invalid")
    return auth


def _inside(cloud: Simulation, table: Mapping[str, object], *path: str) -> Mapping[str, object]:
    for key in path:
        inner = table.get(key)
        if not isinstance(inner, dict):
            raise _refused(cloud, 400, "", "The request body is invalid")
        table = inner
    return table


def _password_of(cloud: Simulation, auth: Mapping[str, object]) -> tuple[str, str, str]:
    """Account, user and password. Other methods (totp, assume_role) are not simulated: refused as invalid."""
    identity = _inside(cloud, auth, "identity")
    if identity.get("methods") != ["password"]:
        raise _refused(cloud, 400, "", "The request body is invalid")
    user = _inside(cloud, identity, "password", "user")
    domain = _inside(cloud, user, "domain")
    values = (domain.get("name"), user.get("name"), user.get("password"))
    account_name, user_name, password = values
    if not (isinstance(account_name, str) and isinstance(user_name, str) and isinstance(password, str)):
        raise _refused(cloud, 400, "", "The request body is invalid")
    return account_name, user_name, password


def _scope_of(cloud: Simulation, auth: Mapping[str, object], account: Account, user: IamUser) -> Project | None:
    """The project asked for; None for an account-wide token. When both scopes are given the project wins."""
    scope = auth.get("scope")
    if scope is None:
        return None
    if not isinstance(scope, dict):
        raise _refused(cloud, 400, "", "The request body is invalid")
    if "project" not in scope:
        domain = _inside(cloud, scope, "domain")
        if account.name != domain.get("name", account.name) or account.id != domain.get("id", account.id):
            raise _refused(cloud, 401, "IAM.0001", "The request you have made requires authentication.")
        return None
    wanted = _inside(cloud, scope, "project")
    key = "id" if "id" in wanted else "name"
    for project in cloud.world.projects_of(account.name):
        if wanted.get(key) == (project.id if key == "id" else project.name):
            if user.projects is not None and project.name not in user.projects:
                raise _refused(cloud, 403, "IAM.0002", "You are not authorized to perform the requested action.")
            return project
    raise _refused(cloud, 404, "IAM.0004", f"Could not find project: {wanted.get(key)}.")


def _caller(cloud: Simulation, call: Call) -> Token:
    caller = cloud.tokens.check(call.request.headers.get("X-Auth-Token"))
    if isinstance(caller, TokenProblem):
        raise _refused(cloud, 401, "IAM.0001", "The request you have made requires authentication.")
    return caller


def _timestamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _token_body(cloud: Simulation, issued: Token, *, with_catalog: bool) -> dict[str, object]:
    domain = {"id": issued.account.id, "name": issued.account.name}
    body: dict[str, object] = {
        "expires_at": _timestamp(issued.expires_at),
        "issued_at": _timestamp(issued.issued_at),
        "methods": ["password"],
        "roles": [{"id": "0", "name": "te_agency"}, {"id": "0", "name": "op_gated_cbh"}],
        "user": {
            "id": issued.user.id, "name": issued.user.name, "domain": domain, "password_expires_at": "",
        },
    }  # fmt: skip
    if issued.project is None:
        body["domain"] = domain
    else:
        body["project"] = {"id": issued.project.id, "name": issued.project.name, "domain": domain}
    if with_catalog:
        body["catalog"] = _catalog(cloud, issued)
    return body


def _catalog(cloud: Simulation, issued: Token) -> list[dict[str, object]]:
    region = issued.project.name if issued.project else "*"
    services = [("iam", "identity", "*", "/v3")]
    if issued.project is not None:
        services.append(("cbh", "cbh", region, f"/v2/{issued.project.id}"))
    return [
        {
            "id": f"{name}-catalog-entry",
            "name": name,
            "type": kind,
            "endpoints": [
                {
                    "id": f"{name}-endpoint",
                    "interface": "public",
                    "region": where,
                    "region_id": where,
                    "url": f"{cloud.base_url}{path}",
                }
            ],
        }
        for name, kind, where, path in services
    ]


def _project_body(cloud: Simulation, project: Project, account: Account) -> dict[str, object]:
    return {
        "id": project.id,
        "name": project.name,
        "domain_id": account.id,
        "parent_id": account.id,
        "enabled": project.enabled,
        "is_domain": False,
        "description": "",
        "links": {"self": f"{cloud.base_url}/v3/projects/{quote(project.id)}"},
    }
