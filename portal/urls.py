"""All routes. Every view asks for a sign-in (LoginRequiredMiddleware) unless it says that it does not."""

from django.conf import settings
from django.urls import include, path

from accounts import views as accounts
from omaccess.admin.site import site
from portal import brand, views
from portal.metrics import metrics

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("admin/", site.urls),
    path("accounts/", include("accounts.urls")),
    path("preferences/", accounts.preferences, name="preferences"),
    path("preferences/language/", accounts.switch_language, name="switch_language"),
    path("brand.css", brand.stylesheet, name="brand"),
    path("", include("omaccess.urls")),
]

if settings.DEBUG:  # which only the sandbox may have
    from portal.styleguide import styleguide

    urlpatterns.insert(0, path("styleguide/", styleguide, name="styleguide"))

handler400 = "portal.views.handler400"
handler403 = "portal.views.handler403"
handler404 = "portal.views.handler404"
handler429 = "portal.views.handler429"
handler500 = "portal.views.handler500"
