"""The star beside a host."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext, ngettext
from django.views.decorators.http import require_POST

from omaccess.actions import favourites
from omaccess.models import Host
from omaccess.views.requests import SignedInRequest, sign_in_leads_to, whole_number


def _posted_host(request: HttpRequest) -> int | None:
    """`add` or `remove`: each star of a page names its host in one of them."""
    return whole_number(request.POST.get("add") or request.POST.get("remove", ""))


def _address(request: HttpRequest) -> str:
    pk = _posted_host(request)
    return reverse("omaccess:host", args=[pk]) if pk else reverse("omaccess:hosts")


@sign_in_leads_to(_address)
@require_POST
def favourite(request: SignedInRequest) -> HttpResponse:
    """Make a host a favourite (`add`, its id) or none (`remove`); leads back to where the star is."""
    visible = Host.objects.visible_to(request.user, at=timezone.now())
    host = get_object_or_404(visible, pk=_posted_host(request))
    if "add" in request.POST:
        try:
            favourites.add(host=host, by=request.user)
        except favourites.TooManyFavourites:
            text = ngettext("You have %(n)d favourite, and there is no room for more.",
                            "You have %(n)d favourites, and there is no room for more.", favourites.MOST)  # fmt: skip
            messages.warning(request, text % {"n": favourites.MOST} + " " + gettext("Take one away first."))
    else:
        favourites.remove(host=host, by=request.user)
    response = HttpResponseRedirect(f"{_back(request)}#star-{host.pk}")
    response.status_code = 303
    return response


def _back(request: SignedInRequest) -> str:
    """The page with the star, when it is one of ours; else the list."""
    back = request.POST.get("back", "")
    is_ours = back.startswith("/") and url_has_allowed_host_and_scheme(back, allowed_hosts=None)
    return back.partition("#")[0] if is_ours and len(back) <= 2000 else reverse("omaccess:hosts")
