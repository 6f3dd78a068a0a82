"""The admin site: who may enter, under which content policy, and what its first page says."""

from __future__ import annotations

from collections.abc import Callable
from functools import update_wrapper
from typing import Any

from django.conf import settings
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect
from django.templatetags.static import static
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from unfold.sites import UnfoldAdminSite

from omaccess.admin.credential_health import health_counts
from omaccess.admin.job_health import job_troubles
from omaccess.admin.overview import missing_steps, trouble
from omaccess.errors import CannotRecord
from omaccess.views.plain import unavailable
from portal.version import COMMIT, VERSION

POLICY = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"], "img-src": ["data:"]}
"""What unfold needs on top of the strict policy: Alpine evaluates expressions, theme colours are inline styles,
Django's icons are data: images. Added to the answers of admin views only; nothing may come from elsewhere."""

View = Callable[..., HttpResponse]


class AdminSite(UnfoldAdminSite):  # type: ignore[misc]
    """Unfold's site, with everybody's sign-in, our permission to enter, and our first page."""

    index_title = _("Overview")
    index_template = "admin/overview.html"
    empty_value_display = "\N{EN DASH}"

    def has_permission(self, request: HttpRequest) -> bool:
        return request.user.is_active and request.user.has_perm("accounts.enter_admin")

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        """Anonymous people sign in where everybody does; who may not enter gets 403, no sign-in loop."""
        guarded = super().admin_view(view, cacheable)

        def within(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            if not self.has_permission(request):
                raise PermissionDenied
            try:
                response: HttpResponse = guarded(request, *args, **kwargs)
            except CannotRecord:
                # Whatever was to be changed was rolled back with its event.
                return unavailable()
            response._csp_update = POLICY  # type: ignore[attr-defined]
            return response

        return update_wrapper(within, guarded)

    @method_decorator(never_cache)
    @method_decorator(login_not_required)
    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """No sign-in of its own: it only leads to everybody's."""
        target = request.GET.get("next", "")
        if not url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure()):
            target = reverse("admin:index")
        if not request.user.is_authenticated:
            return redirect_to_login(target)
        if not self.has_permission(request):
            raise PermissionDenied
        return HttpResponseRedirect(target)  # not redirect(): it takes a word without a slash for the name of a view

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method == "POST":
            logout(request)
            return redirect("account_login")
        return redirect("account_logout")

    def password_change(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("account_change_password")

    def password_change_done(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("admin:index")

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Unfold's search over page names is not offered; every list has its own search."""
        raise Http404

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from omaccess.admin.why import why

        own = [path("why/", self.admin_view(why), name="why")]
        return [*own, *super().get_urls()]

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """The overview; while something essential is missing it says what, and where to add it."""
        may_see_launches = request.user.has_perm("omaccess.view_launch")
        context = {
            "missing_steps": missing_steps(),
            "job_troubles": job_troubles(),
            "version": VERSION,
            "commit": COMMIT,
            "may_see_launches": may_see_launches,
            "trouble": trouble() if may_see_launches else [],
            "health_counts": health_counts() if request.user.has_perm("omaccess.view_iamcredential") else [],
            **(extra_context or {}),
        }
        response: HttpResponse = super().index(request, context)
        return response


site = AdminSite(name="admin")


def environment_badge(request: HttpRequest) -> list[str] | None:
    """Unfold's badge beside the title: text and colour."""
    return [gettext("Sandbox"), "warning"] if settings.IS_SANDBOX else None


def favicon(request: HttpRequest) -> str:
    """The staff pages' icon, by its address of the moment."""
    return static("img/favicon.svg")
