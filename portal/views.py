"""Health, readiness, the error pages, and the way from the admin's sign-in to everybody's."""

from __future__ import annotations

import logging
import re
import sys
import threading
import time

from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.db import InterfaceError, OperationalError, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from omaccess.audit import triggers
from omaccess.models import AuditHead
from omaccess.views.plain import plain_page, unavailable
from omaccess.views.requests import host_of_posted_account

logger = logging.getLogger(__name__)

# --- health ---------------------------------------------------------------------------------------


@never_cache
@require_safe
@login_not_required
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Asks nobody."""
    return HttpResponse("ok\n", content_type="text/plain")


@never_cache
@require_safe
@login_not_required
def readyz(request: HttpRequest) -> HttpResponse:
    """Ready to serve: 200 or 503, without a reason; the reason is in the log."""
    is_ready = readiness.is_ready()
    return HttpResponse(
        "ready\n" if is_ready else "not ready\n", status=200 if is_ready else 503, content_type="text/plain"
    )


class Readiness:
    """What /readyz says, found out at most every 5 s per process, so that probes cost nothing."""

    def __init__(self, *, seconds: float = 5.0) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._checked_at: float | None = None
        self._is_ready = False
        self._expected: frozenset[tuple[str, str]] | None = None

    def is_ready(self) -> bool:
        """While one thread finds out, the others get the last answer; only the very first is waited for."""
        is_old = self._checked_at is None or time.monotonic() - self._checked_at >= self._seconds
        if is_old and self._lock.acquire(blocking=self._checked_at is None):
            try:
                self._find_out()
            finally:
                self._lock.release()
        # A check that hangs in a silent database must not leave the last good answer standing.
        is_stale = self._checked_at is None or time.monotonic() - self._checked_at > 3 * self._seconds
        return self._is_ready and not is_stale

    def forget(self) -> None:
        """The next question is answered freshly."""
        self._checked_at = None

    def _find_out(self) -> None:
        problem = self._problem()
        if problem:
            logger.warning("not_ready", extra={"problem": problem})
        self._is_ready = not problem
        self._checked_at = time.monotonic()

    def _problem(self) -> str:
        try:
            unapplied = self._migrations() - set(MigrationRecorder(connection).applied_migrations())
            if unapplied:
                return "unapplied migrations: " + ", ".join(sorted(".".join(name) for name in unapplied))
            missing = triggers.missing(connection)
            if missing:
                return "audit triggers missing: " + ", ".join(missing)
            # Read without its lock: a probe never waits for somebody who appends.
            if not AuditHead.objects.exists():
                return "the audit has no head"
        except (OperationalError, InterfaceError) as error:
            return f"database: {type(error).__name__}"
        return ""

    def _migrations(self) -> frozenset[tuple[str, str]]:
        """The newest migration of each app. The code of a process does not change, so they are read once."""
        if self._expected is None:
            self._expected = frozenset(MigrationLoader(None).graph.leaf_nodes())
        return self._expected


readiness = Readiness()

# --- errors ---------------------------------------------------------------------------------------

_ATTEMPT = re.compile(r"/launches/(?P<reference>[^/]{1,32})/attempt/")


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form was too old (signed in again meanwhile, cookies gone) or is not ours.

    A launch form leads back to its host.
    """
    address = ""
    if request.path == reverse("omaccess:launches"):
        address = host_of_posted_account(request)
    elif match := _ATTEMPT.fullmatch(request.path):
        address = reverse("omaccess:launch", args=[match["reference"]])
    if not address:
        return render(request, "errors/csrf.html", status=403)
    messages.warning(request, gettext("The page was too old, so nothing was opened. Please press the button again."))
    response = HttpResponse(status=303)
    response["Location"] = address
    return response


def handler400(request: HttpRequest, exception: Exception) -> HttpResponse:
    return plain_page("errors/400.html", status=400)


def handler403(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "errors/403.html", status=403)


def handler404(request: HttpRequest, exception: Exception) -> HttpResponse:
    return render(request, "errors/404.html", status=404)


def handler429(request: HttpRequest) -> HttpResponse:
    """Too many sign-ins; allauth asks for this one."""
    return plain_page("errors/429.html", status=429)


def handler500(request: HttpRequest) -> HttpResponse:
    """A page that needs nothing. A database that is gone is no mistake of ours: 503."""
    if isinstance(sys.exc_info()[1], OperationalError | InterfaceError):
        return unavailable()
    return plain_page("errors/500.html", status=500)
