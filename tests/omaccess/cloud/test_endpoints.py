from __future__ import annotations

import pytest

from omaccess.cloud.endpoints import EndpointRules
from omaccess.cloud.errors import EndpointNotAllowed

HUAWEI = ["https://*.myhuaweicloud.com", "https://*.myhuaweicloud.eu", "https://cloud.corp:8443"]


@pytest.mark.parametrize(
    ("endpoint", "base"),
    [
        ("https://iam.myhuaweicloud.com", "https://iam.myhuaweicloud.com"),
        ("https://iam.myhuaweicloud.com/", "https://iam.myhuaweicloud.com"),
        ("https://CBH.cn-north-4.MyHuaweiCloud.com:443", "https://cbh.cn-north-4.myhuaweicloud.com"),
        ("https://iam.myhuaweicloud.eu", "https://iam.myhuaweicloud.eu"),
        ("https://cloud.corp:8443", "https://cloud.corp:8443"),
    ],
)
def test_endpoint_within_the_rules_is_canonical(endpoint: str, base: str) -> None:
    assert EndpointRules(HUAWEI, allow_http_loopback=False).check(endpoint) == base


@pytest.mark.parametrize("loopback", [False, True])
@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "iam.myhuaweicloud.com",
        "http://iam.myhuaweicloud.com",
        "https://myhuaweicloud.com",
        "https://.myhuaweicloud.com",
        "https://evilmyhuaweicloud.com",
        "https://iam.myhuaweicloud.com.evil.example",
        "https://iam.myhuaweicloud.com:8443",
        "https://iam.myhuaweicloud.com/v3",
        "https://iam.myhuaweicloud.com//",
        "https://iam.myhuaweicloud.com?x",
        "https://iam.myhuaweicloud.com.",
        "https://evil.example#.myhuaweicloud.com",
        "https://evil.example\\.myhuaweicloud.com",
        "https://user:hush@iam.myhuaweicloud.com",
        "https://cloud.corp",
        "https://a.cloud.corp:8443",
        "https://127.0.0.1",
        "https://localhost:8010",
        "http://10.0.0.1",
        "http://localhost.evil.example",
        "http://0x7f.1",
    ],
)
def test_endpoint_outside_the_rules_is_refused(endpoint: str, loopback: bool) -> None:
    rules = EndpointRules(HUAWEI, allow_http_loopback=loopback)

    with pytest.raises(EndpointNotAllowed) as caught:
        rules.check(endpoint, service="iam")

    assert caught.value.service == "iam"
    assert caught.value.description
    assert "hush" not in repr(caught.value.__dict__)


@pytest.mark.parametrize(
    "endpoint", ["http://127.0.0.1:8010", "http://localhost:1", "http://[::1]:8010", "http://127.0.0.1"]
)
def test_http_to_loopback_depends_on_the_sandbox(endpoint: str) -> None:
    assert EndpointRules([], allow_http_loopback=True).check(endpoint) == endpoint
    with pytest.raises(EndpointNotAllowed):
        EndpointRules(["http://127.0.0.1:8010"], allow_http_loopback=False).check(endpoint)


def test_scheme_of_a_pattern_may_be_left_out() -> None:
    rules = EndpointRules(["*.example.com", "one.example.org:444"], allow_http_loopback=False)

    assert rules.check("https://a.b.example.com") == "https://a.b.example.com"
    assert rules.check("https://one.example.org:444") == "https://one.example.org:444"


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "*",
        "https://*",
        "https://*.",
        "https://iam.*.com",
        "https://*iam.example.com",
        "https://*.*.example.com",
        "https://*.0.0.1",
        "http://*.example.com",
        "http://iam.example.com",
        "ftp://iam.example.com",
        "https://iam.example.com/v3",
        "https://iam.example.com:*",
    ],
)
def test_malformed_or_careless_pattern_stops_the_start(pattern: str) -> None:
    with pytest.raises(ValueError, match="endpoint pattern"):
        EndpointRules([pattern], allow_http_loopback=True)


def test_one_text_is_not_a_list_of_patterns() -> None:
    with pytest.raises(TypeError):
        EndpointRules("https://iam.example.com", allow_http_loopback=False)
