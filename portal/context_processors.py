"""What every page knows about the installation."""

from django.conf import settings
from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, object]:
    return {
        "site_name": settings.SITE_NAME,
        "support_contact": settings.SUPPORT_CONTACT,
        "is_sandbox": settings.IS_SANDBOX,
    }
