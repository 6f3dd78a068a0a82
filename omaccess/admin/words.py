"""Small things that every admin page says or asks in the same way."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, TypeVar, cast

from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from unfold import decorators

from accounts.models import User
from omaccess.causes import Cause
from omaccess.failures import CATALOGUE

NOTHING = "\N{EN DASH}"
"""What a cell shows that has nothing to show."""

MAX_ID_DIGITS = 18

Method = TypeVar("Method", bound=Callable[..., Any])


def display(**options: Any) -> Callable[[Method], Method]:
    """Unfold's decorator for columns, with a type."""
    return cast(Callable[[Method], Method], decorators.display(**options))


def moment_text(at: dt.datetime | None, *, seconds: bool = False) -> str:
    """A time in this installation's zone, which it names; sortable, and nobody guesses which number is the month."""
    if at is None:
        return NOTHING
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M:%S %Z" if seconds else "%Y-%m-%d %H:%M %Z")


def moment(at: dt.datetime | None, *, seconds: bool = False) -> str:
    """The same as `moment_text`, for cells and fields: never broken into two lines."""
    return format_html('<span class="whitespace-nowrap">{}</span>', moment_text(at, seconds=seconds)) if at else NOTHING


def admin_of(request: HttpRequest) -> User:
    """Who asks; the site lets nobody in who is not signed in."""
    return cast(User, request.user)


def row_id(text: str | None) -> int | None:
    """An id out of an address, or None for what cannot be one; databases balk at what does not fit a column."""
    if text and len(text) <= MAX_ID_DIGITS and text.isascii() and text.isdecimal():
        return int(text)
    return None


def known_cause(text: str) -> Cause | None:
    """The catalogue's cause of that name; None when there is none, or this version does not know it."""
    try:
        return Cause(text)
    except ValueError:
        return None


def cause_title(text: str) -> str:
    cause = known_cause(text)
    return str(CATALOGUE[cause].title) if cause else text or NOTHING
