from __future__ import annotations

import pytest

from tests.omaccess.sandbox.conftest import Caller
from tests.omaccess.sandbox.worlds import (
    ACCOUNT,
    ACCOUNT_ID,
    NARROW_KEY,
    OTHER_PROJECT_ID,
    PROJECT_ID,
    READ_KEY,
    STRANGERS_KEY,
)


def test_the_project_of_a_region_is_discovered_by_signature(caller: Caller) -> None:
    response = caller.signed(READ_KEY, "/v3/projects", [("name", "cn-north-4")])

    (project,) = response.json()["projects"]
    assert response.status_code == 200
    assert response.headers["X-IAM-Trace-Id"]
    assert project == {
        "id": PROJECT_ID,
        "name": "cn-north-4",
        "domain_id": ACCOUNT_ID,
        "parent_id": ACCOUNT_ID,
        "enabled": True,
        "is_domain": False,
        "description": "",
        "links": {"self": f"{caller.server.url}/v3/projects/{PROJECT_ID}"},
    }


def test_the_projects_are_those_of_the_keys_account(caller: Caller) -> None:
    found = caller.signed(STRANGERS_KEY, "/v3/projects").json()["projects"]

    assert [project["name"] for project in found] == ["MOS"]


def test_accessible_projects_are_those_the_user_may_use(caller: Caller) -> None:
    everything = caller.signed(READ_KEY, "/v3/auth/projects").json()
    narrow = caller.signed(NARROW_KEY, "/v3/auth/projects").json()
    by_token = caller.get("/v3/auth/projects", {"X-Auth-Token": caller.token("reader")}).json()

    assert [project["name"] for project in everything["projects"]] == ["cn-north-4", "eu-west-101", "closed"]
    assert [project["id"] for project in narrow["projects"]] == [OTHER_PROJECT_ID]
    assert by_token == everything
    assert everything["links"] == {"self": f"{caller.server.url}/v3/auth/projects"}


def test_the_account_is_found_by_signature_and_by_token(caller: Caller) -> None:
    by_key = caller.signed(READ_KEY, "/v3/auth/domains").json()
    by_token = caller.get("/v3/auth/domains", {"X-Auth-Token": caller.token()}).json()

    (domain,) = by_key["domains"]
    assert (domain["id"], domain["name"], domain["enabled"]) == (ACCOUNT_ID, ACCOUNT, True)
    assert by_token == by_key


@pytest.mark.parametrize("path", ["/v3/projects", "/v3/auth/projects", "/v3/auth/domains"])
def test_strangers_are_told_nothing(caller: Caller, path: str) -> None:
    response = caller.get(path)

    assert (response.status_code, response.json()["error_code"]) == (401, "IAM.0001")


@pytest.mark.parametrize(
    ("path", "call"), [("/v3/auth/projects", "iam.auth_projects"), ("/v3/auth/domains", "iam.domains")]
)
def test_discovery_can_be_made_to_fail(caller: Caller, path: str, call: str) -> None:
    caller.server.control.add_fault(call, status=500, message="out of order")

    response = caller.signed(READ_KEY, path)

    assert response.status_code == 500
    assert response.json()["error"]["message"] == "out of order"
    assert caller.server.control.counters()[call] == 1
    assert caller.signed(READ_KEY, path).status_code == 200
