"""Middleware: who is asking (request id, client address), for logs and the audit; and one line for each answer."""

import ipaddress
import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import structlog
from django.conf import settings
from django.contrib.auth.middleware import LoginRequiredMiddleware
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.gzip import GZipMiddleware
from django.utils import timezone

from accounts import preferences
from accounts.recognition import recognise
from omaccess import metrics

log = structlog.get_logger(__name__)

GetResponse = Callable[[HttpRequest], HttpResponse]

PROBES = frozenset({"/healthz", "/readyz", "/metrics"})
"""Asked for all the time by machines: neither logged nor counted."""

_REQUEST_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")
_FORWARDED = (
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_PROTO",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_FORWARDED_PORT",
)


class ClientAddressMiddleware:
    """Settles `REMOTE_ADDR` once: the nearest address in the chain that is not one of our proxies.

    Forwarding headers count only when the peer is in TRUSTED_PROXIES; from anyone else they are dropped, so that
    nothing further in (HTTPS detection, rate limits, audit) can be told a lie by a client.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        peer = request.META.get("REMOTE_ADDR", "")
        if _is_trusted(peer):
            chain = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",")]
            request.META["REMOTE_ADDR"] = _client(chain, peer)
            if request.META.get("HTTP_X_REQUEST_ID"):
                request_id = request.META["HTTP_X_REQUEST_ID"]
                if _REQUEST_ID.fullmatch(request_id):
                    request.META["sallyport.request_id"] = request_id
                    structlog.contextvars.bind_contextvars(request_id=request_id)
        else:
            for name in _FORWARDED:
                request.META.pop(name, None)
        return self.get_response(request)


class HealthMiddleware:
    """Answers probes and Prometheus before anything asks for host, session or https.

    They come by address, in the clear. To a stranger /metrics is a page that does not exist, and saying so asks nobody.
    """

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        from portal import views
        from portal.metrics import metrics

        answers = {"/healthz": views.healthz, "/readyz": views.readyz, "/metrics": metrics}
        view = answers.get(request.path_info)
        return view(request) if view else self.get_response(request)


class CompressionMiddleware(GZipMiddleware):
    """Pages travel compressed, a tenth of their size, unless their address has a query.

    What a query says is repeated on the page (searches, filters), beside names that are nobody else's business; whoever
    can choose the one and watch the length of the answer could guess the other. So such pages go out as they are.
    """

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        is_page = response.status_code == 200 and response.get("Content-Type", "").startswith("text/html")
        if request.method != "GET" or request.META.get("QUERY_STRING") or not is_page:
            return response
        return super().process_response(request, response)


class PreferencesMiddleware:
    """Time zone and colours as the browser says; what the person chose follows when it is known who it is."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        preferences.activate(request)
        try:
            return self.get_response(request)
        finally:
            timezone.deactivate()


class SignInMiddleware(LoginRequiredMiddleware):
    """Django's, but for public views it does not even ask who somebody is: health must not need the database."""

    def process_view(
        self,
        request: HttpRequest,
        view_func: Callable[..., Any],
        view_args: tuple[Any, ...],
        view_kwargs: dict[str, Any],
    ) -> HttpResponseBase | None:
        if not getattr(view_func, "login_required", True):
            return None
        answer = super().process_view(request, view_func, view_args, view_kwargs)
        if answer is None:
            recognise(request)
        return answer


class RequestContextMiddleware:
    """Gives every request an id: in each log line, in the audit, in the answer's X-Request-Id."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        began = time.perf_counter()
        request.META["sallyport.request_id"] = uuid.uuid4().hex
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=request.META["sallyport.request_id"])
        response = self.get_response(request)
        response["X-Request-Id"] = request.META["sallyport.request_id"]
        if request.path_info not in PROBES:
            _tell(request, response, time.perf_counter() - began)
        return response


def _tell(request: HttpRequest, response: HttpResponse, seconds: float) -> None:
    """Count an answer and log it: by the name of its view, never by its address, which says what people look for.

    An answer that is streamed counts until its first byte. Files are counted and not logged.
    """
    match, is_file = request.resolver_match, request.path_info.startswith(settings.STATIC_URL)
    view = match.view_name if match is not None else "static" if is_file else "none"
    metrics.request_answered(method=request.method or "", view=view, status=response.status_code, seconds=seconds)
    if not is_file:
        milliseconds = round(seconds * 1000, 1)
        log.info("request", method=request.method, view=view, status=response.status_code, milliseconds=milliseconds)


def _is_trusted(peer: str) -> bool:
    if not peer:
        return bool(settings.TRUST_UNIX_PEERS)
    try:
        address = _address(peer)
    except ValueError:
        return False
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _client(chain: list[str], peer: str) -> str:
    """Walk from the nearest hop outwards; stop at the first that is not ours or is no address."""
    client = peer
    for part in reversed(chain):
        try:
            client = str(_address(part.strip("[]")))
        except ValueError:
            break
        if not _is_trusted(client):
            break
    return client


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 peer of a socket that listens on both shows as ::ffff:192.0.2.1; it is the same address.

    Raises: ValueError.
    """
    address = ipaddress.ip_address(text)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
