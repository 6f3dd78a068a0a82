"""Answers made to hurt: texts that are slow to clean, and secrets repeated where nobody looks for them."""

from __future__ import annotations

import json
import time

import pytest

from omaccess.cloud.errors import CloudError, UnusableLoginUrl, clean_text
from omaccess.cloud.http import Answer, CloudTransport
from omaccess.cloud.refusals import refusal
from tests.omaccess.cloud.conftest import StartWire
from tests.omaccess.cloud.test_cbh import LINK, SUCCESS, TOKEN, ask
from tests.omaccess.cloud.wire import answer

FAR_BELOW_THE_DEADLINE = 2.0
"""Seconds. These texts took half a minute and more when something was wrong."""


@pytest.mark.parametrize("text", ["a" * 65_536, "a." * 32_768, "http:" * 13_000, "x://" * 16_384])
def test_one_long_word_is_cleaned_quickly(text: str) -> None:
    began = time.process_time()

    cleaned = clean_text(text, 500)

    assert len(cleaned) <= 500
    assert time.process_time() - began < FAR_BELOW_THE_DEADLINE


@pytest.mark.parametrize("text", ["the user " * 100_000, "account " * 120_000, "the user is " * 80_000])
def test_one_long_message_of_iam_is_judged_quickly(text: str) -> None:
    body = json.dumps({"error_msg": text}).encode()
    began = time.process_time()

    error = refusal("iam", Answer(status=400, headers={}, body=body))

    assert error.status == 400
    assert time.process_time() - began < FAR_BELOW_THE_DEADLINE


@pytest.mark.parametrize("link", ["\ud800", "https://10.1.2.3:443?cbhinfo=\udfff"])
def test_half_a_surrogate_pair_in_a_link_is_an_unusable_link(
    start_wire: StartWire, transport: CloudTransport, link: str
) -> None:
    wire = start_wire(answer({"state": "SUCCESS", "login_url": link}))

    with pytest.raises(UnusableLoginUrl):
        ask(wire, transport)


@pytest.mark.parametrize("secret", [LINK, TOKEN], ids=["link", "token"])
@pytest.mark.parametrize("place", ["header", "body"])
def test_request_id_of_a_success_holds_no_secret(
    start_wire: StartWire, transport: CloudTransport, secret: str, place: str
) -> None:
    headers = [("X-Request-Id", secret)] if place == "header" else []
    wire = start_wire(answer({**SUCCESS, "request_id": secret}, headers=headers))

    link = ask(wire, transport)

    assert link.value == LINK
    assert "canary" not in link.request_id


def test_request_id_of_a_success_is_one_short_clean_line(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer({**SUCCESS, "request_id": "r-1\x00\n\u202e" + "x" * 500_000}))

    link = ask(wire, transport)

    assert link.request_id.startswith("r-1 xxx")
    assert len(link.request_id) == 128


@pytest.mark.parametrize("status", [200, 302, 403, 500])
def test_request_id_of_an_error_holds_no_token(start_wire: StartWire, transport: CloudTransport, status: int) -> None:
    wire = start_wire(answer({"state": None, "request_id": TOKEN}, status=status, headers=[("X-Request-Id", TOKEN)]))

    with pytest.raises(CloudError) as caught:
        ask(wire, transport)

    assert "canary" not in caught.value.request_id
