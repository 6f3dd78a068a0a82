"""O&M links, over real HTTP: every state, refusal and odd answer that the reference knows of get-om-url."""

from __future__ import annotations

import pickle
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from omaccess.cloud.cbh import CbhClient
from omaccess.cloud.errors import (
    CloudConnectionFailed,
    CloudError,
    CloudForbidden,
    CloudRequestRefused,
    CloudServerError,
    CloudThrottled,
    CloudTimeout,
    EndpointWrong,
    HeadersTooLarge,
    InstanceNotFound,
    InstanceStateForbids,
    LoginOriginNotAllowed,
    OmUrlRefused,
    PermissionMissing,
    ProjectNotFound,
    ProjectUnavailable,
    SourceAddressRefused,
    TokenRejected,
    UnreadableAnswer,
    UnusableLoginUrl,
)
from omaccess.cloud.http import CloudTransport
from omaccess.cloud.types import Deadline, OmUrl, OmUrlState
from tests.omaccess.cloud.conftest import StartWire
from tests.omaccess.cloud.test_types import NUMBERS
from tests.omaccess.cloud.wire import Reply, Wire, answer, drip, drop, hang, raw

TOKEN = "MIIcanary" + "t" * 9_111
LINK = "https://10.1.2.3:443?cbhinfo=canary%2Blink"
SUCCESS = {"state": "SUCCESS", "login_url": LINK}


def ask(wire: Wire, transport: CloudTransport, *, seconds: float = 5.0, **changes: Any) -> OmUrl:
    arguments: dict[str, Any] = {
        "token": TOKEN,
        "project_id": "p-1",
        "server_id": "s-1",
        "ip_address": "192.168.0.7",
        "host_account_name": "root",
        "link_origins": ["https://10.1.2.3"],
        "allow_http_loopback": False,
        **changes,
    }
    return CbhClient(transport, wire.url).om_url(deadline=Deadline.after(seconds), **arguments)


def failure_of(wire: Wire, transport: CloudTransport, *, seconds: float = 5.0, **changes: Any) -> CloudError:
    with pytest.raises(CloudError) as caught:
        ask(wire, transport, seconds=seconds, **changes)
    error = caught.value
    assert "canary" not in f"{error}{error!r}{error.__dict__}"
    assert error.service == "cbh"
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301
    assert (type(copy), copy.__dict__) == (type(error), error.__dict__)
    return error


# Success


def test_link_is_asked_for_as_documented_and_returned_byte_for_byte(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    wire = start_wire(answer(SUCCESS, headers=[("X-Request-Id", "r-1")]))

    link = ask(wire, transport)

    request = wire.received[0]
    assert request.method == "GET"
    assert request.target == (
        "/v2/p-1/cbs/instance/get-om-url?host_account_name=root&ip_address=192.168.0.7&server_id=s-1"
    )
    assert request.headers["x-auth-token"] == TOKEN
    assert (request.body, "content-type" in request.headers) == (b"", False)
    assert (link.value, link.origin) == (LINK, "https://10.1.2.3")
    assert (link.request_id, link.upstream_state) == ("r-1", "SUCCESS")
    assert "canary" not in repr(link)


@pytest.mark.parametrize(
    ("name", "encoded"),
    [
        ("DOMAIN\\user", "DOMAIN%5Cuser"),
        (" two words ", "%20two%20words%20"),
        ("a+b&c=d#e%f/g?h", "a%2Bb%26c%3Dd%23e%25f%2Fg%3Fh"),
        ("管理员", "%E7%AE%A1%E7%90%86%E5%91%98"),
        ("~-._", "~-._"),
        ("%41", "%2541"),
        ("a" * 300, "a" * 300),
    ],
)
def test_account_name_goes_out_exactly_as_given(
    start_wire: StartWire, transport: CloudTransport, name: str, encoded: str
) -> None:
    wire = start_wire(answer(SUCCESS))

    ask(wire, transport, host_account_name=name)

    target = wire.received[0].target
    assert f"host_account_name={encoded}&" in target
    assert dict(parse_qsl(urlsplit(target).query))["host_account_name"] == name


@pytest.mark.parametrize(
    ("address", "encoded"), [("fe80::1", "fe80%3A%3A1"), ("2001:DB8::1", "2001%3ADB8%3A%3A1"), ("h.corp", "h.corp")]
)
def test_address_goes_out_exactly_as_given(
    start_wire: StartWire, transport: CloudTransport, address: str, encoded: str
) -> None:
    wire = start_wire(answer(SUCCESS))

    ask(wire, transport, ip_address=address)

    assert f"&ip_address={encoded}&" in wire.received[0].target


def test_project_id_stays_one_segment(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer(SUCCESS))

    ask(wire, transport, project_id="../x?y")

    assert wire.received[0].target.startswith("/v2/..%2Fx%3Fy/cbs/")


@pytest.mark.parametrize("state", ["SUCCESS", " success ", "SUCCESS(0)", "#SUCCESS(0)", 0, "0"])
def test_success_in_every_spelling_is_a_link(start_wire: StartWire, transport: CloudTransport, state: object) -> None:
    wire = start_wire(answer({"state": state, "login_url": LINK, "extra": [1], "description": None}))

    assert ask(wire, transport).upstream_state == str(state).strip()


def test_sandbox_link_to_loopback_is_usable_only_where_allowed(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    body = {"state": "SUCCESS", "login_url": "http://127.0.0.1:8010/om/x"}
    wire = start_wire(answer(body))
    origins = ["http://127.0.0.1:8010"]

    assert ask(wire, transport, link_origins=origins, allow_http_loopback=True).origin == origins[0]
    assert isinstance(failure_of(wire, transport, link_origins=origins), UnusableLoginUrl)


# Refusals with status 200


@pytest.mark.parametrize("form", ["name", "number", "text", "both", "hash"])
@pytest.mark.parametrize(("name", "number"), [item for item in NUMBERS.items() if item[0] != "SUCCESS"])
def test_every_other_state_is_a_refusal_even_with_a_link(
    start_wire: StartWire, transport: CloudTransport, name: str, number: int, form: str
) -> None:
    raw_states: dict[str, object] = {
        "name": name,
        "number": number,
        "text": str(number),
        "both": f"{name}({number})",
        "hash": f"#{name.lower()}({number})",
    }
    body = {"state": raw_states[form], "description": "主机未被CBH纳管。", "login_url": LINK, "request_id": "b-1"}
    wire = start_wire(answer(body))

    error = failure_of(wire, transport)

    assert isinstance(error, OmUrlRefused)
    assert (error.state, error.raw_state) == (OmUrlState(name), str(raw_states[form]))
    assert (error.status, error.description, error.request_id) == (200, "主机未被CBH纳管。", "b-1")
    assert len(wire.received) == 1


@pytest.mark.parametrize(
    ("state", "raw_state"),
    [
        ("NEW_STATE", "NEW_STATE"),
        (4711, "4711"),
        ("SUCCESS(1)", "SUCCESS(1)"),
        ("x" * 500, "x" * 64),
        ("a\x00b", "a b"),
    ],
)
def test_unknown_state_is_a_refusal_that_keeps_it(
    start_wire: StartWire, transport: CloudTransport, state: object, raw_state: str
) -> None:
    error = failure_of(start_wire(answer({"state": state, "login_url": LINK})), transport)

    assert isinstance(error, OmUrlRefused)
    assert (error.state, error.raw_state) == (OmUrlState.UNRECOGNISED, raw_state)


@pytest.mark.parametrize(
    ("description", "shown"),
    [
        (None, ""),
        (7, ""),
        (["a"], ""),
        ("  two\r\n lines\x1b[31m ", "two lines [31m"),
        ("<b>bold</b>", "<b>bold</b>"),
        ("y" * 5000, "y" * 500),
        (f"open {LINK} now", "open [hidden] now"),
        ("see https://other.example/canary now", "see [link] now"),
        ("see https:\\/\\/other.example\\/canary", "see [link]"),
        ("see https%3A%2F%2Fother.example%2Fcanary", "see [link]"),
        (f"bad token {TOKEN}", "bad token [hidden]"),
        ("safe\u202eevil", "safe evil"),
    ],
)
def test_description_is_cleaned(
    start_wire: StartWire, transport: CloudTransport, description: object, shown: str
) -> None:
    body = {"state": "UNKNOWN_ERROR", "description": description, "login_url": LINK}

    assert failure_of(start_wire(answer(body)), transport).description == shown


# Success without a usable link


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"state": "SUCCESS"}, "missing"),
        ({"state": "SUCCESS", "login_url": None}, "missing"),
        ({"state": "SUCCESS", "login_url": " "}, "blank"),
        ({"state": "SUCCESS", "login_url": "xxxxxx"}, "relative"),
        ({"state": "SUCCESS", "login_url": "/canary"}, "relative"),
        ({"state": "SUCCESS", "login_url": "http://10.1.2.3/canary"}, "scheme"),
        ({"state": "SUCCESS", "login_url": "javascript:alert('canary')"}, "relative"),
        ({"state": "SUCCESS", "login_url": {"canary": 1}}, "not_text"),
        ({"state": "SUCCESS", "login_url": "https://canary@10.1.2.3/"}, "user_info"),
        ({"state": "SUCCESS", "login_url": "https://10.1.2.3/" + "canary" * 1000}, "too_long"),
    ],
)
def test_success_with_an_unusable_link_is_a_broken_contract(
    start_wire: StartWire, transport: CloudTransport, body: object, problem: str
) -> None:
    error = failure_of(start_wire(answer(body, headers=[("X-Request-Id", "r-1")])), transport)

    assert isinstance(error, UnusableLoginUrl)
    assert (error.problem, error.status, error.request_id) == (problem, 200, "r-1")


@pytest.mark.parametrize("origins", [[], ["https://10.1.2.4"], ["https://10.1.2.3:8443"]])
def test_link_to_an_address_that_is_not_registered_names_it(
    start_wire: StartWire, transport: CloudTransport, origins: list[str]
) -> None:
    error = failure_of(start_wire(answer(SUCCESS)), transport, link_origins=origins)

    assert isinstance(error, LoginOriginNotAllowed)
    assert (error.origin, error.status) == ("https://10.1.2.3", 200)


# Answers that cannot be read


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (answer(b""), "not_json"),
        (answer(b"<html>canary</html>"), "not_json"),
        (answer(b'{"state": "SUCCESS", "login_url": "https://10.1.2.3/canary'), "not_json"),
        (answer(b"\xff{}"), "not_json"),
        (answer(b"[" * 100_000), "not_json"),
        (answer([SUCCESS]), "not_json"),
        (answer("SUCCESS"), "not_json"),
        (answer(b"null"), "not_json"),
        (answer({"login_url": LINK}), "no_state"),
        (answer({"state": None, "login_url": LINK}), "no_state"),
        (answer({"state": " ", "login_url": LINK}), "no_state"),
        (answer({"state": True, "login_url": LINK}), "no_state"),
        (answer({"state": ["SUCCESS"], "login_url": LINK}), "no_state"),
        (answer({"state": {"SUCCESS": 0}, "login_url": LINK}), "no_state"),
        (answer(SUCCESS, 201), "status"),
        (answer(b"", 204), "status"),
        (answer(SUCCESS, 302, [("Location", LINK)]), "redirect"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"), "truncated"),
        (answer({**SUCCESS, "padding": "x" * 1_100_000}), "oversized"),
        (answer(SUCCESS, headers=[("Content-Encoding", "gzip")]), "compressed"),
    ],
)
def test_answer_that_cannot_be_read_is_a_broken_contract(
    start_wire: StartWire, transport: CloudTransport, reply: Reply, problem: str
) -> None:
    wire = start_wire(reply)

    error = failure_of(wire, transport)

    assert isinstance(error, UnreadableAnswer)
    assert (error.problem, error.description) == (problem, "")
    assert len(wire.received) == 1


def test_byte_order_mark_is_forgiven(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer(b'\xef\xbb\xbf{"state": "SUCCESS", "login_url": "https://10.1.2.3/"}'))

    assert ask(wire, transport).value == "https://10.1.2.3/"


# HTTP refusals

REFUSALS: list[tuple[int, object, type[CloudError]]] = [
    (400, "CBH.10020001", ProjectNotFound),
    (400, "CBH.10020009", CloudRequestRefused),
    (400, "CBH.10020010", CloudRequestRefused),
    (400, "CBH.10020011", InstanceNotFound),
    (400, "CBH.10027007", InstanceNotFound),
    (400, "cbh.10027007 ", InstanceNotFound),
    (400, 10027007, InstanceNotFound),
    (400, "10020001", ProjectNotFound),
    (400, "CBH.10027011", InstanceStateForbids),
    (400, "APIGW.0602", CloudRequestRefused),
    (401, "CBH.10020100", TokenRejected),
    (401, "APIGW.0301", TokenRejected),
    (401, "APIG.0307", TokenRejected),
    (401, "APIGW.0303", TokenRejected),
    (403, "CBH.10020002", PermissionMissing),
    (403, 10020002, PermissionMissing),
    (403, "APIGW.0302", PermissionMissing),
    (403, "APIG.0302", PermissionMissing),
    (403, "IAM.0003", PermissionMissing),
    (403, "APIGW.0310", ProjectUnavailable),
    (403, "APIG.0401", SourceAddressRefused),
    (403, "APIGW.0402", SourceAddressRefused),
    (403, "APIGW.0306", CloudForbidden),
    (403, "APIGW.0802", CloudForbidden),
    (404, "CBH.10027007", InstanceNotFound),
    (404, "CBH.10020001", ProjectNotFound),
    (404, "APIGW.0101", EndpointWrong),
    (404, "APIG.0101", EndpointWrong),
    (404, "APIGW.0103", EndpointWrong),
    (404, "", InstanceNotFound),
    (404, "APIGW.9999", InstanceNotFound),
    (405, "", CloudRequestRefused),
    (413, "APIGW.0201", HeadersTooLarge),
    (413, "", CloudRequestRefused),
    (414, "APIGW.0201", CloudRequestRefused),
    (431, "", HeadersTooLarge),
    (494, "APIG.0201", HeadersTooLarge),
    (494, "", HeadersTooLarge),
    (500, "CBH.10020000", CloudServerError),
    (500, "11000000", CloudServerError),
    (500, "APIG.0103", CloudServerError),
    (500, "APIGW.0601", CloudServerError),
    (599, "", CloudServerError),
]


@pytest.mark.parametrize("field", ["error_description", "error_msg"])
@pytest.mark.parametrize(("status", "code", "expected"), REFUSALS)
def test_http_refusal_is_told_apart_in_both_body_forms(
    start_wire: StartWire,
    transport: CloudTransport,
    field: str,
    status: int,
    code: object,
    expected: type[CloudError],
) -> None:
    body = {"error_code": code, field: f"Told with {TOKEN}.", "request_id": "b-1"}
    wire = start_wire(answer(body, status, [("X-Request-Id", "h-1")]))

    error = failure_of(wire, transport)

    assert type(error) is expected
    assert (error.status, error.code) == (status, str(code).strip())
    assert (error.description, error.request_id) == ("Told with [hidden].", "h-1")
    assert len(wire.received) == 1


@pytest.mark.parametrize(
    ("body", "code", "description"),
    [
        ({"error_code": None, "error_msg": None, "error_description": "text"}, "", "text"),
        ({"error_msg": "first", "error_description": "second", "message": "third"}, "", "first"),
        ({"error_description": "second", "error": {"message": "third"}}, "", "second"),
        ({"error": {"message": "third", "code": 5}, "message": "fourth", "code": 6}, "5", "third"),
        ({"message": "fourth", "errorMsg": "fifth", "code": "x", "errorCode": "y"}, "x", "fourth"),
        ({"errorMsg": "fifth", "errorCode": "y"}, "y", "fifth"),
        ({"error": "plain text", "message": "m"}, "", "m"),
        ({"error": ["a"], "message": ["m", 1, None, ["deep"], {"x": 1}]}, "", "m, 1"),
        ({"error_code": ["APIGW.0301"], "error_msg": {"en": "x"}, "message": "m"}, "APIGW.0301", "m"),
        ({"error_code": True, "error_msg": False, "code": 1.5, "message": ""}, "1.5", '{"error_code": true'),
        ([{"error_code": "A", "error_msg": "in a list"}], "A", "in a list"),
        ({"response": {"errorCode": "A", "errorMsg": "nested"}}, "A", "nested"),
        (b"<html>\n<h1>Bad\tRequest</h1></html>", "", "<html> <h1>Bad Request</h1></html>"),
        (b"caf\xe9", "", "caf\ufffd"),
        (b"", "", ""),
        (b"z" * 10_000, "", "z" * 500),
        (TOKEN[:8].encode() + b" " + TOKEN.encode(), "", "MIIcanar [hidden]"),
    ],
)
def test_error_body_of_any_shape_is_survived(
    start_wire: StartWire, transport: CloudTransport, body: object, code: str, description: str
) -> None:
    wire = start_wire(answer(body, 400))
    with pytest.raises(CloudRequestRefused) as caught:
        ask(wire, transport)

    assert caught.value.code == code
    assert caught.value.description.startswith(description)
    assert len(caught.value.description) <= 500
    assert TOKEN not in repr(caught.value.__dict__)


@pytest.mark.parametrize(
    ("headers", "request_id", "expected"),
    [
        ([("X-Request-Id", "h"), ("X-IAM-Trace-Id", "t")], "b", "h"),
        ([("X-IAM-Trace-Id", "t")], "b", "t"),
        ([], "b", "b"),
        ([], 7, "7"),
        ([], None, ""),
        ([("X-Request-Id", "h" * 500)], None, "h" * 128),
    ],
)
def test_request_id_is_found_wherever_it_is(
    start_wire: StartWire,
    transport: CloudTransport,
    headers: list[tuple[str, str]],
    request_id: object,
    expected: str,
) -> None:
    for body, status in (({"error_code": "x"}, 400), ({"state": "UNKNOWN_ERROR"}, 200)):
        wire = start_wire(answer({**body, "request_id": request_id}, status, headers))

        assert failure_of(wire, transport).request_id == expected


@pytest.mark.parametrize("token", ["", "a b", "tok\r\nX: y", "tök"])
def test_token_that_cannot_be_sent_counts_as_rejected(
    start_wire: StartWire, transport: CloudTransport, token: str
) -> None:
    wire = start_wire(answer(SUCCESS))

    assert isinstance(failure_of(wire, transport, token=token), TokenRejected)
    assert wire.connections == 0


# One more try


@pytest.mark.parametrize("first", [answer(b"", 502), answer(b"", 503), answer(b"", 504), drop(), drop(reset=True)])
def test_connection_fault_or_gateway_trouble_gets_one_more_try(
    start_wire: StartWire, transport: CloudTransport, first: Reply
) -> None:
    wire = start_wire(first, answer(SUCCESS))

    assert ask(wire, transport).value == LINK


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (drop(), drop(), CloudConnectionFailed),
        (drop(), answer(b"", 503), CloudServerError),
        (answer(b"", 503), answer(b"", 429), CloudThrottled),
        (answer(b"", 429, [("Retry-After", "0")]), answer(b"", 502), CloudServerError),
    ],
)
def test_there_is_only_one_more_try_in_total(
    start_wire: StartWire,
    transport: CloudTransport,
    first: Reply,
    second: Reply,
    expected: type[CloudError],
) -> None:
    wire = start_wire(first, second, answer(SUCCESS))

    assert type(failure_of(wire, transport)) is expected
    assert len(wire.received) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500])
def test_refusal_is_not_repeated(start_wire: StartWire, transport: CloudTransport, status: int) -> None:
    wire = start_wire(answer({}, status), answer(SUCCESS))

    failure_of(wire, transport)

    assert len(wire.received) == 1


def test_throttling_waits_as_told(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer({}, 429, [("Retry-After", "0")]), answer(SUCCESS))

    assert ask(wire, transport).value == LINK


def test_second_try_keeps_the_same_deadline(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer(b"", 503), hang())

    assert isinstance(failure_of(wire, transport, seconds=1.0), CloudTimeout)
    assert len(wire.received) == 2


def test_no_second_try_without_time_for_it(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer(b"", 503), answer(SUCCESS))

    assert isinstance(failure_of(wire, transport, seconds=0.5), CloudServerError)
    assert len(wire.received) == 1


def test_dripping_answer_is_a_timeout(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n", b" "))

    assert isinstance(failure_of(wire, transport, seconds=0.3), CloudTimeout)
