"""What the scheduler wakes. Each job finds its work in rows, is safe to run twice, and calls one action.

What a job returns, whole numbers by name, stays in its `JobRun` and shows in /metrics.
"""

import structlog
from celery import shared_task
from django.utils import timezone

from omaccess.actions import credentials, housekeeping, launches, worklists

log = structlog.get_logger(__name__)


@shared_task
def close_abandoned_launches() -> dict[str, int]:
    """End launches that a crash or an absent person left open."""
    closed = launches.close_abandoned(now=timezone.now())
    if closed:
        log.info("launches_abandoned", number=closed)
    return {"closed": closed}


@shared_task
def refresh_tokens() -> dict[str, int]:
    """Fetch the next token of each credential in use, ahead of expiry, so that no launch waits for it."""
    return credentials.refresh_tokens()


@shared_task
def verify_audit() -> dict[str, int]:
    """The whole chain, also against the heads noted outside the database; fails when it is not whole."""
    return housekeeping.verify_audit()


@shared_task
def log_audit_head() -> dict[str, int]:
    """The chain's end, noted outside the database: `audit_verify` can compare with it."""
    return housekeeping.note_audit_head()


@shared_task
def clear_old_launches() -> dict[str, int]:
    """The working records that nobody looks at any more; the evidence is the audit, and stays."""
    return housekeeping.clear_old_launches(now=timezone.now())


@shared_task
def clear_expired_sessions() -> dict[str, int]:
    return housekeeping.clear_expired_sessions(now=timezone.now())


@shared_task
def clear_old_worklists() -> dict[str, int]:
    return {"deleted": worklists.clear_old(now=timezone.now())}


@shared_task
def refresh_search_texts() -> dict[str, int]:
    """What hosts are found by, where another release than this one wrote them."""
    return housekeeping.refresh_search_texts()
