"""The way to the cloud: names, and on request a connection."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from omaccess.clients import transport
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline
from omaccess.doctor.findings import Finding, Findings, Underway

_AT_MOST = 20
_SLOW_SECONDS = 1.0
_ANSWER_SECONDS = 4.0


def cloud(endpoints: Sequence[str], *, connect: bool) -> Findings:
    """Each name is found, and quickly: the deadline of a launch does not cover that. With `connect`, each answers.

    Args:
        endpoints: addresses as in the inventory; the first twenty are asked.
    """
    if settings.CLOUD_PROXY:
        names = {urlsplit(settings.CLOUD_PROXY).hostname or ""}  # it is the one who looks up the others
    else:
        names = {urlsplit(endpoint).hostname or "" for endpoint in endpoints[:_AT_MOST]}
    asked = [Underway(_resolving(name), seconds=_ANSWER_SECONDS) for name in sorted(names - {""})]
    if connect:
        asked += [Underway(_connecting(endpoint), seconds=_ANSWER_SECONDS * 2) for endpoint in endpoints[:_AT_MOST]]
    for examination in asked:
        yield from examination.findings()


def _resolving(name: str) -> Callable[[], Findings]:
    def resolve() -> Findings:
        began = time.monotonic()
        try:
            socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            text = _("The name {name} is not found. Check the spelling, and the name servers in /etc/resolv.conf.")
            yield Finding(text.format(name=name))
            return
        seconds = time.monotonic() - began
        if seconds > _SLOW_SECONDS:
            text = _("Finding the name {name} took {seconds} s. In /etc/resolv.conf: options timeout:1 attempts:2")
            yield Finding(text.format(name=name, seconds=f"{seconds:.1f}"))

    return resolve


def _connecting(endpoint: str) -> Callable[[], Findings]:
    def connect() -> Findings:
        """Any answer will do: it came over verified TLS, and through the proxy where there is one."""
        try:
            transport().request("GET", endpoint, "/", deadline=Deadline.after(_ANSWER_SECONDS), service="doctor")
        except CloudError as error:
            text = _("{endpoint} cannot be reached ({kind}). Check the firewall, CLOUD_PROXY and CLOUD_CA_BUNDLE.")
            yield Finding(text.format(endpoint=endpoint, kind=type(error).__name__))

    return connect
