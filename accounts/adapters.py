"""allauth's hooks: who may sign in, from where."""

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest
from django.utils.http import url_has_allowed_host_and_scheme


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Local accounts, made by an admin."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """ClientAddressMiddleware has settled it: rate limits must not be keyed on what a client claims."""
        return str(request.META.get("REMOTE_ADDR", ""))

    def is_safe_url(self, url: str) -> bool:
        """Paths of this portal only. allauth would also follow to every other name that the settings mention."""
        return url_has_allowed_host_and_scheme(url, allowed_hosts=None)

    def _get_login_attempts_cache_key(self, request: HttpRequest, **credentials: Any) -> str:
        """One count of failures per person. allauth's begins with the host that the browser claims, port and all.

        Names are one when the database takes them for one: whatever their case, in letters that only upper case joins.
        """
        name = str(credentials.get("username") or credentials.get("email") or "")
        return name.upper().casefold()
