from __future__ import annotations

import json

import pytest
import requests

from tests.omaccess.sandbox.conftest import Caller, refusal
from tests.omaccess.sandbox.worlds import (
    FOREIGN_SERVER_ID,
    LAUNCH_KEY,
    NARROW_KEY,
    NEW_SERVER_ID,
    PROJECT_ID,
    READ_KEY,
    SERVER_ID,
    STOPPED_SERVER_ID,
    USER,
)

LOGIN = f"/v2/{PROJECT_ID}/cbs/instance/login"


def login(caller: Caller, body: object, key: tuple[str, str] = LAUNCH_KEY) -> requests.Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    return caller.signed(key, LOGIN, method="POST", body=content, headers=headers)


def admin_url(caller: Caller, server_id: str, key: tuple[str, str] = READ_KEY) -> requests.Response:
    return caller.signed(key, f"/v2/{PROJECT_ID}/cbs/instances/{server_id}/admin-url")


def test_a_login_link_leads_into_the_bastion_as_the_iam_user_once(caller: Caller) -> None:
    body = login(caller, {"server_id": SERVER_ID}).json()

    assert set(body) == {"login_url"}
    assert body["login_url"].startswith(f"{caller.server.url}?cbhinfo=")
    first, second = (caller.http.get(body["login_url"], timeout=20) for _ in range(2))
    assert 'data-page="system"' in first.text
    assert f'id="system-user">{USER}<' in first.text
    assert f'id="system-role">IAM user {USER}<' in first.text
    assert (first.status_code, second.status_code) == (200, 410)


def test_an_admin_link_leads_into_the_bastion_as_its_administrator(caller: Caller) -> None:
    body = admin_url(caller, SERVER_ID).json()

    assert set(body) == {"admin_url"}
    page = caller.http.get(body["admin_url"], timeout=20)
    assert 'id="system-role">its administrator<' in page.text
    assert 'id="system-user">reader<' in page.text


def test_login_links_expire_like_the_others(caller: Caller) -> None:
    link = login(caller, {"server_id": SERVER_ID}).json()["login_url"]

    caller.server.control.advance_clock(61)

    page = caller.http.get(link, timeout=20)
    assert (page.status_code, 'data-problem="expired"' in page.text) == (410, True)


def test_links_lead_to_the_instances_own_origin(caller: Caller) -> None:
    link = login(caller, {"server_id": NEW_SERVER_ID}).json()["login_url"]

    assert link.startswith("https://203.0.113.5:8443?cbhinfo=")


def test_login_needs_its_own_permission_and_the_admin_link_needs_none(caller: Caller) -> None:
    assert refusal(login(caller, {"server_id": SERVER_ID}, READ_KEY)) == (403, "CBH.10020002")
    assert admin_url(caller, SERVER_ID, LAUNCH_KEY).status_code == 200


def test_the_admin_link_still_needs_a_caller_of_the_project(caller: Caller) -> None:
    path = f"/v2/{PROJECT_ID}/cbs/instances/{SERVER_ID}/admin-url"

    assert refusal(caller.get(path)) == (401, "APIGW.0301")
    assert refusal(admin_url(caller, SERVER_ID, NARROW_KEY)) == (403, "CBH.10020002")
    assert refusal(admin_url(caller, SERVER_ID, (READ_KEY[0], "x"))) == (401, "APIGW.0301")


@pytest.mark.parametrize(
    ("body", "refused"),
    [
        (b"", (400, "CBH.10020009")),
        (b"{", (400, "CBH.10020009")),
        (b"\xff", (400, "CBH.10020009")),
        ([], (400, "CBH.10020009")),
        ({}, (400, "CBH.10020010")),
        ({"server_id": 3}, (400, "CBH.10020010")),
        ({"server_id": "instance-1"}, (400, "CBH.10020011")),
        ({"server_id": FOREIGN_SERVER_ID}, (404, "CBH.10027007")),
        ({"server_id": STOPPED_SERVER_ID}, (400, "CBH.10027011")),
    ],
)
def test_a_login_that_names_no_working_instance_is_an_error(
    caller: Caller, body: object, refused: tuple[int, str]
) -> None:
    assert refusal(login(caller, body)) == refused


@pytest.mark.parametrize(
    ("server_id", "refused"),
    [
        ("instance-1", (400, "CBH.10020011")),
        (FOREIGN_SERVER_ID, (404, "CBH.10027007")),
        (STOPPED_SERVER_ID, (400, "CBH.10027011")),
    ],
)
def test_an_admin_link_to_no_working_instance_is_an_error(
    caller: Caller, server_id: str, refused: tuple[int, str]
) -> None:
    assert refusal(admin_url(caller, server_id)) == refused


@pytest.mark.parametrize("call", ["cbh.login", "cbh.admin_url"])
def test_logins_can_be_made_to_fail(caller: Caller, call: str) -> None:
    def ask() -> requests.Response:
        return login(caller, {"server_id": SERVER_ID}) if call == "cbh.login" else admin_url(caller, SERVER_ID)

    caller.server.control.add_fault(call, status=503, code="APIGW.0613", envelope="gateway")
    caller.server.control.add_fault(call, login_url="missing")
    caller.server.control.add_fault(call, login_url="javascript")

    failed, missing, odd = ask(), ask(), ask()

    assert refusal(failed) == (503, "APIGW.0613")
    assert missing.json() == {}
    assert next(iter(odd.json().values())).startswith("javascript:")
    assert caller.server.control.counters()[call] == 3


def test_a_fault_for_all_calls_reaches_the_logins(caller: Caller) -> None:
    caller.server.control.add_fault("*", times=None, status=500)

    assert login(caller, {"server_id": SERVER_ID}).status_code == 500
    assert admin_url(caller, SERVER_ID).status_code == 500
