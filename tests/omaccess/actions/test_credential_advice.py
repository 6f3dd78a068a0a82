"""The usual mistakes: what looks wrong about a credential, and which of them it most likely is."""

from __future__ import annotations

import datetime as dt

import pytest

from omaccess.actions.credential_advice import PERMISSIONS, Mistake, doubts, likely_mistakes
from omaccess.models import IamCredential


def credential(**values: object) -> IamCredential:
    given = {"account_name": "acme", "user_name": "portal", "iam_endpoint": "https://iam.cn-north-4.myhuaweicloud.com"}
    return IamCredential(**{**given, **values})


@pytest.mark.parametrize(
    ("values", "mistake"),
    [
        ({"user_name": "Acme"}, Mistake.ACCOUNT_NAME),
        ({"account_name": "0a4f5b1c7d2e4c6f8b9a0c1d2e3f4a5b"}, Mistake.ACCOUNT_NAME),
        ({"account_name": "li.wei@acme.example"}, Mistake.ACCOUNT_NAME),
        ({"user_name": "li.wei@acme.example"}, Mistake.HUAWEI_ID),
        ({"user_name": "+86 138 0013 8000"}, Mistake.HUAWEI_ID),
        ({"user_name": "13800138000"}, Mistake.HUAWEI_ID),
        ({"user_name": "0a4f5b1c7d2e4c6f8b9a0c1d2e3f4a5b"}, None),
        ({"iam_endpoint": "https://ecs.cn-north-4.myhuaweicloud.com"}, None),
    ],
)
def test_what_looks_wrong_is_named(values: dict[str, str], mistake: Mistake | None) -> None:
    assert [found for found, _text in doubts(credential(**values))] == [mistake]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"user_name": "portal-42", "account_name": "hwc30012345"},
        {"user_name": "svc_2024"},
        {"iam_endpoint": "https://iam.myhuaweicloud.com"},
        {"iam_endpoint": "http://127.0.0.1:8010"},
    ],
)
def test_ordinary_names_raise_no_doubt(values: dict[str, str]) -> None:
    assert doubts(credential(**values)) == []


def test_the_mistakes_come_in_their_usual_order_when_nothing_points_at_one() -> None:
    texts = [str(text) for text in likely_mistakes(credential())]

    assert "account name" in texts[0]
    assert "HUAWEI ID" in texts[1]
    assert "cbh:instance:getOmUrl" in texts[2]


def test_what_it_looks_like_comes_first() -> None:
    texts = [str(text) for text in likely_mistakes(credential(user_name="li.wei@acme.example"))]

    assert "HUAWEI ID" in texts[0]


def test_one_that_worked_before_most_likely_has_another_password_now() -> None:
    worked = credential(last_success_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC))

    assert "password was changed" in str(likely_mistakes(worked)[0])


def test_a_read_credential_is_told_of_the_permission_to_list_and_of_nothing_more() -> None:
    texts = [str(text) for text in likely_mistakes(credential(purpose="read"))]

    assert "the permission to list CBH instances" in texts[-1]
    assert "The documents give its action no name" in texts[-1]
    assert "cbh:instance:list" not in texts[-1]
    assert "getOmUrl" not in texts[-1]
    assert set(PERMISSIONS) == set(IamCredential.Purpose.values)
