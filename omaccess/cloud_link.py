"""From a host account to a link, and from a project to its instances: token, call, the one renewal after a 401."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from django.conf import settings
from django.db.models import BigIntegerField

from omaccess import clients, metrics, tokens
from omaccess.causes import Cause
from omaccess.cloud.errors import TokenRejected
from omaccess.cloud.types import CbhInstanceList, Deadline, IamToken, OmUrl, ProjectScope
from omaccess.compiled import Compiled, given
from omaccess.errors import CredentialUnusable
from omaccess.held_tokens import Project
from omaccess.models import HostAccount, IamCredential, LoginAddress

Result = TypeVar("Result")

_LINK_ORIGINS = Compiled(
    lambda: LoginAddress.objects.filter(
        instance=given("instance", BigIntegerField()), kind=LoginAddress.Kind.LINK
    ).values_list("origin", flat=True)
)


@dataclass(frozen=True, slots=True)
class Target:
    """What is asked of the bastion, as it was when the decision was made; later it must still be so."""

    address: str
    account_name: str
    server_id: str
    endpoint: str
    project: str
    credential_id: int
    credential_version: int
    is_credential_enabled: bool
    link_origins: frozenset[str]

    @classmethod
    def of(cls, account: HostAccount) -> Target:
        instance = account.host.instance
        credential = account.launch_credential
        return cls(
            address=account.host.address,
            account_name=account.name,
            server_id=instance.server_id,
            endpoint=instance.endpoint,
            project=instance.project_id or f"name {instance.project_name}",
            credential_id=credential.pk,
            credential_version=credential.version,
            is_credential_enabled=credential.is_enabled,
            link_origins=frozenset(_LINK_ORIGINS.rows(instance=instance.pk)),
        )


@dataclass(slots=True)
class Timing:
    """How long the two calls took, in seconds; None while a call was not made."""

    token_seconds: float | None = None
    link_seconds: float | None = None


def iam_user_of(credential: IamCredential) -> str:
    """Whose session it becomes: CBH judges and records the IAM user, not the person."""
    return f"{credential.account_name}/{credential.user_name}"


def om_url(account: HostAccount, target: Target, *, deadline: Deadline, timing: Timing) -> OmUrl:
    """Exchange the credential for a token and ask the bastion for the link.

    Raises: CloudError, CredentialUnusable, CredentialBlocked. Nothing was opened then.
    """
    credential, instance = account.launch_credential, account.host.instance
    if credential.purpose != IamCredential.Purpose.LAUNCH:
        raise CredentialUnusable(Cause.CREDENTIAL_NOT_FOR_LAUNCHES)
    began = time.monotonic()
    try:
        token = tokens.token_for(credential, instance, deadline=deadline)
    finally:
        timing.token_seconds = time.monotonic() - began
    began = time.monotonic()
    try:
        return _with_one_renewal(
            credential, instance, token, lambda present: _ask(present, target, deadline), deadline=deadline
        )
    finally:
        timing.link_seconds = time.monotonic() - began


def instances(
    credential: IamCredential, scope: ProjectScope, *, endpoint: str, deadline: Deadline
) -> tuple[IamToken, CbhInstanceList]:
    """The CBH instances of a project, and the token that knows which project that is.

    Raises: CloudError, CredentialUnusable, CredentialBlocked.
    """

    def ask(token: IamToken) -> tuple[IamToken, CbhInstanceList]:
        with metrics.cloud_call("cbh", "instances"):
            found = clients.cbh(endpoint).instances(token=token.value, project_id=token.project_id, deadline=deadline)
        return token, found

    token = tokens.token_for(credential, scope, deadline=deadline)
    return _with_one_renewal(credential, scope, token, ask, deadline=deadline)


def _with_one_renewal(
    credential: IamCredential,
    project: Project,
    token: IamToken,
    ask: Callable[[IamToken], Result],
    *,
    deadline: Deadline,
) -> Result:
    try:
        return ask(token)
    except TokenRejected as error:
        return ask(tokens.renew(credential, project, refused=token, error=error, deadline=deadline))


def _ask(token: IamToken, target: Target, deadline: Deadline) -> OmUrl:
    with metrics.cloud_call("cbh", "om_url"):
        return clients.cbh(target.endpoint).om_url(
            token=token.value,
            project_id=token.project_id,
            server_id=target.server_id,
            ip_address=target.address,
            host_account_name=target.account_name,
            link_origins=target.link_origins,
            allow_http_loopback=settings.IS_SANDBOX,
            deadline=deadline,
        )
