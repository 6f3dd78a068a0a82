"""Appending to the audit."""

import json
import re
import uuid
from typing import Any

from django.db import DEFAULT_DB_ALIAS, Error, connections, models
from django.utils import timezone

from accounts.models import User
from omaccess import metrics
from omaccess.audit.chain import COVERED, VERSION, around_position, event_hash, storable
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
    connection = connections[DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:
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
    append = _append_in_one if connection.vendor == "postgresql" else _append
    try:
        with metrics.audit_append():
            return append(values)
    except (Error, AuditHead.DoesNotExist) as error:
        metrics.audit_append_failed()
        raise CannotRecord(f"the audit could not be written: {type(error).__name__}") from error


def _append(values: dict[str, Any]) -> AuditEvent:
    """Read the head, hash here, insert. On SQLite the transaction itself is the lock."""
    head = AuditHead.objects.get(pk=1)
    values["position"] = head.position + 1
    event = AuditEvent(**values, previous_hash=head.hash, hash=event_hash(head.hash, values))
    event.save(force_insert=True)
    return event


def _append_in_one(values: dict[str, Any]) -> AuditEvent:
    """Lock the head, hash and insert in one round trip: while the head is held, every other writer waits.

    The database knows the position, and hashes the canonical text with it in the middle.
    """
    before, after = around_position(values)
    row = [json.dumps(values[name], ensure_ascii=False) if name == "facts" else values[name] for name in _COLUMNS]
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute(_APPEND, [*row, VERSION.decode(), before, after])
        cursor.nextset()  # past the constraints
        written = cursor.fetchone()
    if written is None:
        raise AuditHead.DoesNotExist
    values["position"], previous_hash, digest = written
    event = AuditEvent(**values, previous_hash=previous_hash, hash=digest)
    event._state.adding, event._state.db = False, DEFAULT_DB_ALIAS
    return event


_COLUMNS = [name for name in COVERED if name != "position"]
_APPEND = f"""
    SET CONSTRAINTS ALL IMMEDIATE;
    WITH head AS (SELECT position, hash FROM "{AuditHead._meta.db_table}" WHERE id = 1 FOR UPDATE)
    INSERT INTO "{AuditEvent._meta.db_table}" (position, {", ".join(_COLUMNS)}, previous_hash, hash)
    SELECT head.position + 1,
           {", ".join("%s::jsonb" if name == "facts" else "%s" for name in _COLUMNS)},
           head.hash,
           encode(sha256(convert_to(
               concat_ws(chr(10), %s, head.hash, %s || (head.position + 1)::text || %s), 'UTF8')), 'hex')
    FROM head
    RETURNING position, previous_hash, hash
"""  # noqa: S608 - names of tables and columns only
"""Django's foreign keys are checked at COMMIT, and take row locks then: after the head, which must be the last lock. So
they are checked first. In READ COMMITTED a `FOR UPDATE` that waited returns the row as the one before left it."""


def _cut(text: str, length: int) -> str:
    """Text as a column holds it: storable, not too long, and nothing in it that could forge a line or a screen."""
    return _FORGING.sub(" ", storable(text))[:length]


_FORGING = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
"""CR, LF, ESC, CSI, line and paragraph separators, and marks that turn the direction of writing around."""
