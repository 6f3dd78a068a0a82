"""Launches that somebody left open, long enough ago for the sweep."""

from __future__ import annotations

from django.utils import timezone

from omaccess.actions.launch_intent import intend
from omaccess.meta import Meta
from omaccess.models import Launch
from tests.faults.kills_portal import ABANDONED_AFTER
from tests.inventory import Inventory


def leave_pending(inventory: Inventory) -> Launch:
    """A launch whose process died after the intent."""
    launch = intend(
        account_id=inventory.root.pk,
        reason="",
        ticket="",
        once=None,
        has_slot=True,
        by=inventory.staff,
        meta=Meta(address="192.0.2.7"),
    ).launch
    grow_old()
    return launch


def grow_old() -> None:
    """Whatever is open was begun long ago."""
    Launch.objects.filter(ended_at=None).update(attempted_at=timezone.now() - ABANDONED_AFTER)
