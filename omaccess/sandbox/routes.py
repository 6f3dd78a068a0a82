"""Which call a request is: its name for faults and counters, and the handler that answers it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from werkzeug.wrappers import Request, Response

from omaccess.sandbox import cbh, iam, iam_lists, instances, logins, om_page

Handler = Callable[..., Response]

_CBH: Final = r"/v2/(?P<project_id>[^/]+)/cbs"
_ROUTES: Final[tuple[tuple[str, str, str, Handler], ...]] = (
    ("POST", r"/v3/auth/tokens", "iam.token", iam.token),
    ("GET", r"/v3/auth/tokens", "iam.token_check", iam.token_check),
    ("GET", r"/v3/projects", "iam.projects", iam_lists.projects),
    ("GET", r"/v3/auth/projects", "iam.auth_projects", iam_lists.auth_projects),
    ("GET", r"/v3/auth/domains", "iam.domains", iam_lists.auth_domains),
    ("GET", _CBH + r"/instance/get-om-url", "cbh.om_url", cbh.om_url),
    ("GET", _CBH + r"/instance/list", "cbh.instances", instances.instances),
    ("GET", _CBH + r"/instance/(?P<server_id>[^/]+)/status", "cbh.status", instances.status),
    ("GET", _CBH + r"/feature/config", "cbh.features", instances.features),
    ("POST", _CBH + r"/instance/login", "cbh.login", logins.login),
    ("GET", _CBH + r"/instances/(?P<server_id>[^/]+)/admin-url", "cbh.admin_url", logins.admin_url),
)


def route(request: Request) -> tuple[str, Handler, dict[str, str]]:
    """Name, handler and the parts of the path; a blank name for what is no call of the simulated services."""
    if request.path == "/" and "cbhinfo" in request.args and request.method in ("GET", "HEAD"):
        return "om.page", om_page.session, {}
    for method, pattern, name, handler in _ROUTES:
        match = re.fullmatch(pattern, request.path)
        if match is not None and request.method == method:
            return name, handler, match.groupdict()
    return "", om_page.session, {}
