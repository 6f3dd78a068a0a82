"""The validator of login links against the only judge that matters: where Chromium's own URL parser would go.

The validator may refuse more than it has to, for reasons that were looked at (`REVIEWED`). It must never say yes to a
link that a browser reads differently.
"""

from __future__ import annotations

import json
import string
import threading
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypedDict
from urllib.parse import urlsplit

import pytest
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from omaccess.cloud.errors import LoginOriginNotAllowed, UnusableLoginUrl
from omaccess.cloud.login_url import check_login_url
from tests.fuzz.budget import Explorer
from tests.fuzz.urls import ALLOWED, links, right_links

pytestmark = pytest.mark.e2e

REVIEWED = {
    "characters": "Browsers drop tabs and line breaks, turn backslashes round and encode what is not ASCII.",
    "relative": "Browsers add missing slashes and drop white space and extra slashes in front.",
    "scheme": "Plain http is for loopback; browsers know more schemes.",
    "user_info": "Browsers send it as credentials; people read it as the host.",
    "host": "Browsers decode percent signs and fold full-width letters, zones and final dots.",
    "numeric_host": "Browsers read octal, hexadecimal and short numbers as addresses.",
    "port": "Browsers accept empty ports and leading zeros.",
    "too_long": "Browsers have no limit of 4 KB.",
}
"""Why a link may be refused that a browser would take to an allowed address."""

RFC_3986 = frozenset(string.ascii_letters + string.digits + "-._~:/?#[]@!$&'()*+,;=%")
"""All that a URL is written in; browsers then have nothing to repair."""

EXAMPLES = (
    "https://bastion.example.com/om?token=abc",
    "https://bastion.example.com:443/",
    "https://bastion.example.com\\@evil.example/",
    "https://evil.example\\@bastion.example.com/",
    "https://bastion.example.com@evil.example/",
    "https:\\\\bastion.example.com/",
    "https://bastion.example.com/\\evil.example",
    "https:bastion.example.com",
    "https:///bastion.example.com",
    "//bastion.example.com",
    "https://203.0.113.07/",
    "https://0xcb007107/",
    "https://[::ffff:203.0.113.7]:444/",
    "https://bastion.example.com./",
    "https://bastion.example.com:/",
    "https://bastion.example.com:0443/",
    "https://bastion\u3002example\uff0ecom/",
    "https://BASTION.example.com/",
    "https://xn--bcher-kva.example/",
    "https://b\u00fccher.example/",
    "\thttps://bastion.example.com/",
    "https://bastion.example.com/\r\nSet-Cookie: a=b",
)  # fmt: skip

# One call for thousands of links: the texts go over as JSON, so that also lone surrogates arrive as they are.
_PARSE = """texts => JSON.parse(texts).map(text => {
    try {
        const url = new URL(text);
        return {origin: url.origin, protocol: url.protocol, hostname: url.hostname, port: url.port,
                username: url.username, password: url.password, href: url.href};
    } catch (error) { return null; }
})"""


class Parsed(TypedDict):
    origin: str
    protocol: str
    hostname: str
    port: str
    username: str
    password: str
    href: str


class Everything(Collection[str]):
    """Any address is registered: then the validator alone decides."""

    def __contains__(self, _origin: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with chromium.new_context() as context:
        yield context.new_page()


def parsed_by_chromium(page: Page, texts: list[str]) -> list[Parsed | None]:
    found: list[Parsed | None] = page.evaluate(_PARSE, json.dumps(texts))
    return found


def verdict(text: str, origins: Collection[str] = ALLOWED, *, is_sandbox: bool = True) -> tuple[str, str]:
    """The origin the link was accepted for, and why it was not: one of the two is empty."""
    try:
        return check_login_url(text, link_origins=origins, allow_http_loopback=is_sandbox), ""
    except UnusableLoginUrl as error:
        assert len(text) < 20 or text not in f"{error}{error!r}{error.__dict__}"  # noqa: PT017 - not every input raises
        return "", error.problem
    except LoginOriginNotAllowed:
        return "", "not_registered"


def goes_exactly_to(parsed: Parsed | None, origin: str, text: str) -> bool:
    """Does Chromium read scheme, host and port as in `origin`, nobody's name, and the link as the text it was?"""
    if parsed is None:
        return False
    expected = urlsplit(origin)
    host = f"[{expected.hostname}]" if ":" in (expected.hostname or "") else expected.hostname
    return (
        parsed["origin"] == origin
        and parsed["protocol"] == f"{expected.scheme}:"
        and parsed["hostname"] == host
        and parsed["port"] == (str(expected.port) if expected.port else "")
        and (parsed["username"], parsed["password"]) == ("", "")
        and set(text) <= RFC_3986
    )


def test_chromium_goes_exactly_where_the_validator_says(page: Page, explorer: Explorer) -> None:
    def check(texts: list[str]) -> None:
        wrong = []
        for text, parsed in zip(texts, parsed_by_chromium(page, texts), strict=True):
            origin, _problem = verdict(text)
            if origin and not (origin in ALLOWED and goes_exactly_to(parsed, origin, text)):
                wrong.append((text, origin, parsed))
            in_production, _problem = verdict(text, is_sandbox=False)
            if in_production not in ("", origin) or in_production.startswith("http:"):
                wrong.append((text, in_production, parsed))
            explorer.count("links accepted", 1 if origin else 0)
        assert not wrong, min(wrong, key=lambda found: len(found[0]))

    explorer.explore_in_bulk(st.one_of(links, links, right_links), check, few=1500, share=0.22, examples=EXAMPLES)

    assert explorer.counts["links accepted"] > 0


def test_whatever_is_registered_chromium_goes_there_or_nowhere(page: Page, explorer: Explorer) -> None:
    """Nowhere: browsers refuse names that look like IDNA and are not, such as xn--a."""

    def check(texts: list[str]) -> None:
        wrong: list[tuple[str, str, Parsed | None]] = []
        for text, parsed in zip(texts, parsed_by_chromium(page, texts), strict=True):
            origin, _problem = verdict(text, Everything())
            is_nowhere = parsed is None and "xn--" in origin
            if origin and not is_nowhere and not goes_exactly_to(parsed, origin, text):
                wrong.append((text, origin, parsed))
        assert not wrong, min(wrong, key=lambda found: len(found[0]))

    explorer.explore_in_bulk(links, check, few=1000, share=0.1, examples=EXAMPLES)


def test_a_link_that_a_browser_would_follow_is_refused_for_reviewed_reasons_only(
    page: Page, explorer: Explorer
) -> None:
    def check(texts: list[str]) -> None:
        unreviewed = []
        for text, parsed in zip(texts, parsed_by_chromium(page, texts), strict=True):
            if parsed is None or parsed["origin"] not in ALLOWED:
                continue
            origin, problem = verdict(text)
            if not origin:
                explorer.count(f"refused for {problem}")
                if problem not in REVIEWED:
                    unreviewed.append((text, problem, parsed))
        assert not unreviewed, min(unreviewed, key=lambda found: len(found[0]))

    explorer.explore_in_bulk(links, check, few=500, share=0.02, examples=EXAMPLES)

    assert set(explorer.counts) <= {f"refused for {reason}" for reason in REVIEWED}


@dataclass
class Elsewhere:
    """A server on loopback: `/go/<number>` answers 303 with a link, everything else says what was asked for."""

    links: list[str] = field(default_factory=list)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def __enter__(self) -> Elsewhere:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/go/"):
                    self.send_response(303)
                    self.send_header("Location", outer.links[int(self.path.removeprefix("/go/"))])
                else:
                    outer.asked.append((self.headers["Host"], self.path))
                    self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_arguments: Any) -> None:
                """Nothing on the screen."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


def test_a_redirect_leads_chromium_to_the_address_the_validator_named(page: Page, explorer: Explorer) -> None:
    """Not parsed but followed. Paths may be tidied (`/../`), the address may not change."""
    with Elsewhere() as server:
        here = {f"http://{name}:{server.port}": name for name in ("127.0.0.1", "localhost")}

        def check(text: str) -> None:
            local = text.replace(":8010", f":{server.port}")
            origin, _problem = verdict(local, list(here))
            if not origin:
                return
            server.links, server.asked = [local], []

            page.goto(f"http://127.0.0.1:{server.port}/go/0")

            followed = urlsplit(page.url)
            assert f"{followed.scheme}://{followed.netloc}" == origin
            asked = [host for host, path in server.asked if not path.startswith("/favicon")]
            assert asked == [origin.removeprefix("http://")]
            explorer.count("links followed")

        local_links = right_links.filter(
            lambda text: text.startswith(("http://127.0.0.1:8010", "http://localhost:8010"))
        )
        explorer.explore(
            local_links, check, few=25, share=0.003, examples=["http://localhost:8010/../..//evil.example"]
        )

    assert explorer.counts["links followed"] > 0
