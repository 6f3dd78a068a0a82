"""The one door to the audit: `record()`."""

from omaccess.audit.kinds import Kind
from omaccess.audit.record import CannotRecord, record

__all__ = ["CannotRecord", "Kind", "record"]
