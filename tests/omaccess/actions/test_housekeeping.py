"""Scheduled work: the audit checked and noted, what is old cleared away."""

from __future__ import annotations

import datetime as dt
import logging
import pickle
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection
from django.test import Client
from django.utils import timezone

from accounts.models import User
from omaccess.actions import housekeeping
from omaccess.actions.housekeeping import AuditNotWhole, HeadNotNoted
from omaccess.audit import triggers
from omaccess.audit.heads import noted
from omaccess.models import AuditEvent, HostAccount, JobRun, Launch
from tests.factories import HostAccountFactory, UserFactory
from tests.omaccess.audit.log import append_many, drop_triggers, head, run

pytestmark = [pytest.mark.database, pytest.mark.django_db]

NOW = dt.datetime(2026, 11, 1, 3, 40, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


# --- the audit checked ---------------------------------------------------------------------------------


@pytest.fixture
def mailing(settings: Any) -> list[Any]:
    """Mail as configured, and what was sent."""
    settings.EMAIL_URL = "smtp://mail.example.com"
    settings.ALARM_MAIL_TO = ["security@example.com"]
    return mail.outbox


def tamper() -> None:
    drop_triggers()
    run(f"UPDATE {triggers.EVENTS} SET kind = 'forged' WHERE position = 2")


def test_a_whole_audit_is_reported_in_numbers(mailing: list[Any]) -> None:
    append_many(3)

    assert housekeeping.verify_audit() == {"position": 3, "problems": 0}
    assert not mailing


def test_a_changed_audit_is_logged_mailed_and_a_failure(mailing: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    append_many(3)
    tamper()
    found = 1 + len(triggers.triggers(connection))

    with pytest.raises(AuditNotWhole) as caught:
        housekeeping.verify_audit()

    assert caught.value.result == {"position": 3, "problems": found}
    assert pickle.loads(pickle.dumps(caught.value)).result == caught.value.result  # noqa: S301 - workers do so
    errors = [str(record.msg) for record in caplog.records if record.levelno == logging.ERROR]
    assert any("audit_not_whole" in text and "content 2" in text for text in errors)
    assert [message.to for message in mailing] == [["security@example.com"]]
    assert "the audit is not whole" in mailing[0].subject
    assert f"Problems found: {found}" in mailing[0].body


def test_triggers_that_are_gone_are_an_alarm_although_nothing_was_changed(mailing: list[Any]) -> None:
    append_many(1)
    gone = triggers.triggers(connection)
    drop_triggers()

    with pytest.raises(AuditNotWhole):
        housekeeping.verify_audit()

    assert "THE DATABASE NO LONGER REFUSES CHANGES" in mailing[0].body
    assert all(name in mailing[0].body for name in gone)
    assert "AUDIT_HEAD_FILE" not in mailing[0].body


def test_without_mail_the_failure_is_the_same(settings: Any) -> None:
    settings.EMAIL_URL, settings.ALARM_MAIL_TO = "", ["security@example.com"]
    append_many(3)
    tamper()

    with pytest.raises(AuditNotWhole):
        housekeeping.verify_audit()
    assert not mail.outbox


class _Refusing(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"554 no mail today\r\n")


@pytest.fixture
def refusing_mail_server(mailing: list[Any], settings: Any) -> Iterator[None]:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    with socketserver.TCPServer(("127.0.0.1", 0), _Refusing) as server:
        settings.EMAIL_HOST, settings.EMAIL_PORT = server.server_address[:2]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield
        server.shutdown()
        thread.join(timeout=10)


@pytest.mark.usefixtures("refusing_mail_server")
def test_a_mail_that_cannot_be_sent_hides_nothing(caplog: pytest.LogCaptureFixture) -> None:
    append_many(3)
    tamper()

    with pytest.raises(AuditNotWhole):
        housekeeping.verify_audit()

    assert any("alarm_mail_failed" in str(record.msg) for record in caplog.records)


# --- heads noted ---------------------------------------------------------------------------------------


@pytest.fixture
def heads(tmp_path: Path, settings: Any) -> Path:
    path = tmp_path / "heads"
    settings.AUDIT_HEAD_FILE = str(path)
    return path


def test_the_head_is_noted_in_the_file(heads: Path) -> None:
    append_many(2)

    assert housekeeping.note_audit_head() == {"position": 2}
    append_many(1)
    housekeeping.note_audit_head()

    assert noted(heads) == [(2, AuditEvent.objects.get(position=2).hash), head()]


def test_an_end_that_was_cut_off_is_found_with_the_noted_heads(heads: Path, settings: Any) -> None:
    append_many(3)
    housekeeping.note_audit_head()
    triggers_of = triggers.triggers(connection)
    drop_triggers()
    run(f"DELETE FROM {triggers.EVENTS} WHERE position = 3")
    run(f"UPDATE {triggers.HEAD} SET position = 2, hash = (SELECT hash FROM {triggers.EVENTS} WHERE position = 2)")

    with pytest.raises(AuditNotWhole) as caught:
        housekeeping.verify_audit()

    assert caught.value.result == {"position": 2, "problems": 1 + len(triggers_of)}


def test_a_file_of_heads_that_was_spoiled_is_an_alarm(heads: Path, mailing: list[Any]) -> None:
    append_many(1)
    heads.write_text("rubbish\n")

    with pytest.raises(AuditNotWhole) as caught:
        housekeeping.verify_audit()

    assert caught.value.result == {"position": 1, "problems": 1}
    assert "AUDIT_HEAD_FILE cannot be read" in mailing[0].body


def test_a_file_of_heads_that_is_not_there_yet_is_none(heads: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert housekeeping.verify_audit()["problems"] == 0
    assert any("audit_head_file_missing" in str(record.msg) for record in caplog.records)


@pytest.mark.parametrize("left", [None, "", "2026-11-01T03:40:00Z 1:cut off"], ids=["removed", "emptied", "cut"])
def test_a_file_of_heads_that_was_taken_away_is_an_alarm(heads: Path, left: str | None) -> None:
    """Whoever can rewrite the chain and reach the file would do just that."""
    JobRun.objects.create(name="log_audit_head", started_at=NOW, succeeded_at=NOW, successes=1)
    if left is not None:
        heads.write_text(left)

    with pytest.raises(AuditNotWhole) as caught:
        housekeeping.verify_audit()

    assert caught.value.result["problems"] == 1


def test_a_head_that_cannot_be_written_is_a_failure_that_names_the_file(settings: Any, tmp_path: Path) -> None:
    settings.AUDIT_HEAD_FILE = str(tmp_path / "absent" / "heads")

    with pytest.raises(HeadNotNoted, match=r"AUDIT_HEAD_FILE .*absent/heads: No such file"):
        housekeeping.note_audit_head()


# --- launches ------------------------------------------------------------------------------------------


@pytest.fixture
def user() -> User:
    return UserFactory()


@pytest.fixture
def account() -> HostAccount:
    return HostAccountFactory()


@pytest.fixture(autouse=True)
def _a_few_rows_at_once(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr("omaccess.actions.housekeeping.BATCH", 3)
    settings.KEEP_LAUNCHES_DAYS = 100


def leave(
    user: User, account: HostAccount, *, days: float, state: str = "opened", asked_days: float | None = None
) -> Launch:
    """A launch that ended, or stayed open, so many days before NOW."""
    ended_at = NOW - days * DAY
    row = Launch.objects.create(
        user=user,
        account=account,
        state=state,
        attempted_at=ended_at,
        ended_at=None if state in {"pending", "waiting"} else ended_at,
    )
    Launch.objects.filter(pk=row.pk).update(created_at=NOW - (asked_days or days) * DAY)
    return row


def test_launches_that_ended_long_ago_are_deleted_and_others_stay(user: User, account: HostAccount) -> None:
    for _number in range(7):
        leave(user, account, days=101)
    stays = [
        leave(user, account, days=500, state="waiting"),
        leave(user, account, days=99, asked_days=101),
        leave(user, account, days=100),
        leave(user, account, days=1),
    ]
    leave(user, account, days=100.1, state="refused")
    events = AuditEvent.objects.count()

    assert housekeeping.clear_old_launches(now=NOW) == {"deleted": 8}

    assert set(Launch.objects.all()) == set(stays)
    assert AuditEvent.objects.count() == events
    assert housekeeping.clear_old_launches(now=NOW) == {"deleted": 0}


def test_launches_younger_than_the_limit_are_not_read(
    user: User, account: HostAccount, django_assert_max_num_queries: Any
) -> None:
    for _number in range(20):
        leave(user, account, days=1)

    with django_assert_max_num_queries(1):
        housekeeping.clear_old_launches(now=NOW)


def test_zero_days_keep_launches_for_ever(user: User, account: HostAccount, settings: Any) -> None:
    settings.KEEP_LAUNCHES_DAYS = 0
    leave(user, account, days=5000)

    assert housekeeping.clear_old_launches(now=NOW) == {"deleted": 0}
    assert Launch.objects.exists()


def test_a_cleared_launch_has_no_page_any_more_and_its_persons_history_goes_on(
    user: User, account: HostAccount, client: Client
) -> None:
    old, young = leave(user, account, days=101), leave(user, account, days=1)
    client.force_login(user, backend="allauth.account.auth_backends.AuthenticationBackend")
    assert client.get(f"/launches/{old.reference}/").status_code == 200

    housekeeping.clear_old_launches(now=NOW)

    assert client.get(f"/launches/{old.reference}/").status_code == 404
    history = client.get("/activity/").text
    assert young.reference in history
    assert old.reference not in history
    assert client.get(f"/activity/?before={old.pk}").status_code == 200


# --- sessions ------------------------------------------------------------------------------------------


def test_sessions_that_are_over_are_deleted_and_nobody_is_signed_out() -> None:
    now = timezone.now()
    for number in range(8):
        Session.objects.create(session_key=f"over{number}", session_data="", expire_date=now - DAY)
    Session.objects.create(session_key="lasts", session_data="", expire_date=now + DAY)

    assert housekeeping.clear_expired_sessions(now=now) == {"deleted": 8}

    assert [session.session_key for session in Session.objects.all()] == ["lasts"]
