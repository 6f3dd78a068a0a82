"""What an endpoint's name says of its service and region."""

from __future__ import annotations

import pytest

from omaccess.cloud.regions import cbh_endpoint, region_of, service_of


@pytest.mark.parametrize(
    ("endpoint", "service", "region"),
    [
        ("https://iam.cn-north-4.myhuaweicloud.com", "iam", "cn-north-4"),
        ("https://iam.myhuaweicloud.com", "iam", ""),
        ("https://iam.myhuaweicloud.eu", "iam", ""),
        ("https://cbh.eu-west-101.myhuaweicloud.eu", "cbh", "eu-west-101"),
        ("https://iam.cn-north-4.myhuaweicloud.com.evil.example", "", ""),
        ("https://iam.a.b.myhuaweicloud.com", "", ""),
        ("http://127.0.0.1:8010", "", ""),
        ("", "", ""),
    ],
)
def test_service_and_region_are_read_only_where_they_stand(endpoint: str, service: str, region: str) -> None:
    assert (service_of(endpoint), region_of(endpoint)) == (service, region)


def test_cbh_is_proposed_only_where_it_can_be_told() -> None:
    assert cbh_endpoint("https://iam.myhuaweicloud.com", "cn-north-4") == "https://cbh.cn-north-4.myhuaweicloud.com"
    assert cbh_endpoint("https://iam.cn-east-3.myhuaweicloud.com", "cn-east-3") == (
        "https://cbh.cn-east-3.myhuaweicloud.com"
    )
    assert cbh_endpoint("https://iam.myhuaweicloud.eu", "eu-west-101") == ""
    assert cbh_endpoint("https://iam.eu-west-101.myhuaweicloud.eu", "eu-west-101") == ""
    assert cbh_endpoint("https://ecs.cn-north-4.myhuaweicloud.com", "cn-north-4") == ""
    assert cbh_endpoint("https://iam.myhuaweicloud.com", "a.b") == ""
    assert cbh_endpoint("https://iam.myhuaweicloud.com", "x@evil.example/") == ""
    assert cbh_endpoint("https://iam.myhuaweicloud.com", "") == ""
    assert cbh_endpoint("http://127.0.0.1:8010", "cn-north-4") == ""
