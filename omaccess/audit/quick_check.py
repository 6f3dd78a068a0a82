"""Whole chunks of events that are as they were written, told from all others as fast as Python can.

Nearly every chunk ever read is whole. This path hashes what a whole event would be and compares; it judges nothing.
Whatever it does not recognise, down to a single odd value, is left to `verify`, which looks at that chunk again
column by column and says what is wrong. So it may be strict without harm; what it passes has to be exactly right:
every column of the form that the portal writes, each event the next one after its predecessor, and the SHA-256 of
its canonical bytes the one that it carries.

What makes it fast: the database joins the texts of a row (PostgreSQL) or they are joined here (SQLite), so that one
search finds whether anything in them needs an escape; the bytes are then a template filled in.
"""

from __future__ import annotations

import json
import json.encoder
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, Final

from django.db import DatabaseError

from omaccess.audit.chain import COVERED, VERSION, event_hash
from omaccess.audit.stored_rows import COLUMNS, POSTGRESQL_AT, Key, Malformed, StoredRows, facts
from omaccess.audit.triggers import EVENTS

Joined = tuple[int, Any, str | None, str, str, str]
"""Position; id, as the database compares it; TEXTS joined, None when one is NULL; facts; hash before; hash."""

_ORDER: Final = sorted(COVERED)
TEXTS: Final = tuple(name for name in _ORDER if name not in {"position", "facts"})
_SEPARATOR: Final = "\x1f"
_NEEDS_ESCAPE: Final = re.compile(r'["\\\x00-\x1e]').search
_ABOVE_UTF16_UNITS: Final = re.compile("[\U00010000-\U0010ffff]").search
_SLOTS: Final = {"position": "%d", "facts": "%s"}
_TEMPLATE: Final = (
    f"{VERSION.decode()}\n%s\n{{" + ",".join(f'"{name}":' + _SLOTS.get(name, '"%s"') for name in _ORDER) + "}"
)
"""What is hashed, with slots for the hash before and for each column in the order of the alphabet."""
_SQLITE_FORMS: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.(?!000000)[0-9]{6})?\x1f[0-9a-f]{32}"
).fullmatch
_WITH_MICROSECONDS: Final = len("2026-11-01 12:00:00.000001")
_SQLITE_TYPES: Final = (int, *[str] * (len(COVERED) + 1))


class QuickCheck:
    """Reads chunk by chunk, and says which of them are whole."""

    def __init__(self, rows: StoredRows) -> None:
        self._rows = rows
        is_postgresql = rows.connection.vendor == "postgresql"
        self._is_applicable = not is_postgresql or _has_known_columns(rows)
        self._select = _postgresql_select() if is_postgresql else _sqlite_select()
        self._joined: Callable[[Sequence[Any]], Iterable[Joined]] = iter if is_postgresql else _joined
        self._facts: Callable[[str], dict[str, Any]] = _jsonb if is_postgresql else facts

    def chunk(self, after: Key, position: int, digest: str) -> list[Joined] | None:
        """The rows that follow a key, when all of them continue the chain whose end is given; else None."""
        if not self._is_applicable:
            return None
        where = "WHERE (position, id) > (%s, %s)" if after else ""
        try:
            found = self._rows.fetch(f"{self._select} {where} ORDER BY position LIMIT {self._rows.chunk_rows}", after)
            rows = list(self._joined(found))
            return rows if self._continue(rows, position, digest) else None
        except (DatabaseError, Malformed, ValueError, TypeError, RecursionError):
            # A row that cannot be read, or that holds what is no text, no JSON or no number: a matter for `verify`.
            return None

    def _continue(self, rows: Iterable[Joined], last: int, last_hash: str) -> bool:
        """Raises: ValueError, TypeError, RecursionError, Malformed for what is nothing that the portal writes."""
        read_facts = self._facts
        for position, _uid, joined, facts_text, previous, digest in rows:
            last += 1
            if position != last or previous != last_hash or joined is None:
                return False
            # ValueError unless they are exactly as many as TEXTS.
            actor_id, actor, address, at, browser, cause, uid, kind, reference, request_id, target_id, target, about = (
                joined.split(_SEPARATOR)
            )
            read = read_facts(facts_text)
            written = _dump(read)
            if _NEEDS_ESCAPE(joined) or (not written.isascii() and _ABOVE_UTF16_UNITS(written)):
                texts = dict(zip(TEXTS, joined.split(_SEPARATOR), strict=True))
                found = event_hash(previous, {**texts, "position": position, "facts": read})
            else:
                filled = _TEMPLATE % (
                    previous, actor_id, actor, address, at, browser, cause, written, uid, kind, position, reference,
                    request_id, target_id, target, about,
                )  # fmt: skip
                found = sha256(filled.encode()).hexdigest()
            if found != digest:
                return False
            last_hash = digest
        return True


def _dumper() -> Callable[[Any], str]:
    """As `chain.canonical` writes a value, up to U+FFFF. The encoder is made once: `JSONEncoder.encode` makes one for
    each call, which takes longer than its work.
    """
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:  # another Python than CPython
        return json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":")).encode
    encode = make(None, _refuse, json.encoder.encode_basestring, None, ":", ",", True, False, False)
    return lambda value: "".join(encode(value, 0))


def _refuse(value: Any) -> Any:
    raise TypeError(type(value).__name__)


_dump = _dumper()


_read_json = json.JSONDecoder().raw_decode


def _jsonb(text: str) -> dict[str, Any]:
    """What PostgreSQL wrote of a jsonb: from its first to its last character, no key twice. Raises: ValueError."""
    found, end = _read_json(text)
    if end != len(text) or type(found) is not dict:
        raise ValueError
    return found


def _postgresql_select() -> str:
    own = {"id": "id::text", "at": POSTGRESQL_AT}
    texts = ", ".join(own.get(name, name) for name in TEXTS)
    # concat_ws leaves NULL out, and a separator elsewhere could then make up for it.
    joined = f"CASE WHEN num_nulls({', '.join(TEXTS)}) = 0 THEN concat_ws(E'\\x1f', {texts}) END"
    return f"SELECT position, id::text, {joined}, facts::text, previous_hash, hash FROM {EVENTS}"  # noqa: S608


def _has_known_columns(rows: StoredRows) -> bool:
    """Whether every column has the type that a migration gave it: joined, a value of another type looks the same."""
    with rows.connection.cursor() as cursor:
        cursor.execute(f"SELECT {', '.join(COLUMNS)} FROM {EVENTS} LIMIT 0")  # noqa: S608
        return [column.type_code for column in cursor.description] == [_OIDS.get(name, _VARCHAR) for name in COLUMNS]


# Source: PostgreSQL, src/include/catalog/pg_type.dat: int8, uuid, timestamptz, jsonb, varchar.
_OIDS: Final = {"position": 20, "id": 2950, "at": 1184, "facts": 3802}
_VARCHAR: Final = 1043


def _sqlite_select() -> str:
    # The plus: the value as it is stored, not as a datetime in whatever form it was.
    texts = ", ".join("+at" if name == "at" else name for name in TEXTS)
    return f"SELECT position, {texts}, facts, previous_hash, hash FROM {EVENTS}"  # noqa: S608


def _joined(rows: Sequence[Any]) -> Iterator[Joined]:
    """SQLite keeps any value in any column, so each has to be a text, and time and id of their own form.

    Raises: Malformed.
    """
    at_slot, id_slot = TEXTS.index("at"), TEXTS.index("id")
    for row in rows:
        if tuple(map(type, row)) != _SQLITE_TYPES:
            raise Malformed("")
        texts = list(row[1:-3])
        at, uid = texts[at_slot], texts[id_slot]
        if not _SQLITE_FORMS(f"{at}{_SEPARATOR}{uid}"):
            raise Malformed("")
        texts[at_slot] = f"{at[:10]}T{at[11:]}Z" if len(at) == _WITH_MICROSECONDS else f"{at[:10]}T{at[11:]}.000000Z"
        texts[id_slot] = f"{uid[:8]}-{uid[8:12]}-{uid[12:16]}-{uid[16:20]}-{uid[20:]}"
        yield row[0], uid, _SEPARATOR.join(texts), *row[-3:]
