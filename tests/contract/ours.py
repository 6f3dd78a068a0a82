"""Our own client, pointed at the same cloud."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from omaccess.cloud.cbh import CbhClient
from omaccess.cloud.http import CloudTransport, EndpointRules
from omaccess.cloud.iam import IamClient
from omaccess.cloud.types import CbhInstanceList, Deadline, IamToken, OmUrl, PasswordCredential, ProjectScope
from tests.contract.target import Person, Target

_SECONDS = 30.0


class OurCloud:
    """`IamClient` and `CbhClient` with a target's facts filled in."""

    def __init__(self, target: Target, transport: CloudTransport) -> None:
        self._target = target
        self._iam = IamClient(transport, target.iam_endpoint)
        self._cbh = CbhClient(transport, target.cbh_endpoint)

    def token(self, person: Person | None = None) -> IamToken:
        person = person or self._target.person
        credential = PasswordCredential(person.account, person.name, person.password)
        scope = ProjectScope(name=self._target.region)
        return self._iam.token(credential=credential, scope=scope, deadline=Deadline.after(_SECONDS))

    def om_url(
        self,
        token: IamToken,
        *,
        address: str | None = None,
        account: str | None = None,
        server_id: str | None = None,
        link_origins: tuple[str, ...] = (),
        token_value: str | None = None,
    ) -> OmUrl:
        return self._cbh.om_url(
            token=token_value or token.value,
            project_id=token.project_id,
            server_id=server_id or self._target.server_id,
            ip_address=address or self._target.address,
            host_account_name=account or self._target.host_account,
            link_origins=link_origins,
            allow_http_loopback=self._target.speaks_http,
            deadline=Deadline.after(_SECONDS),
        )

    def instances(self, token: IamToken) -> CbhInstanceList:
        return self._cbh.instances(token=token.value, project_id=token.project_id, deadline=Deadline.after(_SECONDS))


@contextmanager
def our_cloud(target: Target) -> Iterator[OurCloud]:
    """The clients; their connections end with the block."""
    endpoints = [url for url in (target.iam_endpoint, target.cbh_endpoint) if url.startswith("https://")]
    rules = EndpointRules(endpoints, allow_http_loopback=target.speaks_http)
    transport = CloudTransport(rules)
    try:
        yield OurCloud(target, transport)
    finally:
        transport.close()


def origin_of(link: str) -> str:
    """The canonical `scheme://host[:port]` that a link leads to."""
    parts = urlsplit(link)
    host = parts.hostname or ""
    shown = f"[{host}]" if ":" in host else host
    is_default = parts.port in (None, {"https": 443, "http": 80}.get(parts.scheme))
    return f"{parts.scheme}://{shown}" + ("" if is_default else f":{parts.port}")
