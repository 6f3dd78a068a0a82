"""How the pages look to one person: language, time zone, colours. What nobody chose is as the browser says."""

from __future__ import annotations

import datetime as dt
import zoneinfo
from functools import cache

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone, translation

from accounts.models import User

THEMES = ("light", "dark")
THEME_COOKIE = "theme"
ZONE_COOKIE = "tz"
"""Set by page.js: only the browser knows where somebody is."""
_THEME = "sallyport.theme"
_YEAR = dt.timedelta(days=365)


@cache
def zones() -> tuple[str, ...]:
    """The zones that are called after a place, and UTC."""
    places = (name for name in zoneinfo.available_timezones() if "/" in name and not name.startswith("Etc/"))
    return ("UTC", *sorted(places))


def activate(request: HttpRequest, user: User | None = None) -> None:
    """From here on texts, times and colours of this request are as this person, or this browser, wants them."""
    if user is not None and user.language in dict(settings.LANGUAGES):
        translation.activate(user.language)
    zone = _known_zone(user.time_zone if user is not None else "") or _known_zone(request.COOKIES.get(ZONE_COOKIE, ""))
    if zone:
        timezone.activate(zoneinfo.ZoneInfo(zone))
    chosen = (user.theme if user is not None else "") or request.COOKIES.get(THEME_COOKIE, "")
    request.META[_THEME] = chosen if chosen in THEMES else ""


def theme(request: HttpRequest) -> str:
    """`light`, `dark`, or nothing: as the system says."""
    chosen: str = request.META.get(_THEME, "")
    return chosen


def remember_language(response: HttpResponse, language: str) -> None:
    """In this browser, for pages that are shown before anybody has signed in. Empty: forget it."""
    _remember(response, settings.LANGUAGE_COOKIE_NAME, language)


def remember_theme(response: HttpResponse, chosen: str) -> None:
    """As `remember_language`."""
    _remember(response, THEME_COOKIE, chosen)


def _remember(response: HttpResponse, name: str, value: str) -> None:
    if value:
        is_secure = settings.SESSION_COOKIE_SECURE
        response.set_cookie(name, value, max_age=_YEAR, secure=is_secure, httponly=True, samesite="Lax")
    else:
        response.delete_cookie(name, samesite="Lax")


def _known_zone(name: str) -> str:
    return name if name in zones() else ""
