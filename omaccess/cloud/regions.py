"""Regions in the names of endpoints. Only ever a proposal: whoever sets something up sees it and may change it.

Source: Huawei Cloud, "Regions and Endpoints": `https://{service}.{region}.myhuaweicloud.com`, in Europe `….eu`.
"""

from __future__ import annotations

import re

_ENDPOINT = re.compile(
    r"https://(?P<service>[a-z0-9]+)(?:\.(?P<region>[a-z0-9-]+))?\.(?P<domain>myhuaweicloud\.(?:com|eu))"
)


def service_of(endpoint: str) -> str:
    """`"iam"`, `"cbh"` …; empty for an address that is not one of Huawei Cloud's."""
    match = _ENDPOINT.fullmatch(endpoint)
    return match["service"] if match else ""


def region_of(endpoint: str) -> str:
    """The region that an endpoint names; empty for a global one or another address."""
    match = _ENDPOINT.fullmatch(endpoint)
    return (match["region"] or "") if match else ""


def cbh_endpoint(iam_endpoint: str, region: str) -> str:
    """Where CBH of a region most likely answers, for users of this IAM endpoint; empty when nothing can be said.

    Only for `iam.{region}.myhuaweicloud.com` and the global one. In Europe nothing documents that CBH's name follows
    from IAM's, and a wrong guess would be sent a token.
    """
    match = _ENDPOINT.fullmatch(iam_endpoint)
    if match is None or (match["service"], match["domain"]) != ("iam", "myhuaweicloud.com"):
        return ""
    found = f"https://cbh.{region}.myhuaweicloud.com"
    return found if region_of(found) == region != "" else ""
