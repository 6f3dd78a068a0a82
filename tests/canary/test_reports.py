"""What an unforeseen error leaves behind: pages, reports with the values of variables, mail.

A defect strikes at every step of a launch, with passwords, tokens and links in the variables of the stack.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
from django.core import mail
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.views.debug import ExceptionReporter

from omaccess.audit import triggers
from tests.canary.issued import Issued
from tests.canary.life import forget_tokens
from tests.canary.sinks import Sinks, add_database, add_mail
from tests.inventory import Inventory

STEPS = {
    f"/omaccess/{file}.py": names
    for file, names in (
        ("views/launches", {"_hand_over"}),
        ("actions/launches", {"_go_through"}),
        ("actions/launch_outcome", {"hand_over"}),
        ("cloud_link", {"_ask", "om_url"}),
        ("tokens", {"_secret", "_exchange", "_obtain"}),
        ("held_tokens", {"sealed", "to_cache"}),
        ("vault", {"encrypt", "decrypt"}),
        ("cloud/iam", {"_token_request", "_exchange", "_read_token"}),
        ("cloud/cbh", {"_read_link", "om_url"}),
        ("cloud/http", {"request", "_send", "_read"}),
    )
}
"""Functions at whose ends passwords, tokens and links are in variables, by the file they are in."""


class Defect(RuntimeError):
    """Something that nobody foresaw."""


class Steps:
    """Ends of functions, as a launch comes by. Each is struck once, in the order in which they ended first."""

    def __init__(self) -> None:
        self.struck: set[object] = set()
        self.last = ""

    @contextmanager
    def next_one(self) -> Iterator[None]:
        """A defect at the end of the next function that was not struck yet: by then its variables hold most."""
        self.last = ""
        sys.setprofile(self._profile)
        try:
            yield
        finally:
            sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, _argument: object) -> None:
        code = frame.f_code
        if event != "return" or self.last or code in self.struck:
            return
        if not any(code.co_filename.endswith(file) and code.co_name in names for file, names in STEPS.items()):
            return
        self.struck.add(code)
        self.last = f"{code.co_filename}:{code.co_name}"
        raise Defect


def strike(client: Client, inventory: Inventory) -> Any:
    return client.post(reverse("omaccess:launches"), {"account": inventory.root.pk, "reason": "canary"})


@pytest.fixture(autouse=True)
def _everything_is_loaded(staff: Client, inventory: Inventory) -> None:
    """A launch first: a defect at the end of a module's loading would leave half of it behind."""
    strike(staff, inventory)
    forget_tokens()


def add_reports(sinks: Sinks, answer: Any) -> None:
    """Both texts of Django's reporter, and the mail that it would be sent in."""
    reporter = ExceptionReporter(answer.wsgi_request, *answer.exc_info)
    sinks.add("report as text", reporter.get_traceback_text())
    sinks.add("report with variables", reporter.get_traceback_html())


@pytest.mark.database
def test_no_secret_is_in_what_an_unforeseen_error_leaves_behind(
    staff: Client, inventory: Inventory, issued: Issued, sinks: Sinks, logged: None
) -> None:
    """The defect strikes with the link in hand, as the outcome is written."""
    staff.raise_request_exception = False

    def strikes(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "INSERT INTO" in sql and triggers.EVENTS in sql and "launch:opened" in params:
            raise Defect
        return execute(sql, params, many, context)

    with connection.execute_wrapper(strikes):
        answer = strike(staff, inventory)

    assert answer.status_code == 500
    assert answer.exc_info[0] is Defect
    sinks.add("error page", answer.content)
    add_reports(sinks, answer)
    add_mail(sinks)
    add_database(sinks)
    assert issued.tickets
    assert sinks.holds("report with variables", "launch_outcome.py")
    assert sinks.leaks(issued) == []


@pytest.mark.database
def test_the_page_after_a_defect_says_nothing_and_the_log_has_no_variables(
    staff: Client, inventory: Inventory, issued: Issued, sinks: Sinks, logged: None
) -> None:
    staff.raise_request_exception = False
    steps = Steps()
    for _number in range(12):
        forget_tokens()
        with steps.next_one():
            answer = strike(staff, inventory)
        assert answer.status_code == 500, steps.last
        sinks.add("error page", answer.content)

    assert sinks.holds("log: as production writes it", "Defect")
    assert not sinks.holds("error page", "Defect")
    assert sinks.leaks(issued) == []


def test_no_secret_is_in_a_report_from_any_step_of_a_launch(
    staff: Client, inventory: Inventory, issued: Issued, sinks: Sinks, settings: Any
) -> None:
    """Also with DEBUG, where Django's own filter shows every variable: the page is the report itself."""
    settings.DEBUG = True
    staff.raise_request_exception = False
    steps = Steps()
    finished = False
    while not finished:
        forget_tokens()
        with steps.next_one():
            answer = strike(staff, inventory)
        finished = not steps.last
        if not finished:
            assert answer.status_code == 500, steps.last
            sinks.add("technical page", answer.content)

    assert len(steps.struck) == sum(len(names) for names in STEPS.values())
    assert issued.tokens
    assert issued.tickets
    assert sinks.holds("technical page", "Defect")
    assert sinks.leaks(issued) == []


def test_no_secret_is_in_a_report_by_mail(
    staff: Client, inventory: Inventory, issued: Issued, sinks: Sinks, settings: Any
) -> None:
    """Whoever turns Django's mail to admins on sends the request, the settings and the variables."""
    settings.ADMINS = [("Ada", "ada@example.com")]
    settings.DATABASE_URL = f"postgres://sallyport:{issued.add('database password', 'dSlq81-pw-of-database')}@db/portal"
    settings.CACHE_URL = f"redis://:{issued.add('cache password', 'kWp30x-pw-of-cache')}@cache/0"
    settings.CLOUD_PROXY = f"http://portal:{issued.add('proxy password', 'zRr55c-pw-of-proxy')}@proxy:3128"
    staff.raise_request_exception = False
    password = issued.add("typed password", "typed-Xk29vQmP47-password")
    steps = Steps()
    with steps.next_one():
        answer = staff.post(reverse("omaccess:launches"), {"account": inventory.root.pk, "new_password": password})
    add_mail(sinks)
    add_reports(sinks, answer)

    assert len(mail.outbox) == 1
    assert sinks.holds("mail", "Defect")
    assert sinks.leaks(issued) == []


def test_a_report_still_says_where_a_defect_is(staff: Client, inventory: Inventory, settings: Any) -> None:
    """No values, and yet of use: the frames, their lines, the names and kinds of the variables."""
    settings.DEBUG = True
    staff.raise_request_exception = False
    with Steps().next_one():
        answer = strike(staff, inventory)

    for text in ("Defect", "views/launches.py", "WSGIRequest", "LAUNCHES_PER_MINUTE", "REQUEST_METHOD"):
        assert text in answer.text


def test_a_report_of_no_request_can_be_made() -> None:
    try:
        raise Defect("at night")
    except Defect:
        report = ExceptionReporter(None, *sys.exc_info())

    assert "at night" in report.get_traceback_text()
    assert "at night" in report.get_traceback_html()
