"""My own history."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from omaccess.models import Launch
from omaccess.views.hosts import whole_number
from omaccess.views.outcomes import outcomes
from omaccess.views.requests import SignedInRequest

PAGE = 50


@never_cache
@require_safe
def activity(request: SignedInRequest) -> HttpResponse:
    """My launches, newest first, in pages that begin before an id: nothing is counted, nothing shifts."""
    launches = Launch.objects.of(request.user).select_related("account__host__instance").order_by("-id")
    before = whole_number(request.GET.get("before", ""))
    if before is not None:
        launches = launches.filter(id__lt=before)
    found = list(launches[: PAGE + 1])
    context = {
        "nav": "activity",
        "outcomes": outcomes(found[:PAGE]),
        "before": found[PAGE - 1].pk if len(found) > PAGE else None,
        "is_first_page": before is None,
    }
    return render(request, "omaccess/activity/list.html", context)
