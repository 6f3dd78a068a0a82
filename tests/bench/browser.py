"""Clients: a person's browser behind the proxy, the bare call, and the script that people use today."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

import requests
import urllib3

from omaccess.sandbox.world import World
from tests.bench.servers import HOST
from tests.bench.timing import WrongAnswer

_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_COOKIE = re.compile(r"(__Host-csrf)=([^;]+)")
_SECONDS = 30
_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Form:
    """What a browser needs for pressing a button: where, with which account and CSRF token, and its headers."""

    url: str
    account: int
    token: str
    headers: dict[str, str]

    def body(self) -> str:
        return urlencode({"account": self.account, "once": str(uuid.uuid4()), "csrfmiddlewaretoken": self.token})


class Browser:
    """One signed-in person on one kept-alive connection, over a client that costs little itself.

    Speaks as the proxy of a production installation would: host, scheme and client address in headers.
    """

    def __init__(self, url: str, session_key: str = "") -> None:
        parts = urlsplit(url)
        self.url = url
        self._pool = urllib3.HTTPConnectionPool(
            parts.hostname or "", parts.port, maxsize=1, retries=False, timeout=_SECONDS
        )
        self.headers = {
            "Host": HOST,
            "X-Forwarded-Proto": "https",
            "X-Forwarded-For": "192.0.2.7",
            "User-Agent": "Mozilla/5.0 (benchmark)",
        }
        if session_key:
            self.headers["Cookie"] = f"__Host-session={session_key}"

    def get(self, path: str, more: Mapping[str, str] | None = None) -> str:
        """A page's text; `more` headers go with the usual ones. Raises: WrongAnswer for anything but 200."""
        answer = self._request("GET", path, headers={**self.headers, **more} if more else None)
        if answer.status != 200:
            raise WrongAnswer(f"status {answer.status}")
        return answer.data.decode()

    def form(self, host: int, account: int) -> Form:
        """The launch form of an account, from its host's page."""
        answer = self._request("GET", f"/hosts/{host}/")
        token = _TOKEN.search(answer.data.decode())
        cookie = _COOKIE.search(answer.headers.get("Set-Cookie", ""))
        if answer.status != 200 or token is None or cookie is None:
            raise WrongAnswer(f"no launch form: status {answer.status}")
        headers = {
            **self.headers,
            "Cookie": f"{self.headers['Cookie']}; {cookie[1]}={cookie[2]}",
            "Origin": f"https://{HOST}",
            "Referer": f"https://{HOST}/hosts/{host}/",
            "Content-Type": _FORM,
        }
        return Form(f"{self.url}/launches/", account, token[1], headers)

    def press(self, form: Form) -> None:
        """Launch. Raises: WrongAnswer unless a link came back."""
        answer = self._request("POST", urlsplit(form.url).path, form.body(), form.headers)
        check_link(answer.status, answer.headers.get("Location", ""))

    def _request(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        try:
            return self._pool.request(method, path, body=body, headers=headers or self.headers, redirect=False)
        except urllib3.exceptions.HTTPError as error:
            raise WrongAnswer(type(error).__name__) from None


def check_link(status: int, location: str) -> None:
    """Raises: WrongAnswer. A launch that was refused is answered fast, and would flatter."""
    if status != 303 or not location.startswith("http"):
        raise WrongAnswer(f"no link: status {status}")


class Requester:
    """Presses with `requests`, so that both sides of a comparison with it have the same client."""

    def __init__(self) -> None:
        self._http = requests.Session()
        self._http.trust_env = False

    def press(self, form: Form) -> None:
        """Raises: WrongAnswer unless a link came back."""
        try:
            answer = self._http.post(
                form.url, data=form.body(), headers=form.headers, allow_redirects=False, timeout=_SECONDS
            )
        except requests.RequestException as error:
            raise WrongAnswer(type(error).__name__) from None
        check_link(answer.status_code, answer.headers.get("Location", ""))


class BareCloud:
    """get-om-url without any portal."""

    def __init__(self, url: str, world: World) -> None:
        self._url, (self._user,), (self._instance,), (self._host,) = url, world.users, world.instances, world.hosts
        self._project = world.project_of(self._instance).id
        self._http = requests.Session()
        self._http.trust_env = False
        self.token = self._exchange(self._http)

    def call(self) -> None:
        """With a token in hand, by a pooled session. Raises: WrongAnswer."""
        self._ask(self._http, self.token)

    def script(self) -> None:
        """What people run today: first the token, then the URL, a new connection each time. Raises: WrongAnswer."""
        with requests.Session() as first, requests.Session() as second:
            first.trust_env = second.trust_env = False
            self._ask(second, self._exchange(first))

    @property
    def address(self) -> str:
        """The whole address of the call, with its parameters."""
        query = {
            "server_id": self._instance.server_id,
            "ip_address": self._host.address,
            "host_account_name": self._host.accounts[0].name,
        }
        return f"{self._url}/v2/{self._project}/cbs/instance/get-om-url?{urlencode(query)}"

    def _ask(self, http: requests.Session, token: str) -> None:
        try:
            answer = http.get(self.address, headers={"X-Auth-Token": token}, timeout=_SECONDS)
        except requests.RequestException as error:
            raise WrongAnswer(type(error).__name__) from None
        if answer.status_code != 200 or not answer.json().get("login_url"):
            raise WrongAnswer(f"no link from the cloud: status {answer.status_code}")

    def _exchange(self, http: requests.Session) -> str:
        person = {"name": self._user.name, "password": self._user.password, "domain": {"name": self._user.account}}
        auth = {
            "identity": {"methods": ["password"], "password": {"user": person}},
            "scope": {"project": {"id": self._project}},
        }
        try:
            answer = http.post(f"{self._url}/v3/auth/tokens?nocatalog=true", json={"auth": auth}, timeout=_SECONDS)
        except requests.RequestException as error:
            raise WrongAnswer(type(error).__name__) from None
        if answer.status_code != 201:
            raise WrongAnswer(f"no token from the cloud: status {answer.status_code}")
        return answer.headers["X-Subject-Token"]
