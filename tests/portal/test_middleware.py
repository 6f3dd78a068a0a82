"""Who a request comes from: nobody outside decides that for us."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
import structlog
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from omaccess.meta import Meta
from omaccess.models import AuditEvent
from portal.middleware import ClientAddressMiddleware, CompressionMiddleware, RequestContextMiddleware

PROXIES = ["10.0.0.0/8", "192.168.7.7/32", "fd00::/8", "::1/128"]


@pytest.fixture(autouse=True)
def _trusted(settings: Any) -> None:
    settings.TRUSTED_PROXIES = [ipaddress.ip_network(text) for text in PROXIES]
    settings.TRUST_UNIX_PEERS = False


def passed_through(peer: str, **headers: str) -> HttpRequest:
    """A request as the views see it, after both middlewares."""
    seen: list[HttpRequest] = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse()

    request = RequestFactory().get("/", REMOTE_ADDR=peer)
    request.META |= {f"HTTP_{name}": text for name, text in headers.items()}
    RequestContextMiddleware(ClientAddressMiddleware(view))(request)
    return seen[0]


ADDRESSES = [
    # (peer, X-Forwarded-For, address that counts)
    ("203.0.113.9", None, "203.0.113.9"),
    ("10.0.0.1", None, "10.0.0.1"),
    # Somebody outside claims to be somebody else.
    ("203.0.113.9", "127.0.0.1", "203.0.113.9"),
    ("203.0.113.9", "10.0.0.1", "203.0.113.9"),
    ("203.0.113.9", "10.0.0.1, 10.0.0.2", "203.0.113.9"),
    ("192.168.7.8", "198.51.100.1", "192.168.7.8"),
    # One proxy, and what the client had sent before it.
    ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
    ("192.168.7.7", "198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "10.9.9.9, 198.51.100.1", "198.51.100.1"),
    ("10.0.0.1", "127.0.0.1,198.51.100.1", "198.51.100.1"),
    # The same addresses on a socket that listens on IPv4 and IPv6 at once.
    ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
    # Several proxies.
    ("10.0.0.1", "198.51.100.1, 10.0.0.2", "198.51.100.1"),
    ("10.0.0.1", "1.1.1.1, 198.51.100.1, 192.168.7.7, 10.0.0.2", "198.51.100.1"),
    ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    # Rubbish ends the walk: what is nearer counts.
    ("10.0.0.1", "", "10.0.0.1"),
    ("10.0.0.1", ",", "10.0.0.1"),
    ("10.0.0.1", "unknown", "10.0.0.1"),
    ("10.0.0.1", "198.51.100.1, rubbish", "10.0.0.1"),
    ("10.0.0.1", "198.51.100.1, rubbish, 10.0.0.2", "10.0.0.2"),
    ("10.0.0.1", "198.51.100.1\r\nX: y", "10.0.0.1"),
    ("10.0.0.1", "<script>", "10.0.0.1"),
    ("10.0.0.1", "198.51.100", "10.0.0.1"),
    ("10.0.0.1", "0x0a000002", "10.0.0.1"),
    ("10.0.0.1", "198.51.100.1:4711", "10.0.0.1"),
    ("10.0.0.1", "for=198.51.100.1", "10.0.0.1"),
    ("10.0.0.1", "9" * 5000, "10.0.0.1"),
    # IPv6.
    ("2001:db8::9", "198.51.100.1", "2001:db8::9"),
    ("fd00::1", "2001:db8::7", "2001:db8::7"),
    ("fd00::1", "2001:DB8:0:0::7", "2001:db8::7"),
    ("fd00::1", "[2001:db8::7]", "2001:db8::7"),
    ("::1", "2001:db8::7, fd00::2", "2001:db8::7"),
    ("fd00::1", "[2001:db8::7]:443", "fd00::1"),
    # A peer that is no address at all.
    ("", "198.51.100.1", ""),
    ("unix:", "198.51.100.1", "unix:"),
    ("localhost", "198.51.100.1", "localhost"),
]


@pytest.mark.parametrize(("peer", "forwarded", "expected"), ADDRESSES)
def test_only_trusted_proxies_are_believed(peer: str, forwarded: str | None, expected: Any) -> None:
    headers = {} if forwarded is None else {"X_FORWARDED_FOR": forwarded}

    request = passed_through(peer, **headers)

    assert request.META["REMOTE_ADDR"] == expected
    assert Meta.of(request).address == expected


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [("", "198.51.100.1", "198.51.100.1"), ("", "198.51.100.1, 10.0.0.1", "198.51.100.1"), ("", "rubbish", "")],
)
def test_a_unix_socket_is_believed_when_the_settings_say_so(
    settings: Any, peer: str, forwarded: str, expected: Any
) -> None:
    settings.TRUST_UNIX_PEERS = True

    request = passed_through(peer, X_FORWARDED_FOR=forwarded)

    assert request.META["REMOTE_ADDR"] == expected


def test_without_trusted_proxies_nobody_is_believed(settings: Any) -> None:
    settings.TRUSTED_PROXIES = []

    for peer in ("127.0.0.1", "10.0.0.1", "::1", ""):
        assert passed_through(peer, X_FORWARDED_FOR="198.51.100.1").META["REMOTE_ADDR"] == peer


@pytest.mark.parametrize("peer", ["203.0.113.9", "", "rubbish", "2001:db8::9"])
def test_a_stranger_s_forwarding_headers_are_gone_before_anything_reads_them(settings: Any, peer: str) -> None:
    settings.USE_X_FORWARDED_HOST, settings.USE_X_FORWARDED_PORT = True, True

    request = passed_through(
        peer,
        X_FORWARDED_FOR="127.0.0.1",
        X_FORWARDED_PROTO="https",
        X_FORWARDED_HOST="evil.example",
        X_FORWARDED_PORT="1",
    )

    assert not request.is_secure()
    assert request.get_host() == "testserver"
    assert not [name for name in request.META if name.startswith("HTTP_X_FORWARDED")]


def test_a_trusted_proxy_says_whether_it_was_https() -> None:
    assert passed_through("10.0.0.1", X_FORWARDED_PROTO="https").is_secure()
    assert not passed_through("10.0.0.1", X_FORWARDED_PROTO="http").is_secure()
    assert not passed_through("10.0.0.1").is_secure()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("peer", "expected"), [("203.0.113.9", "203.0.113.9"), ("10.0.0.1", "198.51.100.1")], ids=["stranger", "proxy"]
)
def test_the_audit_keeps_the_address_that_counts(peer: str, expected: Any) -> None:
    Client().post(
        reverse("account_login"),
        {"login": "nobody", "password": "wrong"},
        REMOTE_ADDR=peer,
        HTTP_X_FORWARDED_FOR="1.1.1.1, 198.51.100.1",
    )

    assert AuditEvent.objects.get().address == expected


# --- request ids -----------------------------------------------------------------------------------


def test_every_answer_carries_the_id_of_its_request() -> None:
    first, second = Client().get("/healthz"), Client().get("/healthz")

    assert len(first["X-Request-Id"]) == 32
    assert first["X-Request-Id"] != second["X-Request-Id"]


def test_a_stranger_does_not_choose_the_id() -> None:
    answer = Client().get("/healthz", REMOTE_ADDR="203.0.113.9", HTTP_X_REQUEST_ID="chosen-by-me")

    assert answer["X-Request-Id"] != "chosen-by-me"


def test_a_trusted_proxy_s_id_is_kept() -> None:
    answer = Client().get("/healthz", REMOTE_ADDR="10.0.0.1", HTTP_X_REQUEST_ID="edge-0123456789")

    assert answer["X-Request-Id"] == "edge-0123456789"


@pytest.mark.parametrize(
    "text", ["short", "x" * 65, "has space in it", "line\r\nbreak-it", 'quote"quote', "é" * 10, ""]
)
def test_an_id_that_could_confuse_a_log_is_replaced(text: str) -> None:
    request = passed_through("10.0.0.1", X_REQUEST_ID=text)

    assert request.META["sallyport.request_id"] != text
    assert len(request.META["sallyport.request_id"]) == 32


def test_the_id_is_in_the_log_context_of_its_own_request_only() -> None:
    seen = []

    def view(request: HttpRequest) -> HttpResponse:
        seen.append(structlog.contextvars.get_contextvars()["request_id"])
        structlog.contextvars.bind_contextvars(left_over="from the request before")
        return HttpResponse()

    for request_id in ("edge-0000000001", "edge-0000000002"):
        request = RequestFactory().get("/", REMOTE_ADDR="10.0.0.1", HTTP_X_REQUEST_ID=request_id)
        answer = RequestContextMiddleware(ClientAddressMiddleware(view))(request)
        assert answer["X-Request-Id"] == request_id

    RequestContextMiddleware(lambda request: HttpResponse())(RequestFactory().get("/"))
    assert seen == ["edge-0000000001", "edge-0000000002"]
    assert "left_over" not in structlog.contextvars.get_contextvars()


def compressed(
    path: str = "/", *, method: str = "GET", status: int = 200, kind: str = "text/html; charset=utf-8"
) -> bool:
    request = RequestFactory().generic(method, path, HTTP_ACCEPT_ENCODING="gzip, br")
    response = HttpResponse("page " * 200, status=status, content_type=kind)
    answer = CompressionMiddleware(lambda _request: response).process_response(request, response)
    return answer.get("Content-Encoding") == "gzip"


def test_pages_are_compressed() -> None:
    assert compressed()


@pytest.mark.parametrize(
    "asked",
    [
        {"path": "/?q=web"},
        {"method": "POST"},
        {"status": 422},
        {"kind": "text/csv"},
    ],
)
def test_what_may_repeat_somebodys_words_is_not_compressed(asked: dict[str, Any]) -> None:
    """Its length would tell whether they occur a second time, beside them."""
    assert not compressed(**asked)
