"""Whatever the cloud answers, a launch gets a link or a CloudError with words for it: in time, without secrets."""

from __future__ import annotations

import string
import time
import unicodedata
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from hypothesis import strategies as st

from omaccess.causes import cause_of, state_of, upstream_of
from omaccess.cloud.cbh import CbhClient
from omaccess.cloud.endpoints import EndpointRules
from omaccess.cloud.envelopes import http_date, read_error, retry_after_seconds
from omaccess.cloud.errors import CloudError, OmUrlRefused
from omaccess.cloud.http import CloudTransport
from omaccess.cloud.iam import IamClient, parse_moment
from omaccess.cloud.login_url import check_login_url
from omaccess.cloud.types import (
    CbhInstanceList,
    Deadline,
    IamToken,
    OmUrl,
    OmUrlState,
    PasswordCredential,
    ProjectScope,
)
from omaccess.failures import CATALOGUE, explain
from tests.fuzz.answers import (
    ERROR_BODIES,
    INSTANCES_BODY,
    LINK_BODY,
    ORIGIN,
    PASSWORD,
    REFUSED_BODY,
    TOKEN,
    TOKEN_BODY,
    bodies,
    headers,
    holds_a_secret,
    json_values,
    statuses,
    texts,
)
from tests.fuzz.budget import Explorer
from tests.omaccess.cloud.wire import Wire, raw

SECONDS = 0.5
"""The deadline of a call here: too short for a second try, long enough for an answer that is there."""
SLACK_SECONDS = 10.0
"""For a busy machine. What hangs, hangs for longer."""
MOST_CPU_SECONDS = 1.0
"""What reading an answer may cost: the interpreter belongs to everybody."""

Question = Literal["token", "link", "instances"]


@dataclass(frozen=True)
class Sent:
    """The bytes of one answer, and to whose question."""

    question: Question
    data: bytes


class Cloud:
    """Our clients before a server that says whatever it is told to."""

    def __init__(self, wire: Wire, transport: CloudTransport) -> None:
        self._wire = wire
        self._iam = IamClient(transport, wire.url)
        self._cbh = CbhClient(transport, wire.url)

    def ask(self, sent: Sent) -> IamToken | OmUrl | CbhInstanceList:
        self._wire.replies = [raw(sent.data)]
        self._wire.received.clear()
        deadline = Deadline.after(SECONDS)
        if sent.question == "token":
            credential = PasswordCredential(account_name="acme", user_name="portal", password=PASSWORD)
            return self._iam.token(credential=credential, scope=ProjectScope(id="p-1"), deadline=deadline)
        if sent.question == "instances":
            return self._cbh.instances(token=TOKEN, project_id="p-1", deadline=deadline)
        return self._cbh.om_url(
            token=TOKEN,
            project_id="p-1",
            server_id="s-1",
            ip_address="10.0.0.7",
            host_account_name="root",
            link_origins=[ORIGIN],
            allow_http_loopback=False,
            deadline=deadline,
        )


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with ExitStack() as stack:
        wire = stack.enter_context(Wire([raw(b"")]))
        transport = CloudTransport(EndpointRules([wire.url], allow_http_loopback=True))
        stack.callback(transport.close)
        yield Cloud(wire, transport)


def is_plain(text: str) -> bool:
    """Nothing that a database refuses, ends a line, steers a terminal or turns writing around."""
    turning = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
    return not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in turning for char in text)


def check_error(error: CloudError, question: Question) -> None:
    """It has a cause with words, in whose columns it fits, and repeats no secret."""
    cause = cause_of(error)
    explanation = explain(cause)
    facts = upstream_of(error)
    told = f"{error}{error!r}{[value for name, value in vars(error).items() if name != 'origin']}{facts}"

    assert cause in CATALOGUE
    assert explanation.title
    assert explanation.next_step
    assert state_of(error) in ("refused", "failed")
    assert not holds_a_secret(told, question)
    assert all(is_plain(text) for text in (error.code, error.description, error.request_id))
    assert (len(error.code), len(error.description), len(error.request_id)) <= (64, 500, 128)


def check_answer(cloud: Cloud, sent: Sent) -> None:
    """The one property of a call: in time, and a well-formed result or an error of ours."""
    began, cpu_began = time.monotonic(), time.thread_time()
    try:
        result = cloud.ask(sent)
    except CloudError as error:
        check_error(error, sent.question)
        assert error.__context__ is None or isinstance(error.__context__, CloudError)  # noqa: PT017 - not every input raises
    else:
        assert not holds_a_secret(repr(result), sent.question)
        check_result(result)
        assert is_plain(result.request_id)
        assert len(result.request_id) <= 128
    assert time.monotonic() - began < SECONDS + SLACK_SECONDS
    assert time.thread_time() - cpu_began < MOST_CPU_SECONDS


def check_result(result: IamToken | OmUrl | CbhInstanceList) -> None:
    """Nothing in it that was not looked at."""
    if isinstance(result, OmUrl):
        assert check_login_url(result.value, link_origins=[ORIGIN], allow_http_loopback=False) == result.origin
        assert OmUrlState.parse(result.upstream_state) is OmUrlState.SUCCESS
    elif isinstance(result, IamToken):
        assert result.value.isascii()
        assert result.value.isprintable()
        assert result.project_id == "p-1"
        assert result.expires_at.tzinfo is UTC
    else:
        for instance in result.instances:
            texts_of = [value for value in astuple(instance) if isinstance(value, str)]
            assert all(is_plain(text) and len(text) <= 64 for text in texts_of)
            assert instance.web_port is None or 1 <= instance.web_port <= 65535


def answer_bytes(status: int, given: list[tuple[str, str]], body: bytes) -> bytes:
    lines = [
        f"HTTP/1.1 {status:03d} Whatever",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in given),
    ]
    return "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body


_questions: st.SearchStrategy[Question] = st.sampled_from(("token", "link", "link", "instances"))
_VALID: dict[Question, tuple[dict[str, Any], ...]] = {
    "token": (TOKEN_BODY,),
    "link": (LINK_BODY, REFUSED_BODY),
    "instances": (INSTANCES_BODY,),
}


@st.composite
def framed(draw: st.DrawFn) -> Sent:
    """A proper HTTP answer; what it says is anything."""
    question = draw(_questions)
    status = draw(st.one_of(st.sampled_from((200, 201) if question == "token" else (200,)), statuses))
    given = draw(headers)
    if question == "token" and draw(st.integers(0, 3)):
        given = [("X-Subject-Token", "a-token"), *given]
    body = draw(st.sampled_from(ERROR_BODIES if status >= 300 else _VALID[question]).flatmap(bodies))
    return Sent(question, answer_bytes(status, given, body))


def _body(text: bytes, status: int = 200, question: Question = "link") -> Sent:
    return Sent(question, answer_bytes(status, [], text))


ANSWERS = (
    _body(b'{"state":"SUCCESS","login_url":"\\ud800"}'),
    _body(b'{"state":"UNKNOWN_ERROR","login_url":"\\udfff","description":"\\ud800"}'),
    _body(b'{"state":"SUCCESS","login_url":"%s/x","request_id":"a\\u0000%s"}' % (ORIGIN.encode(), TOKEN.encode())),
    _body(b'{"state":"UNKNOWN_ERROR","description":"%s"}' % (b"a" * 65_536)),
    _body(b'{"error_msg":"%s"}' % (b"the user " * 100_000), 400, "token"),
    _body(b'{"error_msg":"%s"}' % (b"x" * 900_000), 500),
    _body(b'{"state":0,"request_id":"%s"}' % TOKEN.encode()),
    _body(b'{"error_code":"x","request_id":"%s"}' % TOKEN.encode(), 403),
    Sent("link", answer_bytes(403, [("X-Request-Id", TOKEN)], b"{}")),
    Sent("token", answer_bytes(429, [("Retry-After", "9" * 400)], b"{}")),
    Sent("token", answer_bytes(429, [("Retry-After", "Fri, 31 Dec 9999 23:59:59 -2359")], b"{}")),
)  # fmt: skip
"""Once, each of these was too much for somebody."""


def test_any_answer_becomes_a_result_or_an_error_of_ours(cloud: Cloud, explorer: Explorer) -> None:
    explorer.explore(framed(), lambda sent: check_answer(cloud, sent), few=300, share=0.05, examples=ANSWERS)


_sizes = st.sampled_from(
    (
        "0",
        "5",
        "99999999999",
        "-1",
        "+5",
        "5, 5",
        "5,6",
        "0x5",
        "",
        " 5",
        "5 ",
        "\u096b",
        "1e3",
        "1048577",
        "18446744073709551616",
    )
)
_codings = st.sampled_from(
    ("chunked", "Chunked", "gzip, chunked", "chunked, identity", "identity", "xchunked", "chunked\t", "")
)
_chunks = st.one_of(
    st.sampled_from((b"5\r\nhello\r\n0\r\n\r\n", b"5;a=b\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n", b"g\r\n", b"5\r\nhel", b"\r\n", b"ffffffffffffffff\r\nx",
                     b"5\nhello\n0\n\n", b"1" * 70_000, b"0\r\nX-Subject-Token: canary\r\n\r\n",
                     b"5" + b" " * 5000 + b"\r\nhello\r\n", b"1\r\na\r\n" * 20_000)),
    st.binary(max_size=60),
)  # fmt: skip
_starts = st.sampled_from((b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200\r\n",
    b"HTTP/1.1 201 Created\r\n", b"HTTP/2 200\r\n", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
                           b"HTTP/1.1 100 Continue\r\n\r\n" * 200, b"HTTP/1.1 101 Switching Protocols\r\n",
                           b"HTTP/1.1 204 No\r\n", b"HTTP/1.1 304 No\r\n", b"HTTP/1.1  200  OK\r\n",
                           b"HTTP/1.1 2000 OK\r\n", b"HTTP/1.1 -1 OK\r\n",
                           b"HTTP/9.9 200 OK\r\n", b"ICY 200 OK\r\n", b"200 OK\r\n", b"\r\n", b"",
                           b"HTTP/1.1 200 " + b"O" * 70_000 + b"\r\n", b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-x\r\n",
                           b"HTTP/1.1 200 OK\n"))  # fmt: skip
_odd_lines = st.one_of(
    st.sampled_from((b" folded: yes", b"\tfolded", b"No colon here", b": no name", b"X-Request-Id : spaced",
        b"X-Bad\x00: a", b"X-Bad: a\x00b", b"X-Bad: a\rb", b"X-Bad: a\nb",
                     b"X-Long: " + b"a" * 66_000, b"X-Subject-Token: one\r\nX-Subject-Token: two", b"\xff\xfe: \x80",
                     b"Content-Encoding: gzip", b"Connection: keep-alive\r\nKeep-Alive: x",
                     b"\r\nX: y", b"X: y\r\n" * 120, b"Transfer-Encoding: chunked\r\nContent-Length: 5",
                     b"X-Request-Id: " + TOKEN.encode())),
    st.binary(max_size=30),
)  # fmt: skip


@st.composite
def wild(draw: st.DrawFn) -> Sent:
    """Bytes on the wire that only resemble HTTP."""
    question = draw(_questions)
    if draw(st.integers(0, 9)) == 0:
        return Sent(question, draw(st.binary(max_size=300)))
    lines = [draw(_odd_lines) for _ in range(draw(st.integers(0, 2)))]
    kind = draw(st.sampled_from(("length", "chunks", "none", "both")))
    if kind in ("length", "both"):
        lines.append(b"Content-Length: " + draw(_sizes).encode())
    if kind in ("chunks", "both"):
        lines.append(b"Transfer-Encoding: " + draw(_codings).encode())
    body = draw(st.one_of(_chunks, st.sampled_from(_VALID[question]).flatmap(bodies), st.just(b"x" * 1_100_000)))
    return Sent(question, draw(_starts) + b"".join(line + b"\r\n" for line in lines) + b"\r\n" + body)


WILD = (
    Sent("token", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\nx"),
    Sent("link", b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx"),
    Sent("link", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx"),
    Sent("instances", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\nx"),
)  # fmt: skip
"""Sizes that would be believed before a byte has come."""


def test_any_bytes_on_the_wire_become_an_error_of_ours_in_time(cloud: Cloud, explorer: Explorer) -> None:
    explorer.explore(wild(), lambda sent: check_answer(cloud, sent), few=200, share=0.04, examples=WILD)


def test_an_error_body_of_any_shape_is_read(explorer: Explorer) -> None:
    def check(body: bytes) -> None:
        envelope = read_error(body, secrets=(PASSWORD, TOKEN))

        assert not any(secret in f"{envelope.code} {envelope.message}" for secret in (PASSWORD, TOKEN))
        assert envelope.family_code == envelope.family_code.strip().upper()

    explorer.explore(st.sampled_from(ERROR_BODIES).flatmap(bodies), check, few=150, share=0.03)


def test_a_state_of_any_type_is_success_only_when_it_says_nothing_else(explorer: Explorer) -> None:
    def check(raw_state: Any) -> None:
        try:
            state = OmUrlState.parse(raw_state)
        except ValueError:
            return
        text = str(raw_state).strip().upper().lstrip("#").strip()
        if state is OmUrlState.SUCCESS:
            assert text.rstrip(")\uff09 0").startswith("SUCCESS") or float(text) == 0
        else:
            check_error(OmUrlRefused(state=state, raw_state="x", service="cbh"), "link")

    states = st.one_of(
        json_values,
        st.sampled_from(
            (
                "0",
                "00",
                "-0",
                "0.0",
                "SUCCESS(00)",
                "SUCCESS()",
                "SUCCESS (0)",
                "SUCCESS(0)(1)",
                "\u0660",
                0.0,
                -0.0,
                0.5,
            )
        ),
    )
    explorer.explore(states, check, few=150, share=0.06)


def test_a_wait_or_a_time_of_any_spelling_is_read_or_ignored(explorer: Explorer) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)

    def check(pair: tuple[str, str]) -> None:
        wait, date = pair
        seconds = retry_after_seconds({"Retry-After": wait, "Date": date}, now=now)
        moments = [http_date(wait), parse_moment(wait)]

        assert seconds is None or 0 <= seconds < float("inf")
        assert all(moment is None or moment.utcoffset() == datetime.now(UTC).utcoffset() for moment in moments)

    spelt = st.one_of(
        texts,
        st.text(string.digits + "-:TZ+. ", max_size=35),
        st.from_regex(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}([.]\d{1,9})?(Z|[+-]\d{2}:?\d{2})?"),
        st.from_regex(r"(Mon|Sun), \d{1,2} (Jan|Dec|Foo) \d{1,5} \d{1,2}:\d{1,2}:\d{1,2} (GMT|[+-]\d{4}|EST)"),
    )
    explorer.explore(st.tuples(spelt, spelt), check, few=150, share=0.04)
