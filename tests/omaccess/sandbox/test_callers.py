"""Calls by signature and by token: who is meant, and what the gateway and CBH refuse."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import requests

from omaccess.sandbox.world import World
from tests.omaccess.sandbox.conftest import Caller, refusal
from tests.omaccess.sandbox.worlds import (
    ACCOUNT,
    CONSOLE_USER_KEY,
    DISABLED_USER_KEY,
    INACTIVE_KEY,
    LAUNCH_KEY,
    NARROW_KEY,
    OTHER_PROJECT_ID,
    PASSWORD,
    PROJECT_ID,
    READ_KEY,
    SECURITY_TOKEN,
    SERVER_ID,
    STRANGERS_KEY,
    TEMPORARY_KEY,
    USER,
    small_world,
)

OM_URL = f"/v2/{PROJECT_ID}/cbs/instance/get-om-url"
LIST = f"/v2/{PROJECT_ID}/cbs/instance/list"
TARGET = [("server_id", SERVER_ID), ("ip_address", "10.0.0.1"), ("host_account_name", "root")]
INCORRECT = "Incorrect IAM authentication information"


def test_a_signed_call_opens_as_the_keys_user(caller: Caller) -> None:
    response = caller.signed(LAUNCH_KEY, OM_URL, TARGET)

    assert response.json()["state"] == "SUCCESS"
    page = caller.http.get(response.json()["login_url"], timeout=20)
    assert f'id="session-user">{USER}<' in page.text


def test_a_temporary_key_opens_with_its_token(caller: Caller) -> None:
    response = caller.signed(TEMPORARY_KEY, OM_URL, TARGET, headers={"X-Security-Token": SECURITY_TOKEN})

    assert response.json()["state"] == "SUCCESS"


@pytest.mark.parametrize(
    ("key", "status", "code", "text"),
    [
        (("NOSUCHKEY", "x"), 401, "APIGW.0301", f"{INCORRECT}: Get secretKey failed,ak:NOSUCHKEY,err:ak not exist"),
        ((LAUNCH_KEY[0], "x"), 401, "APIGW.0301", f"{INCORRECT}: verify aksk signature fail"),
        (TEMPORARY_KEY, 401, "APIGW.0301", f"{INCORRECT}: verify aksk signature fail"),
        (INACTIVE_KEY, 400, "IAM.1107", f"The access key {INACTIVE_KEY[0]} is inactive."),
        (DISABLED_USER_KEY, 403, "IAM.0080", f"The user of the access key {DISABLED_USER_KEY[0]} is disabled."),
        (CONSOLE_USER_KEY, 403, "IAM.0081", "This user only supports console access, not programmatic access."),
    ],
)
@pytest.mark.parametrize("path", [LIST, "/v3/projects"])
def test_the_gateway_says_what_is_wrong_with_a_key(
    caller: Caller, key: tuple[str, str], status: int, code: str, text: str, path: str
) -> None:
    response = caller.signed(key, path)

    request_id = response.headers["X-Request-Id"]
    assert response.status_code == status
    assert response.json() == {"error_msg": text, "error_code": code, "request_id": request_id}


def test_a_key_that_keeps_failing_is_locked(caller: Caller) -> None:
    for _ in range(6):
        caller.signed((LAUNCH_KEY[0], "guess"), LIST)

    response = caller.signed(LAUNCH_KEY, OM_URL, TARGET)
    caller.server.control.reset()

    assert response.status_code == 401
    assert response.json()["error_msg"] == f"{INCORRECT}: AK access failed to reach the limit,forbidden."
    assert caller.signed(LAUNCH_KEY, OM_URL, TARGET).json()["state"] == "SUCCESS"


def test_the_gatekeeper_switch_is_about_tokens_not_signatures(serve: Callable[[World], Caller]) -> None:
    caller = serve(small_world(gatekeeper='"cbh"'))

    assert refusal(caller.signed((LAUNCH_KEY[0], "x"), LIST)) == (401, "APIGW.0301")
    assert refusal(caller.get(LIST)) == (401, "CBH.10020100")


def test_a_call_without_token_or_signature_is_refused(caller: Caller) -> None:
    assert refusal(caller.get(OM_URL)) == (401, "APIGW.0301")


def test_a_signature_wins_over_a_token(caller: Caller) -> None:
    token = caller.token("reader")

    both = caller.signed(LAUNCH_KEY, OM_URL, TARGET, headers={"X-Auth-Token": token})
    bad = caller.signed((LAUNCH_KEY[0], "x"), OM_URL, TARGET, headers={"X-Auth-Token": caller.token()})
    unreadable = caller.get(OM_URL, {"X-Auth-Token": caller.token(), "Authorization": "Basic eDp5"})

    assert both.json()["state"] == "SUCCESS"
    assert refusal(bad) == (401, "APIGW.0301")
    assert (refusal(unreadable), unreadable.json()["error_msg"]) == ((401, "APIGW.0301"), INCORRECT)


def test_the_permission_of_the_keys_user_decides(caller: Caller) -> None:
    assert refusal(caller.signed(READ_KEY, OM_URL, TARGET)) == (403, "CBH.10020002")
    assert refusal(caller.signed(LAUNCH_KEY, LIST)) == (403, "CBH.10020002")
    assert caller.signed(READ_KEY, LIST).status_code == 200

    caller.server.control.edit_user(ACCOUNT, "reader", permissions=())

    assert refusal(caller.signed(READ_KEY, LIST)) == (403, "CBH.10020002")


def test_the_project_of_a_signed_call_is_that_of_its_path(caller: Caller) -> None:
    other = f"/v2/{OTHER_PROJECT_ID}/cbs/instance/list"

    here, there = caller.signed(READ_KEY, LIST), caller.signed(READ_KEY, other)

    assert {found["az_info"]["region"] for found in here.json()["instance"]} == {"cn-north-4"}
    assert [found["name"] for found in there.json()["instance"]] == ["foreign"]


def test_a_project_of_nobody_or_of_another_account_is_the_wrong_tenant(caller: Caller) -> None:
    nobodys = f"/v2/{'0' * 32}/cbs/instance/list"

    assert refusal(caller.signed(READ_KEY, nobodys)) == (400, "CBH.10020001")
    assert refusal(caller.signed(STRANGERS_KEY, LIST)) == (400, "CBH.10020001")


def test_a_project_that_the_user_may_not_use_is_forbidden(caller: Caller) -> None:
    other = f"/v2/{OTHER_PROJECT_ID}/cbs/instance/list"

    assert refusal(caller.signed(NARROW_KEY, LIST)) == (403, "CBH.10020002")
    assert caller.signed(NARROW_KEY, other).status_code == 200


def test_the_header_with_the_project_must_agree_with_the_path(caller: Caller) -> None:
    same = caller.signed(READ_KEY, LIST, headers={"X-Project-Id": PROJECT_ID})
    another = caller.signed(READ_KEY, LIST, headers={"X-Project-Id": OTHER_PROJECT_ID})

    assert same.status_code == 200
    assert refusal(another) == (400, "CBH.10020001")


def test_a_path_whose_project_was_never_filled_in_is_the_wrong_tenant(caller: Caller) -> None:
    path = "/v2/{project_id}/cbs/instance/list"

    by_key = caller.signed(READ_KEY, path)
    by_token = caller.get("/v2/%7Bproject_id%7D/cbs/instance/list", {"X-Auth-Token": caller.token("reader")})

    assert by_key.url.endswith("/v2/%7Bproject_id%7D/cbs/instance/list")
    assert refusal(by_key) == refusal(by_token) == (400, "CBH.10020001")


def test_a_disabled_project_is_unavailable_to_keys_too(caller: Caller) -> None:
    closed = caller.signed(READ_KEY, "/v3/projects", [("name", "closed")]).json()["projects"][0]["id"]

    assert refusal(caller.signed(READ_KEY, f"/v2/{closed}/cbs/instance/list")) == (403, "APIGW.0310")


@pytest.mark.parametrize("scope", [{"domain": {"name": ACCOUNT}}, {"domain": {}}, {}])
def test_a_token_without_project_is_refused_by_cbh_and_good_at_iam(caller: Caller, scope: object) -> None:
    person = {"name": "reader", "password": PASSWORD, "domain": {"name": ACCOUNT}}
    auth: dict[str, object] = {"identity": {"methods": ["password"], "password": {"user": person}}}
    if scope:
        auth["scope"] = scope
    answer = caller.post("/v3/auth/tokens", {"auth": auth})
    token = {"X-Auth-Token": answer.headers["X-Subject-Token"]}

    assert answer.json()["token"]["domain"]["name"] == ACCOUNT
    assert "project" not in answer.json()["token"]
    assert refusal(caller.get(LIST, token)) == (401, "APIGW.0301")
    assert caller.get("/v3/auth/domains", token).status_code == 200


def test_a_password_is_exchanged_for_a_token_also_in_a_signed_request(caller: Caller) -> None:
    person = b'{"name": "portal", "password": "%s", "domain": {"name": "%s"}}' % (PASSWORD.encode(), ACCOUNT.encode())
    scope = b'{"project": {"name": "cn-north-4"}}'
    body = b'{"auth": {"identity": {"methods": ["password"], "password": {"user": %s}}, "scope": %s}}' % (person, scope)

    def exchange(key: tuple[str, str]) -> requests.Response:
        headers = {"Content-Type": "application/json", "X-Domain-Id": "d"}
        return caller.signed(key, "/v3/auth/tokens", method="POST", body=body, headers=headers)

    by_another = exchange(READ_KEY)
    bad = exchange((READ_KEY[0], "x"))

    assert by_another.status_code == 201
    assert by_another.json()["token"]["user"]["name"] == USER
    assert refusal(bad) == (401, "APIGW.0301")


def test_a_token_can_be_checked_by_signature(caller: Caller) -> None:
    subject = caller.token()

    response = caller.signed(READ_KEY, "/v3/auth/tokens", headers={"X-Subject-Token": subject})

    assert response.json()["token"]["user"]["name"] == USER


def test_nothing_secret_of_a_signed_call_is_kept_or_logged(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")

    good = caller.signed(TEMPORARY_KEY, OM_URL, TARGET, headers={"X-Security-Token": SECURITY_TOKEN})
    caller.signed((TEMPORARY_KEY[0], "x"), LIST, headers={"X-Security-Token": SECURITY_TOKEN})

    record = caller.server.control.calls("cbh.om_url")[0]
    kept = f"{caller.server.control.calls()} {[vars(entry) for entry in caplog.records]}"
    assert "X-Sdk-Date" in record.headers
    assert good.status_code == 200
    assert not {"authorization", "x-security-token"} & {name.lower() for name in record.headers}
    for secret in (TEMPORARY_KEY[1], SECURITY_TOKEN, "Signature=", "SignedHeaders"):
        assert secret not in kept
