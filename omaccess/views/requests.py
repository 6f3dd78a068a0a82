"""The request of somebody who is signed in, and where to lead somebody who no longer is."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django_htmx.middleware import HtmxDetails

from accounts.models import User
from accounts.recognition import recognise
from omaccess.forms import MAX_ID, LaunchForm

View = Callable[..., HttpResponse]


class SignedInRequest(HttpRequest):
    """LoginRequiredMiddleware lets nobody else through."""

    user: User
    htmx: HtmxDetails


def sign_in_leads_to(where: Callable[..., str]) -> Callable[[View], View]:
    """For views that are posted to: after signing in again, go to a page that can be shown.

    `where` gets what the view gets. The middleware would lead to the view itself, so the check is here.
    """

    def decorate(view: View) -> View:
        @login_not_required
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not recognise(request):
                return redirect_to_login(where(request, *args, **kwargs))
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def host_of_posted_account(request: HttpRequest) -> str:
    """The host page a launch form came from, its account preselected; the hosts list for rubbish."""
    form = LaunchForm(request.POST)
    if not form.is_valid():
        return reverse("omaccess:hosts")
    return f"{reverse('omaccess:host_of_account')}?{urlencode({'account': form.account_id})}"


def whole_number(text: str) -> int | None:
    """A positive number that fits into an id, or None for anything else somebody put into an address."""
    if not text.isascii() or not text.isdigit() or len(text) > 19:
        return None
    number = int(text)
    return number if 0 < number <= MAX_ID else None
