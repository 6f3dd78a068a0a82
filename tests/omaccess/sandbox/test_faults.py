from __future__ import annotations

import base64
import gzip
import threading
import time
from typing import Any

import pytest
import requests

from omaccess.sandbox.faults import Fault, merge_patch
from omaccess.sandbox.tables import TableError
from tests.omaccess.sandbox.conftest import Caller
from tests.omaccess.sandbox.worlds import USER


def test_a_fault_happens_as_often_as_asked_and_then_no_more(caller: Caller) -> None:
    token = caller.token()
    caller.server.control.add_fault("cbh.om_url", times=2, status=503)

    statuses = [caller.om_url(token).status_code for _ in range(3)]

    assert statuses == [503, 503, 200]
    assert caller.server.control.pending_faults() == []


def test_faults_queue_up_in_order(caller: Caller) -> None:
    token = caller.token()
    caller.server.control.add_fault("cbh.om_url", status=502)
    caller.server.control.add_fault("*", status=504)

    statuses = [caller.om_url(token).status_code for _ in range(3)]

    assert statuses == [502, 504, 200]


def test_a_lasting_fault_lasts_until_cleared(caller: Caller) -> None:
    caller.server.control.add_fault("iam.token", times=None, status=500)

    during = [caller.sign_in().status_code for _ in range(3)]
    caller.server.control.clear_faults()

    assert during == [500, 500, 500]
    assert caller.sign_in().status_code == 201


def test_a_fault_of_everything_spares_the_session_page(caller: Caller) -> None:
    link = caller.om_url(caller.token()).json()["login_url"]
    caller.server.control.add_fault("*", times=None, status=500)

    assert caller.http.get(link, timeout=20).status_code == 200


@pytest.mark.parametrize(
    ("envelope", "body"),
    [
        ("cbh_doc", {"error_code": "X.1", "error_description": "no"}),
        ("error_msg", {"error_code": "X.1", "error_msg": "no"}),
        ("keystone", {"error": {"code": 429, "message": "no", "title": "Too Many Requests"}}),
    ],
)
def test_an_error_comes_in_any_envelope_with_its_headers(
    caller: Caller, envelope: str, body: dict[str, object]
) -> None:
    caller.server.control.add_fault(
        "iam.token", status=429, envelope=envelope, code="X.1", message="no", retry_after="7"
    )

    response = caller.sign_in()

    assert response.status_code == 429
    assert response.json() == body
    assert response.headers["Retry-After"] == "7"


def test_a_replaced_call_is_not_carried_out(caller: Caller) -> None:
    caller.server.control.add_fault("iam.token", times=5, status=401)

    for _ in range(5):
        caller.sign_in(password="wrong")

    assert caller.sign_in().status_code == 201  # not locked: the failures were never counted


@pytest.mark.parametrize(
    ("fault", "content"),
    [
        ({"body": "<html>"}, b"<html>"),
        ({"body": b"\xff\x00"}, b"\xff\x00"),
        ({"body_base64": base64.b64encode(b"\x01\x02").decode()}, b"\x01\x02"),
        ({"body": ""}, b""),
        ({"body_size": 2_000_000}, b"x" * 2_000_000),
    ],
)
def test_any_bytes_can_be_the_answer(caller: Caller, fault: dict[str, Any], content: bytes) -> None:
    caller.server.control.add_fault("cbh.om_url", content_type="text/html", **fault)

    response = caller.om_url("irrelevant")

    assert response.status_code == 200
    assert response.content == content
    assert response.headers["Content-Type"] == "text/html"


def test_headers_can_be_forged_and_removed(caller: Caller) -> None:
    caller.server.control.add_fault(
        "iam.token", headers={"X-Subject-Token": None, "Date": "rubbish", "Set-Cookie": "a=b"}
    )
    caller.server.control.add_fault("iam.token", headers={"date": None}, header_padding_bytes=3000)

    forged, removed = caller.sign_in(), caller.sign_in()

    assert "X-Subject-Token" not in forged.headers
    assert forged.headers["Date"] == "rubbish"
    assert forged.headers["Set-Cookie"] == "a=b"
    assert "Date" not in removed.headers
    assert len(removed.headers["X-Padding"]) == 3000


def test_a_compressed_answer_can_be_sent(caller: Caller) -> None:
    packed = gzip.compress(b'{"state":"SUCCESS"}')
    caller.server.control.add_fault("cbh.om_url", body=packed, headers={"Content-Encoding": "gzip"})

    assert caller.om_url("x").json() == {"state": "SUCCESS"}


def test_a_redirect_can_be_sent(caller: Caller) -> None:
    caller.server.control.add_fault("iam.token", status=302, headers={"Location": "https://elsewhere.invalid/"})

    response = caller.http.post(f"{caller.server.url}/v3/auth/tokens", json={}, allow_redirects=False, timeout=20)

    assert (response.status_code, response.headers["Location"]) == (302, "https://elsewhere.invalid/")


def test_the_body_of_a_real_answer_can_be_changed(caller: Caller) -> None:
    caller.server.control.add_fault(
        "iam.token", merge={"token": {"expires_at": "soon", "project": None, "user": {"name": "x"}}}
    )

    token = caller.sign_in().json()["token"]

    assert token["expires_at"] == "soon"
    assert "project" not in token
    assert token["user"]["name"] == "x"
    assert token["user"]["id"]


@pytest.mark.parametrize(
    ("target", "patch", "merged"),
    [
        ({"a": "b"}, {"a": None}, {}),
        ({"a": [1]}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ("text", {"a": 1}, {"a": 1}),
        ({"a": 1}, [1], [1]),
    ],
)
def test_merging_follows_its_standard(target: object, patch: object, merged: object) -> None:
    assert merge_patch(target, patch) == merged


@pytest.mark.parametrize(
    ("fault", "body"),
    [
        ({"state": "UNKNOWN_ERROR", "description": None}, {"state": "UNKNOWN_ERROR", "description": None}),
        (
            {"state": "IAM_USER_CONFLICT", "state_format": "int", "description": 7},
            {"state": 1016, "description": 7},
        ),
        ({"state": "HOST_NOT_MANAGE", "omit_state": True, "description": "x"}, {"description": "x"}),
        ({"custom_state": "BRAND_NEW", "login_url": "missing"}, {"state": "BRAND_NEW"}),
        ({"custom_state": None, "login_url": "missing"}, {"state": None}),
        ({"custom_state": [1], "login_url": ""}, {"state": [1], "login_url": ""}),
        ({"login_url": "relative/raw"}, {"state": "SUCCESS", "login_url": "relative/raw"}),
    ],
)
def test_verdicts_can_be_forced_in_every_shape(caller: Caller, fault: dict[str, Any], body: dict[str, object]) -> None:
    token = caller.token()
    caller.server.control.add_fault("cbh.om_url", **fault)

    assert caller.om_url(token).json() == body


@pytest.mark.parametrize(
    ("kind", "start"),
    [
        ("blank", "   "),
        ("relative", "/?cbhinfo="),
        ("http", "http://bastion.example.com?cbhinfo="),
        ("javascript", "javascript:alert("),
        ("userinfo", "http://operator:sandbox@127.0.0.1:"),
        ("foreign_origin", "https://bastion.invalid:443?cbhinfo="),
        ("huge", "http://127.0.0.1:"),
        ("valid", "http://127.0.0.1:"),
    ],
)
def test_login_urls_can_be_odd(caller: Caller, kind: str, start: str) -> None:
    token = caller.token()
    caller.server.control.add_fault("cbh.om_url", login_url=kind)

    link = caller.om_url(token).json()["login_url"]

    assert link.startswith(start)
    assert (len(link) > 4096) == (kind == "huge")


def test_a_refusal_can_carry_a_working_link(caller: Caller) -> None:
    token = caller.token()
    caller.server.control.add_fault("cbh.om_url", state="IAM_USER_CONFLICT", login_url="valid")

    body = caller.om_url(token).json()

    assert body["state"] == "IAM_USER_CONFLICT"
    assert caller.http.get(body["login_url"], timeout=20).status_code == 200


def test_a_forced_success_gives_a_link_for_a_host_nobody_knows(caller: Caller) -> None:
    token = caller.token()
    caller.server.control.add_fault("cbh.om_url", state="SUCCESS")

    body = caller.om_url(token, ip_address="10.9.9.9").json()

    assert "10.9.9.9" in caller.http.get(body["login_url"], timeout=20).text


@pytest.mark.parametrize("drop", ["before", "after", "mid_headers", "mid_body"])
def test_a_dropped_call_breaks_the_connection_and_the_next_one_works(caller: Caller, drop: str) -> None:
    token = caller.token()
    caller.server.control.add_fault("cbh.om_url", drop=drop)

    with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        caller.om_url(token)

    assert caller.state(token) == "SUCCESS"
    assert caller.server.control.statuses()["cbh.om_url"] == {"dropped": 1, "200": 1}


def test_a_call_dropped_before_is_not_carried_out_and_one_dropped_after_is(caller: Caller) -> None:
    control = caller.server.control
    for drop in ("before", "after"):
        control.add_fault("iam.token", drop=drop)

        with pytest.raises(requests.ConnectionError):
            caller.sign_in()

        assert control.revoke_tokens(user=USER) == (1 if drop == "after" else 0)


@pytest.mark.parametrize("part", ["headers", "body"])
def test_a_dripping_answer_arrives_whole_in_the_end(caller: Caller, part: str) -> None:
    token = caller.token()
    drip = {"part": part, "interval_seconds": 0.002, "piece_bytes": 8}
    caller.server.control.add_fault("cbh.om_url", drip=drip)

    assert caller.state(token) == "SUCCESS"


def test_a_drip_outlasts_a_timeout_between_reads(caller: Caller) -> None:
    token = caller.token()
    drip = {"part": "body", "interval_seconds": 0.05}
    caller.server.control.add_fault("cbh.om_url", drip=drip, body_size=100_000)
    query = {"server_id": "x"}

    with caller.http.get(
        f"{caller.server.url}/v2/x/cbs/instance/get-om-url",
        params=query,
        headers={"X-Auth-Token": token},
        timeout=10,
        stream=True,
    ) as response:
        pieces = [next(response.iter_content(1)) for _ in range(3)]

    assert pieces == [b"x", b"x", b"x"]


def test_latency_delays_the_answer(caller: Caller) -> None:
    caller.server.control.add_fault("iam.token", latency_seconds=0.2)

    started = time.monotonic()
    caller.sign_in()

    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(("when", "tokens_meanwhile"), [("before", 0), ("after", 1)])
def test_a_held_call_waits_until_released(caller: Caller, when: str, tokens_meanwhile: int) -> None:
    control = caller.server.control
    control.add_fault("iam.token", hold=when)
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(caller.sign_in().status_code))
    thread.start()

    arrived = control.wait("iam.token", received=1, held=1)
    meanwhile = (list(answers), control.revoke_tokens())
    released = control.release("iam.token")
    thread.join(timeout=10)

    assert arrived
    assert meanwhile == ([], tokens_meanwhile)
    assert released == 1
    assert answers == [201]


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ({"latncy_seconds": 1}, "unknown key 'latncy_seconds'"),
        ({"latency_seconds": 1000}, "between 0 and 120"),
        ({"drop": "sometimes"}, "'drop' must be one of"),
        ({"drip": {"part": "head"}}, "drip: 'part' must be one of"),
        ({"drip": {"part": "body", "speed": 1}}, "unknown key 'speed'"),
        ({"status": 99}, "between 200 and 599"),
        ({"body": "x", "body_size": 3}, "cannot be combined"),
        ({"body_base64": "%"}, "is not base64"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "must be printable ASCII"),
        ({"headers": {"X A": "a"}}, "is not a header name"),
        ({"merge": []}, "must be an object"),
        ({"state": "SUCESS"}, "'state' must be one of"),
    ],
)
def test_an_unusable_fault_is_refused_in_words(fault: dict[str, object], complaint: str) -> None:
    with pytest.raises(TableError, match=complaint):
        Fault.from_mapping(fault)


@pytest.mark.parametrize(("call", "times"), [("iam.tokens", 1), ("iam.token", 0)])
def test_an_unknown_call_or_count_is_refused(caller: Caller, call: str, times: int) -> None:
    with pytest.raises(TableError):
        caller.server.control.add_fault(call, times=times, status=500)
