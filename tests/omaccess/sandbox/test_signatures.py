from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request

from omaccess.sandbox.clock import SandboxClock
from omaccess.sandbox.signatures import Authorization, SignatureDesk, SignatureProblem
from omaccess.sandbox.users import UserDirectory
from omaccess.sandbox.world import parse_world
from omaccess.sandbox.world_types import IamUser
from tests.omaccess.sandbox.signing import Query, encoded_query, sdk_date, signed
from tests.omaccess.sandbox.worlds import PROJECT_ID

HOST = "127.0.0.1:8010"
KEY = ("VECTORKEY00000000001", "sandbox-secret-key-vector")
TEMPORARY = ("VECTORTEMPORARY00001", "sandbox-secret-key-vector")
CBH = f"/v2/{PROJECT_ID}/cbs/instance"
WORLD = f"""
name = "keys"
[[account]]
name = "acme"
[[user]]
account = "acme"
name = "signer"
password = "sandbox-password"
access_keys = [
  {{ access = "{KEY[0]}", secret = "{KEY[1]}" }},
  {{ access = "{TEMPORARY[0]}", secret = "{TEMPORARY[1]}", security_token = "st" }},
]
"""


class Gateway:
    """A desk with a clock to move."""

    def __init__(self) -> None:
        self.clock = SandboxClock()
        self.users = UserDirectory(parse_world(WORLD), self.clock)
        self.desk = SignatureDesk(self.users, self.clock)

    def verdict(
        self,
        headers: Mapping[str, str],
        method: str = "GET",
        path: str = CBH + "/list",
        query: str = "",
        body: bytes = b"",
    ) -> str | SignatureProblem:
        builder = EnvironBuilder(path=path, method=method, headers=list(headers.items()), query_string=query, data=body)
        found = self.desk.check(Request(builder.get_environ()))
        return found.name if isinstance(found, IamUser) else found


@pytest.fixture
def gateway() -> Gateway:
    return Gateway()


VECTORS = {
    "odd characters in the query": (
        "GET", CBH + "/get-om-url",
        "host_account_name=CORP%5Csvc%20a%2Bb%2Fc%25~%2A%C3%A9&ip_address=2001%3Adb8%3A%3A15"
        "&server_id=11111111-1111-4111-8111-111111111111",
        {"Content-Type": "application/json", "X-Project-Id": PROJECT_ID}, b"",
        "content-type;host;user-agent;x-project-id;x-sdk-date",
        "b76e9e415fd596b3d4a861994c4eeeca607ae9c1e399351b0b9682feeb359d01",
    ),
    "a JSON body": (
        "POST", CBH + "/login", "",
        {"Content-Type": "application/json", "X-Project-Id": PROJECT_ID}, b'{"server_id": "s"}',
        "content-type;host;user-agent;x-project-id;x-sdk-date",
        "51ae0af759cb9d47280420cf6f66248aa31556a8b60e695aec10b3d6e757f17e",
    ),
    "a body that is not signed": (
        "POST", CBH + "/login", "a=x&a-b=&b=1&b=2",
        {
            "Content-Type": "text/plain", "X-Project-Id": PROJECT_ID, "X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD",
        }, b"whatever came",
        "content-type;host;user-agent;x-project-id;x-sdk-content-sha256;x-sdk-date",
        "ae2e3d2f91b6e0fe796e5a5276b31634f416cd77d8edd5e117590b28c47288e2",
    ),
    "discovery without content type": (
        "GET", "/v3/projects", "name=cn-north-4", {}, b"", "host;user-agent;x-sdk-date",
        "6605cb221179e45bb7c55b93473c8996a15c226934deb4a0385129149b6ea26a",
    ),
}  # fmt: skip
"""Signatures made by the vendor's own signer (huaweicloudsdkcore 3.1.219) at one moment."""


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "names", "proof"), VECTORS.values(), ids=VECTORS.keys()
)
def test_signatures_of_the_vendors_signer_are_right(
    gateway: Gateway, method: str, path: str, query: str, headers: dict[str, str], body: bytes, names: str, proof: str
) -> None:
    signed_at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    gateway.clock.advance((signed_at - datetime.now(UTC)).total_seconds())
    sent = {"Host": HOST, "User-Agent": "vector", "X-Sdk-Date": sdk_date(signed_at), **headers}
    sent["Authorization"] = f"SDK-HMAC-SHA256 Access={KEY[0]}, SignedHeaders={names}, Signature={proof}"

    assert gateway.verdict(sent, method, path, query, body) == "signer"
    assert gateway.verdict(sent, method, path + "/", query, body) == "signer"
    assert gateway.verdict(sent, method, path + "x", query, body) is SignatureProblem.WRONG
    assert gateway.verdict(sent, method, path, query + "&x=", body) is SignatureProblem.WRONG
    assert gateway.verdict({**sent, "Host": "127.0.0.1"}, method, path, query, body) is SignatureProblem.WRONG


@pytest.mark.parametrize(
    "query",
    [
        [],
        [("b", "2"), ("a", "1")],
        [("a", "2"), ("a", "1"), ("a-", ""), ("é", "ü"), ("z", "+ /&=%~*!'()")],
        [("a", "运维"), ("A", "\\")],
    ],
)
def test_an_independent_signature_is_right_whatever_the_query(gateway: Gateway, query: Query) -> None:
    headers = signed(KEY, "GET", HOST, CBH + "/list", query)

    assert gateway.verdict(headers, query=encoded_query(query)) == "signer"


def test_the_order_of_the_query_and_the_spelling_of_a_space_do_not_matter(gateway: Gateway) -> None:
    headers = signed(KEY, "GET", HOST, CBH + "/list", [("a", "x y"), ("b", "z")])

    assert gateway.verdict(headers, query="b=z&a=x+y") == "signer"
    assert gateway.verdict(headers, query="a=%78%20y&b=z") == "signer"


def test_a_percent_sign_in_the_path_is_decoded_once(gateway: Gateway) -> None:
    headers = signed(KEY, "GET", HOST, "/v2/{project_id}/a b/%")

    assert gateway.verdict(headers, path="/v2/%7Bproject_id%7D/a%20b/%25") == "signer"


def test_header_values_count_by_their_bytes_and_without_outer_blanks(gateway: Gateway) -> None:
    headers = signed(KEY, "GET", HOST, CBH + "/list", headers={"X-Name": " Jörg "})
    headers["X-Name"] = "\t" + "Jörg".encode().decode("latin-1")

    assert gateway.verdict(headers) == "signer"


@pytest.mark.parametrize("name", ["X-Project-Id", "X-Sdk-Date", "Content-Type", "Host"])
def test_a_signed_header_cannot_be_changed(gateway: Gateway, name: str) -> None:
    headers = {"X-Project-Id": PROJECT_ID, "Content-Type": "application/json"}
    sent = signed(KEY, "GET", HOST, CBH + "/list", headers=headers)
    changed = {
        "X-Project-Id": "b" * 32,
        "X-Sdk-Date": sdk_date(datetime.now(UTC) + timedelta(seconds=90)),
        "Content-Type": "application/xml",
        "Host": "127.0.0.1:8011",
    }

    assert gateway.verdict(sent) == "signer"
    assert gateway.verdict({**sent, name: changed[name]}) is SignatureProblem.WRONG


def test_a_signed_header_cannot_be_left_out(gateway: Gateway) -> None:
    sent = signed(KEY, "GET", HOST, CBH + "/list", headers={"X-Project-Id": ""})
    del sent["X-Project-Id"]

    assert gateway.verdict(sent) is SignatureProblem.WRONG


def test_body_and_method_are_signed(gateway: Gateway) -> None:
    sent = signed(KEY, "POST", HOST, CBH + "/login", body=b"{}", headers={"Content-Type": "application/json"})

    assert gateway.verdict(sent, "POST", CBH + "/login", body=b"{}") == "signer"
    assert gateway.verdict(sent, "POST", CBH + "/login", body=b"{ }") is SignatureProblem.WRONG
    assert gateway.verdict(sent, "PUT", CBH + "/login", body=b"{}") is SignatureProblem.WRONG


def test_a_declared_hash_of_the_body_is_not_believed(gateway: Gateway) -> None:
    declared = {"X-Sdk-Content-Sha256": "0" * 64}
    sent = signed(KEY, "POST", HOST, CBH + "/login", body=b"{}", headers=declared)

    assert gateway.verdict(sent, "POST", CBH + "/login", body=b"{}") is SignatureProblem.WRONG


def test_no_body_is_signed_as_an_empty_one_whatever_is_declared(gateway: Gateway) -> None:
    declared = {"Content-Type": "text/plain", "X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD"}
    sent = signed(KEY, "POST", HOST, CBH + "/login", headers=declared)

    assert gateway.verdict(sent, "POST", CBH + "/login") == "signer"
    assert gateway.verdict(sent, "POST", CBH + "/login", body=b"added") is SignatureProblem.WRONG


def test_a_body_cannot_be_declared_unsigned_afterwards(gateway: Gateway) -> None:
    sent = signed(KEY, "POST", HOST, CBH + "/login", body=b"{}")
    sent["X-Sdk-Content-Sha256"] = "UNSIGNED-PAYLOAD"

    assert gateway.verdict(sent, "POST", CBH + "/login", body=b"{}") is SignatureProblem.WRONG


def test_a_json_body_is_signed_whatever_is_declared(gateway: Gateway) -> None:
    declared = {"Content-Type": "application/json", "X-Sdk-Content-Sha256": "UNSIGNED-PAYLOAD"}
    sent = signed(KEY, "POST", HOST, CBH + "/login", body=b"UNSIGNED", headers=declared)

    assert gateway.verdict(sent, "POST", CBH + "/login", body=b"another") is SignatureProblem.WRONG


@pytest.mark.parametrize("minutes", [14, -14])
def test_a_clock_a_little_wrong_is_tolerated(gateway: Gateway, minutes: int) -> None:
    gateway.clock.advance(minutes * 60)

    assert gateway.verdict(signed(KEY, "GET", HOST, CBH + "/list")) == "signer"


@pytest.mark.parametrize("minutes", [16, -16])
def test_a_signature_of_another_time_is_refused_and_does_not_count_as_guessing(gateway: Gateway, minutes: int) -> None:
    headers = signed(KEY, "GET", HOST, CBH + "/list")
    gateway.clock.advance(minutes * 60)

    verdicts = {gateway.verdict(headers) for _ in range(8)}
    gateway.clock.reset()

    assert verdicts == {SignatureProblem.SKEWED}
    assert gateway.verdict(headers) == "signer"


@pytest.mark.parametrize("text", ["", "20260102", "2026-01-02T03:04:05Z", "20261302T030405Z", "20260102T030405z"])
def test_a_date_in_another_form_is_refused(gateway: Gateway, text: str) -> None:
    headers = signed(KEY, "GET", HOST, CBH + "/list", headers={"X-Sdk-Date": text})

    assert gateway.verdict(headers) is SignatureProblem.SKEWED


@pytest.mark.parametrize("name", ["host", "x-sdk-date"])
def test_host_and_date_have_to_be_signed(gateway: Gateway, name: str) -> None:
    headers = signed(KEY, "GET", HOST, CBH + "/list", unsigned_names=(name,))

    assert gateway.verdict(headers) is SignatureProblem.UNREADABLE


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Basic c2FuZGJveDpzYW5kYm94",
        "SDK-HMAC-SHA256",
        "SDK-HMAC-SHA256 Access=, SignedHeaders=host;x-sdk-date, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=A, SignedHeaders=host;x-sdk-date, Signature=" + "0" * 63,
        "SDK-HMAC-SHA256 Access=A, SignedHeaders=host;x-sdk-date, Signature=" + "0" * 65,
        "SDK-HMAC-SHA256 Access=A, SignedHeaders=x-sdk-date;host, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=A, SignedHeaders=host;host;x-sdk-date, Signature=" + "0" * 64,
        "SDK-HMAC-SHA256 Access=A, SignedHeaders=Accept;host;x-sdk-date, Signature=" + "0" * 64,
        "V11-HMAC-SHA256 Credential=A/20260102/r/s, SignedHeaders=host;x-sdk-date, Signature=" + "0" * 64,
        "SDK-HMAC-SM3 Access=A, SignedHeaders=host;x-sdk-date, Signature=" + "0" * 64,
    ],
)
def test_anything_but_this_algorithms_header_is_unreadable(value: str) -> None:
    assert Authorization.parse(value) is None


def test_an_unknown_key_is_told_from_a_wrong_signature(gateway: Gateway) -> None:
    unknown = signed(("NOSUCHKEY", KEY[1]), "GET", HOST, CBH + "/list")
    wrong = signed((KEY[0], "another-secret"), "GET", HOST, CBH + "/list")

    assert gateway.verdict(unknown) is SignatureProblem.UNKNOWN_KEY
    assert gateway.verdict(wrong) is SignatureProblem.WRONG


@pytest.mark.parametrize("token", [None, "", "another", "st\xe9"])
def test_a_temporary_key_is_worth_nothing_without_its_token(gateway: Gateway, token: str | None) -> None:
    def call(given: str | None) -> str | SignatureProblem:
        headers = {} if given is None else {"X-Security-Token": given}
        return gateway.verdict(signed(TEMPORARY, "GET", HOST, CBH + "/list", headers=headers))

    assert call("st") == "signer"
    assert call(token) is SignatureProblem.WRONG


def test_a_permanent_key_comes_without_a_token(gateway: Gateway) -> None:
    headers = signed(KEY, "GET", HOST, CBH + "/list", headers={"X-Security-Token": "st"})

    assert gateway.verdict(headers) is SignatureProblem.WRONG


def test_more_than_five_failures_in_a_row_lock_the_key_for_five_minutes(gateway: Gateway) -> None:
    wrong = signed((KEY[0], "guess"), "GET", HOST, CBH + "/list")
    right = signed(KEY, "GET", HOST, CBH + "/list")

    failures = [gateway.verdict(wrong) for _ in range(6)]
    locked = [gateway.verdict(headers) for headers in (wrong, right)]
    gateway.clock.advance(299)
    still = gateway.verdict(right)
    gateway.clock.advance(2)
    after = [gateway.verdict(headers) for headers in (wrong, right)]

    assert failures == [SignatureProblem.WRONG] * 6
    assert [*locked, still] == [SignatureProblem.LOCKED] * 3
    assert after == [SignatureProblem.WRONG, "signer"]


def test_a_success_forgets_earlier_failures_and_keys_are_locked_one_by_one(gateway: Gateway) -> None:
    wrong = signed((KEY[0], "guess"), "GET", HOST, CBH + "/list")
    other = signed(TEMPORARY, "GET", HOST, CBH + "/list", headers={"X-Security-Token": "st"})

    for _ in range(5):
        gateway.verdict(wrong)
    between = gateway.verdict(signed(KEY, "GET", HOST, CBH + "/list"))
    again = [gateway.verdict(wrong) for _ in range(6)]

    assert between == "signer"
    assert again == [SignatureProblem.WRONG] * 6
    assert gateway.verdict(wrong) is SignatureProblem.LOCKED
    assert gateway.verdict(other) == "signer"


def test_a_reset_unlocks(gateway: Gateway) -> None:
    for _ in range(7):
        gateway.verdict(signed((KEY[0], "guess"), "GET", HOST, CBH + "/list"))

    gateway.desk.reset()

    assert gateway.verdict(signed(KEY, "GET", HOST, CBH + "/list")) == "signer"


def test_the_user_is_the_one_of_now(gateway: Gateway) -> None:
    headers = signed(KEY, "GET", HOST, CBH + "/list")

    gateway.users.edit("acme", "signer", programmatic_access=False)
    console = gateway.verdict(headers)
    gateway.users.edit("acme", "signer", enabled=False)

    assert console is SignatureProblem.CONSOLE_ONLY
    assert gateway.verdict(headers) is SignatureProblem.USER_DISABLED
