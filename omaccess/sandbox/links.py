"""Links into a bastion, each with a ticket of its own, and the odd ones that a fault asks for."""

from __future__ import annotations

from omaccess.sandbox.faults import Fault
from omaccess.sandbox.simulation import Simulation
from omaccess.sandbox.tickets import Opens


def login_link(cloud: Simulation, fault: Fault, target: Opens, user_name: str) -> str | None:
    """A new link; None when a fault wants it missing.

    Its form, `https://host:443?cbhinfo=…` without a path, is the one published for the login calls; for
    get-om-url none is.
    """
    odd = fault.login_url or "valid"
    if fault.login_url == "":
        return ""
    if odd == "missing":
        return None
    secret = cloud.tickets.issue(target=target, user_name=user_name)
    origin = target.instance.login_origin or cloud.base_url
    scheme, _, authority = origin.partition("://")
    link = f"{origin}?cbhinfo={secret}"
    forms = {
        "valid": link,
        "blank": "   ",
        "relative": f"/?cbhinfo={secret}",
        "http": f"http://bastion.example.com?cbhinfo={secret}",
        "javascript": f"javascript:alert('{secret}')",
        "userinfo": f"{scheme}://operator:sandbox@{authority}?cbhinfo={secret}",
        "foreign_origin": f"https://bastion.invalid:443?cbhinfo={secret}",
        "huge": link + "A" * 5000,
    }
    return forms.get(odd, odd)
