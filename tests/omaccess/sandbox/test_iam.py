from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from omaccess.sandbox.world import World, parse_world
from tests.omaccess.sandbox.conftest import Caller
from tests.omaccess.sandbox.worlds import (
    ACCOUNT,
    OTHER_PROJECT_ID,
    PROJECT_ID,
    SMALL_WORLD,
    USER,
    small_world,
)


def moment(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def test_a_password_gives_a_project_token(caller: Caller) -> None:
    response = caller.sign_in()

    token = response.json()["token"]
    assert response.status_code == 201
    assert response.headers["X-Subject-Token"].startswith("MII")
    assert response.headers["X-IAM-Trace-Id"]
    assert token["project"]["id"] == PROJECT_ID
    assert token["project"]["domain"]["name"] == ACCOUNT
    assert token["user"]["name"] == USER
    assert token["methods"] == ["password"]
    assert moment(token["expires_at"]) - moment(token["issued_at"]) == timedelta(hours=24)
    assert token["expires_at"].endswith("Z")


def test_the_catalog_is_left_out_when_asked(caller: Caller) -> None:
    with_catalog = caller.sign_in().json()["token"]
    blank = caller.sign_in(nocatalog="").json()["token"]
    without = caller.sign_in(nocatalog="true").json()["token"]

    assert {entry["type"] for entry in with_catalog["catalog"]} == {"identity", "cbh"}
    assert "catalog" in blank
    assert "catalog" not in without


@pytest.mark.parametrize(
    ("scope", "project"),
    [
        ({"project": {"id": OTHER_PROJECT_ID}}, OTHER_PROJECT_ID),
        ({"project": {"name": "eu-west-101"}}, OTHER_PROJECT_ID),
        ({"project": {"name": "cn-north-4"}, "domain": {"name": ACCOUNT}}, PROJECT_ID),
    ],
)
def test_a_project_is_chosen_by_id_or_name_and_wins_over_a_domain(caller: Caller, scope: object, project: str) -> None:
    token = caller.sign_in(scope=scope).json()["token"]

    assert token["project"]["id"] == project
    assert "domain" not in token


def test_a_domain_scope_gives_an_account_wide_token(caller: Caller) -> None:
    token = caller.sign_in(scope={"domain": {"name": ACCOUNT}}).json()["token"]

    assert token["domain"]["name"] == ACCOUNT
    assert "project" not in token


def test_an_unknown_project_is_not_found(caller: Caller) -> None:
    response = caller.sign_in(scope={"project": {"name": "mars-1"}})

    assert response.status_code == 404
    assert response.json() == {"error_code": "IAM.0004", "error_msg": "Could not find project: mars-1."}


def test_a_project_the_user_may_not_use_is_forbidden(caller: Caller) -> None:
    response = caller.sign_in("narrow")

    assert (response.status_code, response.json()["error_code"]) == (403, "IAM.0002")


@pytest.mark.parametrize(("user", "password"), [(USER, "wrong"), ("nobody", "x"), ("protected", None)])
def test_a_wrong_password_and_its_lookalikes_are_one_answer(caller: Caller, user: str, password: str | None) -> None:
    response = caller.sign_in(user, password) if password else caller.sign_in(user)

    assert response.status_code == 401
    assert response.json() == {
        "error": {"code": 401, "message": "The username or password is wrong.", "title": "Unauthorized"}
    }


@pytest.mark.parametrize(("user", "code"), [("disabled", "IAM.0082"), ("human", "IAM.0081")])
def test_users_who_may_not_use_the_api_are_forbidden(caller: Caller, user: str, code: str) -> None:
    response = caller.sign_in(user)

    assert (response.status_code, response.json()["error_code"]) == (403, code)


def test_repeated_failures_lock_the_user_even_for_the_right_password_until_the_time_is_over(
    caller: Caller,
) -> None:
    for _ in range(3):
        assert caller.sign_in(password="wrong").status_code == 401

    locked = caller.sign_in()
    caller.server.control.advance_clock(901)
    unlocked = caller.sign_in()

    assert (locked.status_code, locked.json()["error_code"]) == (401, "IAM.0061")
    assert unlocked.status_code == 201


def test_failures_outside_the_window_do_not_add_up(caller: Caller) -> None:
    for _ in range(4):
        caller.sign_in(password="wrong")
        caller.server.control.advance_clock(600)

    assert caller.sign_in().status_code == 201


def test_a_success_forgets_earlier_failures(caller: Caller) -> None:
    for password in ("wrong", "wrong", None, "wrong", "wrong"):
        caller.sign_in(password=password) if password else caller.sign_in()

    assert caller.sign_in().status_code == 201


@pytest.mark.parametrize(("style", "keys"), [("keystone", {"error"}), ("error_msg", {"error_code", "error_msg"})])
def test_the_envelope_follows_the_world(serve: Callable[[World], Caller], style: str, keys: set[str]) -> None:
    caller = serve(small_world(iam_errors=f'"{style}"'))

    plain, coded = caller.sign_in(password="wrong"), caller.sign_in("human")

    assert set(plain.json()) == keys
    assert set(coded.json()) == keys


@pytest.mark.parametrize(
    "body",
    [
        [],
        {"auth": None},
        {"auth": {"identity": {"methods": ["totp"]}}},
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"name": "x"}}}}},
        {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {"user": {"name": 1, "password": "x", "domain": {"name": ACCOUNT}}},
                }
            }
        },
    ],
)
def test_a_malformed_body_is_invalid(caller: Caller, body: object) -> None:
    response = caller.post("/v3/auth/tokens", body)

    assert response.status_code == 400
    assert response.json()["error"]["message"] == "The request body is invalid"


@pytest.mark.parametrize("size", [0, 33 * 1024])
def test_an_empty_or_huge_body_is_refused(caller: Caller, size: int) -> None:
    response = caller.http.post(f"{caller.server.url}/v3/auth/tokens", data=b" " * size, timeout=20)

    assert (response.status_code, response.json()["error_code"]) == (400, "IAM.1101")


@pytest.mark.parametrize("characters", [128, 1_224, 9_120])
def test_tokens_have_the_length_the_world_asks_for(serve: Callable[[World], Caller], characters: int) -> None:
    caller = serve(parse_world(f"{SMALL_WORLD}\n[tokens]\ncharacters = {characters}\n"))

    token = caller.token()

    assert len(token) == characters
    assert caller.state(token) == "SUCCESS"


def test_a_token_can_be_checked(caller: Caller) -> None:
    token = caller.token()

    response = caller.get("/v3/auth/tokens", {"X-Auth-Token": token, "X-Subject-Token": token}, nocatalog="1")

    assert response.status_code == 200
    assert response.headers["X-Subject-Token"] == token
    assert response.json()["token"]["project"]["id"] == PROJECT_ID


@pytest.mark.parametrize(
    ("headers", "status"),
    [({}, 401), ({"X-Auth-Token": "good"}, 400), ({"X-Auth-Token": "good", "X-Subject-Token": "MIIx"}, 404)],
)
def test_a_check_without_two_good_tokens_is_refused(caller: Caller, headers: dict[str, str], status: int) -> None:
    token = caller.token()

    sent = {name: token if value == "good" else value for name, value in headers.items()}

    assert caller.get("/v3/auth/tokens", sent).status_code == status


def test_projects_are_listed_by_name(caller: Caller) -> None:
    auth = {"X-Auth-Token": caller.token()}

    one = caller.get("/v3/projects", auth, name="eu-west-101").json()
    none = caller.get("/v3/projects", auth, name="mars-1").json()
    everything = caller.get("/v3/projects", auth).json()["projects"]

    assert [project["id"] for project in one["projects"]] == [OTHER_PROJECT_ID]
    assert none["projects"] == []
    assert {project["name"] for project in everything} == {"MOS", "cn-north-4", "eu-west-101", "closed"}


def test_projects_come_filtered_and_in_pages(caller: Caller) -> None:
    auth = {"X-Auth-Token": caller.token()}

    closed = caller.get("/v3/projects", auth, enabled="false").json()["projects"]
    domains = caller.get("/v3/projects", auth, is_domain="true").json()["projects"]
    second = caller.get("/v3/projects", auth, page="2", per_page="3").json()["projects"]
    odd = caller.get("/v3/projects", auth, page="0", per_page="3")

    assert [project["name"] for project in closed] == ["closed"]
    assert domains == []
    assert len(second) == 1
    assert (odd.status_code, odd.json()["error_code"]) == (400, "IAM.0007")


def test_projects_need_a_token(caller: Caller) -> None:
    assert caller.get("/v3/projects").status_code == 401
