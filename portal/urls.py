"""All routes. Every view asks for a sign-in (LoginRequiredMiddleware) unless it says that it does not."""

from django.urls import include, path

from omaccess.admin.site import site
from portal import views
from portal.metrics import metrics

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
    path("admin/", site.urls),
    path("accounts/", include("accounts.urls")),
    path("", include("omaccess.urls")),
]

handler400 = "portal.views.handler400"
handler403 = "portal.views.handler403"
handler404 = "portal.views.handler404"
handler429 = "portal.views.handler429"
handler500 = "portal.views.handler500"
