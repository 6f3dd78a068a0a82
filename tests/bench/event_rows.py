"""An audit of many events, made with the product's own chain; triggers and head are right at the end. Inside Django."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Iterator
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from omaccess.audit import triggers
from omaccess.audit.chain import COVERED, event_hash
from omaccess.models.audit import GENESIS_HASH, AuditEvent, AuditHead
from tests.bench import bulk
from tests.bench.sizes import A_DAY, BUSY

_COLUMNS = (*COVERED, "previous_hash", "hash")
_KINDS = ("launch:requested", "launch:opened", "launch:requested", "launch:refused", "session:signed_in")


def fill(number: int) -> None:
    """Append so many events to an empty audit."""
    made = _Chain(number)
    with connection.schema_editor() as editor:
        triggers.remove(editor)
    dropped = _drop_indexes()
    with transaction.atomic():
        bulk.insert_values(triggers.EVENTS, _COLUMNS, made.rows())
        AuditHead.objects.update(position=number, hash=made.hash)
    with connection.cursor() as cursor:
        for statement in dropped:
            cursor.execute(statement)
    with connection.schema_editor() as editor:
        triggers.install(editor)
    if triggers.missing(connection):
        raise RuntimeError(f"these triggers are missing: {triggers.missing(connection)}")
    bulk.settle(AuditEvent)


class _Chain:
    """`hash` is that of the last event once all rows were taken."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.hash = GENESIS_HASH

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """As the database's driver takes them, in the order of `_COLUMNS`."""
        first = timezone.now().replace(microsecond=0) - dt.timedelta(days=self._number / A_DAY)
        step = dt.timedelta(days=1) / A_DAY
        stored = _for_postgresql if connection.vendor == "postgresql" else _for_sqlite
        for position in range(1, self._number + 1):
            values = _event(position, first + position * step)
            before, self.hash = self.hash, event_hash(self.hash, values)
            values["at"], values["id"], values["facts"] = stored(values["at"], values["id"], values["facts"])
            yield (*values.values(), before, self.hash)


def _event(position: int, at: dt.datetime) -> dict[str, Any]:
    """About as large as that of a launch, in the order of COVERED."""
    person = 0 if position % 10 == 0 else position * 13 % 199 + 1
    host = f"shop-{position * 37 % 100_000:06}-web"
    return {
        "position": position,
        "id": uuid.UUID(int=(position * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128),
        "at": at + dt.timedelta(microseconds=position % 999_983 + 1),
        "kind": _KINDS[position % 5],
        "actor_id": str(person + 100),
        "actor_name": f"person-{person:03}" if person else BUSY,
        "target_type": "hostaccount",
        "target_id": str(position * 37 % 300_000),
        "target_name": f"root@{host}",
        "reference": f"{position:010}",
        "cause": "HOST_NOT_MANAGED" if position % 5 == 3 else "",
        "address": f"192.0.2.{person}",
        "browser": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0 Safari/537.36",
        "request_id": f"{position:032x}",
        "facts": {
            "attempt": 1,
            "host": host,
            "address": "10.64.0.11",
            "account": "root",
            "instance": "bastion",
            "iam_user": "portal (acme)",
            "grant": position % 5_000,
            "grant_text": "web team → env=prod",
            "reason": "",
            "ticket": f"CHG{position:07}",
        },
    }


def _for_postgresql(at: dt.datetime, uid: uuid.UUID, facts: dict[str, Any]) -> tuple[Any, Any, Any]:
    return at, uid, Jsonb(facts)


def _for_sqlite(at: dt.datetime, uid: uuid.UUID, facts: dict[str, Any]) -> tuple[Any, Any, Any]:
    return str(at.replace(tzinfo=None)), uid.hex, json.dumps(facts)


def _drop_indexes() -> list[str]:
    """Drop those that no constraint needs, and return what makes them again: building at the end is much faster."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i "
                "WHERE i.indrelid = %s::regclass AND NOT i.indisunique",
                [triggers.EVENTS],
            )
        else:
            cursor.execute("PRAGMA synchronous = OFF")
            cursor.execute("PRAGMA cache_size = -400000")
            cursor.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND tbl_name = %s AND sql IS NOT NULL",
                [triggers.EVENTS],
            )
        indexes = cursor.fetchall()
        for name, _statement in indexes:
            cursor.execute(f"DROP INDEX {name}")
    return [statement for _name, statement in indexes]
