from __future__ import annotations

import http.client
import json
import logging
import socket
import threading

import pytest
import requests

from omaccess.sandbox.server import SandboxError, SandboxServer
from tests.omaccess.sandbox.conftest import Caller
from tests.omaccess.sandbox.worlds import PASSWORD, small_world


def raw(server: SandboxServer, request: bytes) -> bytes:
    """Everything that comes back for these bytes until the server closes."""
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while piece := connection.recv(65_536):
            received += piece
        return received


def test_one_connection_serves_many_calls_also_after_errors(caller: Caller) -> None:
    token = caller.token()
    caller.sign_in(password="wrong")
    caller.get("/nothing")
    caller.state(token)

    connections = {call.connection for call in caller.server.control.calls()}

    assert len(connections) == 1


def test_calls_run_side_by_side_and_the_peak_is_known(caller: Caller) -> None:
    control = caller.server.control
    control.add_fault("iam.token", times=4, hold="before")
    callers = [Caller(caller.server) for _ in range(4)]
    threads = [threading.Thread(target=one.sign_in) for one in callers]
    for thread in threads:
        thread.start()

    together = control.wait("iam.token", received=4, held=4)
    in_flight = control.in_flight()["iam.token"]
    control.release()
    for thread, one in zip(threads, callers, strict=True):
        thread.join(timeout=10)
        one.http.close()

    assert together
    assert in_flight == control.most_in_flight()["iam.token"] == 4
    assert control.in_flight()["iam.token"] == 0


def test_a_stopped_server_refuses_connections_and_comes_back_as_it_was(caller: Caller) -> None:
    token, url = caller.token(), caller.server.url

    caller.server.stop()
    with pytest.raises(requests.ConnectionError):
        caller.om_url(token)
    caller.server.start()

    assert caller.server.url == url
    assert caller.state(token) == "SUCCESS"


def test_stopping_ends_held_and_slow_calls_at_once(caller: Caller) -> None:
    control = caller.server.control
    control.add_fault("iam.token", hold="before")
    control.add_fault("iam.token", latency_seconds=100)

    def call() -> None:
        one = Caller(caller.server)
        try:
            one.sign_in()
        except requests.RequestException:
            ended.append(True)  # cut off; whether an answer still got out does not matter here
        else:
            ended.append(True)
        finally:
            one.http.close()

    ended: list[bool] = []
    threads = [threading.Thread(target=call) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert control.wait("iam.token", received=2, held=1)

    caller.server.stop()
    for thread in threads:
        thread.join(timeout=10)

    assert ended == [True, True]


def test_starting_and_stopping_twice_does_nothing() -> None:
    server = SandboxServer(small_world())
    server.stop()

    with server:
        server.start()
        port = server.url.rsplit(":", 1)[1]
        server.stop()
        server.stop()

    assert int(port) > 0


def test_nothing_can_be_controlled_before_the_start() -> None:
    server = SandboxServer(small_world())

    with pytest.raises(SandboxError, match="has not been started"):
        _ = server.control


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "sandbox.example", ""])  # noqa: S104 - refused
def test_an_address_that_others_can_reach_is_refused(host: str) -> None:
    with pytest.raises(SandboxError, match="loopback addresses only"):
        SandboxServer(small_world(), host=host)


def test_a_busy_port_is_one_sentence(caller: Caller) -> None:
    port = int(caller.server.url.rsplit(":", 1)[1])

    with pytest.raises(SandboxError) as caught:
        SandboxServer(small_world(), port=port).start()

    assert str(caught.value) == f"The sandbox cannot use port {port} on 127.0.0.1: Address already in use."


def test_localhost_means_the_loopback_address() -> None:
    with SandboxServer(small_world(), host="localhost") as server:
        assert server.url.startswith("http://127.0.0.1:")


@pytest.mark.parametrize(
    ("request_bytes", "status", "text"),
    [
        (
            b"POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "411 Length Required",
            "API request error",
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "411 Length Required", "API request error"),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n",
            "413 Request Entity Too Large",
            "Request entity too large",
        ),
        (b"GET /" + b"x" * 65_540 + b" HTTP/1.1\r\n\r\n", "414 Request-URI Too Long", "URI too large"),
        (
            b"GET / HTTP/1.1\r\nX: " + b"x" * 65_540 + b"\r\n\r\n",
            "494 Request Header Or Cookie Too Large",
            "Request headers too large.",
        ),
        (b"BREW /coffee HTTP/1.1\r\nHost: x\r\n\r\n", "501 Not Implemented", "API request error"),
        (b"rubbish\r\n\r\n", "400 Bad Request", "API request error"),
    ],
    ids=["chunked", "length", "body", "uri", "headers", "method", "rubbish"],
)
def test_what_is_no_readable_request_is_refused_as_the_gateway_does(
    caller: Caller, request_bytes: bytes, status: str, text: str
) -> None:
    head, _, body = raw(caller.server, request_bytes).partition(b"\r\n\r\n")

    lines = head.decode().split("\r\n")
    error = json.loads(body)
    assert lines[0] == f"HTTP/1.1 {status}"
    assert "Connection: close" in lines
    assert f"X-Request-Id: {error['request_id']}" in lines
    assert (error["error_code"], error["error_msg"]) == ("APIGW.0201", text)


def test_only_headers_that_were_sent_arrive_and_none_under_a_name_like_another(caller: Caller) -> None:
    raw(caller.server, b"GET /v3/projects HTTP/1.1\r\nHost: h:1\r\nX_Odd-Name: 1\r\nConnection: close\r\n\r\n")

    (record,) = caller.server.control.calls("iam.projects")

    assert record.headers == {"Host": "h:1", "Connection": "close"}


def test_a_query_that_is_not_ascii_is_refused_by_the_gateway(caller: Caller) -> None:
    answer = raw(caller.server, b"GET /?q=\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert b"APIGW.0201" in answer


def test_a_client_that_asks_to_close_is_obeyed(caller: Caller) -> None:
    answer = raw(caller.server, b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nConnection: close\r\n" in answer


def test_an_answer_without_a_body_is_well_formed(caller: Caller) -> None:
    host, port = caller.server.url.removeprefix("http://").rsplit(":", 1)
    connection = http.client.HTTPConnection(host, int(port), timeout=10)

    bodies = []
    for method, path in (("GET", "/favicon.ico"), ("HEAD", "/"), ("GET", "/")):
        connection.request(method, path)
        bodies.append(connection.getresponse().read())
    connection.close()

    assert bodies[:2] == [b"", b""]
    assert b"sandbox" in bodies[2]


def test_the_log_names_calls_and_holds_no_secret(caller: Caller, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="omaccess.sandbox"):
        token = caller.token()
        link = caller.om_url(token).json()["login_url"]
        caller.http.get(link, timeout=20)
        caller.sign_in(password="a wrong one")
        assert caller.server.control.wait("iam.token", received=2)
        caller.server.stop()

    own = [record for record in caplog.records if record.name.startswith("omaccess.sandbox")]
    facts = [(vars(record)["call"], vars(record)["outcome"]) for record in own]
    assert facts == [("iam.token", "201"), ("cbh.om_url", "200"), ("om.page", "200"), ("iam.token", "401")]
    shown = " ".join(str(vars(record)) for record in own)
    for secret in (token, link.partition("=")[2], PASSWORD, "a wrong one"):
        assert secret not in shown
