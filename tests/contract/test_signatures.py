"""Requests signed with an access key, as the vendor's client signs them: accepted, and refused for each reason."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from omaccess.sandbox.server import SandboxServer
from tests.contract.asking import VENDORS_CLOCK, opening
from tests.contract.plain import PlainCloud
from tests.contract.quiet import expect
from tests.contract.sandboxes import DISABLED_KEY, INACTIVE_KEY, POWERLESS_KEY, TEMPORARY_KEY
from tests.contract.target import AccessKey, Target
from tests.contract.vendor import OmUrlAnswer, Refusal, cbh_client, iam_client, refusal_of

pytestmark = VENDORS_CLOCK

INCORRECT = "Incorrect IAM authentication information"


def ask(target: Target, project_id: str, key: AccessKey, headers: dict[str, str] | None = None) -> OmUrlAnswer:
    """The answer to one signed get-om-url for an address that nothing manages."""
    with cbh_client(target, project_id=project_id, key=key, headers=headers) as client:
        return client.om_url(**opening(target, ip_address=target.unmanaged_address))


def refusal(target: Target, project_id: str, key: AccessKey, headers: dict[str, str] | None = None) -> Refusal:
    return refusal_of(lambda: ask(target, project_id, key, headers))


def with_wrong_secret(key: AccessKey) -> AccessKey:
    return replace(key, secret=key.secret[::-1] + "x")


def sdk_date(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%SZ")


def test_a_wrong_secret_key_is_refused(target: Target, project_id: str) -> None:
    refused = refusal(target, project_id, with_wrong_secret(target.key))

    words = str(refused.message)
    expect(refused.status == 401, "it is refused with 401", status=refused.status)
    expect(refused.code == "APIGW.0301", "the gateway refuses it", code=refused.code)
    expect("verify aksk signature fail" in words, "it says that the signature is wrong")
    expect(ask(target, project_id, target.key).status == 200, "the right secret key still works")


def test_an_unknown_access_key_is_refused(target: Target, project_id: str) -> None:
    refused = refusal(target, project_id, AccessKey(access="NOSUCHACCESSKEY00001", secret="no-such-secret"))

    expect(refused.status == 401, "it is refused with 401", status=refused.status)
    expect(refused.code == "APIGW.0301", "the gateway refuses it", code=refused.code)
    expect("not exist" in str(refused.message), "it says that there is no such key")


def test_an_unknown_access_key_cannot_discover_its_project(target: Target) -> None:
    key = AccessKey(access="NOSUCHACCESSKEY00002", secret="no-such-secret")

    def build() -> None:
        with cbh_client(target, project_id=None, key=key, region=target.region):
            pass

    refused = refusal_of(build)

    expect(refused.kind == "SdkException", "the client refuses by itself", kind=refused.kind)
    expect("status_code:401" in str(refused.message), "because the discovery was refused with 401")


@pytest.mark.parametrize("minutes", [-20, 20])
def test_a_request_signed_at_another_time_is_refused(target: Target, project_id: str, minutes: int) -> None:
    signed_at = datetime.now(UTC) + timedelta(minutes=minutes)

    refused = refusal(target, project_id, target.key, {"X-Sdk-Date": sdk_date(signed_at)})

    expect(refused.status in (401, 403), "it is refused", status=refused.status)


def test_a_request_signed_a_few_minutes_ago_is_accepted(target: Target, project_id: str) -> None:
    signed_at = datetime.now(UTC) - timedelta(minutes=5)

    answer = ask(target, project_id, target.key, {"X-Sdk-Date": sdk_date(signed_at)})

    expect(answer.state == "HOST_NOT_MANAGE", "it is answered", state=answer.state)


def test_a_token_beside_a_signature_does_no_harm(target: Target, project_id: str, plain: PlainCloud) -> None:
    token, _ = plain.token()

    answer = ask(target, project_id, target.key, {"X-Auth-Token": token})

    expect(answer.state == "HOST_NOT_MANAGE", "it is answered", state=answer.state)


@pytest.mark.sandbox_only("which of the two a real gateway believes is not documented")
def test_a_good_token_does_not_save_a_bad_signature(target: Target, project_id: str, plain: PlainCloud) -> None:
    token, _ = plain.token()

    refused = refusal(target, project_id, with_wrong_secret(target.key), {"X-Auth-Token": token})

    assert (refused.status, refused.code) == (401, "APIGW.0301")


@pytest.mark.sandbox_only("a real account's clock cannot be moved")
@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_clock_that_differs_too_much_is_refused_until_it_is_right(
    target: Target, project_id: str, lab: SandboxServer, minutes: int
) -> None:
    lab.control.advance_clock(minutes * 60)
    skewed = refusal(target, project_id, target.key)
    lab.control.advance_clock(-minutes * 60)

    assert (skewed.status, skewed.code) == (401, "APIGW.0301")
    assert ask(target, project_id, target.key).state == "HOST_NOT_MANAGE"


@pytest.mark.sandbox_only("it would lock a real key")
def test_a_key_is_locked_after_more_than_five_failures_and_for_five_minutes(
    target: Target, project_id: str, lab: SandboxServer
) -> None:
    for _ in range(6):
        assert "verify aksk signature fail" in str(refusal(target, project_id, with_wrong_secret(target.key)).message)

    locked = refusal(target, project_id, target.key)
    assert (locked.status, locked.code) == (401, "APIGW.0301")
    assert locked.message == f"{INCORRECT}: AK access failed to reach the limit,forbidden."
    lab.control.advance_clock(5 * 60)
    assert ask(target, project_id, target.key).state == "HOST_NOT_MANAGE"


@pytest.mark.sandbox_only("it takes failures that a real key should not collect")
def test_five_failures_lock_nothing_and_success_forgets_them(target: Target, project_id: str) -> None:
    for _ in range(2):
        for _ in range(5):
            refusal(target, project_id, with_wrong_secret(target.key))

        assert ask(target, project_id, target.key).state == "HOST_NOT_MANAGE"


@pytest.mark.sandbox_only("a real account's temporary key is given as the key of all tests")
def test_a_temporary_key_works_with_its_security_token_only(target: Target, project_id: str) -> None:
    assert ask(target, project_id, TEMPORARY_KEY).state == "HOST_NOT_MANAGE"

    for token in (None, "another-security-token"):
        refused = refusal(target, project_id, replace(TEMPORARY_KEY, security_token=token))
        assert (refused.status, refused.code) == (401, "APIGW.0301")


@pytest.mark.sandbox_only("it needs keys in every condition")
@pytest.mark.parametrize(
    ("key", "status", "code"),
    [(INACTIVE_KEY, 400, "IAM.1107"), (DISABLED_KEY, 403, "IAM.0080"), (POWERLESS_KEY, 403, "CBH.10020002")],
    ids=["inactive key", "disabled user", "user without permission"],
)
def test_a_genuine_signature_is_not_enough(
    target: Target, project_id: str, key: AccessKey, status: int, code: str
) -> None:
    refused = refusal(target, project_id, key)

    assert refused.status == status
    assert refused.code == code or code in str(refused.message)  # CBH's own pair is not recognised


@pytest.mark.sandbox_only("the default is what a real account is asked with")
def test_a_request_without_content_type_is_signed_without_it(
    target: Target, project_id: str, lab: SandboxServer
) -> None:
    with cbh_client(target, project_id=project_id, signed_get_content_type=False) as client:
        answer = client.om_url(**opening(target))

    (record,) = lab.control.calls("cbh.om_url")
    assert answer.state == "SUCCESS"
    assert "content-type" not in {name.lower() for name in record.headers}


@pytest.mark.sandbox_only("a real service does not show the headers it received")
def test_the_clients_headers_are_those_it_is_known_for(target: Target, project_id: str, lab: SandboxServer) -> None:
    ask(target, project_id, target.key)

    (record,) = lab.control.calls("cbh.om_url")
    headers = {name.lower(): value for name, value in record.headers.items()}
    assert headers["content-type"] == "application/json"
    assert headers["x-project-id"] == project_id
    assert headers["user-agent"].startswith("huaweicloud-usdk-python/3.0")
    assert headers["host"] == target.cbh_endpoint.removeprefix("http://")
    assert headers.keys().isdisjoint({"x-request-id", "x-language"})


@pytest.mark.sandbox_only("a real password should not travel beside a wrong signature")
def test_a_password_does_not_save_a_bad_signature_at_iam(target: Target) -> None:
    with iam_client(target, key=with_wrong_secret(target.key)) as client:
        refused = refusal_of(lambda: client.token(target.person, project_name=target.region))

    assert (refused.status, refused.code) == (401, "APIGW.0301")
