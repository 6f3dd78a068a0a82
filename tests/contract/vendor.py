"""The vendor's own Python client, made to end cleanly and to forget what it discovered.

The only module that imports it. It has no types, so everything it returns is taken apart here into plain values.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.contract.quiet import Broken
from tests.contract.target import AccessKey, Person, Target


@contextmanager
def _without_home() -> Iterator[None]:
    """On import the client writes an id into the home directory; without one it does not."""
    home = os.environ.pop("HOME", None)
    try:
        yield
    finally:
        if home is not None:
            os.environ["HOME"] = home


with _without_home():
    import huaweicloudsdkcbh.v2 as cbh  # type: ignore[import-untyped]
    import huaweicloudsdkiam.v3 as iam  # type: ignore[import-untyped]
    from huaweicloudsdkcore.auth.credentials import (  # type: ignore[import-untyped]
        BasicCredentials,
        Credentials,
        GlobalCredentials,
    )
    from huaweicloudsdkcore.exceptions.exceptions import (  # type: ignore[import-untyped]
        SdkException,
        ServiceResponseException,
    )
    from huaweicloudsdkcore.http.http_config import HttpConfig  # type: ignore[import-untyped]
    from huaweicloudsdkcore.region.region import Region  # type: ignore[import-untyped]

__all__ = [
    "OmUrlAnswer",
    "Refusal",
    "SdkException",
    "ServiceResponseException",
    "TokenAnswer",
    "VendorCbh",
    "VendorIam",
    "cbh_client",
    "forget_discoveries",
    "iam_client",
    "refusal_of",
]

_SECONDS = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What the vendor's client made of an error answer. `kind` is the name of its exception."""

    kind: str
    status: int = 0
    code: object = ""
    message: object = field(default="", repr=False)
    request_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class OmUrlAnswer:
    """The model of get-om-url; whatever the answer lacked is None."""

    status: int
    state: str | None
    description: str | None
    login_url: str | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAnswer:
    """What the client's IAM model says about a token."""

    status: int
    value: str | None = field(repr=False)
    expires_at: str | None
    issued_at: str | None
    project_id: str | None
    project_name: str | None
    user_name: str | None
    account: str | None
    methods: tuple[str, ...]
    has_catalog: bool


def refusal_of(call: Callable[[], object]) -> Refusal:
    """Make a call that is to be refused, and return what the client raised.

    Raises:
        Broken: it was not refused.
    """
    try:
        call()
    except ServiceResponseException as error:
        return Refusal(
            kind=type(error).__name__,
            status=error.status_code,
            code=error.error_code,
            message=error.error_msg,
            request_id=error.request_id or "",
        )
    except SdkException as error:
        return Refusal(kind=type(error).__name__, message=error.error_msg)
    raise Broken("the call was to be refused")


def _as_read(model: Any) -> dict[str, Any]:
    """A model's fields as the client read them; its own `to_dict` is on its way out."""
    return {name: _value(getattr(model, name)) for name in model.openapi_types}


def _value(value: Any) -> Any:
    if isinstance(value, list):
        return [_value(entry) for entry in value]
    return _as_read(value) if hasattr(value, "openapi_types") else value


class VendorCbh:
    """The vendor's CBH client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def project_id(self) -> str | None:
        found: str | None = self._client.get_credentials().project_id
        return found

    def om_url(self, **query: str | None) -> OmUrlAnswer:
        """Ask with any of `server_id`, `ip_address`, `host_account_name`."""
        answer = self._client.show_om_url(cbh.ShowOmUrlRequest(**query))
        return OmUrlAnswer(
            status=answer.status_code,
            state=answer.state,
            description=answer.description,
            login_url=answer.login_url,
        )

    def instances(self, **query: str) -> dict[str, Any]:
        return _as_read(self._client.list_instances(cbh.ListInstancesRequest(**query)))

    def status(self, server_id: str) -> dict[str, Any]:
        return _as_read(self._client.show_instance_status(cbh.ShowInstanceStatusRequest(server_id=server_id)))

    def features(self) -> dict[str, Any]:
        return _as_read(self._client.list_switch_config_info(cbh.ListSwitchConfigInfoRequest()))

    def login_url(self, server_id: str) -> str | None:
        body = cbh.CommonCbhRequestBody(server_id=server_id)
        found: str | None = self._client.login_instance(cbh.LoginInstanceRequest(body=body)).login_url
        return found

    def admin_url(self, server_id: str) -> str | None:
        request = cbh.LoginInstanceAdminRequest(server_id=server_id)
        found: str | None = self._client.login_instance_admin(request).admin_url
        return found


class VendorIam:
    """The vendor's IAM client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    @property
    def domain_id(self) -> str | None:
        found: str | None = self._client.get_credentials().domain_id
        return found

    def token(self, person: Person, *, project_name: str, nocatalog: str | None = "true") -> TokenAnswer:
        user = iam.PwdPasswordUser(
            domain=iam.PwdPasswordUserDomain(name=person.account), name=person.name, password=person.password
        )
        identity = iam.PwdIdentity(methods=["password"], password=iam.PwdPassword(user=user))
        scope = iam.AuthScope(project=iam.AuthScopeProject(name=project_name))
        body = iam.KeystoneCreateUserTokenByPasswordRequestBody(auth=iam.PwdAuth(identity=identity, scope=scope))
        request = iam.KeystoneCreateUserTokenByPasswordRequest(nocatalog=nocatalog, body=body)
        answer = self._client.keystone_create_user_token_by_password(request)
        token = answer.token
        return TokenAnswer(
            status=answer.status_code,
            value=answer.x_subject_token,
            expires_at=token.expires_at,
            issued_at=token.issued_at,
            project_id=token.project and token.project.id,
            project_name=token.project and token.project.name,
            user_name=token.user.name,
            account=token.user.domain.name,
            methods=tuple(token.methods),
            has_catalog=bool(token.catalog),
        )


@contextmanager
def cbh_client(
    target: Target,
    *,
    project_id: str | None,
    key: AccessKey | None = None,
    region: str | None = None,
    headers: Mapping[str, str] | None = None,
    signed_get_content_type: bool = True,
) -> Iterator[VendorCbh]:
    """The CBH client: with a `region` it discovers the project at once, unless `project_id` is given.

    Raises:
        SdkException: the discovery failed.
    """
    credentials = _signing(BasicCredentials(project_id=project_id), key or target.key)
    credentials.with_iam_endpoint(target.iam_endpoint)
    with _built(cbh.CbhClient, credentials, target.cbh_endpoint, region, not signed_get_content_type) as client:
        client.preset_headers = dict(headers or {})
        yield VendorCbh(client)


@contextmanager
def iam_client(target: Target, *, key: AccessKey | None = None, discover_domain: bool = False) -> Iterator[VendorIam]:
    """The IAM client, signing with an access key as it insists."""
    credentials = _signing(GlobalCredentials(), key or target.key)
    credentials.with_iam_endpoint(target.iam_endpoint)
    region = target.region if discover_domain else None
    with _built(iam.IamClient, credentials, target.iam_endpoint, region, False) as client:
        yield VendorIam(client)


def _signing(credentials: Any, key: AccessKey) -> Any:
    credentials.with_ak(key.access).with_sk(key.secret)
    return credentials.with_security_token(key.security_token) if key.security_token else credentials


@contextmanager
def _built(kind: Any, credentials: Any, endpoint: str, region: str | None, bare_gets: bool) -> Iterator[Any]:
    """A built client; its connections and threads end with the block, also when building fails."""
    made: list[Any] = []

    class Kept(kind):  # type: ignore[misc]
        """Remembers itself: a builder that fails would otherwise leave threads and sockets behind."""

        def __init__(self) -> None:
            super().__init__()
            made.append(self)

    Kept.__name__ = kind.__name__  # the builder checks it
    config = HttpConfig(timeout=_SECONDS, ignore_content_type_for_get_request=bare_gets)
    builder = kind.new_builder(Kept).with_http_config(config).with_credentials(credentials)
    forget_discoveries()
    try:
        if region is None:
            yield builder.with_endpoint(endpoint).build()
        else:
            yield builder.with_region(Region(region, endpoint)).build()
    finally:
        forget_discoveries()
        for client in made:
            client.close()
            client.get_http_client().executor.shutdown()


def forget_discoveries() -> None:
    """The client keeps discovered projects and domains for the whole process, by access key."""
    Credentials._CACHE.clear()
