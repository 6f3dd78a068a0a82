"""A process of its own that launches while its disk fills up: python -m tests.faults.full_disk ACCOUNT USER SESSION

Its limit on the size of files (RLIMIT_FSIZE) drops to nothing right before one statement that writes: whatever would
make a file longer then fails, as on a full disk, the write-ahead log first of all. It launches once for each such
statement, first with the disk staying full until the launch has ended, then with space coming back soon after. One JSON
line for each launch on standard output; the log goes to standard error.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import django

UNLIMITED = resource.RLIM_INFINITY
MOST_STATEMENTS = 200
_WRITES = ("BEGIN", "INSERT", "UPDATE", "DELETE", "REPLACE")


def set_full(is_full: bool) -> None:
    """The soft limit only, so that it can be lifted again."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (0 if is_full else UNLIMITED, UNLIMITED))


class FillingDisk:
    """Counts the statements that write and fills the disk before one of them; what only reads needs no space."""

    def __init__(self, at: int, *, is_brief: bool) -> None:
        self._at, self._is_brief = at, is_brief
        self.seen = 0

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if not sql.startswith(_WRITES):
            return execute(sql, params, many, context)
        self.seen += 1
        if self.seen == self._at:
            set_full(True)
        elif self.seen == self._at + 2 and self._is_brief:
            set_full(False)
        return execute(sql, params, many, context)


@contextmanager
def filling(at: int, *, is_brief: bool) -> Iterator[FillingDisk]:
    from django.db import connection

    disk = FillingDisk(at, is_brief=is_brief)
    try:
        with connection.execute_wrapper(disk):
            yield disk
    finally:
        set_full(False)


def launch_once(account_id: int, user_id: int, session_key: str) -> dict[str, object]:
    """One launch as a request makes it; on a connection of its own, as each request has on SQLite."""
    from accounts.models import User
    from omaccess.actions import launches
    from omaccess.errors import CannotRecord
    from omaccess.meta import Meta

    meta = Meta(address="192.0.2.7", browser="Tests", request_id="full-disk", session_key=session_key)
    user = User.objects.get(pk=user_id)
    try:
        result = launches.launch(account_id=account_id, reason="", ticket="", once=None, by=user, meta=meta)
    except CannotRecord:
        return {"outcome": "cannot be recorded"}
    return {"outcome": str(result.launch.state), "link": result.url.value if result.url else ""}


def forget_the_token() -> None:
    """So that every launch takes all its steps."""
    from django.core.cache import caches

    from omaccess.models import IamUserLease

    caches["tokens"].clear()
    IamUserLease.objects.update(token_key="", token_ciphertext="", holder="", holder_expires_at=None)


def main(account_id: int, user_id: int, session_key: str) -> None:
    from django.db import connection

    for is_brief in (False, True):
        for at in range(1, MOST_STATEMENTS):
            forget_the_token()
            connection.close()
            connection.ensure_connection()
            with filling(at, is_brief=is_brief) as disk:
                found = launch_once(account_id, user_id, session_key)
            sys.stdout.write(json.dumps({"at": at, "is_brief": is_brief, **found}) + "\n")
            if disk.seen < at:
                break


if __name__ == "__main__":
    django.setup()
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
