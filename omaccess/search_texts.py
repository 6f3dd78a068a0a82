"""Making `Host.search_text` right where something else than this release wrote the row, or nobody yet."""

from __future__ import annotations

from typing import Any

from django.db import models

from omaccess.locks import writing
from omaccess.models.search_key import search_text

READ, WRITE = 2_000, 100
"""Rows read at once, and rows written in one transaction: tens of milliseconds, also on a slow disk."""
_MADE_OF = ("name", "address", "address_key", "owner")


def refresh(hosts: models.QuerySet[Any, Any]) -> int:
    """Write it for those of these hosts for which it is not right. Returns how many were written."""
    written = last = 0
    while True:
        rows = list(
            hosts.filter(pk__gt=last).order_by("pk").values_list("pk", "search_text", *_MADE_OF, named=False)[:READ]
        )
        if not rows:
            return written
        last = rows[-1][0]
        wrong = []
        for pk, stored, *made_of in rows:
            known = dict(zip(_MADE_OF, made_of, strict=True))
            right = search_text(**known)
            if stored != right:
                wrong.append((pk, known, right))
        for start in range(0, len(wrong), WRITE):
            with writing():
                # Only what is still as it was read: whoever changed it meanwhile has written the text as well, or
                # is the release before, and then it is for the next run.
                written += sum(
                    hosts.filter(pk=pk, **known).update(search_text=right)
                    for pk, known, right in wrong[start : start + WRITE]
                )
