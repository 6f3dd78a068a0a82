"""A list pasted from a ticket: up to 200 names or addresses, each met exactly by hosts that the person may open."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from omaccess.forms import one_line
from omaccess.models.inventory import Host, address_key
from omaccess.models.search_key import FoldedName, SearchKey, fold
from omaccess.reach import Openable

MOST_LINES = 200
MOST_HOSTS = 5
"""Of one line: a name that more hosts share says too little to open one of them."""
MOST_TEXT = 40_000
MOST_READ = 2_000
"""Hosts looked at for one paste, before it is asked which of them may be opened."""
MOST_SPELLING = 200

_BETWEEN = re.compile(r"[\s,;|\uff0c\uff1b\u3001]+")
_AROUND = "\"'`<>(){}*\u2022\u2013\u2014\u201c\u201d\u2018\u2019\uff08\uff09\u3010\u3011\u300c\u300d\u300a\u300b"
_AFTER = ".,:;!?/\u3002\uff1a\uff01\uff1f" + _AROUND
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_PORT = re.compile(r":[0-9]{1,5}\Z")


@dataclass(frozen=True, slots=True)
class Resolved:
    """One entry as it was pasted, and the hosts it means: none when nothing that may be opened is called so."""

    line: str
    hosts: list[Host] = field(default_factory=list)


def pasted_lines(text: str) -> list[str]:
    """The entries of what was pasted: without quotes, bullets and full stops, each once, at most 200."""
    return _entries(text)[:MOST_LINES]


def is_cut(text: str) -> bool:
    """Whether there was more in it than `pasted_lines` takes."""
    return len(text) > MOST_TEXT or len(_entries(text)) > MOST_LINES


def resolve(openable: Openable, lines: Sequence[str]) -> list[Resolved]:
    """The hosts of each line, in the order of the lines.

    A line that says or means the same as one before is left out, such as the address that stands beside a name.

    However many lines there are, it costs the queries of `openable.hosts()` and two more.
    """
    asked = {fold(line): line for line in reversed(lines) if line.strip()}
    kept = [line for line in dict.fromkeys(lines) if asked.get(fold(line)) == line][:MOST_LINES]
    spelled = {line: _spellings(line) for line in kept}
    met = _by_spelling(_hosts(openable, {one for tiers in spelled.values() for tier in tiers for one in tier}))
    return list(_each_meaning_once(Resolved(line, _first_met(spelled[line], met)) for line in kept))


def _entries(text: str) -> list[str]:
    """Each once, in order."""
    found: dict[str, str] = {}
    for part in _BETWEEN.split(text[:MOST_TEXT]):
        entry = one_line(part).lstrip(_AROUND).rstrip(_AFTER)
        # What is left of a bullet, an arrow or a line drawn under a heading names nothing.
        if any(character.isalnum() for character in entry):
            found.setdefault(fold(entry), entry[:MOST_SPELLING])
    return list(found.values())


def _spellings(line: str) -> tuple[list[str], ...]:
    """What a line may mean, in keys of `_keys`, the nearest first: as it stands, bare, and by its first label."""
    bare = _bare(line)
    label = bare.partition(".")[0]
    is_name = label != bare and ":" not in bare and any(character.isalpha() for character in label)
    return _keys(line), _keys(bare), _keys(label) if is_name else []


def _bare(line: str) -> str:
    """Only the host of `https://user@host:port/path`, and of parts of that."""
    text = _SCHEME.sub("", line.strip(), count=1)
    text = re.split(r"[/?#]", text, maxsplit=1)[0].rpartition("@")[2]
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return (_PORT.sub("", text) if text.count(":") == 1 else text).rstrip(".")


def _keys(text: str) -> list[str]:
    """The spellings under which a host may be known, by name or by address."""
    return list(dict.fromkeys(key[:MOST_SPELLING] for key in (fold(text), text.lower(), address_key(text)) if key))


def _hosts(openable: Openable, keys: Iterable[str]) -> list[Host]:
    """Those that may be opened whose name or address is one of these, by name."""
    wanted = sorted(keys)
    if not wanted:
        return []
    # The name twice: what the release before has written is not folded before the next night.
    keys = {"folded": FoldedName(), "named": SearchKey("name"), "at": SearchKey("address")}
    ways = [Host.objects.alias(**{key: way}).filter(**{f"{key}__in": wanted}) for key, way in keys.items()]
    ways.append(Host.objects.filter(address_key__in=wanted))
    found = [way.order_by().values_list("pk", flat=True) for way in ways]
    ids = set(found[0].union(*found[1:], all=True)[:MOST_READ])
    rows = openable.hosts().among(ids).rows()
    return list(rows.select_related("instance").prefetch_related("labels").order_by("name", "id"))


def _by_spelling(hosts: Iterable[Host]) -> dict[str, list[Host]]:
    found: dict[str, list[Host]] = {}
    for host in hosts:
        for key in {fold(host.name), host.name.lower(), fold(host.address), host.address.lower(), host.address_key}:
            found.setdefault(key[:MOST_SPELLING], []).append(host)
    return found


def _each_meaning_once(lines: Iterable[Resolved]) -> Iterator[Resolved]:
    meant: set[tuple[int, ...]] = set()
    for line in lines:
        hosts = tuple(host.pk for host in line.hosts)
        if not hosts or hosts not in meant:
            yield line
        meant.add(hosts)


def _first_met(tiers: Iterable[Iterable[str]], met: dict[str, list[Host]]) -> list[Host]:
    return next(filter(None, (_met(tier, met) for tier in tiers)), [])


def _met(keys: Iterable[str], met: dict[str, list[Host]]) -> list[Host]:
    return list(_each_once(host for key in keys for host in met.get(key, [])))[:MOST_HOSTS]


def _each_once(hosts: Iterable[Host]) -> Iterator[Host]:
    return iter({host.pk: host for host in hosts}.values())
