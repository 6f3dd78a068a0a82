"""What every page knows about the installation."""

from django.conf import settings
from django.http import HttpRequest

from accounts.preferences import theme
from portal.brand import stylesheet_address


def site(request: HttpRequest) -> dict[str, object]:
    return {
        "site_name": settings.SITE_NAME,
        "support_contact": settings.SUPPORT_CONTACT,
        "is_sandbox": settings.IS_SANDBOX,
        "languages": settings.LANGUAGES,
        "theme": theme(request),
        "brand_css": stylesheet_address(),
    }
