"""Signing in and out leaves events; what cannot be recorded does not happen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from allauth.core.exceptions import ImmediateHttpResponse
from django.contrib.auth import SESSION_KEY, authenticate, login, logout, signals
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.dispatch import Signal
from django.http import HttpRequest
from django.test import Client
from django.urls import reverse

from accounts.models import User
from omaccess.audit import CannotRecord, Kind
from omaccess.models import AuditEvent, AuditHead
from tests.factories import PASSWORD, UserFactory
from tests.omaccess.audit.log import drop_triggers, undone

pytestmark = [pytest.mark.database, pytest.mark.django_db]


@pytest.fixture
def staff() -> User:
    return UserFactory(username="zoe")


@pytest.fixture
def visitor() -> Client:
    return Client(REMOTE_ADDR="192.0.2.9", HTTP_USER_AGENT="Browser/1")


@pytest.fixture
def no_audit(staff: User) -> Iterator[None]:
    """An audit that cannot be written, for a real reason: its head is gone."""
    with undone():
        drop_triggers()
        AuditHead.objects.all().delete()
        yield


def sign_in(visitor: Client, *, username: str = "zoe", password: str = PASSWORD) -> Any:
    return visitor.post(reverse("account_login"), {"login": username, "password": password})


def events() -> list[tuple[str, str]]:
    return [(event.kind, event.actor_name) for event in AuditEvent.objects.order_by("position")]


def test_signing_in_is_recorded_with_address_and_browser(staff: User, visitor: Client) -> None:
    answer = sign_in(visitor)

    event = AuditEvent.objects.get()
    assert answer.status_code == 302
    assert (event.kind, event.actor_id, event.actor_name) == (Kind.SIGNED_IN, str(staff.pk), "zoe")
    assert (event.address, event.browser) == ("192.0.2.9", "Browser/1")
    assert event.request_id == answer["X-Request-Id"]
    assert (event.target_type, event.target_id) == ("user", str(staff.pk))


def test_signing_out_is_recorded(staff: User, visitor: Client) -> None:
    sign_in(visitor)

    visitor.post(reverse("account_logout"))

    assert events() == [("session:signed_in", "zoe"), ("session:signed_out", "zoe")]
    assert SESSION_KEY not in visitor.session


def test_nobody_signing_out_is_no_event(visitor: Client) -> None:
    visitor.post(reverse("account_logout"))

    assert events() == []


@pytest.mark.parametrize("username", ["zoe", "nobody-of-this-name"])
def test_a_refused_sign_in_is_recorded_by_the_name_that_was_typed(staff: User, visitor: Client, username: str) -> None:
    answer = sign_in(visitor, username=username, password="a secret that was typed wrong")

    event = AuditEvent.objects.get()
    assert answer.status_code == 200
    assert (event.kind, event.actor_id, event.actor_name) == (Kind.SIGN_IN_FAILED, "", username)
    assert event.address == "192.0.2.9"
    assert event.facts == {"is_confirmation": False}
    assert "typed wrong" not in str(AuditEvent.objects.values())


def test_a_disabled_person_with_the_right_password_is_a_refused_sign_in(staff: User, visitor: Client) -> None:
    User.objects.update(is_active=False)

    sign_in(visitor)

    assert events() == [("session:sign_in_failed", "zoe")]
    assert SESSION_KEY not in visitor.session


def test_a_hostile_user_name_is_cut_and_cleaned(visitor: Client) -> None:
    hostile = "x\r\nforged\x1b[2J\u202e" + "y" * 300

    signals.user_login_failed.send(sender=None, credentials={"username": hostile}, request=None)

    name = AuditEvent.objects.get().actor_name
    assert name.startswith("x  forged [2J ")
    assert len(name) == 150


@pytest.mark.parametrize("credentials", [{}, {"username": None}, {"username": 7}, {"token": "x"}])
def test_credentials_of_any_shape_are_recorded_without_what_is_secret(credentials: dict[str, Any]) -> None:
    signals.user_login_failed.send(sender=None, credentials=credentials, request=None)

    event = AuditEvent.objects.get()
    assert (event.kind, event.actor_name) == (Kind.SIGN_IN_FAILED, "")


def test_without_a_request_there_is_an_event_without_an_address(staff: User) -> None:
    signals.user_logged_in.send(sender=User, request=None, user=staff)
    signals.user_logged_out.send(sender=User, request=None, user=staff)
    assert authenticate(username="zoe", password="wrong") is None

    assert [kind for kind, _name in events()] == [
        "session:signed_in",
        "session:signed_out",
        "session:sign_in_failed",
    ]
    assert set(AuditEvent.objects.values_list("address", flat=True)) == {""}


def test_a_wrong_password_when_confirming_is_recorded_as_such(staff: User, visitor: Client) -> None:
    sign_in(visitor)

    visitor.post(reverse("account_reauthenticate"), {"password": "wrong"})

    event = AuditEvent.objects.latest("position")
    assert (event.kind, event.actor_name) == (Kind.SIGN_IN_FAILED, "zoe")
    assert event.facts == {"is_confirmation": True}


def change_password(visitor: Client) -> Any:
    new = "another long passphrase 7"
    return visitor.post(
        reverse("account_change_password"), {"oldpassword": PASSWORD, "password1": new, "password2": new}
    )


def test_a_changed_password_is_recorded_without_the_password(staff: User, visitor: Client) -> None:
    sign_in(visitor)

    answer = change_password(visitor)

    assert answer.status_code == 302
    assert events()[-1] == ("session:password_changed", "zoe")
    assert "passphrase" not in str(AuditEvent.objects.values())
    assert visitor.session[SESSION_KEY] == str(staff.pk)


# --- when the audit cannot be written --------------------------------------------------------------


def test_nobody_is_signed_in_without_a_record(no_audit: None, staff: User, visitor: Client) -> None:
    answer = sign_in(visitor)

    assert answer.status_code == 503
    assert "no-store" in answer["Cache-Control"]
    assert not any(SESSION_KEY in session.get_decoded() for session in Session.objects.all())
    assert visitor.get("/").status_code == 302
    staff.refresh_from_db()
    assert staff.last_login is None


def test_a_session_that_was_there_before_is_not_left_signed_in(no_audit: None, staff: User, visitor: Client) -> None:
    visitor.get(reverse("account_login"))
    session = visitor.session
    session["before"] = "kept"
    session.save()

    answer = sign_in(visitor)

    assert answer.status_code == 503
    assert not any(SESSION_KEY in session.get_decoded() for session in Session.objects.all())


def test_passwords_cannot_be_tried_unseen(no_audit: None, visitor: Client) -> None:
    answer = sign_in(visitor, password="wrong")

    assert answer.status_code == 503


def test_signing_out_goes_on_without_a_record(staff: User, visitor: Client, caplog: pytest.LogCaptureFixture) -> None:
    sign_in(visitor)
    with undone():
        drop_triggers()
        AuditHead.objects.all().delete()

        answer = visitor.post(reverse("account_logout"))

        assert answer.status_code == 302
        assert SESSION_KEY not in visitor.session
    assert "session_event_not_recorded" in caplog.text


def test_a_password_is_not_changed_without_a_record(staff: User, visitor: Client) -> None:
    sign_in(visitor)
    with undone():
        drop_triggers()
        AuditHead.objects.all().delete()

        answer = change_password(visitor)

        staff.refresh_from_db()
        assert answer.status_code == 503
        assert staff.check_password(PASSWORD)


@pytest.mark.parametrize("signal", [signals.user_logged_in, signals.user_login_failed])
def test_without_a_request_the_caller_hears_that_it_cannot_be_recorded(
    no_audit: None, staff: User, signal: Signal
) -> None:
    with pytest.raises(CannotRecord):
        signal.send(sender=User, request=None, user=staff, credentials={"username": "zoe"})


def test_django_s_own_sign_in_is_taken_back_too(no_audit: None, staff: User) -> None:
    request = HttpRequest()
    request.session = SessionStore()
    request.user = AnonymousUser()

    with pytest.raises(ImmediateHttpResponse):
        login(request, staff, backend="allauth.account.auth_backends.AuthenticationBackend")

    assert request.session.is_empty()
    assert not request.user.is_authenticated


def test_django_s_own_sign_out_is_recorded(staff: User) -> None:
    request = HttpRequest()
    request.session = SessionStore()
    request.user = staff

    logout(request)

    assert events() == [("session:signed_out", "zoe")]
