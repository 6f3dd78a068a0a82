"""How the token cache's values travel to Redis and back: as text, and as nothing else."""

from __future__ import annotations


class TextSerializer:
    """Django's own serializer unpickles what it finds, so whoever can write to Redis could run code in the portal.

    The portal keeps sealed texts there. Anything else that turns up is read as a text too, and does not open.
    """

    def dumps(self, value: str) -> bytes:
        return value.encode()

    def loads(self, stored: bytes) -> str:
        return stored.decode("utf-8", "replace")
