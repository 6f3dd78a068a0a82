"""The page a login URL leads to: it stands for the O&M session, or the pages of its own, that a bastion shows.

Deliberately no `Cross-Origin-Opener-Policy` here: a real bastion is not known to send it, so the portal has
to cut the opener by itself, and the page reports (as `data-opener` on its body) whether it did.
"""

from __future__ import annotations

import secrets
from functools import cache
from html import escape
from pathlib import Path
from string import Template
from typing import Final

from werkzeug.wrappers import Response

from omaccess.sandbox.replies import status_line
from omaccess.sandbox.simulation import Call, Simulation
from omaccess.sandbox.tickets import TicketProblem
from omaccess.sandbox.world_types import Host, HostAccount

_PAGES: Final = Path(__file__).parent / "pages"
_GONE: Final = {
    TicketProblem.USED: (
        "This link was already used",
        "A login link opens one session, once. Reloading the page or opening the link again does not work.",
    ),
    TicketProblem.EXPIRED: (
        "This link has expired",
        "A login link has to be used shortly after it was obtained, and this one was not.",
    ),
    TicketProblem.UNKNOWN: (
        "This link is not known here",
        "It was cut or changed on its way, or the sandbox was restarted after issuing it.",
    ),
}


def session(cloud: Simulation, call: Call) -> Response:
    """The session page; uses the link up, also for HEAD, so that a client that probes links is found out."""
    redeemed = cloud.tickets.redeem(call.request.args.get("cbhinfo", ""))
    if isinstance(redeemed, TicketProblem):
        title, explanation = _GONE[redeemed]
        return _page("gone.html", 410, problem=redeemed.value, title=title, explanation=explanation)
    target = redeemed.target
    opened_at = cloud.clock.now()
    facts = {
        "instance": target.instance.name,
        "user": redeemed.user_name,
        "opened_at": opened_at.strftime("%Y-%m-%d %H:%M:%S"),
        "opened_iso": opened_at.isoformat(timespec="seconds"),
    }
    if target.host is None or target.account is None:
        role = "its administrator" if target.as_admin else f"IAM user {redeemed.user_name}"
        return _page("system.html", 200, role=role, **facts)
    return _page(
        "session.html",
        200,
        account=target.account.name,
        host=target.host.name,
        address=target.host.address,
        screen=_screen(target.host, target.account),
        **facts,
    )


def index(cloud: Simulation) -> Response:
    """What someone sees who opens the sandbox's address by itself."""
    return _page(
        "index.html",
        200,
        world=cloud.world.name,
        description=cloud.world.description,
        base_url=cloud.base_url,
        instances=", ".join(instance.name for instance in cloud.world.instances),
    )


def _screen(host: Host, account: HostAccount) -> str:
    """One line that hints at the kind of session."""
    if host.os == "windows":
        return f"mstsc /v:{host.address}  ({account.name})\n(simulated desktop)"
    sign = "#" if account.name == "root" else "$"
    return f"(simulated terminal)\n[{account.name}@{host.name} ~]{sign} "


@cache
def _template(name: str) -> Template:
    return Template((_PAGES / name).read_text(encoding="utf-8"))


@cache
def _style() -> str:
    return (_PAGES / "style.css").read_text(encoding="utf-8")


def _page(name: str, status: int, **texts: str) -> Response:
    nonce = secrets.token_urlsafe(16)
    escaped = {key: escape(text) for key, text in texts.items()}
    html = _template(name).substitute(escaped, nonce=nonce, style=_style())
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; img-src data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return Response(html, status=status_line(status), headers=headers, content_type="text/html; charset=utf-8")
