"""allauth's hooks: who may sign in, from where."""

from allauth.account.adapter import DefaultAccountAdapter
from django.http import HttpRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """Local accounts, made by an admin."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """ClientAddressMiddleware has settled it: rate limits must not be keyed on what a client claims."""
        return str(request.META.get("REMOTE_ADDR", ""))
