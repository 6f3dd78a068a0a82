"""What the scheduler wakes. Each job finds its work in rows, is safe to run twice, and calls one action."""

import structlog
from celery import shared_task
from django.core.management import call_command
from django.utils import timezone

from omaccess.actions import credentials, launches
from omaccess.models import AuditHead

log = structlog.get_logger(__name__)


@shared_task
def close_abandoned_launches() -> None:
    """End launches that a crash or an absent person left open."""
    closed = launches.close_abandoned(now=timezone.now())
    if closed:
        log.info("launches_abandoned", number=closed)


@shared_task
def refresh_tokens() -> None:
    """Fetch the next token of each credential in use, ahead of expiry, so that no launch waits for it."""
    credentials.refresh_tokens()


@shared_task
def log_audit_head() -> None:
    """The chain's end, noted outside the database: `audit_verify --head` can compare with it."""
    head = AuditHead.objects.get(pk=1)
    log.info("audit_head", position=head.position, hash=head.hash)


@shared_task
def clear_expired_sessions() -> None:
    call_command("clearsessions")
