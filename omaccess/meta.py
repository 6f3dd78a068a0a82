"""Where an action comes from: what the audit keeps of a request, so that actions never see one."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.http import HttpRequest

from omaccess.cloud.types import NotPickled


@dataclass(frozen=True, slots=True)
class Meta(NotPickled):
    """Client address (after trusted proxies), browser, request id, and the session that was used, if any."""

    address: str = ""
    browser: str = ""
    request_id: str = ""
    session_key: str = field(default="", repr=False)

    @classmethod
    def of(cls, request: HttpRequest) -> Meta:
        return cls(
            address=request.META.get("REMOTE_ADDR", ""),
            browser=request.META.get("HTTP_USER_AGENT", ""),
            request_id=request.META.get("sallyport.request_id", ""),
            session_key=getattr(getattr(request, "session", None), "session_key", None) or "",
        )

    @classmethod
    def system(cls, job: str) -> Meta:
        """Work nobody asked for through a browser: a scheduled job or a command."""
        return cls(browser=f"system: {job}")
