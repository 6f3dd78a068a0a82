"""Where this portal differs from allauth's own pages, and how the pages look to somebody."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import urlsplit

from allauth.account.views import PasswordChangeView as AllauthPasswordChangeView
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_not_required
from django.core.exceptions import BadRequest, PermissionDenied
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.forms import PreferencesForm
from accounts.models import User
from accounts.preferences import activate, remember_language, remember_theme


class PasswordChangeView(AllauthPasswordChangeView):  # type: ignore[misc]
    """Changing a password one has. Whoever has none signs in elsewhere, and sets none here."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.user.is_authenticated and not request.user.has_usable_password():
            raise PermissionDenied
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return response

    def form_valid(self, form: Form) -> HttpResponseBase:
        """The password and the record of its change stand or fall together."""
        with transaction.atomic():
            response: HttpResponseBase = super().form_valid(form)
        return response

    def get_default_success_url(self) -> str:
        return reverse("omaccess:hosts")


password_change = PasswordChangeView.as_view()


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def preferences(request: HttpRequest) -> HttpResponse:
    """Language, time zone and colours of the person who is signed in."""
    user = cast("User", request.user)
    names = ("language", "time_zone", "theme")
    form = PreferencesForm(initial={name: getattr(user, name) for name in names})
    if request.method == "POST":
        form = PreferencesForm(request.POST)
        if form.is_valid():
            for name in names:
                setattr(user, name, form.cleaned_data[name])
            user.save(update_fields=names)
            response = _see_other(reverse("preferences"))
            remember_language(response, user.language)
            remember_theme(response, user.theme)
            activate(request, user)
            messages.success(request, gettext("Saved. The pages look like this everywhere you sign in."))
            return response
    return render(request, "account/preferences.html", {"form": form}, status=422 if form.is_bound else 200)


@never_cache
@require_POST
@login_not_required
def switch_language(request: HttpRequest) -> HttpResponse:
    """The switch at the foot of every page: in this browser, and for the person who is signed in.

    Raises: BadRequest for a language that there is not.
    """
    language = request.POST.get("language", "")
    if language not in dict(settings.LANGUAGES):
        raise BadRequest("unknown language")
    response = _see_other(_page_before(request))
    remember_language(response, language)
    if request.user.is_authenticated:
        User.objects.filter(pk=request.user.pk).update(language=language)
    return response


def _page_before(request: HttpRequest) -> str:
    """The page of ours that the browser says it comes from; else the hosts. No page has to hold its own address."""
    try:
        page = urlsplit(request.headers.get("Referer", ""))
    except ValueError:  # brackets that hold no IPv6 address
        return reverse("omaccess:hosts")
    if page.netloc != request.get_host() or not page.path.startswith("/"):
        return reverse("omaccess:hosts")
    back = page.path + (f"?{page.query}" if page.query else "")
    return back if url_has_allowed_host_and_scheme(back, allowed_hosts=None) else reverse("omaccess:hosts")


def _see_other(address: str) -> HttpResponse:
    response = HttpResponseRedirect(address)
    response.status_code = 303
    return response
