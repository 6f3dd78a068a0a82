"""The web processes of this machine."""

from __future__ import annotations

import http.client

from django.utils.translation import gettext as _

from omaccess.doctor.findings import Finding, Findings, note
from portal.env import env

_ANSWER_SECONDS = 3.0
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - what BIND may say


def web_server() -> Findings:
    """It answers at each address of BIND, and is ready."""
    for address in env.list("BIND", ["127.0.0.1:8000"]):
        host, separator, port = address.rpartition(":")
        if address.startswith(("unix:", "fd:")) or not separator or not port.isdigit():
            text = _("BIND is {address}, which cannot be asked from here; ask the proxy for /readyz.")
            yield note(text.format(address=address))
            continue
        host = host.strip("[]")
        yield from _asked(_EVERY_ADDRESS.get(host, host), int(port), address)


def _asked(host: str, port: int, address: str) -> Findings:
    try:
        alive, ready = (_status(host, port, path) for path in ("/healthz", "/readyz"))
    except (OSError, http.client.HTTPException) as error:
        text = _("No web server answers at {address} ({kind}). Start it: gunicorn -c deploy/gunicorn.conf.py …")
        yield Finding(text.format(address=address, kind=type(error).__name__))
        return
    if alive != 200:
        text = _("What answers at {address} is not this portal (status {status}). Check BIND.")
        yield Finding(text.format(address=address, status=alive))
    elif ready != 200:
        text = _("The web server at {address} is not ready (status {status}); its log says why.")
        yield Finding(text.format(address=address, status=ready))


def _status(host: str, port: int, path: str) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
