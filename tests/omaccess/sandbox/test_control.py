from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from werkzeug.test import Client

from omaccess.sandbox.app import create_app
from omaccess.sandbox.control_client import ControlRefused, SandboxControl
from tests.omaccess.sandbox.conftest import CONTROL_TOKEN, Caller
from tests.omaccess.sandbox.worlds import ACCOUNT, PASSWORD, USER, small_world


@pytest.fixture
def remote(caller: Caller) -> SandboxControl:
    """Control over HTTP, as from another process."""
    return SandboxControl(caller.server.url, CONTROL_TOKEN)


@pytest.fixture
def local_client() -> Iterator[Client]:
    """The application without a server, for requests that claim other peers."""
    app = create_app(small_world(), base_url="http://127.0.0.1:8010", control_token=CONTROL_TOKEN)
    yield Client(app, use_cookies=False)  # else it drops the Cookie headers that tests send
    app.cloud.close()


def test_without_a_token_there_is_no_control_interface() -> None:
    app = create_app(small_world(), base_url="http://127.0.0.1:8010")

    response = Client(app).get("/_sandbox/counters", environ_base={"REMOTE_ADDR": "127.0.0.1"})

    assert response.status_code == 404
    assert response.json is not None
    assert response.json["error_code"] == "APIGW.0101"


@pytest.mark.parametrize(
    ("peer", "headers", "reason"),
    [
        ("127.0.0.1", {}, "token is missing or wrong"),
        ("127.0.0.1", {"X-Sandbox-Token": "wrong"}, "token is missing or wrong"),
        ("127.0.0.1", {"X-Sandbox-Token": CONTROL_TOKEN[:-1]}, "token is missing or wrong"),
        ("127.0.0.1", {"X-Sandbox-Token": "\xe9"}, "token is missing or wrong"),
        ("192.0.2.7", {"X-Sandbox-Token": CONTROL_TOKEN}, "this machine only"),
        ("", {"X-Sandbox-Token": CONTROL_TOKEN}, "this machine only"),
        ("127.0.0.1", {"X-Sandbox-Token": CONTROL_TOKEN, "Host": "evil.example"}, "loopback address"),
        ("127.0.0.1", {"X-Sandbox-Token": CONTROL_TOKEN, "Origin": "null"}, "browsers"),
        ("127.0.0.1", {"X-Sandbox-Token": CONTROL_TOKEN, "Referer": "http://x/"}, "browsers"),
        ("127.0.0.1", {"X-Sandbox-Token": CONTROL_TOKEN, "Cookie": "a=b"}, "browsers"),
        ("127.0.0.1", {"X-Sandbox-Token": CONTROL_TOKEN, "Sec-Fetch-Mode": "cors"}, "browsers"),
        ("::1", {"X-Sandbox-Token": CONTROL_TOKEN, "Sec-Ch-Ua": "x"}, "browsers"),
    ],
)
def test_strangers_and_browsers_are_refused(
    local_client: Client, peer: str, headers: dict[str, str], reason: str
) -> None:
    response = local_client.post(
        "/_sandbox/reset",
        base_url="http://127.0.0.1:8010",
        headers=headers,
        environ_base={"REMOTE_ADDR": peer},
    )

    assert response.status_code == 403
    assert response.json is not None
    assert reason in response.json["error"]


def test_a_loopback_peer_with_the_token_is_served(local_client: Client) -> None:
    response = local_client.get(
        "/_sandbox/counters",
        base_url="http://localhost:8010",
        headers={"X-Sandbox-Token": CONTROL_TOKEN},
        environ_base={"REMOTE_ADDR": "::1"},
    )

    assert response.status_code == 200


def test_a_fault_can_be_ordered_counted_and_cleared(caller: Caller, remote: SandboxControl) -> None:
    remote.add_fault("iam.token", times=None, status=503)
    during = caller.sign_in().status_code
    remote.clear_faults()
    after = caller.sign_in().status_code

    assert (during, after) == (503, 201)
    assert remote.counters() == {"iam.token": 2}
    assert remote.most_in_flight() == {"iam.token": 1}


def test_a_call_can_be_held_and_released(caller: Caller, remote: SandboxControl) -> None:
    remote.add_fault("iam.token", hold="before")
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(caller.sign_in().status_code))
    thread.start()

    reached = remote.wait("iam.token", received=1, held=1)
    held = remote.held()
    released = remote.release()
    thread.join(timeout=10)

    assert reached
    assert held == {"iam.token": 1}
    assert released == 1
    assert answers == [201]


def test_waiting_for_what_does_not_come_ends(remote: SandboxControl) -> None:
    assert remote.wait("iam.token", received=1, seconds=0) is False


def test_tokens_can_be_revoked_and_expired_by_user(caller: Caller, remote: SandboxControl) -> None:
    revoked, spared = caller.token(), caller.token("reader")

    assert remote.revoke_tokens(account=ACCOUNT, user=USER) == 1
    assert caller.om_url(revoked).json()["error_code"] == "APIGW.0307"
    assert caller.om_url(spared).status_code == 403
    assert remote.expire_tokens() == 2
    assert caller.om_url(spared).json()["error_code"] == "APIGW.0301"


def test_a_user_can_be_edited(caller: Caller, remote: SandboxControl) -> None:
    remote.edit_user(ACCOUNT, USER, password="changed", permissions=[])

    old, new = caller.sign_in(), caller.sign_in(password="changed")

    assert (old.status_code, new.status_code) == (401, 201)
    assert caller.om_url(new.headers["X-Subject-Token"]).status_code == 403


def test_the_clock_moves_and_resets(caller: Caller, remote: SandboxControl) -> None:
    before = caller.sign_in().json()["token"]["issued_at"]

    remote.advance_clock(86_400 * 400)
    later = caller.sign_in()
    remote.reset()
    after = caller.sign_in().json()["token"]["issued_at"]

    assert later.json()["token"]["issued_at"][:4] > before[:4]
    assert later.json()["token"]["issued_at"][:4] in later.headers["Date"]
    assert after[:4] == before[:4]


def test_a_reset_returns_everything_to_the_world_file(caller: Caller, remote: SandboxControl) -> None:
    token = caller.token()
    remote.edit_user(ACCOUNT, USER, enabled=False)
    remote.add_fault("*", times=None, status=500)

    remote.reset()

    assert caller.sign_in().status_code == 201
    assert caller.om_url(token).status_code == 401
    assert remote.counters() == {"iam.token": 1, "cbh.om_url": 1}


def test_calls_are_remembered_as_sent_but_without_secrets(caller: Caller, remote: SandboxControl) -> None:
    token = caller.token()
    link = caller.om_url(token, host_account_name="CORP\\svc web").json()["login_url"]
    caller.http.get(link, timeout=20)

    calls = remote.calls()

    assert [call["call"] for call in calls] == ["iam.token", "cbh.om_url", "om.page"]
    assert "host_account_name=CORP%5Csvc+web" in str(calls[1]["query"])
    assert calls[0]["connection"] == calls[1]["connection"]
    shown = str(calls)
    assert token not in shown
    assert PASSWORD not in shown
    assert link.partition("cbhinfo=")[2] not in shown


@pytest.mark.parametrize(
    ("method", "path", "body", "reason"),
    [
        ("POST", "faults", {"call": "nope", "fault": {}}, "422: fault: 'call' must be"),
        ("POST", "faults", {"call": "iam.token", "fault": []}, "422: request: 'fault' must be an object"),
        ("POST", "faults", {"call": "iam.token", "fault": {}, "x": 1}, "422: request: unknown key 'x'"),
        ("POST", "faults", {"call": "iam.token", "times": -1, "fault": {}}, "422: request: 'times'"),
        ("POST", "faults", [], "422: request: 'fault' is missing"),
        ("POST", "users", {"account": "acme", "user": "ghost"}, "404: no such user: acme/ghost"),
        ("POST", "clock", {"advance_seconds": "x"}, "422: request: 'advance_seconds' must be a number"),
        ("GET", "wait?call=x&held=y", None, "422: request: 'held' must be a whole number"),
        ("GET", "anything", None, "404: no such control call"),
    ],
)
def test_an_unusable_request_is_answered_in_words(
    remote: SandboxControl, method: str, path: str, body: object, reason: str
) -> None:
    with pytest.raises(ControlRefused) as caught:
        remote._send(method, path, body)

    assert str(caught.value).startswith(reason)


def test_a_wrong_token_is_a_refusal_and_not_an_accident(caller: Caller) -> None:
    with pytest.raises(ControlRefused, match="403"):
        SandboxControl(caller.server.url, "wrong").reset()
