"""What Django's reports of errors may show: pages with DEBUG, mail to admins, whatever asks its reporter.

Django's own filter hides what is marked as sensitive, and nothing at all with DEBUG. Passwords, tokens and links pass
through many variables, here and in libraries, and a forgotten mark would show one. So no value is shown: the names
and kinds of variables say where a defect is, and the log has its traceback.
"""

from __future__ import annotations

import re
from collections.abc import ItemsView
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import SafeExceptionReporterFilter


class ReportFilter(SafeExceptionReporterFilter):
    # Also addresses of databases, caches, brokers and proxies: they hold passwords.
    hidden_settings = re.compile(
        "API|AUTH|TOKEN|KEY|SECRET|PASS|SIGNATURE|COOKIE|_URL|PROXY|LOCATION|SESSION", flags=re.IGNORECASE
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        """Always: with DEBUG, too, the secrets are real to whoever typed them."""
        return True

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        """Names of what was posted. Forms of this portal hold passwords, reasons and tickets."""
        return dict.fromkeys(request.POST, self.cleansed_substitute) if request is not None else {}

    def get_safe_cookies(self, request: HttpRequest) -> dict[str, Any]:
        return dict.fromkeys(getattr(request, "COOKIES", {}), self.cleansed_substitute)

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> ItemsView[str, Any]:
        return {name: _Kind(type(value).__name__) for name, value in tb_frame.f_locals.items()}.items()


class _Kind:
    """Stands for a value in a report, as `<IamToken>`."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<{self._name}>"
