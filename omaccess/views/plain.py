"""Pages that need nothing but their template: no database, no session, no signed-in person."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponse
from django.template.loader import render_to_string


def plain_page(template: str, *, status: int) -> HttpResponse:
    """Rendered without a request, so that no context processor can ask the database for anything."""
    context = {
        "site_name": settings.SITE_NAME,
        "support_contact": settings.SUPPORT_CONTACT,
        "is_sandbox": settings.IS_SANDBOX,
    }
    response = HttpResponse(render_to_string(template, context), status=status)
    response["Cache-Control"] = "no-store"
    return response


def unavailable() -> HttpResponse:
    """The portal cannot write down what it does, so it does nothing."""
    response = plain_page("errors/503.html", status=503)
    response["Retry-After"] = "30"
    return response
