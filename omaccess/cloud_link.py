"""From a host account to a link: token, get-om-url, and the one renewal after a refused token."""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.conf import settings

from omaccess import clients, tokens
from omaccess.causes import Cause
from omaccess.cloud.errors import TokenRejected
from omaccess.cloud.types import Deadline, IamToken, OmUrl
from omaccess.errors import CredentialUnusable
from omaccess.models import HostAccount, IamCredential, LoginAddress


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
            link_origins=frozenset(
                address.origin for address in instance.login_addresses.all() if address.kind == LoginAddress.Kind.LINK
            ),
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
        try:
            return _ask(token, target, deadline)
        except TokenRejected as error:
            fresh = tokens.renew(credential, instance, refused=token, error=error, deadline=deadline)
            return _ask(fresh, target, deadline)
    finally:
        timing.link_seconds = time.monotonic() - began


def _ask(token: IamToken, target: Target, deadline: Deadline) -> OmUrl:
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
