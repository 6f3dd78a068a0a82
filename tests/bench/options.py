"""What the environment asks of the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

PARTS = ("launch", "speed", "lists", "screens", "audit", "records", "demo")
DATABASES = ("postgresql", "sqlite")
_MORE_NAMES = {"memory": "speed"}
"""Memory is looked at after every part that serves; whoever asks for it alone gets the part with the most requests."""


class UnknownOption(Exception):
    """A variable says something that the benchmark does not know; the text says what it knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """`seconds` bounds one comparison, `part_seconds` a whole part; `hosts` and `events` are sizes, smallest first."""

    parts: tuple[str, ...] = PARTS
    databases: tuple[str, ...] = DATABASES
    hosts: tuple[int, ...] = (100, 10_000, 100_000)
    events: tuple[int, ...] = (10_000, 1_000_000)
    rounds: int = 40
    seconds: float = 6.0
    part_seconds: int = 240
    is_profiled: bool = False

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Options:
        """Raises: UnknownOption."""
        usual = cls()
        return cls(
            parts=_names(environ, "BENCH_ONLY", PARTS, _MORE_NAMES),
            databases=_names(environ, "BENCH_DATABASES", DATABASES, {}),
            hosts=_numbers(environ, "BENCH_HOSTS", usual.hosts),
            events=_numbers(environ, "BENCH_EVENTS", usual.events),
            rounds=_numbers(environ, "BENCH_ROUNDS", (usual.rounds,))[0],
            seconds=float(_numbers(environ, "BENCH_SECONDS", (int(usual.seconds),))[0]),
            part_seconds=_numbers(environ, "BENCH_PART_SECONDS", (usual.part_seconds,))[0],
            is_profiled=environ.get("BENCH_PROFILE", "") == "1",
        )


def _names(
    environ: Mapping[str, str], variable: str, known: tuple[str, ...], others: Mapping[str, str]
) -> tuple[str, ...]:
    asked = {others.get(name.strip(), name.strip()) for name in environ.get(variable, "").split(",") if name.strip()}
    unknown = asked - set(known)
    if unknown:
        raise UnknownOption(f"{variable}: {', '.join(sorted(unknown))}? It knows {', '.join(known)}.")
    return tuple(name for name in known if not asked or name in asked)


def _numbers(environ: Mapping[str, str], variable: str, usual: tuple[int, ...]) -> tuple[int, ...]:
    text = environ.get(variable, "").replace("_", "")
    if not text:
        return usual
    try:
        numbers = tuple(sorted(int(part) for part in text.split(",")))
    except ValueError:
        raise UnknownOption(f"{variable} is {text!r}; it takes whole numbers, with commas between.") from None
    if numbers[0] < 1:
        raise UnknownOption(f"{variable}: every number is at least 1.")
    return numbers
