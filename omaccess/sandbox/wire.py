"""What happens to an answer between the application and the socket, when a fault asks for it.

A WSGI application cannot drop a connection or send half a header. The sandbox's own server therefore puts a
`Wire` into the environment; the application writes its wishes there. Under any other server such faults are
refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from omaccess.sandbox.faults import Drip

WIRE_KEY: Final = "sallyport.sandbox.wire"


@dataclass(slots=True)
class Wire:
    """Wishes for one answer: `drop` is blank, `silently`, `mid_headers` or `mid_body`."""

    drop: str = ""
    drip: Drip | None = None
