"""A person with a signed-in session and a browser that keeps its connection, for tests that press very often."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from urllib.parse import urljoin

import requests
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from requests.cookies import RequestsCookieJar

from accounts.models import User
from omaccess.models import HostAccount

_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')


class Person:
    """Loads a page once for its CSRF token, then presses. Not for several threads at once."""

    def __init__(
        self, url: str, user: User, *, seconds: float = 30, cookies: RequestsCookieJar | None = None, token: str = ""
    ) -> None:
        self.url, self.user, self.seconds = url, user, seconds
        self.http = requests.Session()
        self.http.trust_env = False
        if cookies is None:
            self.http.cookies.set(settings.SESSION_COOKIE_NAME, signed_in(user))
        else:
            self.http.cookies.update(cookies)
        self._token = token

    def at(self, url: str) -> Person:
        """The same browser in front of another machine: same cookies, same form, a connection of its own."""
        self._token = self._token or self._read_token()
        return Person(url, self.user, seconds=self.seconds, cookies=self.http.cookies, token=self._token)

    def get(self, path: str) -> requests.Response:
        return self.http.get(urljoin(self.url, path), allow_redirects=False, timeout=self.seconds)

    def press(
        self, account: HostAccount, *, once: uuid.UUID | None = None, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """POST the launch form of this account. Raises: requests.RequestException."""
        return self.post("/launches/", {"account": str(account.pk), "once": str(once or uuid.uuid4())}, headers)

    def try_again(self, reference: str, headers: Mapping[str, str] | None = None) -> requests.Response:
        """POST one more attempt of a launch that waits. Raises: requests.RequestException."""
        return self.post(f"/launches/{reference}/attempt/", {}, headers)

    def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] | None = None) -> requests.Response:
        if not self._token:
            self._token = self._read_token()
        data = {**fields, "csrfmiddlewaretoken": self._token}
        return self.http.post(
            urljoin(self.url, path), data=data, headers=headers, allow_redirects=False, timeout=self.seconds
        )

    def _read_token(self) -> str:
        """From a page that everybody has, with a form in it: the button that signs out."""
        page = self.http.get(self.url + "/", timeout=self.seconds)
        found = _TOKEN.search(page.text)
        if page.status_code != 200 or found is None:
            raise AssertionError(f"/ answers {page.status_code} and has no form")
        return found[1]

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.http.close()


def signed_in(user: User) -> str:
    """The key of a new session of this person."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session.session_key or ""
