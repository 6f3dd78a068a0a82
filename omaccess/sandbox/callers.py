"""Who calls: the IAM user found by the request's signature or by its token, and what that user may do here.

Handlers need not know which of the two it was. A signature wins when both are there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from omaccess.sandbox.refusals import cbh_refused, iam_refused
from omaccess.sandbox.replies import Refused, gateway_refused
from omaccess.sandbox.signatures import SignatureProblem
from omaccess.sandbox.simulation import Call, Simulation
from omaccess.sandbox.tokens import TokenProblem
from omaccess.sandbox.world_types import Account, IamUser, Project

_INCORRECT: Final = "Incorrect IAM authentication information"
_TOKEN_REFUSALS: Final = {
    TokenProblem.MISSING: ("APIGW.0301", _INCORRECT),
    TokenProblem.ALTERED: ("APIGW.0301", f"{_INCORRECT}: decrypt token fail"),
    TokenProblem.EXPIRED: ("APIGW.0301", f"{_INCORRECT}: decrypt token fail"),
    TokenProblem.REVOKED: ("APIGW.0307", "The token must be updated."),
}
# The codes below 0301 are IAM's own; that the gateway passes them on in its envelope is assumed. So is the text
# for a wrong clock: that it is refused is documented, the words are not.
_SIGNATURE_REFUSALS: Final = {
    SignatureProblem.UNREADABLE: (401, "APIGW.0301", _INCORRECT),
    SignatureProblem.UNKNOWN_KEY: (
        401, "APIGW.0301", _INCORRECT + ": Get secretKey failed,ak:{access},err:ak not exist",
    ),
    SignatureProblem.LOCKED: (401, "APIGW.0301", f"{_INCORRECT}: AK access failed to reach the limit,forbidden."),
    SignatureProblem.SKEWED: (401, "APIGW.0301", f"{_INCORRECT}: verify aksk signature fail"),
    SignatureProblem.WRONG: (401, "APIGW.0301", f"{_INCORRECT}: verify aksk signature fail"),
    SignatureProblem.KEY_DISABLED: (400, "IAM.1107", "The access key {access} is inactive."),
    SignatureProblem.USER_DISABLED: (403, "IAM.0080", "The user of the access key {access} is disabled."),
    SignatureProblem.CONSOLE_ONLY: (
        403, "IAM.0081", "This user only supports console access, not programmatic access.",
    ),
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The IAM user behind a call, and its account."""

    user: IamUser
    account: Account


def signer(cloud: Simulation, call: Call) -> Caller | None:
    """Who signed the request; None when it is not signed. Raises Refused for a bad signature.

    Any Authorization header counts as a signature, so that an unreadable one is refused and never passed over
    in favour of a token (assumed).
    """
    said = call.request.headers.get("Authorization")
    if said is None:
        return None
    user = cloud.signatures.check(call.request)
    if isinstance(user, SignatureProblem):
        status, code, message = _SIGNATURE_REFUSALS[user]
        access = said.partition("Access=")[2].partition(",")[0]
        raise gateway_refused(status, code, message.format(access=access))
    return Caller(user=user, account=cloud.world.account(user.account))


def at_iam(cloud: Simulation, call: Call) -> Caller:
    """Who calls IAM, with any token or a signature. Raises Refused."""
    caller = signer(cloud, call)
    if caller is not None:
        return caller
    token = cloud.tokens.check(call.request.headers.get("X-Auth-Token"))
    if isinstance(token, TokenProblem):
        message = "The request you have made requires authentication."
        raise iam_refused(cloud.world.style, 401, "IAM.0001", message)
    return Caller(user=token.user, account=token.account)


def at_cbh(cloud: Simulation, call: Call, project_id: str, action: str | None) -> tuple[Caller, Project]:
    """Who calls CBH for which project, if IAM lets that user do this. Raises Refused.

    `action` is None for the one call that is documented to need none. The gateway's checks come before the
    service's own (inferred order).
    """
    caller = signer(cloud, call)
    if caller is None:
        caller, project = _by_token(cloud, call, project_id)
    else:
        project = _signed_project(cloud, call, project_id, caller)
    if not project.enabled:
        raise gateway_refused(403, "APIGW.0310", "The project is unavailable.")
    if action is not None and not caller.user.may(action):
        raise _no_authority(cloud)
    return caller, project


def _by_token(cloud: Simulation, call: Call, project_id: str) -> tuple[Caller, Project]:
    token = cloud.tokens.check(call.request.headers.get("X-Auth-Token"))
    if isinstance(token, TokenProblem):
        if cloud.world.style.gatekeeper == "cbh":
            raise cbh_refused(cloud.world.style, 401, "CBH.10020100", "The IAM token is invalid.")
        raise gateway_refused(401, *_TOKEN_REFUSALS[token])
    if token.project is None:
        # CBH demands a project-scoped token; how another is refused is not documented. Assumed: gateway, 401.
        raise gateway_refused(401, "APIGW.0301", f"{_INCORRECT}: the token is not project-scoped")
    if token.project.id != project_id:
        raise _wrong_project(cloud)
    return Caller(user=token.user, account=token.account), token.project


def _signed_project(cloud: Simulation, call: Call, project_id: str, caller: Caller) -> Project:
    """A signature is not scoped: the project is the path's, and the header X-Project-Id must not contradict it.

    Documented is the code for a wrong project id. Assumed: that it also answers a contradiction and another
    account's project, and that a project closed to this user is a lack of authority.
    """
    named = call.request.headers.get("X-Project-Id", project_id)
    projects = cloud.world.projects_of(caller.account.name)
    project = next((project for project in projects if project.id == project_id), None)
    if project is None or named != project_id:
        raise _wrong_project(cloud)
    if not caller.user.may_use(project):
        raise _no_authority(cloud)
    return project


def _wrong_project(cloud: Simulation) -> Refused:
    return cbh_refused(cloud.world.style, 400, "CBH.10020001", "Incorrect tenant ID.")


def _no_authority(cloud: Simulation) -> Refused:
    return cbh_refused(cloud.world.style, 403, "CBH.10020002", "Tenant has no authority.")
