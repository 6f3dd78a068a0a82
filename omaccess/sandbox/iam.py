"""IAM: tokens by password, and checking a token.

Source: IAM API reference, "Obtaining a User Token Through Password Authentication", "Verifying a Token".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from werkzeug.wrappers import Response

from omaccess.sandbox.callers import at_iam, signer
from omaccess.sandbox.refusals import iam_refused
from omaccess.sandbox.replies import json_reply
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


def token(cloud: Simulation, call: Call) -> Response:
    """`POST /v3/auth/tokens`: 201, the token in `X-Subject-Token`, its details in the body.

    It needs no caller, but a signature that comes along must be right; the token is for the user in the body.
    """
    signer(cloud, call)
    auth = _auth_of(cloud, call)
    account_name, user_name, password = _password_of(cloud, auth)
    user = cloud.users.sign_in(account_name, user_name, password)
    if isinstance(user, SignInProblem):
        status, code, message = _SIGN_IN_REFUSALS[user]
        raise iam_refused(cloud.world.style, status, code, message.format(user=user_name))
    account = cloud.world.account(account_name)
    project = _scope_of(cloud, auth, account, user)
    issued = cloud.tokens.issue(user=user, account=account, project=project)
    body = {"token": _token_body(cloud, issued, with_catalog=not call.request.args.get("nocatalog"))}
    return json_reply(body, 201, {"X-Subject-Token": issued.value})


def token_check(cloud: Simulation, call: Call) -> Response:
    """`GET /v3/auth/tokens`: 200 and the details of the token in `X-Subject-Token`."""
    at_iam(cloud, call)
    value = call.request.headers.get("X-Subject-Token")
    subject = cloud.tokens.check(value)
    if isinstance(subject, TokenProblem):
        if subject is TokenProblem.MISSING:
            raise iam_refused(cloud.world.style, 400, "IAM.0009", "X-Subject-Token is invalid in the request.")
        raise iam_refused(cloud.world.style, 404, "IAM.0004", "Could not find token: the token is invalid or expired.")
    body = {"token": _token_body(cloud, subject, with_catalog=not call.request.args.get("nocatalog"))}
    return json_reply(body, 200, {"X-Subject-Token": subject.value})


def _auth_of(cloud: Simulation, call: Call) -> Mapping[str, object]:
    raw = call.request.get_data()
    if not raw or len(raw) > _LARGEST_BODY:
        raise iam_refused(cloud.world.style, 400, "IAM.1101", f"The request body size {len(raw)} is invalid.")
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise iam_refused(cloud.world.style, 400, "", "The request body is invalid") from error
    auth = body.get("auth") if isinstance(body, dict) else None
    if not isinstance(auth, dict):
        raise iam_refused(cloud.world.style, 400, "", "The request body is invalid")
    return auth


def _inside(cloud: Simulation, table: Mapping[str, object], *path: str) -> Mapping[str, object]:
    for key in path:
        inner = table.get(key)
        if not isinstance(inner, dict):
            raise iam_refused(cloud.world.style, 400, "", "The request body is invalid")
        table = inner
    return table


def _password_of(cloud: Simulation, auth: Mapping[str, object]) -> tuple[str, str, str]:
    """Account, user and password. Other methods (totp, assume_role) are not simulated: refused as invalid."""
    identity = _inside(cloud, auth, "identity")
    if identity.get("methods") != ["password"]:
        raise iam_refused(cloud.world.style, 400, "", "The request body is invalid")
    user = _inside(cloud, identity, "password", "user")
    domain = _inside(cloud, user, "domain")
    values = (domain.get("name"), user.get("name"), user.get("password"))
    account_name, user_name, password = values
    if not (isinstance(account_name, str) and isinstance(user_name, str) and isinstance(password, str)):
        raise iam_refused(cloud.world.style, 400, "", "The request body is invalid")
    return account_name, user_name, password


def _scope_of(cloud: Simulation, auth: Mapping[str, object], account: Account, user: IamUser) -> Project | None:
    """The project asked for; None for an account-wide token. When both scopes are given the project wins."""
    scope = auth.get("scope")
    if scope is None:
        return None
    if not isinstance(scope, dict):
        raise iam_refused(cloud.world.style, 400, "", "The request body is invalid")
    if "project" not in scope:
        domain = _inside(cloud, scope, "domain")
        if account.name != domain.get("name", account.name) or account.id != domain.get("id", account.id):
            raise iam_refused(cloud.world.style, 401, "IAM.0001", "The request you have made requires authentication.")
        return None
    wanted = _inside(cloud, scope, "project")
    key = "id" if "id" in wanted else "name"
    for project in cloud.world.projects_of(account.name):
        if wanted.get(key) == (project.id if key == "id" else project.name):
            if not user.may_use(project):
                raise iam_refused(
                    cloud.world.style, 403, "IAM.0002", "You are not authorized to perform the requested action."
                )
            return project
    raise iam_refused(cloud.world.style, 404, "IAM.0004", f"Could not find project: {wanted.get(key)}.")


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
