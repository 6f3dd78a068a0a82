from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests

from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import World
from tests.omaccess.sandbox.signing import Query, encoded_query, signed
from tests.omaccess.sandbox.worlds import ACCOUNT, PASSWORD, PROJECT_ID, SERVER_ID, USER, small_world

CONTROL_TOKEN = "control-token-of-the-tests"


class Caller:
    """Speaks to one sandbox the way a client would."""

    def __init__(self, server: SandboxServer) -> None:
        self.server = server
        self.http = requests.Session()
        self.http.trust_env = False

    def sign_in(
        self, user: str = USER, password: str = PASSWORD, scope: object = None, **query: str
    ) -> requests.Response:
        """Ask for a token; scoped to the small world's first project unless told otherwise."""
        person = {"name": user, "password": password, "domain": {"name": ACCOUNT}}
        auth: dict[str, object] = {"identity": {"methods": ["password"], "password": {"user": person}}}
        auth["scope"] = {"project": {"name": "cn-north-4"}} if scope is None else scope
        return self.post("/v3/auth/tokens", {"auth": auth}, **query)

    def token(self, user: str = USER, scope: object = None) -> str:
        response = self.sign_in(user, scope=scope)
        assert response.status_code == 201, response.text
        return response.headers["X-Subject-Token"]

    def om_url(self, token: str, *, project: str = PROJECT_ID, **changed: str) -> requests.Response:
        query = {"server_id": SERVER_ID, "ip_address": "10.0.0.1", "host_account_name": "root", **changed}
        return self.get(f"/v2/{project}/cbs/instance/get-om-url", {"X-Auth-Token": token}, **query)

    def state(self, token: str, **changed: str) -> object:
        response = self.om_url(token, **changed)
        assert response.status_code == 200, response.text
        return response.json()["state"]

    def signed(
        self,
        key: tuple[str, str],
        path: str,
        query: Query | None = None,
        *,
        method: str = "GET",
        body: bytes = b"",
        headers: dict[str, str] | None = None,
    ) -> requests.Response:
        """Call with an access key in place of a token."""
        host = self.server.url.removeprefix("http://")
        sent = signed(key, method, host, path, query, headers=headers, body=body)
        target = f"{self.server.url}{quote(path)}?{encoded_query(query or [])}"
        return self.http.request(method, target.rstrip("?"), headers=sent, data=body, timeout=20)

    def get(self, path: str, headers: dict[str, str] | None = None, **query: str) -> requests.Response:
        return self.http.get(self.server.url + path, headers=headers, params=query, timeout=20)

    def post(self, path: str, body: Any, **query: str) -> requests.Response:
        return self.http.post(self.server.url + path, json=body, params=query, timeout=20)


def refusal(response: requests.Response) -> tuple[int, str]:
    """Status and code of an error in any form that has an `error_code`."""
    return response.status_code, response.json()["error_code"]


@pytest.fixture
def serve() -> Iterator[Callable[[World], Caller]]:
    """Starts sandboxes for worlds; all end with the test."""
    callers: list[Caller] = []

    def start(world: World) -> Caller:
        server = SandboxServer(world, control_token=CONTROL_TOKEN)
        server.start()
        callers.append(Caller(server))
        return callers[-1]

    yield start
    for caller in callers:
        caller.http.close()
        caller.server.stop()


@pytest.fixture
def caller(serve: Callable[[World], Caller]) -> Caller:
    """A sandbox of the small world."""
    return serve(small_world())
