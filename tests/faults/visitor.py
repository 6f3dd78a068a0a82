"""A person at the portal's pages who can hold a form for a while before sending it."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable

import requests
from requests.cookies import RequestsCookieJar

from omaccess.models import HostAccount
from tests.processes import Browser


class Visitor(Browser):
    """A browser with its page still open while something breaks."""

    def form(self, account: HostAccount) -> dict[str, str]:
        """Load the host's page; returns what its form would send."""
        return {"account": str(account.pk), "csrfmiddlewaretoken": self._token(f"/hosts/{account.host_id}/")}

    def sign_in(self, name: str, password: str) -> requests.Response:
        form = {"login": name, "password": password, "csrfmiddlewaretoken": self._token("/accounts/login/")}
        return self._http.post(f"{self.url}/accounts/login/", data=form, allow_redirects=False, timeout=30)

    def sign_out(self) -> requests.Response:
        form = {"csrfmiddlewaretoken": self._token("/")}
        return self._http.post(f"{self.url}/accounts/logout/", data=form, allow_redirects=False, timeout=30)

    def answers(self, path: str) -> bool:
        try:
            return self.get(path).status_code == 200
        except requests.RequestException:
            return False

    def another(self) -> Visitor:
        """Another window of the same person: same cookies, a connection of its own."""
        return self.at(self.url)

    def at(self, url: str) -> Visitor:
        """Another window, which shows another machine."""
        window = Visitor(url, self.user, "")
        window._http.cookies = copy_cookies(self._http.cookies)
        return window

    def send(self, form: dict[str, str]) -> requests.Response:
        return self._http.post(f"{self.url}/launches/", data=form, allow_redirects=False, timeout=30)

    def _token(self, path: str) -> str:
        page = self.get(path)
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token, page.text
        return token[1]


def copy_cookies(cookies: RequestsCookieJar) -> RequestsCookieJar:
    jar = RequestsCookieJar()
    jar.update(cookies)
    return jar


def in_background(work: Callable[[], object], results: list[object]) -> threading.Thread:
    """Run on a thread; what it returns, or the transport's error, is in `results` when it has ended."""

    def run() -> None:
        try:
            results.append(work())
        except requests.RequestException as error:
            results.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def assert_opened(answer: object) -> None:
    """303 to an O&M link."""
    assert isinstance(answer, requests.Response), answer
    assert answer.status_code == 303, answer.text
    assert answer.headers["Location"].startswith("http"), answer.headers["Location"]


def assert_is_the_page_without_a_database(answer: object) -> None:
    """503, with the page that needs nothing but its template, and no link."""
    assert isinstance(answer, requests.Response), answer
    assert answer.status_code == 503, answer.text
    assert "Not possible right now" in answer.text
    assert answer.headers["Retry-After"] == "30"
    assert "Location" not in answer.headers
