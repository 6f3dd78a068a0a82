"""Where secrets must not go: every place is turned into text here, and searched in one way."""

from __future__ import annotations

import base64
import binascii
import logging
import pickle
import traceback
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection

from portal.settings import LOGGING
from tests.canary.issued import START, Issued


@dataclass
class Sinks:
    """Name of a place → the lines in it. Pages and logs repeat themselves: equal lines are searched once."""

    found: dict[str, set[str]] = field(default_factory=dict, repr=False)

    def add(self, name: str, content: object) -> None:
        text = content.decode("latin-1") if isinstance(content, bytes) else str(content)
        self.found.setdefault(name, set()).update(text.split("\n"))

    def holds(self, name: str, text: str) -> bool:
        """For tests to show that a place was filled at all."""
        return any(text in line for line in self.found.get(name, ()))

    def leaks(self, issued: Issued) -> list[str]:
        """One sentence for each secret in each place. Looks for the first letters of all secrets at once."""
        by_start: dict[str, list[tuple[str, str]]] = {}
        for form, which in issued.forms().items():
            by_start.setdefault(form[:START], []).append((form, which))
        found = set()
        for name, lines in self.found.items():
            for line in lines:
                starts = {line[index : index + START] for index in range(len(line) - START + 1)} & by_start.keys()
                found |= {f"{which} in {name}" for start in starts for form, which in by_start[start] if form in line}
        return sorted(found)


class Everything(logging.Handler):
    """Keeps each record as text, as production writes it, and with everything that hangs on it."""

    def __init__(self, sinks: Sinks) -> None:
        super().__init__(logging.NOTSET)
        self._sinks = sinks
        structured = dict(LOGGING["formatters"]["structured"])
        self.setFormatter(structured.pop("()")(**structured))

    def emit(self, record: logging.LogRecord) -> None:
        self._sinks.add("log: plain", logging.Formatter().format(record))
        self._sinks.add("log: attributes", repr(vars(record)))
        self._sinks.add("log: as production writes it", self.format(record))
        if record.exc_info and record.exc_info[1] is not None:
            self._sinks.add("log: exceptions", "".join(traceback.format_exception(record.exc_info[1])))


class OncePerName(logging.Filter):
    """For `django.template`: thousands of records a page, each with the whole context as text.

    Once for each name in each template is enough.
    """

    def __init__(self) -> None:
        super().__init__()
        self._seen: set[object] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        is_new = record.args not in self._seen
        self._seen.add(record.args)
        return is_new


def add_response(sinks: Sinks, response: Any, *, is_hand_over: bool = False) -> None:
    """All of an answer but the one place where a link may be: the `Location` of the answer that hands it over.

    Raises: AssertionError for an answer in which a link's journey could go on to somebody else.
    """
    sinks.add("response", f"{response!r} {vars(response).get('_reason_phrase')}")
    body = b"".join(response.streaming_content) if response.streaming else response.content
    sinks.add("response body", body)
    for name, value in response.items():
        if not (is_hand_over and name == "Location"):
            sinks.add("response header", f"{name}: {value}")
    sinks.add("response cookie", response.cookies.output())
    if is_hand_over:
        assert response["Cache-Control"] == "no-store"
        assert response["Referrer-Policy"] == "no-referrer"
        assert body == b""


def add_decoded(sinks: Sinks, name: str, value: str) -> None:
    """What a text holds when it is base64 or hexadecimal."""
    for decode in (base64.b64decode, base64.urlsafe_b64decode, bytes.fromhex):
        try:
            sinks.add(f"{name}, decoded", decode(value))
        except (ValueError, binascii.Error):
            continue


def add_database(sinks: Sinks, *, without: Iterable[str] = ()) -> None:
    """Every column of every table, raw; what is base64 or hex in it also decoded, and what sessions hold."""
    with connection.cursor() as cursor:
        for table in set(connection.introspection.table_names(cursor)) - set(without):
            cursor.execute(f"SELECT * FROM {connection.ops.quote_name(table)}")
            for row in cursor.fetchall():
                for value in row:
                    sinks.add(f"table {table}", repr(value))
                    if isinstance(value, str):
                        add_decoded(sinks, f"table {table}", value)
    for session in Session.objects.all():
        sinks.add("sessions, decoded", repr(session.get_decoded()))


def add_files(sinks: Sinks, name: str, paths: Iterable[Path]) -> int:
    """The bytes as they lie on the disk. Returns how many bytes there were."""
    total = 0
    for path in paths:
        content = path.read_bytes()
        total += len(content)
        sinks.add(name, content)
    return total


def add_redis(sinks: Sinks, url: str, prefix: str) -> int:
    """Every key under a prefix, raw; what Django pickled also unpickled. Returns how many keys there were."""
    number = 0
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(match=f"{prefix}*"):
            number += 1
            sinks.add("redis", key)
            for raw in _redis_values(client, key):
                sinks.add("redis", raw)
                add_decoded(sinks, "redis", raw.decode("latin-1"))
                try:
                    sinks.add("redis, unpickled", repr(pickle.loads(raw)))  # noqa: S301 - this test wrote it
                except Exception:  # noqa: S112 - most values are no pickles; what they are was added above
                    continue
    return number


def _redis_values(client: Any, key: bytes) -> list[bytes]:
    kind = client.type(key)
    if kind == b"string":
        return [client.get(key)]
    if kind == b"list":
        return list(client.lrange(key, 0, -1))
    if kind == b"set":
        return list(client.smembers(key))
    if kind == b"hash":
        return [part for pair in client.hgetall(key).items() for part in pair]
    if kind == b"zset":
        return list(client.zrange(key, 0, -1))
    raise AssertionError(f"a key of a kind that nobody reads: {kind!r}")


def add_mail(sinks: Sinks) -> None:
    for message in mail.outbox:
        sinks.add("mail", repr(vars(message)))
        sinks.add("mail", message.message().as_string())
        for content, _type in getattr(message, "alternatives", ()):
            sinks.add("mail", content)
