"""The portal's routes with what a browser cannot bring about: the style guide without DEBUG, and faults."""

from __future__ import annotations

from django.core.exceptions import SuspiciousOperation
from django.http import HttpRequest, HttpResponse
from django.urls import path

from portal import urls
from portal.styleguide import styleguide
from portal.urls import handler400, handler403, handler404, handler429, handler500

__all__ = ["handler400", "handler403", "handler404", "handler429", "handler500", "urlpatterns"]


def no_sense(request: HttpRequest) -> HttpResponse:
    raise SuspiciousOperation


def mistake(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    path("styleguide/", styleguide, name="styleguide"),
    path("no-sense/", no_sense),
    path("mistake/", mistake),
    *urls.urlpatterns,
]
