"""Tracing, when OTEL_EXPORTER_OTLP_ENDPOINT names a collector; otherwise nothing of it is imported (`portal.spans`)."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


def start(service: str) -> None:
    """Trace this process from now on, if that is configured. Before the WSGI application is made.

    Raises: ImproperlyConfigured for an endpoint that is none, or that holds a password.
    """
    if not settings.TRACING_ENDPOINT:
        return
    check(settings.TRACING_ENDPOINT)

    from portal import spans

    spans.start(service, endpoint=settings.TRACING_ENDPOINT, headers=settings.TRACING_HEADERS)


def check(endpoint: str) -> None:
    """Raises: ImproperlyConfigured for an endpoint that is none, or that holds a password."""
    try:
        parts = urlsplit(endpoint)
        is_usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ImproperlyConfigured(
            "OTEL_EXPORTER_OTLP_ENDPOINT is no address like https://collector.example.com:4318, without user or "
            "password; those go into OTEL_EXPORTER_OTLP_HEADERS."
        )
