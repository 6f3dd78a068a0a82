"""The cloud clients of this installation: settings in, `omaccess.cloud` out. One transport per process."""

import functools
from urllib.parse import urlsplit

from django.conf import settings

from omaccess.cloud.cbh import CbhClient
from omaccess.cloud.http import CloudTransport, EndpointRules
from omaccess.cloud.iam import IamClient


def endpoint_rules() -> EndpointRules:
    """Which addresses the portal may call. Raises: ValueError for a malformed CLOUD_ENDPOINTS."""
    return EndpointRules(settings.CLOUD_ENDPOINTS, allow_http_loopback=settings.IS_SANDBOX)


@functools.cache
def transport() -> CloudTransport:
    return CloudTransport(
        endpoint_rules(),
        ca_bundle=settings.CLOUD_CA_BUNDLE or None,
        proxy=settings.CLOUD_PROXY or None,
        pool_size=settings.WEB_THREADS,
    )


def iam(endpoint: str) -> IamClient:
    return IamClient(transport(), endpoint)


def cbh(endpoint: str) -> CbhClient:
    return CbhClient(transport(), endpoint)


def is_login_origin_allowed(origin: str) -> bool:
    """https anywhere an admin says; http only for the sandbox and only to loopback."""
    parts = urlsplit(origin)
    if parts.scheme == "https":
        return True
    return settings.IS_SANDBOX and parts.hostname in {"127.0.0.1", "::1", "localhost"}
