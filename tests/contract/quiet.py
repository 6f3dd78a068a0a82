"""Assertions that can be shown to anybody: they compare, and say in words what did not hold."""

from __future__ import annotations

import re
from typing import Final

_LONGEST_FACT: Final = 80
_LONGEST_UNBROKEN: Final = 64


class Broken(AssertionError):
    """A fact about the cloud that does not hold. Its text holds words and harmless facts only."""


def expect(holds: bool, words: str, **facts: object) -> None:
    """Go on if the fact holds.

    Only the outcome of the comparison comes in, never what was compared, so that no report can show a token, a
    password, a key or a link. `facts` are shown: pass statuses, states, codes and numbers only.

    Raises:
        Broken: it does not hold.
    """
    if not holds:
        shown = ", ".join(f"{name} {plain(value)}" for name, value in facts.items())
        raise Broken(f"{words} ({shown})" if shown else words)


def plain(value: object, longest: int = _LONGEST_FACT) -> str:
    """`value` as one short line of printable text; long unbroken runs, as secrets are, are left out."""
    text = "".join(character if character.isprintable() else " " for character in str(value))
    return re.sub(rf"\S{{{_LONGEST_UNBROKEN + 1},}}", "[long]", text)[:longest]
