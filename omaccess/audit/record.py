"""Appending to the audit."""

import unicodedata
import uuid
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections, models
from django.utils import timezone

from accounts.models import User
from omaccess.audit.chain import event_hash, storable
from omaccess.audit.kinds import Kind
from omaccess.errors import CannotRecord
from omaccess.meta import Meta
from omaccess.models.audit import AuditEvent, AuditHead

__all__ = ["CannotRecord", "record"]


def record(
    kind: Kind,
    *,
    by: User | None,
    meta: Meta,
    target: models.Model | None = None,
    actor_name: str = "",
    reference: str = "",
    cause: str = "",
    **facts: Any,
) -> AuditEvent:
    """Append one event, as the last statement of the transaction that makes the change it describes.

    Takes the lock on the chain's head and holds it until the caller's transaction ends. `actor_name` is for people
    who are not signed in. Facts are strings, whole numbers, booleans, None, lists and mappings of these.

    Raises:
        RuntimeError: outside a transaction; a fact and its event must stand or fall together.
        CannotRecord: the lock was not had in time, or the database refused. The transaction is lost.
    """
    if not connections[DEFAULT_DB_ALIAS].in_atomic_block:
        raise RuntimeError("audit.record() was called outside a transaction")
    values: dict[str, Any] = {
        "id": uuid.uuid4(),
        "at": timezone.now(),
        "kind": str(kind),
        "actor_id": str(by.pk) if by else "",
        "actor_name": _cut(by.username if by else actor_name, 150),
        "target_type": target._meta.model_name or "" if target else "",
        "target_id": str(target.pk) if target else "",
        "target_name": _cut(str(target), 300) if target else "",
        "reference": reference,
        "cause": str(cause),
        "address": _cut(meta.address, 64),
        "browser": _cut(meta.browser, 300),
        "request_id": _cut(meta.request_id, 64),
        "facts": storable(facts),
    }
    connection = connections[DEFAULT_DB_ALIAS]
    try:
        if connection.vendor == "postgresql":
            # Django's foreign keys are checked at COMMIT, and take row locks then: after the head, which must be last.
            with connection.cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        head = AuditHead.objects.select_for_update().get(pk=1)
        values["position"] = head.position + 1
        event = AuditEvent(**values, previous_hash=head.hash, hash=event_hash(head.hash, values))
        event.save(force_insert=True)
    except (Error, AuditHead.DoesNotExist) as error:
        raise CannotRecord(f"the audit could not be written: {type(error).__name__}") from error
    return event


def _cut(text: str, length: int) -> str:
    """Text as a column holds it: storable, not too long, and nothing in it that could forge a line or a screen."""
    return "".join(" " if _is_control(char) else char for char in storable(text))[:length]


def _is_control(char: str) -> bool:
    """CR, LF, ESC, CSI, line and paragraph separators, and marks that turn the direction of writing around."""
    return unicodedata.category(char) in _CONTROL_CATEGORIES or unicodedata.bidirectional(char) in _TURNING


_CONTROL_CATEGORIES = frozenset({"Cc", "Zl", "Zp"})
_TURNING = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
