"""Django's `migrate`, which says in words that a table was in use; the portal goes on meanwhile."""

from __future__ import annotations

import sqlite3
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands import migrate
from django.db import OperationalError
from django.utils.translation import gettext as _
from psycopg.errors import LockNotAvailable


class Command(migrate.Command):
    def handle(self, *args: Any, **options: Any) -> None:
        try:
            super().handle(*args, **options)
        except OperationalError as error:
            if not _is_in_use(error.__cause__):
                raise
            self.stdout.write("")  # Django has begun a line with the migration's name
            raise CommandError(
                _(
                    "A table that this migration changes was in use for more than 2 s, so it gave way to the portal: "
                    "the migration named last changed nothing, those before it are applied. Run the command again; "
                    "if it fails again, look for a long transaction (a backup, a report)."
                )
            ) from error


def _is_in_use(cause: BaseException | None) -> bool:
    if isinstance(cause, sqlite3.OperationalError):
        return getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
    return isinstance(cause, LockNotAvailable)
