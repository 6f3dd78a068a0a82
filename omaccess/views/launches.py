"""Asking for a session, and what became of it."""

from __future__ import annotations

import re
import uuid
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import cache_control, never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from omaccess.actions import launches as actions
from omaccess.csp import allow_launch_forms
from omaccess.errors import AnswersNeeded, CannotRecord, Invisible, TooManyLaunches
from omaccess.forms import LaunchForm
from omaccess.meta import Meta
from omaccess.models import Launch, LaunchState
from omaccess.models.launches import CROCKFORD, REFERENCE_LENGTH, normalise_reference
from omaccess.policies import decide
from omaccess.reach import Openable
from omaccess.views.hosts import host_page
from omaccess.views.outcomes import Outcome
from omaccess.views.plain import unavailable
from omaccess.views.requests import SignedInRequest, View, host_of_posted_account, sign_in_leads_to
from omaccess.views.rows import Asked

_REFERENCE = re.compile(f"[{CROCKFORD}]{{{REFERENCE_LENGTH}}}")


def answers_refusals(view: View) -> View:
    """What the actions raise, as answers: 404, 429, 503. Nothing was opened in any of them."""

    @wraps(view)
    def answering(request: SignedInRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except Invisible:
            raise Http404 from None
        except CannotRecord:
            return unavailable()
        except TooManyLaunches as error:
            back = host_of_posted_account(request)
            context = {"seconds": error.retry_after_seconds, "back": back, "nav": "hosts"}
            response = render(request, "omaccess/launches/too_many.html", context, status=429)
            response["Retry-After"] = str(error.retry_after_seconds)
            return response

    return answering


@require_http_methods(["GET", "HEAD", "POST"])
@sign_in_leads_to(host_of_posted_account)
@answers_refusals
def launches(request: SignedInRequest) -> HttpResponse:
    """POST opens an account. No GET ever does."""
    if request.method != "POST":
        return redirect("omaccess:activity")
    form = LaunchForm(request.POST)
    if not form.is_valid():
        raise Http404
    try:
        result = actions.launch(
            account_id=form.account_id,
            reason=form.reason,
            ticket=form.ticket,
            once=form.once,
            by=request.user,
            meta=Meta.of(request),
        )
    except AnswersNeeded as error:
        asked = Asked(form.account_id, form.reason, form.ticket, error.problems)
        return host_page(request, error.account.host_id, selected=form.account_id, asked=asked, status=422)
    return _hand_over(result)


@require_http_methods(["GET", "HEAD", "POST"])
@sign_in_leads_to(lambda request, reference: reverse("omaccess:launch", args=[reference]))
@answers_refusals
def attempt(request: SignedInRequest, reference: str) -> HttpResponse:
    """One more try of a launch that is waiting for the bastion."""
    canonical = _canonical(reference)
    if request.method != "POST":
        return redirect("omaccess:launch", canonical)
    return _hand_over(actions.attempt(reference=canonical, by=request.user, meta=Meta.of(request)))


@never_cache
@require_safe
def launch(request: SignedInRequest, reference: str) -> HttpResponse:
    """The outcome of one of my launches. Safe to reload; never holds a link."""
    canonical = _canonical(reference)
    if canonical != reference:
        return redirect("omaccess:launch", canonical)
    mine = Launch.objects.of(request.user).select_related("account__host__instance")
    found = get_object_or_404(mine, reference=canonical)
    now = timezone.now()
    outcome = Outcome.of(found)
    explanation = outcome.explanation
    decision = decide(found.account, user=request.user, at=now)
    context = {
        "nav": "activity",
        "launch": found,
        "outcome": outcome,
        "explanation": explanation,
        "is_production": found.account.host.is_production,
        "host_url": _host_url(found) if decision.is_visible else "",
        "offers_retry": explanation is not None and explanation.retry.is_offered and decision.is_open,
        "once": uuid.uuid4(),
        "may_try_again": actions.may_try_again(found, now),
        "next_seconds": outcome.seconds_to_next_attempt(now),
        "percent_waited": outcome.percent_waited(now),
        "automatic_seconds": outcome.automatic_seconds(now),
        "wait_seconds": outcome.wait_seconds(now),
        "help_text": found.account.host.instance.help_text,
    }
    response = render(request, "omaccess/launches/launch.html", context)
    if context["may_try_again"] or context["offers_retry"]:
        allow_launch_forms(response, Openable(request.user, at=now))
    return response


@never_cache
@require_safe
def launch_status(request: SignedInRequest, once: uuid.UUID) -> HttpResponse:
    """For the page that was clicked: what became of the click. 204 while there is nothing to tell yet."""
    mine = Launch.objects.of(request.user).select_related("account__host__instance")
    found = mine.filter(once=once).order_by("-id").first()
    if found is None or found.state == LaunchState.PENDING:
        return HttpResponse(status=204)
    context = {
        "launch": found,
        "outcome": Outcome.of(found),
        "help_text": found.account.host.instance.help_text,
    }
    return render(request, "omaccess/launches/_status.html", context)


@cache_control(private=True, max_age=600)
@require_safe
@login_not_required
def opening(request: HttpRequest) -> HttpResponse:
    """What the new window shows until the answer arrives. Static: loading it does nothing.

    Public, so that after an expired session the form goes out at once and the sign-in knows where it leads.
    """
    return render(request, "omaccess/launches/opening.html")


@sensitive_variables("result", "response")
def _hand_over(result: actions.Result) -> HttpResponse:
    """303 to the link, byte for byte; without one, 303 to the launch's page.

    Not an HttpResponseRedirect: that one re-encodes the address and shows it in its repr.
    """
    response = HttpResponse(status=303)
    if result.url is None:
        response["Location"] = reverse("omaccess:launch", args=[result.launch.reference])
        return response
    response["Location"] = result.url.value
    response["Cache-Control"] = "no-store"
    # On this answer only: on a page with forms it would make browsers send `Origin: null`.
    response["Referrer-Policy"] = "no-referrer"
    return response


def _canonical(reference: str) -> str:
    """The reference as it is stored. Raises: Http404 for what cannot be one."""
    canonical = normalise_reference(reference)
    if not _REFERENCE.fullmatch(canonical):
        raise Http404
    return canonical


def _host_url(launch: Launch) -> str:
    """The host's page with the account preselected."""
    address = reverse("omaccess:host", args=[launch.account.host_id])
    return f"{address}?{urlencode({'account': launch.account_id})}"
