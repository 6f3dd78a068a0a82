"""Signing in and out, as Django and allauth tell of it → audit events.

Each event has a transaction of its own, and what happens when it cannot be written is decided here:

* signing in: no session without a record. The session is taken away again and the person sees the page that says
  the portal cannot write anything down;
* a refused sign-in: the same page. Otherwise somebody could try passwords unseen while the audit is stuck;
* a changed password: the same page. The view makes change and event one transaction, so that nothing was changed;
* signing out: goes on, with an error in the log. Ending a session never harms; keeping it open might.
"""

from __future__ import annotations

from typing import Any

import structlog
from allauth.account import signals as allauth
from allauth.core.exceptions import ImmediateHttpResponse
from django.contrib.auth import signals as auth
from django.contrib.auth.models import AnonymousUser
from django.contrib.sessions.backends.base import SessionBase
from django.db import Error, transaction
from django.dispatch import receiver
from django.http import HttpRequest

from accounts.models import User
from omaccess.audit import CannotRecord, Kind, record
from omaccess.meta import Meta
from omaccess.views.plain import unavailable

log = structlog.get_logger(__name__)


@receiver(auth.user_logged_in, dispatch_uid="accounts.signed_in")
def signed_in(request: HttpRequest | None, user: User, **_kwargs: Any) -> None:
    """Fires inside `login()`, when the session speaks for the person but has not been saved yet."""
    try:
        _record(Kind.SIGNED_IN, by=user, request=request)
    except CannotRecord as error:
        if request is None:
            raise
        _take_back(request)
        raise _page(Kind.SIGNED_IN, error) from error


@receiver(auth.user_logged_out, dispatch_uid="accounts.signed_out")
def signed_out(request: HttpRequest | None, user: User | None, **_kwargs: Any) -> None:
    """Fires before the session goes. `user` is None when nobody was signed in."""
    if user is None:
        return
    try:
        _record(Kind.SIGNED_OUT, by=user, request=request)
    except CannotRecord as error:
        log.error("session_event_not_recorded", kind=str(Kind.SIGNED_OUT), user_id=user.pk, error=str(error))


@receiver(auth.user_login_failed, dispatch_uid="accounts.sign_in_failed")
def sign_in_failed(credentials: dict[str, Any], request: HttpRequest | None = None, **_kwargs: Any) -> None:
    """The user name as it was typed, known or not; nothing else of what was typed.

    Also fires when somebody who is signed in confirms the password and gets it wrong.
    """
    typed = credentials.get("username") or credentials.get("email") or ""
    user = getattr(request, "user", None)
    try:
        _record(
            Kind.SIGN_IN_FAILED,
            by=None,
            request=request,
            actor_name=typed if isinstance(typed, str) else "",
            is_confirmation=user is not None and user.is_authenticated,
        )
    except CannotRecord as error:
        if request is None:
            raise
        raise _page(Kind.SIGN_IN_FAILED, error) from error


@receiver(allauth.password_changed, dispatch_uid="accounts.password_changed")
@receiver(allauth.password_set, dispatch_uid="accounts.password_set")
@receiver(allauth.password_reset, dispatch_uid="accounts.password_reset")
def password_changed(request: HttpRequest | None, user: User, **_kwargs: Any) -> None:
    """By the person. What an admin does to somebody's password is recorded where it is done."""
    try:
        _record(Kind.PASSWORD_CHANGED, by=user, request=request)
    except CannotRecord as error:
        if request is None:
            raise
        raise _page(Kind.PASSWORD_CHANGED, error) from error


def _record(kind: Kind, *, by: User | None, request: HttpRequest | None, actor_name: str = "", **facts: Any) -> None:
    """Raises: CannotRecord, also when not even a transaction can be begun."""
    meta = Meta() if request is None else Meta.of(request)
    try:
        with transaction.atomic():
            record(kind, by=by, meta=meta, target=by, actor_name=actor_name, **facts)
    except Error as error:
        raise CannotRecord(f"the audit could not be written: {type(error).__name__}") from error


def _take_back(request: HttpRequest) -> None:
    """Nobody is signed in, whatever the database still manages to do.

    A new, empty session object instead of `flush()`, which would need the database that has just failed us. The row
    of the old one holds no person: `login()` made it empty, and it is filled only when the answer leaves.
    """
    session: SessionBase = request.session
    request.session = type(session)()
    request.user = AnonymousUser()


def _page(kind: Kind, error: CannotRecord) -> ImmediateHttpResponse:
    """allauth's way to answer from within: its views and its middleware turn it into the response."""
    log.error("session_event_not_recorded", kind=str(kind), error=str(error))
    return ImmediateHttpResponse(unavailable())
