"""`manage.py sendtestemail` proves that mail works, or says that it does not."""

from __future__ import annotations

import io

import pytest
from django.core import mail
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from tests.processes import free_port


def test_without_a_mail_server_nothing_is_sent_and_that_is_said(settings: Settings) -> None:
    settings.EMAIL_URL = ""

    with pytest.raises(CommandError, match="EMAIL_URL is empty"):
        call_command("sendtestemail", "me@example.com")

    assert not mail.outbox


def test_a_mail_that_was_sent_is_said_with_its_address(settings: Settings) -> None:
    settings.EMAIL_URL = "smtp://mail.example.com"
    out = io.StringIO()

    call_command("sendtestemail", "me@example.com", "you@example.com", stdout=out)

    assert out.getvalue() == "Sent to me@example.com, you@example.com.\n"
    assert [message.to for message in mail.outbox] == [["me@example.com", "you@example.com"]]


def test_a_mail_server_that_is_not_there_is_a_sentence_without_the_password(settings: Settings) -> None:
    settings.EMAIL_URL = "smtp://portal:the-password@localhost"
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", free_port()

    with pytest.raises(CommandError, match=r"not sent \(ConnectionRefusedError\)") as refused:
        call_command("sendtestemail", "me@example.com")

    assert "the-password" not in str(refused.value)
