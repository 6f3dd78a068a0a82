"""Where this portal differs from allauth's own pages."""

from __future__ import annotations

from typing import Any

from allauth.account.views import PasswordChangeView as AllauthPasswordChangeView
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse


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
