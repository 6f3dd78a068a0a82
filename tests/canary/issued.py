"""Where secrets come from: what the sandbox gives out, what people type, what the installation holds."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

START = 10
"""Secrets are first looked for by so many of their letters; a shorter one would not be found at all."""

SLICE = 24
"""A secret that was cut is still one. Any 47 of its characters in a row contain a slice of this length."""


@dataclass
class Issued:
    """Every secret of a test by its kind. Tokens and tickets come from the sandbox as it issues them."""

    known: dict[str, set[str]] = field(default_factory=dict)
    tokens: list[str] = field(default_factory=list)

    def add(self, kind: str, secret: str) -> str:
        """Returns the secret, so that it can be noted where it is made.

        Raises: ValueError for one that could not be found.
        """
        if len(secret) < START:
            raise ValueError(f"a {kind} shorter than {START} characters could not be found anywhere")
        self.known.setdefault(kind, set()).add(secret)
        return secret

    def add_token(self, value: str) -> None:
        self.tokens.append(self.add("token", value))

    @property
    def last_token(self) -> str:
        return self.tokens[-1]

    @property
    def tickets(self) -> set[str]:
        """What is secret in each login link."""
        return self.known.get("link", set())

    def forms(self) -> dict[str, str]:
        """Every way in which a secret could be written down → which secret that is."""
        found: dict[str, str] = {}
        for kind, secrets in self.known.items():
            for secret in secrets:
                for piece in _pieces(secret):
                    found |= dict.fromkeys(_spellings(piece), f"{kind} {piece[:6]}…")
        return found


def _pieces(secret: str) -> list[str]:
    if len(secret) < 2 * SLICE:
        return [secret]
    return [secret[start : start + SLICE] for start in range(0, len(secret) - SLICE + 1, SLICE)]


def _spellings(text: str) -> set[str]:
    raw = text.encode()
    written = json.dumps(text)[1:-1]
    found = {text, text[::-1], quote(text), quote(text, safe=""), quote_plus(text)}
    found |= {quote(quote(text, safe=""), safe=""), html.escape(text), repr(text)[1:-1]}
    found |= {written, written.replace("/", "\\/"), html.escape(written), raw.hex(), raw.hex().upper()}
    for shift in range(3):
        # In base64 a text looks in one of three ways; the characters at its ends belong to its neighbours too.
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            coded = encode(b"\0" * shift + raw).decode().rstrip("=")
            found.add(coded[2 if shift else 0 :][shift:-1] if shift else coded[:-1])
    return found
