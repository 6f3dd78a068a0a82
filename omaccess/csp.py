"""Where launch forms may lead: the `form-action` of pages that hold them.

Browsers apply `form-action` to every hop of the redirects that follow a form's post, also when it opens a new
window, and a blocked window simply never opens. So those pages name the login addresses of every instance the
person may open.

Source: CSP Level 3, `form-action`; the exact port counts, and Chromium never matches an IPv6 literal.
"""

from __future__ import annotations

from csp.constants import SELF
from django.conf import settings
from django.http import HttpResponse

from omaccess.models import LoginAddress
from omaccess.reach import Openable

MAX_BYTES = 2048
"""Beyond this the header would endanger the whole answer (proxies limit headers to 4 or 8 KB)."""


def form_origins(openable: Openable) -> list[str]:
    """Sources for `form-action`: link and redirect origins of all instances this person may use."""
    addresses = LoginAddress.objects.filter(instance__in=openable.instances).order_by("origin")
    sources = [SELF, *addresses.values_list("origin", flat=True).distinct()]
    if len(" ".join(sources).encode()) > MAX_BYTES or any("[" in source for source in sources):
        return [SELF, "https:", "http:"] if settings.IS_SANDBOX else [SELF, "https:"]
    return sources


def allow_launch_forms(response: HttpResponse, openable: Openable) -> HttpResponse:
    """Mark a page that holds launch forms; the CSP middleware adds the addresses to the policy."""
    response._csp_update = {"form-action": form_origins(openable)}  # type: ignore[attr-defined]
    return response
