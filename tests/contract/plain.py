"""The cloud's calls over plain HTTP, without any client's opinion about the answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from tests.contract.quiet import Broken
from tests.contract.target import Person, Target

_SECONDS: Final = 30


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as it came."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    text: str = field(repr=False)

    @property
    def body(self) -> dict[str, Any]:
        """The JSON object in it; an empty one if there is none."""
        try:
            found = json.loads(self.text)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}


class PlainCloud:
    """Asks one cloud. A context manager: its connections end with the block."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._http = requests.Session()
        self._http.trust_env = False

    def __enter__(self) -> PlainCloud:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def sign_in(self, person: Person, *, project_name: str | None = None, nocatalog: bool = True) -> Reply:
        """Exchange a password for a token of the project that is named like the region."""
        user = {"name": person.name, "password": person.password, "domain": {"name": person.account}}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": user}},
            "scope": {"project": {"name": project_name or self._target.region}},
        }
        query = {"nocatalog": "true"} if nocatalog else {}
        return self._send("POST", f"{self._target.iam_endpoint}/v3/auth/tokens", query=query, body={"auth": auth})

    def token(self) -> tuple[str, str]:
        """A token of the target's own user, and its project's id.

        Raises:
            Broken: there is none.
        """
        reply = self.sign_in(self._target.person)
        value = reply.headers.get("X-Subject-Token", "")
        project = reply.body.get("token", {}).get("project", {}).get("id", "")
        if reply.status != 201 or not value or not isinstance(project, str) or not project:
            raise Broken(f"the user gets no token of the region's project: status {reply.status}")
        return value, project

    def om_url(
        self, token: str, project_id: str, query: Mapping[str, str], *, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return self._send(
            "GET",
            f"{self._target.cbh_endpoint}/v2/{project_id}/cbs/instance/get-om-url",
            query=query,
            headers={"X-Auth-Token": token, **(headers or {})},
        )

    def _send(
        self,
        method: str,
        url: str,
        *,
        query: Mapping[str, str],
        headers: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Reply:
        try:
            answer = self._http.request(
                method, url, params=query, headers=headers, json=body, timeout=_SECONDS, allow_redirects=False
            )
        except requests.RequestException as error:
            problem = type(error).__name__
        else:
            return Reply(answer.status_code, dict(answer.headers), answer.text)
        raise Broken(f"{urlsplit(url).hostname} gave no answer: {problem}")  # out here: the error quotes the request
