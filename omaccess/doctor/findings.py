"""What an examination yields, and how one that may hang is kept from holding up the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from django.core.checks import INFO, WARNING, CheckMessage
from django.utils.translation import gettext as _


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence that says what to do. `is_wrong` ones make the command fail; the others are notes.

    After one that `is_end`, nothing that rests on the same thing is asked any more.
    """

    text: str
    is_wrong: bool = True
    is_end: bool = False


Findings = Iterator[Finding]


def note(text: str) -> Finding:
    return Finding(text, is_wrong=False)


def of_checks(messages: list[CheckMessage]) -> Findings:
    """What Django's checks found, ours among them."""
    for message in messages:
        if message.level > INFO and not message.is_silenced():
            hint = f" {message.hint}" if message.hint else ""
            yield Finding(f"{message.id}: {message.msg}{hint}", is_wrong=message.level > WARNING)


class Underway:
    """An examination in a thread of its own, begun at once. It must not use the database.

    The thread is a daemon: a name server that does not answer cannot be interrupted, and must not hold the exit.
    """

    def __init__(self, examine: Callable[[], Findings], *, seconds: float) -> None:
        self._examine, self._seconds = examine, seconds
        self._found: list[Finding] = []
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def findings(self) -> Findings:
        """Wait for the end, at most the given seconds from now; what was found until then counts."""
        self._thread.join(self._seconds)
        if self._error is not None:
            raise self._error
        yield from list(self._found)
        if self._thread.is_alive():
            text = _("It did not answer within {seconds} s, so the rest could not be asked.")
            yield Finding(text.format(seconds=f"{self._seconds:.0f}"))

    def _run(self) -> None:
        try:
            for finding in self._examine():
                self._found.append(finding)
        except Exception as error:  # raised again where somebody waits for it
            self._error = error
