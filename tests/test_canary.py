"""No secret reaches any sink: whole launches with everything logged, then every place is searched.

The secrets are taken at the source, in the sandbox, as it issues them: tokens, and what is secret in login links. The
sinks are all logs at DEBUG, standard output and error, every column of every table, the cache, pages, pickled
exceptions, reprs, exports, mail. The one place where a link may be is the `Location` of the answer that hands it over.
"""

from __future__ import annotations

import base64
import binascii
import html
import io
import json
import logging
import pickle
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

import pytest
from django.core import mail
from django.core.cache import cache
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.views.debug import ExceptionReporter

from omaccess import cloud_link
from omaccess.actions import launches
from omaccess.audit import triggers
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline, PasswordCredential
from omaccess.cloud_link import Target, Timing
from omaccess.errors import CredentialBlocked, CredentialUnusable
from omaccess.models import IamUserLease, Launch, LaunchState
from omaccess.sandbox.server import SandboxServer
from omaccess.tasks import close_abandoned_launches, log_audit_head
from portal.settings import LOGGING
from tests.factories import UserFactory
from tests.inventory import Inventory

pytestmark = pytest.mark.database

START = 10
SLICE = 24
"""A secret that was cut is still one. Any 47 of its characters in a row contain a slice of this length."""


# --- where secrets come from -------------------------------------------------------------------------


@dataclass
class Issued:
    """What the sandbox gave out, and the passwords it knows."""

    passwords: set[str] = field(default_factory=set)
    tokens: set[str] = field(default_factory=set)
    tickets: set[str] = field(default_factory=set)

    @property
    def last_token(self) -> str:
        return self._order[-1]

    def __post_init__(self) -> None:
        self._order: list[str] = []

    def note_token(self, value: str) -> None:
        self.tokens.add(value)
        self._order.append(value)

    def forms(self) -> dict[str, str]:
        """Every way in which a secret could be written down → which secret that is."""
        found: dict[str, str] = {}
        for kind, secrets in (("password", self.passwords), ("token", self.tokens), ("link", self.tickets)):
            for secret in secrets:
                for piece in _pieces(secret):
                    found |= dict.fromkeys(_spellings(piece), f"{kind} {piece[:6]}…")
        return found


def _pieces(secret: str) -> list[str]:
    if len(secret) < 2 * SLICE:
        return [secret]
    return [secret[start : start + SLICE] for start in range(0, len(secret) - SLICE + 1, SLICE)]


def _spellings(text: str) -> set[str]:
    raw = text.encode()
    found = {text, text[::-1], quote(text, safe=""), quote_plus(text), quote(quote(text, safe=""), safe="")}
    found |= {html.escape(text), json.dumps(text)[1:-1], repr(text)[1:-1], raw.hex(), raw.hex().upper()}
    for shift in range(3):
        # In base64 a text looks in one of three ways; the characters at its ends belong to its neighbours too.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(b"\0" * shift + raw).decode().rstrip("=")
            found.add(coded[2 if shift else 0 :][shift:-1] if shift else coded[:-1])
    return found


@pytest.fixture
def issued(sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch) -> Issued:
    """Listens to the sandbox. It does what it always does; what it gives out is also noted here."""
    cloud = sandbox.app.cloud
    noted = Issued(passwords={user.password for user in cloud.world.users})
    issue_token, issue_ticket = cloud.tokens.issue, cloud.tickets.issue

    def token(**facts: Any) -> Any:
        result = issue_token(**facts)
        noted.note_token(result.value)
        return result

    def ticket(**facts: Any) -> str:
        result = issue_ticket(**facts)
        noted.tickets.add(result)
        return result

    monkeypatch.setattr(cloud.tokens, "issue", token)
    monkeypatch.setattr(cloud.tickets, "issue", ticket)
    return noted


# --- where they must not go --------------------------------------------------------------------------


@dataclass
class Sinks:
    """Name of a place → what is in it."""

    found: dict[str, str] = field(default_factory=dict, repr=False)

    def add(self, name: str, content: str | bytes) -> None:
        text = content.decode("latin-1") if isinstance(content, bytes) else content
        self.found[name] = self.found.get(name, "") + "\n" + text

    def leaks(self, issued: Issued) -> list[str]:
        """One sentence for each secret in each place. Looks for the first letters of all secrets at once."""
        by_start: dict[str, list[tuple[str, str]]] = {}
        for form, which in issued.forms().items():
            by_start.setdefault(form[:START], []).append((form, which))
        found = set()
        for name, text in self.found.items():
            starts = {text[index : index + START] for index in range(len(text) - START + 1)} & by_start.keys()
            found |= {f"{which} in {name}" for start in starts for form, which in by_start[start] if form in text}
        return sorted(found)


class Everything(logging.Handler):
    """Keeps each record as text, as production writes it, and with everything that hangs on it."""

    def __init__(self, sinks: Sinks) -> None:
        super().__init__(logging.NOTSET)
        self._sinks = sinks
        structured = dict(LOGGING["formatters"]["structured"])
        self.setFormatter(structured.pop("()")(**structured))

    def emit(self, record: logging.LogRecord) -> None:
        self._sinks.add("log: plain", logging.Formatter().format(record))
        self._sinks.add("log: attributes", repr(vars(record)))
        self._sinks.add("log: as production writes it", self.format(record))
        if record.exc_info and record.exc_info[1] is not None:
            self._sinks.add("log: exceptions", "".join(traceback.format_exception(record.exc_info[1])))


@pytest.fixture
def sinks() -> Sinks:
    return Sinks()


@pytest.fixture
def logged(sinks: Sinks) -> Iterator[None]:
    """All loggers at DEBUG, also those that keep their records to themselves.

    Asked for after `inventory`: the factories that make the rows log what they are given, passwords too.
    """
    handler = Everything(sinks)
    loggers = [logging.getLogger(), *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    before = [(logger, logger.level, logger.disabled) for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
        if logger is logging.getLogger() or not logger.propagate:
            logger.addHandler(handler)
    yield
    for logger, level, disabled in before:
        logger.setLevel(level)
        logger.disabled = disabled
        logger.removeHandler(handler)


def add_database(sinks: Sinks) -> None:
    """Every column of every table, raw; what is base64 or hex in it also decoded."""
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                for value in row:
                    sinks.add(f"table {table}", repr(value))
                    if isinstance(value, str):
                        for decode in (base64.b64decode, base64.urlsafe_b64decode, bytes.fromhex):
                            try:
                                sinks.add(f"table {table}, decoded", decode(value))
                            except (ValueError, binascii.Error):
                                continue


# --- the launches ------------------------------------------------------------------------------------


@pytest.fixture
def staff(inventory: Inventory, settings: Any) -> Client:
    settings.LAUNCHES_PER_MINUTE = 10_000
    client = Client()
    client.force_login(inventory.staff)
    return client


def press(staff: Client, account: Any, sinks: Sinks) -> Any:
    """The button, and then the page of the launch. The link's own answer is the only thing that is not a sink."""
    answer = staff.post(reverse("omaccess:launches"), {"account": account.pk, "reason": "canary"})
    launch = Launch.objects.order_by("-pk").first()
    assert launch is not None
    is_link = launch.state == LaunchState.OPENED and answer.status_code == 303
    sinks.add("response", repr(answer) + repr(vars(answer).get("_reason_phrase")))
    sinks.add("response body", answer.content)
    for name, value in answer.items():
        if not (is_link and name == "Location"):
            sinks.add("response header", f"{name}: {value}")
    sinks.add("response cookie", answer.cookies.output())
    sinks.add("launch page", staff.get(reverse("omaccess:launch", args=[launch.reference])).content)
    sinks.add("repr of launch", repr(launch) + repr(vars(launch)))
    return answer


REFUSALS = [
    ("web-01", "ghost"),
    ("web-01", "forbidden"),
    ("web-01", "conflict"),
    ("web-01", "broken"),
    ("unmanaged", "root"),
    ("legacy", "root"),
    ("fresh", "root"),
]


def cbh_faults(token: str) -> list[dict[str, Any]]:
    """Everything that can go wrong with a link in it or beside it; also a cloud that repeats what it was sent."""
    link = "https://bastion.example.com/?cbhinfo=" + "a-secret-that-no-ticket-office-issued"
    return [
        *({"login_url": kind} for kind in ("missing", "blank", "relative", "http", "javascript", "userinfo")),
        *({"login_url": kind} for kind in ("foreign_origin", "huge")),
        *({"drop": kind} for kind in ("before", "after", "mid_headers", "mid_body")),
        {"state": "UNKNOWN_ERROR", "login_url": "valid"},
        {"custom_state": "SOMETHING_NEW", "login_url": "valid"},
        {"omit_state": True, "login_url": "valid"},
        {"state": "IAM_USER_NO_PERMISSION", "description": f"token {token} may not"},
        {"state": "UNKNOWN_ERROR", "description": f"see {link}", "login_url": "valid"},
        {"status": 500, "envelope": "cbh_doc", "code": "CBH.10020009", "message": f"bad token {token}"},
        {"status": 403, "envelope": "gateway", "code": "APIGW.0302", "message": quote(token, safe="")},
        {"status": 400, "body": token, "content_type": "text/html"},
        {"status": 502, "body": f"<html>{token}</html>", "content_type": "text/html"},
        {"body": f'{{"state": "SUCCESS", "login_url": "{token}"', "content_type": "application/json"},
    ]


def iam_faults(password: str) -> list[dict[str, Any]]:
    return [
        {"drop": "before"},
        {"drop": "after"},
        {"drop": "mid_headers"},
        {"status": 500, "envelope": "keystone", "message": f"password {password} broke us"},
        {"status": 503, "body": json.dumps({"echo": {"password": password}})},
        {"status": 400, "envelope": "error_msg", "code": "IAM.0001", "message": f"{password}"},
        {"headers": {"X-Subject-Token": None}},
        {"body": "{", "status": 201},
        {"merge": {"token": None}},
        {"status": 401, "envelope": "error_msg", "code": "IAM.0062", "message": f"wrong password {password}"},
    ]


def forget_tokens() -> None:
    cache.clear()
    IamUserLease.objects.all().delete()


def launch_everything(
    staff: Client, inventory: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks
) -> None:
    """Success, every refusal, a renewed token, every fault; each through the web."""
    control = sandbox.control
    assert press(staff, inventory.root, sinks)["Location"].startswith(sandbox.url)
    for host, account in REFUSALS:
        press(staff, inventory.account(account, host), sinks)

    control.revoke_tokens()
    assert press(staff, inventory.root, sinks)["Location"].startswith(sandbox.url)
    assert len(issued.tokens) == 2

    for fault in cbh_faults(issued.last_token):
        # Twice: some faults are worth a second try.
        control.add_fault("cbh.om_url", times=2, **fault)
        press(staff, inventory.root, sinks)
        control.clear_faults()

    (password,) = [user.password for user in sandbox.app.cloud.world.users if user.name == "portal"]
    for fault in iam_faults(password):
        forget_tokens()
        control.add_fault("iam.token", times=2, **fault)
        press(staff, inventory.root, sinks)
        control.clear_faults()
    forget_tokens()


def test_no_secret_reaches_any_sink(
    staff: Client,
    inventory: Inventory,
    sandbox: SandboxServer,
    issued: Issued,
    sinks: Sinks,
    logged: None,
    capfd: pytest.CaptureFixture[str],
) -> None:
    launch_everything(staff, inventory, sandbox, issued, sinks)
    press(staff, inventory.root, sinks)

    for page in ("/", "/activity/", f"/hosts/{inventory.hosts['web-01'].pk}/"):
        sinks.add(f"page {page}", staff.get(page).content)
    close_abandoned_launches()
    log_audit_head()
    for form in ("csv", "jsonl"):
        out = io.StringIO()
        call_command("audit_export", "--format", form, "--output", "-", stdout=out)
        sinks.add(f"export {form}", out.getvalue())
    add_database(sinks)
    sinks.add("mail", repr([vars(message) for message in mail.outbox]))
    printed = capfd.readouterr()
    sinks.add("standard output", printed.out)
    sinks.add("standard error", printed.err)

    assert len(issued.tickets) > 10
    states = set(Launch.objects.values_list("state", flat=True))
    assert {"opened", "refused", "failed", "waiting"} <= states
    assert "launch_opened" in sinks.found["log: as production writes it"]
    leaks = sinks.leaks(issued)
    assert leaks == []


def test_no_secret_is_on_the_admin_s_pages(
    staff: Client, inventory: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks
) -> None:
    launch_everything(staff, inventory, sandbox, issued, sinks)
    admin = Client()
    admin.force_login(UserFactory(username="root", is_superuser=True))
    pages = [reverse("admin:index")]
    for model in ("launch", "auditevent", "iamcredential", "bastioninstance", "host", "hostaccount", "grant"):
        pages.append(reverse(f"admin:omaccess_{model}_changelist"))
    for row in Launch.objects.all():
        pages.append(reverse("admin:omaccess_launch_change", args=[row.pk]))
    for credential in inventory.credentials.values():
        pages.append(reverse("admin:omaccess_iamcredential_change", args=[credential.pk]))

    for page in pages:
        answer = admin.get(page)
        assert answer.status_code == 200, page
        sinks.add(f"admin page {page}", answer.content)

    leaks = sinks.leaks(issued)
    assert leaks == []


def test_no_secret_is_in_a_repr_or_a_pickled_exception(
    inventory: Inventory, sandbox: SandboxServer, issued: Issued, meta_of: Any, sinks: Sinks
) -> None:
    meta = meta_of(inventory.staff)
    result = launches.launch(
        account_id=inventory.root.pk, reason="", ticket="", once=None, by=inventory.staff, meta=meta
    )
    assert result.url is not None
    token = issued.last_token
    (password,) = [user.password for user in sandbox.app.cloud.world.users if user.name == "portal"]
    credential = PasswordCredential("acme", "portal", password)
    for value in (result, result.url, result.launch, meta, credential, [result], {"url": result.url}):
        sinks.add("repr", f"{value!r} {value!s} {value}")
    issued.tickets.add(meta.session_key)
    sinks.add("repr of meta", repr(meta))
    issued.tickets.discard(meta.session_key)

    errors = 0
    account = inventory.root
    for name, faults in (("cbh.om_url", cbh_faults(token)), ("iam.token", iam_faults(password))):
        for fault in faults:
            if name == "iam.token":
                forget_tokens()
            sandbox.control.add_fault(name, times=2, **fault)
            try:
                cloud_link.om_url(account, Target.of(account), deadline=Deadline.after(5), timing=Timing())
            except (CloudError, CredentialUnusable, CredentialBlocked) as error:
                errors += 1
                sinks.add("pickled exception", pickle.dumps(error))
                sinks.add("exception", f"{error!r} {error!s} {vars(error)!r}")
                sinks.add("traceback", "".join(traceback.format_exception(error)))
            sandbox.control.clear_faults()

    assert errors > 25
    leaks = sinks.leaks(issued)
    assert leaks == []


class Defect(RuntimeError):
    """Something that nobody foresaw."""


def test_no_secret_is_in_what_an_unforeseen_error_leaves_behind(
    staff: Client, inventory: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks, logged: None
) -> None:
    """A defect strikes with the link in hand. Error tracking gets tracebacks, often with the values of variables."""
    staff.raise_request_exception = False

    def strike(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith(f'INSERT INTO "{triggers.EVENTS}"') and "launch:opened" in params:
            raise Defect
        return execute(sql, params, many, context)

    with connection.execute_wrapper(strike):
        answer: Any = staff.post(reverse("omaccess:launches"), {"account": inventory.root.pk})

    assert answer.status_code == 500
    assert answer.exc_info[0] is Defect
    sinks.add("error page", answer.content)
    reporter = ExceptionReporter(answer.wsgi_request, *answer.exc_info)
    sinks.add("report as text", reporter.get_traceback_text())
    sinks.add("report with variables", reporter.get_traceback_html())
    sinks.add("mail", repr([vars(message) for message in mail.outbox]))
    add_database(sinks)
    assert issued.tickets
    leaks = sinks.leaks(issued)
    assert leaks == []


# --- the search itself -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        str,
        lambda secret: quote(secret, safe=""),
        lambda secret: f"before{secret}after",
        lambda secret: secret[: len(secret) // 2 + SLICE],
        lambda secret: secret[5:],
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.b64encode(b"x" + secret.encode() + b"yz").decode(),
        lambda secret: base64.urlsafe_b64encode(b"xy" + secret.encode()).decode(),
        lambda secret: secret.encode().hex(),
        lambda secret: json.dumps({"a": secret}),
        lambda secret: repr(secret.encode()),
        lambda secret: html.escape(secret),
    ],
)
@pytest.mark.parametrize(
    "secret",
    ["pass word/with+odd&chars", "MIIF" + "Ab-9+x/Q" * 20, "-_".join("abcdefghijklmnopqrstuvwxyz0123456789" * 2)],
)
def test_the_search_would_find_a_secret(write: Callable[[str], str], secret: str) -> None:
    sinks = Sinks()
    is_cut = len(write(secret)) < len(secret)
    sinks.add("place", write(secret))

    found = sinks.leaks(Issued(tokens={secret}))

    assert found or (is_cut and len(secret) < 2 * SLICE)


def test_the_search_finds_nothing_where_there_is_nothing() -> None:
    sinks = Sinks()
    sinks.add("place", "nothing of interest " * 100)

    assert sinks.leaks(Issued(tokens={"MIIF" + "Ab-9+x/Q" * 20})) == []
