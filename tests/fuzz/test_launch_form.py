"""The launch form under any request body: whole records, and no way out but our own pages and the bastion's link."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from hypothesis import strategies as st

from omaccess.audit import Kind
from omaccess.models import AuditEvent, Grant, Launch, LaunchState
from omaccess.sandbox.server import SandboxServer
from tests.factories import HostAccountFactory
from tests.fuzz.budget import Explorer
from tests.fuzz.urls import links, right_links
from tests.fuzz.web import MOST_CPU_SECONDS, check_manners, check_own_address, escaped, texts
from tests.inventory import Inventory
from tests.omaccess.admin.conftest import BACKEND

pytestmark = pytest.mark.database

FORM = "application/x-www-form-urlencoded"
TERMINAL = {
    LaunchState.OPENED: Kind.LAUNCH_OPENED,
    LaunchState.REFUSED: Kind.LAUNCH_REFUSED,
    LaunchState.FAILED: Kind.LAUNCH_FAILED,
    LaunchState.DENIED: Kind.LAUNCH_DENIED,
    LaunchState.WAITING: Kind.LAUNCH_WAITING,
}


@dataclass(frozen=True)
class Posted:
    """A request body. `%ROOT%` and `%OTHER%` stand for ids of accounts that may and may not be opened."""

    path: str
    body: str | bytes
    content_type: str = FORM
    is_checked: bool = False
    """With CSRF checks; there is no token, so nothing may come of it."""


@dataclass
class Desk:
    """`staff` at the form, with real commits: what a check reads afterwards is on disk."""

    inventory: Inventory
    clients: dict[bool, Client]
    root: int
    other: int
    position: int = 0

    def send(self, posted: Posted) -> Any:
        body = posted.body.encode("utf-8", "surrogatepass") if isinstance(posted.body, str) else posted.body
        body = body.replace(b"%ROOT%", b"%d" % self.root).replace(b"%OTHER%", b"%d" % self.other)
        newest = AuditEvent.objects.first()
        self.position = newest.position if newest else 0
        return self.clients[posted.is_checked].generic("POST", posted.path, body, content_type=posted.content_type)

    def events(self) -> list[AuditEvent]:
        return list(AuditEvent.objects.filter(position__gt=self.position).order_by("position"))


@pytest.fixture
def desk(committed_inventory: Inventory, settings: Any) -> Desk:
    settings.LAUNCHES_PER_MINUTE = 1_000_000
    Grant.objects.filter(pk=committed_inventory.grant.pk).update(
        target=Grant.Target.HOST, host=committed_inventory.hosts["web-01"]
    )
    clients = {}
    for is_checked in (False, True):
        clients[is_checked] = Client(enforce_csrf_checks=is_checked, REMOTE_ADDR="192.0.2.7")
        clients[is_checked].force_login(committed_inventory.staff, backend=BACKEND)
    return Desk(committed_inventory, clients, committed_inventory.root.pk, HostAccountFactory().pk)


def check_records(desk: Desk, response: Any, sandbox_url: str) -> None:
    """Nothing half: every launch of this request has all its events, and a link only left after both."""
    events = desk.events()
    launches = Launch.objects.filter(reference__in={event.reference for event in events if event.reference})
    for launch in launches:
        kinds = [event.kind for event in events if event.reference == launch.reference]
        expected = [TERMINAL[LaunchState(launch.state)].value]
        assert kinds == (expected if launch.state == LaunchState.DENIED else [Kind.LAUNCH_REQUESTED.value, *expected])
    location = response.headers.get("Location", "")
    if location.startswith(sandbox_url):
        assert response.status_code == 303
        assert [event.kind for event in events] == [Kind.LAUNCH_REQUESTED.value, Kind.LAUNCH_OPENED.value]
        assert (response["Cache-Control"], response["Referrer-Policy"]) == ("no-store", "no-referrer")
    else:
        check_manners(response)
        assert Kind.LAUNCH_OPENED.value not in [event.kind for event in events]
        assert "om" not in location.split("?")[0].split("/")


_accounts = st.one_of(st.just("%ROOT%"), st.just("%ROOT%"), st.just("%OTHER%"), texts)
_uuids = st.one_of(
    st.uuids(version=4).map(str),
    st.uuids(version=4).map(lambda one: "{" + str(one).upper() + "}"),
    st.uuids().map(lambda one: f"urn:uuid:{one.hex}"),
)
_fields = st.fixed_dictionaries(
    {},
    optional={
        "account": _accounts,
        "reason": texts,
        "ticket": texts,
        "once": st.one_of(_uuids, texts),
        "csrfmiddlewaretoken": texts,
    },
)


def _text(value: str) -> str:
    """Percent-encoded, but for the names that are filled in when it is sent."""
    return value if value in ("%ROOT%", "%OTHER%") else quote(value.encode("utf-8", "surrogatepass"), safe="")


@st.composite
def _forms(draw: st.DrawFn) -> Posted:
    pairs = [
        (name, value)
        for fields in (draw(_fields), draw(_fields) if draw(st.integers(0, 3)) == 0 else {})
        for name, value in fields.items()
    ]
    if draw(st.booleans()) and pairs:
        pairs.append(("account", "%ROOT%"))
    body = "&".join(f"{name}={_text(value)}" for name, value in pairs)
    kind = draw(
        st.sampled_from(
            (
                FORM,
                FORM,
                FORM,
                FORM,
                f"{FORM}; charset=utf-16",
                f"{FORM}; charset=latin-1",
                f"{FORM}; charset=nonsense",
                f"{FORM}; charset=\u00e9",
                "text/plain",
                "application/json",
                "",
                "a/b; c",
            )
        )
    )
    return Posted("/launches/", body, kind, draw(st.integers(0, 5)) == 0)


@st.composite
def _uploads(draw: st.DrawFn) -> Posted:
    """multipart/form-data: files where texts are expected, odd charsets, cut and doubled parts, wrong boundaries."""
    fields: dict[str, Any] = {name: value.encode("utf-8", "replace").decode() for name, value in draw(_fields).items()}
    if draw(st.booleans()):
        name = draw(st.sampled_from(("account", "reason", "ticket", "once", "other")))
        fields[name] = SimpleUploadedFile(
            draw(st.sampled_from(("a.txt", "../../etc/passwd", "\u202egpj.exe", "a\u0000b", "a" * 300))),
            draw(st.binary(max_size=50)),
        )
    body = encode_multipart(BOUNDARY, fields)
    if draw(st.booleans()):
        at = draw(st.integers(0, len(body)))
        body = (
            body[:at]
            + draw(st.one_of(st.just(b""), st.binary(max_size=6), st.just(b"\r\n--" + BOUNDARY.encode())))
            + body[at + draw(st.integers(0, 20)) :]
        )
    kinds = (MULTIPART_CONTENT, MULTIPART_CONTENT, f"multipart/form-data; boundary={BOUNDARY}; charset=utf-16",
        "multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\u00e9",
             f'multipart/form-data; boundary="{BOUNDARY}', "multipart/form-data; boundary=" + "x" * 300,
                 "multipart/mixed; boundary=a")  # fmt: skip
    return Posted("/launches/", body, draw(st.sampled_from(kinds)), draw(st.integers(0, 5)) == 0)


_references = st.one_of(escaped, st.text("0123456789ABCDEFGHJKMNPQRSTVWXYZoil-", min_size=8, max_size=14))
_attempts = st.builds(
    lambda reference, body, is_checked: Posted(f"/launches/{reference}/attempt/", body, FORM, is_checked),
    _references,
    escaped,
    st.booleans(),
)
_raw = st.builds(
    Posted,
    st.sampled_from(("/launches/", "/launches/")),
    st.binary(max_size=100),
    st.sampled_from((FORM, MULTIPART_CONTENT, "application/json")),
)
posts = st.one_of(_forms(), _forms(), _forms(), _uploads(), _attempts, _raw)

EXAMPLES = (
    Posted("/launches/", "account=%ROOT%"),
    Posted("/launches/", "account=%OTHER%"),
    Posted("/launches/", "account=%ROOT%&reason=%00%ed%a0%80&ticket=%ff"),
    Posted("/launches/", "account=%ROOT%&reason=" + "a" * 3000),
    Posted("/launches/", "account=%ROOT%", f"{FORM}; charset=utf-16"),
    Posted("/launches/", "&".join(f"a{number}=" for number in range(2100))),
    Posted("/launches/", "reason=" + "a" * (1 << 20)),
    Posted("/launches/", "account=1", is_checked=True),
    Posted("/launches/", b"--x\r\nContent-Disposition: form-data; name=\"account\"\r\n\r\n1",
        "multipart/form-data; boundary=x"),
    Posted("/launches/%00/attempt/", "", is_checked=True),
    Posted("/launches/0000000000/attempt/", "account=%ROOT%"),
)  # fmt: skip


def test_any_post_is_answered_and_recorded_whole(desk: Desk, sandbox: SandboxServer, explorer: Explorer) -> None:
    def check(posted: Posted) -> None:
        began = time.thread_time()

        response = desk.send(posted)

        check_records(desk, response, sandbox.url)
        assert time.thread_time() - began < MOST_CPU_SECONDS
        if posted.is_checked:
            assert not desk.events()
        explorer.count("links handed out", 1 if response.headers.get("Location", "").startswith(sandbox.url) else 0)

    explorer.explore(posts, check, few=100, share=0.008, examples=EXAMPLES)

    assert explorer.counts["links handed out"] > 0


def test_a_link_leaves_byte_for_byte_or_not_at_all(desk: Desk, sandbox: SandboxServer, explorer: Explorer) -> None:
    """The bastion answers SUCCESS with any text as link; the instance's one address is the sandbox's."""

    def check(link: str) -> None:
        local = link.replace("http://127.0.0.1:8010", sandbox.url)
        sandbox.control.clear_faults()
        sandbox.control.add_fault("cbh.om_url", times=1, merge={"login_url": local or " "})

        response = desk.send(Posted("/launches/", f"account=%ROOT%&{urlencode({'once': uuid.uuid4()})}"))

        location = response.headers["Location"]
        assert response.status_code == 303
        if location.startswith("/launches/"):
            check_own_address(location)
            assert [event.kind for event in desk.events()] == [Kind.LAUNCH_REQUESTED.value, Kind.LAUNCH_FAILED.value]
        else:
            check_records(desk, response, sandbox.url)
            sent = response.serialize_headers().split(b"\r\n")
            assert b"Location: " + local.encode("ascii") in sent
            assert local.startswith((f"{sandbox.url}/", f"{sandbox.url}?", f"{sandbox.url}#")) or local == sandbox.url
            explorer.count("links handed out")

    inputs = st.one_of(links, right_links, right_links).filter(lambda link: len(link) < 50_000)
    explorer.explore(
        inputs,
        check,
        few=50,
        share=0.005,
        examples=["http://127.0.0.1:8010/a?b=%0d%0aX:%20y", "http://127.0.0.1:8010\r\nX: y", "\ud800"],
    )

    assert explorer.counts["links handed out"] > 0
