from __future__ import annotations

from collections.abc import Callable

import pytest

from omaccess.sandbox.world import STATE_NUMBERS, World
from tests.omaccess.sandbox.conftest import Caller, refusal
from tests.omaccess.sandbox.worlds import (
    ACCOUNT,
    FOREIGN_SERVER_ID,
    NEW_SERVER_ID,
    OLD_SERVER_ID,
    OTHER_PROJECT_ID,
    PROJECT_ID,
    SERVER_ID,
    STOPPED_SERVER_ID,
    USER,
    small_world,
)


def test_a_permitted_account_gets_a_login_url(caller: Caller) -> None:
    response = caller.om_url(caller.token())

    body = response.json()
    assert response.status_code == 200
    assert set(body) == {"state", "login_url"}
    assert body["state"] == "SUCCESS"
    assert body["login_url"].startswith(f"{caller.server.url}?cbhinfo=")
    assert len(response.headers["X-Request-Id"]) == 32
    assert response.headers["Date"]


@pytest.mark.parametrize(
    ("changed", "state"),
    [
        ({"ip_address": "10.0.0.2"}, "HOST_NOT_MANAGE"),
        ({"ip_address": "10.0.0.99"}, "HOST_NOT_MANAGE"),
        ({"ip_address": "no-such-host"}, "HOST_NOT_MANAGE"),
        ({"host_account_name": "gone"}, "HOST_ACCOUNT_NOT_EXIST"),
        ({"host_account_name": "ROOT"}, "HOST_ACCOUNT_NOT_EXIST"),
        ({"host_account_name": "root "}, "HOST_ACCOUNT_NOT_EXIST"),
        ({"host_account_name": "forbidden"}, "IAM_USER_NO_PERMISSION"),
        ({"host_account_name": "conflict"}, "IAM_USER_CONFLICT"),
        ({"host_account_name": "odd"}, "UNKNOWN_ERROR"),
        ({"server_id": OLD_SERVER_ID}, "CUR_VERSION_NOT_SUPPORT_OPERATION"),
    ],
)
def test_a_refusal_is_a_200_with_its_state_and_no_url(caller: Caller, changed: dict[str, str], state: str) -> None:
    response = caller.om_url(caller.token(), **changed)

    assert response.status_code == 200
    assert response.json()["state"] == state
    assert response.json()["description"]
    assert "login_url" not in response.json()


def test_the_observed_refusal_is_repeated_to_the_letter(caller: Caller) -> None:
    response = caller.om_url(caller.token(), ip_address="192.168.0.7")

    expected = {"state": "HOST_NOT_MANAGE", "description": "主机未被CBH纳管。"}
    assert response.json() == expected
    assert "主机" in response.content.decode()


def test_descriptions_can_be_english(serve: Callable[[World], Caller]) -> None:
    caller = serve(small_world(language='"en"'))

    body = caller.om_url(caller.token(), ip_address="192.168.0.7").json()

    assert body["description"] == "The host is not managed by CBH."


@pytest.mark.parametrize(
    "changed",
    [
        {"ip_address": "2001:db8::15"},
        {"ip_address": "2001:0DB8:0:0::15"},
        {"host_account_name": r"CORP\svc web"},
        {"host_account_name": "böb+&<i>"},
    ],
)
def test_odd_but_right_addresses_and_names_open(caller: Caller, changed: dict[str, str]) -> None:
    assert caller.state(caller.token(), **changed) == "SUCCESS"


@pytest.mark.parametrize("space", ["+", "%20"])
def test_both_spellings_of_a_space_are_understood(caller: Caller, space: str) -> None:
    query = f"server_id={SERVER_ID}&ip_address=10.0.0.1&host_account_name=CORP%5Csvc{space}web"

    response = caller.get(f"/v2/{PROJECT_ID}/cbs/instance/get-om-url?{query}", {"X-Auth-Token": caller.token()})

    assert response.json()["state"] == "SUCCESS"


def test_the_trustlist_initialises_from_the_first_call_and_is_then_ready(caller: Caller) -> None:
    token = caller.token()
    target = {"server_id": NEW_SERVER_ID, "ip_address": "10.0.1.1"}

    first = caller.state(token, **target)
    caller.server.control.advance_clock(19)
    later = caller.state(token, **target)
    caller.server.control.advance_clock(2)
    ready = caller.om_url(token, **target).json()

    assert (first, later) == ("INS_WHITE_LIST_INITIALIZING", "INS_WHITE_LIST_INITIALIZING")
    assert ready["state"] == "SUCCESS"
    assert ready["login_url"].startswith("https://203.0.113.5:8443?cbhinfo=")


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("name", "IAM_USER_CONFLICT"),
        ("int", 1016),
        ("numeric_string", "1016"),
        ("named_number", "IAM_USER_CONFLICT(1016)"),
        ("hash_number", "#IAM_USER_CONFLICT(1016)"),
    ],
)
def test_states_can_be_spelled_in_every_way(serve: Callable[[World], Caller], form: str, expected: object) -> None:
    caller = serve(small_world(state_format=f'"{form}"'))

    assert caller.state(caller.token(), host_account_name="conflict") == expected


@pytest.mark.parametrize("token", ["", "MIIx", "not base64!", "MIIA" + "A" * 300])
def test_a_missing_or_forged_token_is_refused_by_the_gateway(caller: Caller, token: str) -> None:
    response = caller.om_url(token)

    assert refusal(response) == (401, "APIGW.0301")
    assert set(response.json()) == {"error_msg", "error_code", "request_id"}
    assert response.json()["request_id"] == response.headers["X-Request-Id"]


def test_one_changed_character_makes_a_token_worthless(caller: Caller) -> None:
    token = caller.token()
    middle = len(token) // 2
    other = "A" if token[middle] != "A" else "B"

    response = caller.om_url(token[:middle] + other + token[middle + 1 :])

    assert refusal(response) == (401, "APIGW.0301")


def test_a_token_dies_of_age(caller: Caller) -> None:
    token = caller.token()

    caller.server.control.advance_clock(86_399)
    young = caller.state(token)
    caller.server.control.advance_clock(2)
    old = caller.om_url(token)

    assert young == "SUCCESS"
    assert refusal(old) == (401, "APIGW.0301")


@pytest.mark.parametrize("change", [{"password": "new"}, {"enabled": False}, {"programmatic_access": False}])
def test_a_token_dies_with_a_change_of_its_user_and_of_nobody_else(caller: Caller, change: dict[str, bool]) -> None:
    token, other = caller.token(), caller.token("reader")

    caller.server.control.edit_user(ACCOUNT, USER, **change)  # type: ignore[arg-type]

    assert refusal(caller.om_url(token)) == (401, "APIGW.0307")
    assert refusal(caller.om_url(other)) == (403, "CBH.10020002")
    assert caller.sign_in().status_code in (401, 403)


def test_earlier_tokens_survive_a_new_one(caller: Caller) -> None:
    first, second = caller.token(), caller.token()

    assert first != second
    assert caller.state(first) == caller.state(second) == "SUCCESS"


def test_bad_tokens_can_be_refused_by_cbh_itself(serve: Callable[[World], Caller]) -> None:
    caller = serve(small_world(gatekeeper='"cbh"'))

    response = caller.om_url("MIIx")

    assert response.status_code == 401
    assert response.json() == {
        "error_code": "CBH.10020100",
        "error_description": "The IAM token is invalid.",
    }


def test_an_account_wide_token_is_refused(caller: Caller) -> None:
    token = caller.token(scope={"domain": {"name": ACCOUNT}})

    assert refusal(caller.om_url(token)) == (401, "APIGW.0301")


def test_another_project_in_the_path_is_the_wrong_tenant(caller: Caller) -> None:
    response = caller.om_url(caller.token(), project=OTHER_PROJECT_ID)

    assert refusal(response) == (400, "CBH.10020001")


def test_a_disabled_project_is_unavailable(caller: Caller) -> None:
    scope = {"project": {"name": "closed"}}
    project = caller.sign_in(scope=scope).json()["token"]["project"]["id"]

    response = caller.om_url(caller.token(scope=scope), project=project)

    assert refusal(response) == (403, "APIGW.0310")


def test_the_permission_decides_which_calls_a_user_may_make(caller: Caller) -> None:
    launcher, reader = caller.token(), caller.token("reader")
    path = f"/v2/{PROJECT_ID}/cbs/instance/list"

    assert refusal(caller.om_url(reader)) == (403, "CBH.10020002")
    assert caller.get(path, {"X-Auth-Token": reader}).status_code == 200
    assert refusal(caller.get(path, {"X-Auth-Token": launcher})) == (403, "CBH.10020002")


@pytest.mark.parametrize("name", ["server_id", "ip_address", "host_account_name"])
@pytest.mark.parametrize("value", ["", "x" * 65])
def test_a_parameter_out_of_bounds_is_an_error(caller: Caller, name: str, value: str) -> None:
    assert refusal(caller.om_url(caller.token(), **{name: value})) == (400, "CBH.10020010")


def test_a_missing_or_repeated_parameter_is_an_error(caller: Caller) -> None:
    path, auth = f"/v2/{PROJECT_ID}/cbs/instance/get-om-url", {"X-Auth-Token": caller.token()}
    query = f"server_id={SERVER_ID}&ip_address=10.0.0.1&host_account_name=root"

    missing = caller.get(path, auth, server_id=SERVER_ID, ip_address="10.0.0.1")
    repeated = caller.get(f"{path}?{query}&ip_address=10.0.0.1", auth)

    assert refusal(missing) == (400, "CBH.10020010")
    assert refusal(repeated) == (400, "CBH.10020010")


def test_an_instance_is_found_in_its_own_project_only(caller: Caller) -> None:
    token = caller.token()

    assert refusal(caller.om_url(token, server_id=FOREIGN_SERVER_ID)) == (404, "CBH.10027007")
    assert refusal(caller.om_url(token, server_id="instance-1")) == (400, "CBH.10020011")


def test_a_missing_instance_can_be_a_400(serve: Callable[[World], Caller]) -> None:
    caller = serve(small_world(missing_instance_status="400", cbh_errors='"error_msg"'))

    response = caller.om_url(caller.token(), server_id=FOREIGN_SERVER_ID)

    assert response.status_code == 400
    assert response.json() == {"error_code": "CBH.10027007", "error_msg": "No resource found."}


def test_a_stopped_instance_forbids_the_operation(caller: Caller) -> None:
    response = caller.om_url(caller.token(), server_id=STOPPED_SERVER_ID)

    assert refusal(response) == (400, "CBH.10027011")


@pytest.mark.parametrize("path", ["/v2/x/cbs/instance/login", "/v1/anything", "/_sandbox", "/v3/auth/tokens/"])
def test_other_paths_are_unknown_to_the_gateway(caller: Caller, path: str) -> None:
    assert refusal(caller.get(path)) == (404, "APIGW.0101")


def test_another_method_is_unknown_to_the_gateway(caller: Caller) -> None:
    assert refusal(caller.post(f"/v2/{PROJECT_ID}/cbs/instance/get-om-url", {})) == (404, "APIGW.0101")


def test_headers_beyond_the_gateways_limit_are_refused(caller: Caller) -> None:
    response = caller.get(f"/v2/{PROJECT_ID}/cbs/instance/get-om-url", {"X-One": "x" * 40_000, "X-Two": "x" * 40_000})

    assert refusal(response) == (494, "APIGW.0201")


def test_every_documented_state_has_a_number() -> None:
    assert sorted(STATE_NUMBERS.values()) == [0, 1, 553, 901, 1016, 9001, 9002, 9003]
