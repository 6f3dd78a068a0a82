"""Headers and addresses from anybody: nobody is believed who is not a proxy of ours, and nothing breaks."""

from __future__ import annotations

import ipaddress
import string
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as django_settings
from django.http import HttpRequest, HttpResponse
from django.test import Client
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from portal.middleware import ClientAddressMiddleware
from tests.factories import PASSWORD, UserFactory
from tests.fuzz.budget import Explorer
from tests.fuzz.urls import links
from tests.fuzz.web import MOST_CPU_SECONDS, check_own_address, escaped, texts

PROXIES = ("10.0.0.0/8", "fd00::/8", "127.0.0.1/32")

_addresses = st.one_of(
    st.sampled_from(("10.0.0.1", "10.9.9.9", "fd00::1", "127.0.0.1", "192.0.2.7", "203.0.113.9", "2001:db8::1",
        "::ffff:10.0.0.1", "::ffff:192.0.2.7", "[2001:db8::1]", "192.0.2.7:80", "[::1]:80")),
    st.ip_addresses().map(str),
    st.sampled_from(("", "unknown", "_hidden", "010.0.0.1", "10.0.0.256", "fe80::1%eth0", "fe80::1%\x00", "10.0.0.1 ",
        "\t10.0.0.1", "0x7f.1", "1", "::", "[", "[]", "]10.0.0.1[", "a" * 5000)),
    texts,
)  # fmt: skip
_chains = st.lists(_addresses, max_size=6).flatmap(
    lambda parts: st.sampled_from((",", ", ", " , ", ",,", ";")).map(lambda comma: comma.join(parts))
)


def _is_proxy(text: str) -> bool:
    """Said once more, without the product's code: is this text an address of ours?"""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in ipaddress.ip_network(network) for network in PROXIES)


def test_a_client_address_is_the_nearest_that_is_not_a_proxy_of_ours(settings: Any, explorer: Explorer) -> None:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network(network) for network in PROXIES]
    settings.TRUST_UNIX_PEERS = False
    seen: list[dict[str, Any]] = []

    def remember(request: HttpRequest) -> HttpResponse:
        seen.append(dict(request.META))
        return HttpResponse()

    middleware = ClientAddressMiddleware(remember)

    def check(asked: tuple[str, str, str, str]) -> None:
        peer, chain, proto, request_id = asked
        request = HttpRequest()
        request.META = {
            "REMOTE_ADDR": peer,
            "HTTP_X_FORWARDED_FOR": chain,
            "HTTP_X_FORWARDED_PROTO": proto,
            "HTTP_X_REQUEST_ID": request_id,
        }
        seen.clear()

        middleware(request)

        found = seen[0]
        told = found.get("sallyport.request_id", "")
        assert all(char in string.ascii_letters + string.digits + "_-" for char in told)
        if not _is_proxy(peer):
            assert found["REMOTE_ADDR"] == peer
            assert not [name for name in found if name.startswith("HTTP_X_FORWARDED")]
            assert told == ""
            return
        parts = [part.strip().strip("[]") for part in chain.split(",")]
        nearest = next((part for part in reversed(parts) if not _is_proxy(part)), None)
        address = ipaddress.ip_address(found["REMOTE_ADDR"])
        if nearest is not None and not _is_proxy(found["REMOTE_ADDR"]):
            expected = ipaddress.ip_address(nearest)
            mapped = expected.ipv4_mapped if isinstance(expected, ipaddress.IPv6Address) else None
            assert address == (mapped or expected)

    explorer.explore(
        st.tuples(_addresses, _chains, st.sampled_from(("https", "http", "", "https,http")), texts), check, few=150,
            share=0.07, examples=[("10.0.0.1", "192.0.2.7, fe80::1%\x00", "https", "x" * 64 + "\n")]
    )  # fmt: skip


_header_texts = st.one_of(
    texts.map(lambda text: text.encode("utf-8", "replace").decode("latin-1")),
    st.text(st.characters(max_codepoint=255), max_size=40),
)
_header_names = st.sampled_from(
    ("HTTP_HOST", "HTTP_HOST", "HTTP_COOKIE", "HTTP_COOKIE", "HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PROTO", "HTTP_REFERER", "HTTP_ORIGIN", "HTTP_USER_AGENT", "HTTP_ACCEPT_LANGUAGE",
     "HTTP_ACCEPT_ENCODING", "HTTP_X_REQUEST_ID", "HTTP_HX_REQUEST", "HTTP_HX_CURRENT_URL",
     "HTTP_HX_HISTORY_RESTORE_REQUEST", "HTTP_HX_TRIGGER", "HTTP_AUTHORIZATION", "HTTP_IF_MODIFIED_SINCE",
     "HTTP_IF_NONE_MATCH",
     "HTTP_RANGE", "HTTP_ACCEPT", "CONTENT_TYPE", "CONTENT_LENGTH", "REMOTE_ADDR", "REQUEST_METHOD",
     "QUERY_STRING", "HTTP_TRANSFER_ENCODING")
)  # fmt: skip
_cookies = st.lists(
    st.tuples(st.sampled_from((django_settings.SESSION_COOKIE_NAME, django_settings.CSRF_COOKIE_NAME, "messages",
        "sessionid", "a", "__Host-a")), _header_texts).map("=".join), max_size=4
).map("; ".join)  # fmt: skip
_header_values = st.one_of(
    _header_texts, _cookies, _chains.map(lambda text: text.encode("utf-8", "replace").decode("latin-1")),
    st.sampled_from(("testserver", "testserver:80", "testserver:99999", "evil.example", "testserver.evil.example",
        "testserver@evil.example", "[::1]", "[::1", "testserver:80:80", "TESTSERVER.", "true", "https://testserver/",
                     "null", "GET", "POST", "HEAD", "OPTIONS", "TRACE", "PUT", "gibberish", "bytes=0-", "bytes=9-0",
                     "-1", "99999999999", "http://[", "Mon, 99 Foo 99999 99:99:99 GMT")),
)  # fmt: skip
_paths: SearchStrategy[str] = st.one_of(
    st.sampled_from(("/", "/hosts/1/", "/activity/", "/launches/", "/launches/opening/", "/accounts/login/",
        "/accounts/logout/", "/accounts/password/change/", "/accounts/reauthenticate/", "/admin/", "/admin/login/",
        "/healthz",
                     "/readyz", "/metrics", "/static/css/app.css", "/static/../../etc/passwd",
                     "/static/%2e%2e/settings.py", "/favicon.ico", "/robots.txt", "//evil.example/",
                     "/\\evil.example/", "/.git/config")),
    escaped.map("/{}".format),
    escaped.map("/static/{}".format),
    st.builds("{}?next={}".format, st.sampled_from(("/accounts/login/", "/accounts/logout/",
        "/accounts/reauthenticate/", "/admin/login/", "/accounts/password/change/")), escaped),
)  # fmt: skip
requests_: SearchStrategy[tuple[str, bool, dict[str, str]]] = st.tuples(
    _paths, st.booleans(), st.dictionaries(_header_names, _header_values, max_size=4)
)


@pytest.fixture
def clients(db: None) -> dict[bool, Client]:
    """Somebody who is signed in, and nobody."""
    known = Client()
    known.force_login(UserFactory(is_superuser=True), backend="allauth.account.auth_backends.AuthenticationBackend")
    return {True: known, False: Client()}


@pytest.mark.database
def test_any_headers_on_any_page_are_answered(clients: dict[bool, Client], explorer: Explorer) -> None:
    cookie = clients[True].cookies[django_settings.SESSION_COOKIE_NAME].value

    def check(asked: tuple[str, bool, dict[str, str]]) -> None:
        path, is_known, headers = asked
        clients[True].cookies[django_settings.SESSION_COOKIE_NAME] = cookie
        began = time.thread_time()

        response = clients[is_known].get(path, **{"REQUEST_METHOD": "GET", **headers})  # type: ignore[arg-type]

        assert response.status_code < 500
        assert time.thread_time() - began < MOST_CPU_SECONDS
        if 300 <= response.status_code < 400:
            assert urlsplit(response["Location"]).netloc in (
                "",
                "testserver",
                "testserver:80",
                "localhost",
                "127.0.0.1",
            )
        if not is_known:
            assert b"csrfmiddlewaretoken" not in response.content or b"login" in response.content

    examples = [
        ("/", True, {"HTTP_COOKIE": "messages=%00"}),
        ("/", False, {"HTTP_HOST": "testserver@evil.example"}),
        ("/admin/login/?next=a%20b", True, {}),
    ]
    explorer.explore(requests_, check, few=120, share=0.01, examples=examples)


@pytest.mark.database
def test_signing_in_leads_to_our_own_pages_only(clients: dict[bool, Client], settings: Any, explorer: Explorer) -> None:
    """`next` is typed by whoever made the link."""
    settings.ACCOUNT_RATE_LIMITS = False
    user = UserFactory()

    def check(asked: tuple[str, bool]) -> None:
        target, is_form = asked
        client = Client(enforce_csrf_checks=False)
        sent = {"login": user.username, "password": PASSWORD}
        text = target.encode("utf-8", "replace").decode()
        if is_form:
            response = client.post("/accounts/login/", {**sent, "next": text})
        else:
            response = client.post("/accounts/login/", sent, query_params={"next": text})

        assert response.status_code == 302
        led = clients[True].get("/admin/login/", {"next": text})
        for location in (response["Location"], led["Location"]):
            check_own_address(location.removeprefix("http://testserver").removeprefix("https://testserver"))

    targets = st.one_of(
        links,
        texts,
        st.sampled_from(
            (
                "/hosts/1/",
                "//evil.example",
                "/\\evil.example",
                "\\\\evil.example",
                "https://testserver/x",
                "http:evil.example",
                "javascript:alert(1)",
                "/\t/evil.example",
                "///evil.example",
            )
        ),
    )
    explorer.explore(
        st.tuples(targets.filter(lambda text: len(text) < 3000), st.booleans()), check, few=40, share=0.003
    )
