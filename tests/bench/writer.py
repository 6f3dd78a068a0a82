"""A process that appends to the audit: python -m tests.bench.writer

Reads orders from standard input, one a line, and answers each with one line of JSON:

    append SECONDS           append that long, one commit each; {"appended": number, "seconds": seconds}
    compare ROUNDS SECONDS   append and insert in turn; {"chained": sample, "plain": …, "plain by the ORM": …}
"""

from __future__ import annotations

import itertools
import json
import secrets
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

import django


def main() -> int:
    django.setup()
    ways = _ways()
    for way in ways.values():
        way()
    _answer({"ready": True})
    for line in sys.stdin:
        order, *numbers = line.split()
        if order == "append":
            _answer(_append(ways["chained"], float(numbers[0])))
        else:
            _answer(_compare(ways, int(numbers[0]), float(numbers[1])))
    return 0


def _append(way: Callable[[], object], seconds: float) -> dict[str, float]:
    began = time.perf_counter()
    appended = 0
    while time.perf_counter() - began < seconds:
        way()
        appended += 1
    return {"appended": appended, "seconds": time.perf_counter() - began}


def _compare(ways: dict[str, Callable[[], object]], rounds: int, seconds: float) -> dict[str, Any]:
    from tests.bench.timing import interleaved

    return {name: sample.times for name, sample in interleaved(ways, rounds=rounds, seconds=seconds).items()}


def _ways() -> dict[str, Callable[[], object]]:
    """Each writes one event of the same content and commits. `plain` is one INSERT, without chain, head or triggers."""
    from django.db import connection, transaction
    from django.utils import timezone

    from accounts.models import User
    from omaccess.audit import Kind, record
    from omaccess.audit.chain import COVERED
    from omaccess.meta import Meta
    from tests.bench.scratch import PLAIN

    user = User(pk=1, username="bench")
    meta = Meta(address="192.0.2.7", browser="Mozilla/5.0 (benchmark)", request_id="bench")
    facts: dict[str, Any] = {
        "attempt": 1,
        "host": "web-01",
        "address": "10.0.0.11",
        "account": "root",
        "instance": "bastion",
    }
    # Nobody else's positions: several writers share the table.
    positions = itertools.count(secrets.randbelow(2**40) * 2**16)
    columns = (*COVERED, "previous_hash", "hash")
    names, places = ", ".join(columns), ", ".join(["%s"] * len(columns))

    def chained() -> None:
        with transaction.atomic():
            record(Kind.LAUNCH_OPENED, by=user, meta=meta, reference="0123456789", **facts)

    def plain() -> None:
        at, digest = timezone.now(), secrets.token_hex(32)
        uid = uuid.uuid4()
        is_postgresql = connection.vendor == "postgresql"
        values = [
            next(positions), uid if is_postgresql else uid.hex, at if is_postgresql else str(at.replace(tzinfo=None)),
            "launch:opened", "1", "bench", "", "", "", "0123456789", "", meta.address, meta.browser, meta.request_id,
            json.dumps(facts), digest, digest,
        ]  # fmt: skip
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {PLAIN} ({names}) VALUES ({places})", values)

    return {"chained": chained, "plain": plain, "plain again": plain}


def _answer(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
