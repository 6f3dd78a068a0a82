"""The transport, driven against real sockets that behave, misbehave and attack."""

from __future__ import annotations

import gzip
import logging
import socket
import ssl
import threading
import time
import traceback
from pathlib import Path

import pytest

from omaccess.cloud import sockets
from omaccess.cloud.errors import (
    CloudConnectionFailed,
    CloudError,
    CloudTimeout,
    CloudTlsFailed,
    EndpointNotAllowed,
    UnreadableAnswer,
)
from omaccess.cloud.http import MAX_ANSWER_BYTES, Answer, CloudTransport, path_segment
from omaccess.cloud.types import Deadline
from tests.omaccess.cloud.conftest import MakeTransport, StartWire
from tests.omaccess.cloud.wire import Authority, Reply, Wire, answer, drip, drop, hang, raw, tunnel

HEAD = b"HTTP/1.1 200 OK\r\n"
SHORT_SECONDS = 0.4
#: How much later than its deadline a call may return on a busy machine; a broken deadline would never return.
GRACE_SECONDS = 2.0
CANARY = "canary-token"


def get(
    transport: CloudTransport, wire: Wire, *, seconds: float = 5.0, headers: dict[str, str] | None = None
) -> Answer:
    return transport.request(
        "GET", wire.url, "/path", deadline=Deadline.after(seconds), service="cbh", headers=headers or {}
    )


def failure_of(transport: CloudTransport, wire: Wire, *, seconds: float = 5.0) -> CloudError:
    with pytest.raises(CloudError) as caught:
        get(transport, wire, seconds=seconds)
    return caught.value


# What is sent


def test_request_is_sent_as_asked_and_nothing_else_goes_with_it(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    wire = start_wire(answer({"fine": True}, status=201, headers=[("X-Request-Id", "r1")]))

    result = transport.request(
        "POST",
        wire.url + "/",
        f"/v3/{path_segment('a b/../é')}/x",
        query=[("b", "DOM\\ain user+%"), ("a", "fe80::1"), ("ü", "~-._/?&=#")],
        json={"name": "é", "n": 1},
        headers={"X-Auth-Token": "tok"},
        deadline=Deadline.after(5),
        service="iam",
    )

    assert (result.status, result.body, result.headers["x-request-id"]) == (201, b'{"fine": true}', "r1")
    request = wire.received[0]
    assert request.method == "POST"
    assert request.target == (
        "/v3/a%20b%2F..%2F%C3%A9/x?b=DOM%5Cain%20user%2B%25&a=fe80%3A%3A1&%C3%BC=~-._%2F%3F%26%3D%23"
    )
    assert request.json == {"name": "é", "n": 1}
    assert request.headers == {
        "host": f"127.0.0.1:{wire.port}",
        "user-agent": "sallyport",
        "accept": "application/json",
        "accept-encoding": "identity",
        "content-type": "application/json;charset=utf8",
        "content-length": str(len(request.body)),
        "x-auth-token": "tok",
    }


@pytest.mark.parametrize(
    ("value", "expected"), [("..", "%2E%2E"), (".", "%2E"), ("a..", "a.."), ("{id}", "%7Bid%7D"), ("", "")]
)
def test_path_segments_stay_segments(value: str, expected: str) -> None:
    assert path_segment(value) == expected


def test_dots_as_a_segment_reach_the_server_as_they_are(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer())

    transport.request(
        "GET",
        wire.url,
        f"/v2/{path_segment('..')}/x",
        deadline=Deadline.after(5),
        service="cbh",
    )

    assert wire.received[0].target == "/v2/%2E%2E/x"


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "tok\n", " tok", "tök", "\u2028"])
def test_header_that_could_smuggle_another_is_refused_without_repeating_it(
    start_wire: StartWire, transport: CloudTransport, value: str
) -> None:
    wire = start_wire(answer())

    with pytest.raises(ValueError, match=r"^Header X-Auth-Token holds characters that cannot be sent\.$"):
        get(transport, wire, headers={"X-Auth-Token": value})

    assert wire.connections == 0


def test_environment_is_ignored(
    start_wire: StartWire,
    transport: CloudTransport,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    trap = start_wire(answer({"trap": True}))
    wire = start_wire(answer())
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, trap.url)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\ndefault login a password b\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HOME", str(tmp_path))

    get(transport, wire)

    assert trap.connections == 0
    assert "authorization" not in wire.received[0].headers


def test_certificates_named_by_the_environment_are_not_trusted(
    start_wire: StartWire,
    make_transport: MakeTransport,
    authority: Authority,
    server_tls: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.setenv(name, str(authority.bundle))
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys"))
    wire = start_wire(answer(), tls=server_tls)

    error = failure_of(make_transport(wire, ca_bundle=None), wire)

    assert isinstance(error, CloudTlsFailed)
    assert not (tmp_path / "keys").exists()


def test_cookies_are_not_kept(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer(headers=[("Set-Cookie", "session=1; Path=/")]))

    get(transport, wire)
    get(transport, wire)

    assert "cookie" not in wire.received[1].headers


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["{other}/elsewhere", "/here", "http://[bad", "", "\\\\x"])
def test_redirects_are_not_followed(start_wire: StartWire, transport: CloudTransport, status: int, place: str) -> None:
    other = start_wire(answer())
    wire = start_wire(answer(b"moved", status, [("Location", place.format(other=other.url))]))

    result = get(transport, wire, headers={"X-Auth-Token": "tok"})

    assert (result.status, result.body) == (status, b"moved")
    assert (len(wire.received), other.connections) == (1, 0)


def test_endpoint_outside_the_rules_gets_no_connection(
    start_wire: StartWire, transport: CloudTransport, server_tls: ssl.SSLContext
) -> None:
    wire = start_wire(answer(), tls=server_tls)

    error = failure_of(transport, wire)

    assert isinstance(error, EndpointNotAllowed)
    assert (error.service, wire.connections) == ("cbh", 0)


# What may come back


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 5\r\n\r\nhello",
        b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        b"\r\nhello",
        b"Content-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
        b"Content-Encoding:\r\nContent-Length: 5\r\n\r\nhello",
    ],
)
def test_every_framing_is_read(start_wire: StartWire, transport: CloudTransport, head: bytes) -> None:
    wire = start_wire(raw(HEAD + head))

    assert get(transport, wire).body == b"hello"


def test_continue_before_the_answer_is_skipped(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(raw(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nok"))

    assert get(transport, wire).body == b"ok"


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "malformed"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "malformed"),
        (b"HTTP/1.1 20000 OK\r\n\r\n", "malformed"),
        (b"HTTP/3 200 OK\r\n\r\n", "malformed"),
        (HEAD + b"no colon here\r\nX-Subject-Token: canary\r\n\r\n", "malformed"),
        (HEAD + b"X-Long: " + b"a" * 70_000 + b"\r\n\r\n", "malformed"),
        (HEAD + b"X-Many: a\r\n" * 101 + b"\r\n", "malformed"),
        (HEAD + b"Content-Length: 10\r\n\r\nhello", "truncated"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel", "truncated"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n", "truncated"),
        (HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"{}", mtime=0), "compressed"),
        (HEAD + b"Content-Encoding: br\r\nContent-Length: 2\r\n\r\n{}", "compressed"),
        (HEAD + b"Content-Length: 1048577\r\n\r\n" + b"a" * (MAX_ANSWER_BYTES + 1), "oversized"),
        (HEAD + b"\r\n" + b"a" * (MAX_ANSWER_BYTES + 1), "oversized"),
        (HEAD + b"Content-Length: 18446744073709551616\r\n\r\na", "oversized"),
        (HEAD + b"Content-Length: 99999999999\r\n\r\na", "oversized"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\na", "truncated"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\na", "truncated"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\na\r\n" * 200_000, "oversized"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 50_000, "oversized"),
        (b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + b"Content-Length: 2\r\n\r\nok", "status"),
    ],
)
def test_answer_that_is_no_proper_http_is_unreadable(
    start_wire: StartWire, transport: CloudTransport, reply: bytes, problem: str
) -> None:
    wire = start_wire(raw(reply))

    error = failure_of(transport, wire)

    assert isinstance(error, UnreadableAnswer)
    assert error.problem == problem


def test_answer_of_exactly_the_limit_is_read(start_wire: StartWire, transport: CloudTransport) -> None:
    head = HEAD + b"\r\n"
    wire = start_wire(raw(head + b"a" * (MAX_ANSWER_BYTES - len(head))))

    assert len(get(transport, wire).body) == MAX_ANSWER_BYTES - len(head)


def test_connection_with_an_unfinished_answer_is_never_used_again(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\n\r\n" + HEAD + b"Content-Length: 5\r\n\r\nyours"
    wire = start_wire(raw(early, keep=True), answer(b"mine"))

    failure_of(transport, wire)

    assert get(transport, wire).body == b"mine"
    assert [request.connection for request in wire.received] == [1, 2]


@pytest.mark.parametrize("use_tls", [False, True])
def test_bytes_behind_an_answer_are_not_taken_for_the_next_one(
    start_wire: StartWire,
    make_transport: MakeTransport,
    server_tls: ssl.SSLContext,
    use_tls: bool,
) -> None:
    # The first read takes 8 KB and forgets what it did not need; the rest of the TLS record lies decrypted in the
    # TLS layer, where waiting on the socket does not see it. It begins with an answer nobody asked for.
    first = (HEAD + b"Content-Length: 5\r\n\r\nfirst").ljust(8192) + HEAD + b"Content-Length: 5\r\n\r\nyours"
    wire = start_wire(raw(first, keep=True), answer(b"mine"), tls=server_tls if use_tls else None)
    transport = make_transport(wire)

    assert get(transport, wire).body == b"first"
    assert get(transport, wire).body == b"mine"


# The deadline


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(hang(), id="silence"),
        pytest.param(hang(HEAD), id="half-a-head"),
        pytest.param(drip(b"", b"H"), id="dripping-status-line"),
        pytest.param(drip(HEAD, b"X-Drop: 1\r\n"), id="dripping-headers"),
        pytest.param(drip(HEAD + b"Content-Length: 99999\r\n\r\n", b"a"), id="dripping-body"),
        pytest.param(drip(HEAD + b"\r\n", b"a"), id="dripping-endless-body"),
        pytest.param(drip(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"), id="dripping-chunks"),
        pytest.param(drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", seconds=0.001), id="endless-continue"),
    ],
)
@pytest.mark.parametrize("use_tls", [False, True])
def test_deadline_holds_while_the_answer_drips(
    start_wire: StartWire,
    make_transport: MakeTransport,
    server_tls: ssl.SSLContext,
    reply: Reply,
    use_tls: bool,
) -> None:
    wire = start_wire(reply, tls=server_tls if use_tls else None)
    transport = make_transport(wire)
    started = time.monotonic()

    error = failure_of(transport, wire, seconds=SHORT_SECONDS)

    assert isinstance(error, CloudTimeout)
    assert time.monotonic() - started < SHORT_SECONDS + GRACE_SECONDS


def test_deadline_holds_for_a_dripping_handshake(
    start_wire: StartWire, make_transport: MakeTransport, server_tls: ssl.SSLContext
) -> None:
    # The start of a TLS record that announces 16 KB of handshake, and then never quite arrives.
    wire = start_wire(answer(), tls=server_tls, greeting=drip(b"\x16\x03\x03\x3f\xff\x02\x00\x3f\xfb", b"\x03"))
    started = time.monotonic()

    error = failure_of(make_transport(wire), wire, seconds=SHORT_SECONDS)

    assert isinstance(error, CloudTimeout)
    assert time.monotonic() - started < SHORT_SECONDS + GRACE_SECONDS
    assert wire.received == []


def test_deadline_holds_while_sending(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer(), greeting=hang())
    started = time.monotonic()

    with pytest.raises(CloudTimeout):
        transport.request(
            "POST",
            wire.url,
            "/",
            json="a" * 20_000_000,
            deadline=Deadline.after(SHORT_SECONDS),
            service="iam",
        )

    assert time.monotonic() - started < SHORT_SECONDS + GRACE_SECONDS


def test_expired_deadline_opens_no_connection(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer())

    error = failure_of(transport, wire, seconds=0)

    assert isinstance(error, CloudTimeout)
    assert wire.connections == 0


@pytest.mark.parametrize(
    ("connect_seconds", "seconds", "expected"),
    [(0.2, 5.0, CloudConnectionFailed), (3.0, 0.2, CloudTimeout)],
)
def test_connecting_is_bounded_by_its_own_limit_and_by_the_deadline(
    make_transport: MakeTransport, connect_seconds: float, seconds: float, expected: type[CloudError]
) -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:  # a full backlog: the kernel answers no further connection
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        transport = make_transport(connect_seconds=connect_seconds)
        started = time.monotonic()

        with pytest.raises(expected) as caught:
            transport.request("GET", f"http://127.0.0.1:{port}", "/", deadline=Deadline.after(seconds), service="cbh")

        assert time.monotonic() - started < min(connect_seconds, seconds) + GRACE_SECONDS
        assert getattr(caught.value, "sent", False) is False
        for filler in fillers:
            filler.close()


def test_second_address_of_a_name_is_tried(
    start_wire: StartWire, transport: CloudTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = start_wire(answer(b"ok"))
    look_up = socket.getaddrinfo

    def two_addresses(host: str, port: int, **kwargs: object) -> list[object]:
        dead = look_up("127.0.0.1", 1, type=socket.SOCK_STREAM)
        return [*dead, *look_up("127.0.0.1", port, type=socket.SOCK_STREAM)]

    monkeypatch.setattr(socket, "getaddrinfo", two_addresses)

    assert get(transport, wire).body == b"ok"


# Connections that fail


def test_refused_connection_was_never_sent(start_wire: StartWire, transport: CloudTransport) -> None:
    with Wire([answer()]) as wire:
        pass

    error = failure_of(transport, wire)

    assert isinstance(error, CloudConnectionFailed)
    assert error.sent is False


def test_name_that_does_not_exist_was_never_sent(transport: CloudTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*args: object, **kwargs: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)

    with pytest.raises(CloudConnectionFailed) as caught:
        transport.request("GET", "http://localhost:1", "/", deadline=Deadline.after(5), service="cbh")

    assert caught.value.sent is False


@pytest.mark.parametrize("reply", [drop(), drop(reset=True), drop(HEAD + b"Content-Length: 9\r\n\r\nhel", reset=True)])
def test_connection_that_breaks_after_sending_says_so(
    start_wire: StartWire, transport: CloudTransport, reply: Reply
) -> None:
    wire = start_wire(reply)

    error = failure_of(transport, wire)

    assert isinstance(error, CloudConnectionFailed | UnreadableAnswer)
    assert isinstance(error, UnreadableAnswer) or error.sent is True
    assert len(wire.received) == 1


# TLS


def test_certificate_of_the_given_authority_is_accepted(
    start_wire: StartWire, make_transport: MakeTransport, server_tls: ssl.SSLContext
) -> None:
    wire = start_wire(answer(b"ok"), tls=server_tls)

    assert get(make_transport(wire), wire).body == b"ok"


def test_certificate_of_an_unknown_authority_is_refused(
    start_wire: StartWire, make_transport: MakeTransport, server_tls: ssl.SSLContext
) -> None:
    wire = start_wire(answer(), tls=server_tls)

    error = failure_of(make_transport(wire, ca_bundle=None), wire)

    assert isinstance(error, CloudTlsFailed)
    assert "certificate" in error.description
    assert wire.received == []


def test_certificate_for_another_host_is_refused(
    start_wire: StartWire, make_transport: MakeTransport, authority: Authority
) -> None:
    wire = start_wire(answer(), tls=authority.server("other.example"))

    error = failure_of(make_transport(wire), wire)

    assert isinstance(error, CloudTlsFailed)
    assert "127.0.0.1" in error.description
    assert wire.received == []


def test_old_tls_is_refused(start_wire: StartWire, make_transport: MakeTransport, authority: Authority) -> None:
    context = authority.server("127.0.0.1")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    wire = start_wire(answer(), tls=context)

    error = failure_of(make_transport(wire), wire)

    assert isinstance(error, CloudTlsFailed)


def test_plain_http_behind_an_https_address_is_a_tls_failure(
    start_wire: StartWire, make_transport: MakeTransport, server_tls: ssl.SSLContext
) -> None:
    wire = start_wire(answer(), tls=server_tls, greeting=raw(HEAD + b"\r\n"))

    assert isinstance(failure_of(make_transport(wire), wire), CloudTlsFailed)


@pytest.mark.parametrize("reset", [False, True])
def test_connection_closed_during_the_handshake_was_never_sent(
    start_wire: StartWire, make_transport: MakeTransport, server_tls: ssl.SSLContext, reset: bool
) -> None:
    wire = start_wire(answer(), tls=server_tls, greeting=drop(reset=reset))

    error = failure_of(make_transport(wire), wire)

    assert isinstance(error, CloudConnectionFailed)
    assert error.sent is False


# The pool


@pytest.mark.parametrize("use_tls", [False, True])
def test_connections_are_used_again(
    start_wire: StartWire,
    make_transport: MakeTransport,
    server_tls: ssl.SSLContext,
    use_tls: bool,
) -> None:
    wire = start_wire(answer(b"x"), tls=server_tls if use_tls else None)
    transport = make_transport(wire)

    for _ in range(5):
        get(transport, wire)

    assert (len(wire.received), wire.connections) == (5, 1)


def test_connection_the_server_closed_meanwhile_is_replaced(start_wire: StartWire, transport: CloudTransport) -> None:
    closed = threading.Event()

    def answer_and_close(sock: socket.socket, over: threading.Event) -> bool:
        answer(b"first")(sock, over)
        sock.shutdown(socket.SHUT_RDWR)
        closed.set()
        return False

    wire = start_wire(answer_and_close, answer(b"second"))

    get(transport, wire)
    assert closed.wait(5)

    assert get(transport, wire).body == b"second"
    assert wire.connections == 2


def test_connection_that_dies_as_it_is_used_again_counts_as_sent(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    wire = start_wire(answer(b"first"), drop())

    get(transport, wire)
    error = failure_of(transport, wire)

    assert isinstance(error, CloudConnectionFailed)
    assert error.sent is True


def test_connection_idle_for_long_is_replaced(
    start_wire: StartWire, transport: CloudTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets.DeadlineHTTPConnection, "max_idle_seconds", -1.0)
    wire = start_wire(answer(b"x"))

    get(transport, wire)
    get(transport, wire)

    assert [request.connection for request in wire.received] == [1, 2]


def test_many_threads_share_one_transport(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer(b"x"))
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                assert get(transport, wire).body == b"x"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)

    assert failures == []
    assert len(wire.received) == 80
    assert wire.connections <= 8


def test_closed_transport_lets_go_of_its_connections_and_works_again(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    wire = start_wire(answer(b"x"))

    get(transport, wire)
    transport.close()
    get(transport, wire)

    assert wire.connections == 2


# The egress proxy


def test_https_goes_through_the_proxy(
    start_wire: StartWire, make_transport: MakeTransport, server_tls: ssl.SSLContext
) -> None:
    wire = start_wire(answer(b"beyond"), tls=server_tls)
    proxy = start_wire(tunnel(wire))
    address = proxy.url.replace("http://", "http://user:pass@")
    transport = make_transport(wire, proxy=address)

    bodies = [get(transport, wire, headers={"X-Auth-Token": "tok"}).body for _ in range(3)]

    assert bodies == [b"beyond"] * 3
    assert [request.target for request in proxy.received] == [f"127.0.0.1:{wire.port}"]
    assert proxy.received[0].method == "CONNECT"
    assert proxy.received[0].headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    assert "x-auth-token" not in proxy.received[0].headers
    assert "proxy-authorization" not in wire.received[0].headers
    assert wire.connections == 1


def test_proxy_cannot_pretend_to_be_the_cloud(
    start_wire: StartWire, make_transport: MakeTransport, authority: Authority, server_tls: ssl.SSLContext
) -> None:
    imposter = start_wire(answer(b"evil"), tls=authority.server("other.example"))
    wire = start_wire(answer(b"real"), tls=server_tls)
    transport = make_transport(wire, proxy=start_wire(tunnel(imposter)).url)

    assert isinstance(failure_of(transport, wire), CloudTlsFailed)


def test_http_to_loopback_never_goes_through_the_proxy(start_wire: StartWire, make_transport: MakeTransport) -> None:
    proxy = start_wire(answer(b"proxy"))
    wire = start_wire(answer(b"direct"))

    assert get(make_transport(proxy=proxy.url), wire).body == b"direct"
    assert proxy.connections == 0


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (drip(b"", b"HTTP/1.1 200 OK and so on "), CloudTimeout),
        (drip(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"), CloudTimeout),
        (hang(), CloudTimeout),
        (raw(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"), CloudConnectionFailed),
        (raw(b"HTTP/1.1 502 Bad Gateway\r\n\r\n"), CloudConnectionFailed),
        (raw(b"rubbish\r\n\r\n"), CloudConnectionFailed),
        (drop(), CloudConnectionFailed),
        (raw(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300_000), CloudConnectionFailed),
    ],
)
def test_proxy_that_refuses_hangs_or_drips(
    start_wire: StartWire,
    make_transport: MakeTransport,
    server_tls: ssl.SSLContext,
    reply: Reply,
    expected: type[CloudError],
) -> None:
    wire = start_wire(answer(), tls=server_tls)
    proxy = start_wire(reply)
    started = time.monotonic()

    # Only those that are about time get little of it: on a loaded machine rubbish takes a while, too.
    seconds = SHORT_SECONDS if expected is CloudTimeout else 10.0
    error = failure_of(make_transport(wire, proxy=proxy.url), wire, seconds=seconds)

    assert type(error) is expected
    assert getattr(error, "sent", False) is False
    assert time.monotonic() - started < seconds + GRACE_SECONDS


@pytest.mark.parametrize(
    "proxy",
    [
        "proxy:3128",
        "https://proxy:3128",
        "socks5://proxy:1",
        "http://proxy",
        "http://:1",
        "http://u:hush@p:x",
    ],
)
def test_proxy_of_another_form_is_refused_without_repeating_it(make_transport: MakeTransport, proxy: str) -> None:
    with pytest.raises(ValueError, match="egress proxy") as caught:
        make_transport(proxy=proxy)

    assert "hush" not in str(caught.value)


def test_missing_ca_bundle_stops_at_once(make_transport: MakeTransport, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        make_transport(ca_bundle=str(tmp_path / "missing.pem"))


# Secrets


@pytest.mark.parametrize(
    "reply",
    [
        drop(),
        raw(HEAD + b"broken canary-token line\r\nX-Subject-Token: canary-token\r\n\r\n"),
        raw(HEAD + b"Content-Length: 100\r\nX-Subject-Token: canary-token\r\n\r\ncanary-token"),
        hang(),
    ],
)
def test_no_secret_reaches_logs_or_errors(
    start_wire: StartWire,
    transport: CloudTransport,
    caplog: pytest.LogCaptureFixture,
    reply: Reply,
) -> None:
    caplog.set_level(logging.DEBUG)
    wire = start_wire(reply)

    with pytest.raises(CloudError) as caught:
        get(transport, wire, seconds=SHORT_SECONDS, headers={"X-Auth-Token": CANARY})

    error = caught.value
    assert error.__context__ is None
    assert error.__cause__ is None
    assert CANARY not in "".join(traceback.format_exception(error)) + repr(error) + repr(error.__dict__)
    assert CANARY not in caplog.text


def test_no_secret_is_in_the_repr_of_an_answer(
    start_wire: StartWire, transport: CloudTransport, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wire = start_wire(answer(CANARY.encode(), headers=[("X-Subject-Token", CANARY)]))

    result = get(transport, wire, headers={"X-Auth-Token": CANARY})

    assert repr(result) == "Answer(status=200)"
    assert CANARY not in caplog.text
