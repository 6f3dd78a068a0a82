"""Giving access and taking it away. Nobody gives any to themselves, alone or through a group they are in."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from omaccess.actions.changes import Change, Facts, OwnReach
from omaccess.audit import Kind, record
from omaccess.errors import InvalidTransition
from omaccess.meta import Meta
from omaccess.models import Grant


class GrantChange(Change[Grant]):
    """A grant with its label clauses and account names."""

    created = Kind.GRANT_CREATED
    changed = Kind.GRANT_CHANGED

    def lock(self, subject_id: int) -> None:
        grant = Grant.objects.select_for_update(no_key=True).get(pk=subject_id)
        if grant.revoked_at is not None:
            raise InvalidTransition("a revoked grant is not changed")

    def facts(self, subject_id: int) -> Facts:
        return facts_of(Grant.objects.select_related("user", "group", "host").get(pk=subject_id))

    def look(self, subject_id: int) -> None:
        grant = Grant.objects.get(pk=subject_id)
        self._was_own = self.by is not None and is_own(grant, self.by)

    def check(self, by: User, subject: Grant, after: Facts) -> None:
        if (self.subject_id is not None and self._was_own) or is_own(subject, by):
            raise OwnReach(
                "own_grant",
                _(
                    "Nothing was saved: nobody grants anything to themselves, alone or through a group they are in. "
                    "Another admin has to do it."
                ),
                target=subject,
            )


def revoke(grant: Grant, *, by: User, meta: Meta) -> Grant:
    """End a grant now. It stays as a row, and a launch under way that rests on it drops its link.

    Also one's own: giving access up is no way to gain any, and it must never have to wait for somebody else.

    Raises: InvalidTransition when it is revoked already.
    """
    with transaction.atomic():
        grant = Grant.objects.select_for_update(no_key=True).get(pk=grant.pk)
        if grant.revoked_at is not None:
            raise InvalidTransition("the grant is revoked already")
        grant.revoked_at, grant.revoked_by = timezone.now(), by
        grant.save(update_fields=["revoked_at", "revoked_by"])
        record(Kind.GRANT_REVOKED, by=by, meta=meta, target=grant, grant=facts_of(grant))
    return grant


def is_own(grant: Grant, user: User) -> bool:
    """Is this person its subject, alone or by a group they are in?"""
    if grant.user_id is not None:
        return grant.user_id == user.pk
    return user.groups.filter(pk=grant.group_id).exists()


def facts_of(grant: Grant) -> Facts:
    """A grant and its rows as texts, for the audit."""
    return {
        "user": str(grant.user) if grant.user else "",
        "group": str(grant.group) if grant.group else "",
        "target": grant.target,
        "host": str(grant.host) if grant.host else "",
        "labels": sorted(str(clause) for clause in grant.label_clauses.all()),
        "every_account": grant.every_account,
        "account_names": sorted(row.name for row in grant.account_names.all()),
        "valid_from": grant.valid_from,
        "valid_until": grant.valid_until,
        "is_reason_required": grant.is_reason_required,
        "ticket_pattern": grant.ticket_pattern,
        "is_step_up_required": grant.is_step_up_required,
        "note": grant.note,
    }
