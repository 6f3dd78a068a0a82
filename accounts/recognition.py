"""Who is asking, made known to the log and to the looks of the page: once it is known that it matters who it is."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import structlog
from django.http import HttpRequest, HttpResponseBase

from accounts import preferences

View = Callable[..., HttpResponseBase]


def recognise(request: HttpRequest) -> bool:
    """Whether somebody is signed in; if so, log lines name them from here on, and pages look as they want them."""
    if not request.user.is_authenticated:
        return False
    structlog.contextvars.bind_contextvars(user_id=request.user.pk)
    preferences.activate(request, request.user)
    return True


def recognising(view: View) -> View:
    """For views that are open to anybody and know those who are signed in."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        recognise(request)
        return view(request, *args, **kwargs)

    return wrapped
