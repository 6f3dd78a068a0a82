"""The admin's "verify now": exchanges a token, mints nothing, and says whether IAM accepts the credential."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from accounts.models import User
from omaccess import bulkhead, tokens
from omaccess.actions import allowance
from omaccess.actions.credential_advice import POWERFUL_ROLES
from omaccess.audit import Kind, record
from omaccess.causes import Cause, cause_of, upstream_of
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline, ProjectScope
from omaccess.cloud_link import iam_user_of
from omaccess.errors import CredentialBlocked, CredentialUnusable, TooManyLaunches
from omaccess.held_tokens import scope_of
from omaccess.locks import writing
from omaccess.meta import Meta
from omaccess.models import AuditEvent, BastionInstance, IamCredential

log = structlog.get_logger(__name__)

MAX_PROJECTS = 5
"""How many of a credential's projects one verification asks for."""

LOOKED_AT = 100
"""Among how many of the newest verifications a credential's last one is looked for."""

_OF_THE_PROJECT = {Cause.PROJECT_NOT_FOUND, Cause.PROJECT_UNAVAILABLE, Cause.IAM_FORBIDDEN}
"""Causes that say nothing about the next project."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one project. `cause` is None when there is a token for it."""

    project: str
    cause: Cause | None
    facts: dict[str, Any]

    @property
    def project_text(self) -> str:
        """Its name, if there is a token that says it."""
        return str(self.facts.get("project_name") or self.project)


@dataclass(frozen=True, slots=True)
class Verification:
    """One click: a verdict for each project that was asked for; the first was exchanged afresh."""

    verdicts: tuple[Verdict, ...]
    event: AuditEvent

    @property
    def works(self) -> bool:
        return all(verdict.cause is None for verdict in self.verdicts)

    @property
    def powerful_roles(self) -> list[str]:
        return list(self.verdicts[0].facts.get("powerful_roles", []))


def instances_of(credential: IamCredential) -> list[BastionInstance]:
    """Those with hosts that are opened with it; one for each project, the enabled ones first."""
    own = Q(credential=credential) | Q(hosts__accounts__credential=credential)
    instances = BastionInstance.objects.filter(own).order_by("-is_enabled", "name").distinct()
    found: dict[ProjectScope, BastionInstance] = {}
    for instance in instances:
        found.setdefault(scope_of(instance), instance)
    return list(found.values())[:MAX_PROJECTS]


def projects_of(credential: IamCredential) -> list[ProjectScope]:
    """The projects that launches with this credential are for, each once."""
    return [scope_of(instance) for instance in instances_of(credential)]


def run(credential: IamCredential, *, scopes: Sequence[ProjectScope], by: User, meta: Meta) -> tuple[Verdict, ...]:
    """Exchange a token for the first of these projects, and see whether there is one for each of the others.

    The first exchange is fresh, whatever is cached; only one such is made per IAM user in 30 s, so the others may be
    answered from the cache. Every verdict is recorded by itself, as soon as it is there. It ends with the first
    failure that would be every project's. Counts as one of the person's launches of the minute.

    Raises:
        TooManyLaunches, ExchangedJustNow: too soon; nothing was asked or recorded.
        CannotRecord: the audit could not be written.
    """
    now = timezone.now()
    with writing():
        over = allowance.take(by, at=now)
    if over:
        raise TooManyLaunches(allowance.seconds_left(by, at=now))
    notes = _Notes(credential, by, meta)
    with bulkhead.slot() as has_slot:
        if not has_slot:
            return (notes.add(scopes[0], Cause.BUSY),)
        deadline = Deadline.after(settings.ATTEMPT_SECONDS)
        verdicts: list[Verdict] = []
        for scope in scopes:
            verdict = _ask(notes, scope, deadline, is_first=not verdicts)
            verdicts.append(verdict)
            if verdict.cause is not None and verdict.cause not in _OF_THE_PROJECT:
                break
    return tuple(verdicts)


def last(credential: IamCredential) -> Verification | None:
    """The newest verification of this credential as it is now: who it is and its secret unchanged since."""
    events: list[AuditEvent] = []
    for kind in (Kind.CREDENTIAL_VERIFIED, Kind.CREDENTIAL_VERIFY_FAILED):
        newest = AuditEvent.objects.filter(kind=kind).order_by("-position")[:LOOKED_AT]
        events += [event for event in newest if event.target_id == str(credential.pk)]
    events.sort(key=lambda event: event.position)
    if not events or events[-1].facts.get("version") != credential.version:
        return None
    together = [event for event in events if event.facts.get("verification") == events[-1].facts.get("verification")]
    verdicts = tuple(
        Verdict(event.facts["project"], Cause(event.cause) if event.cause else None, event.facts) for event in together
    )
    return Verification(verdicts, events[-1])


def _ask(notes: _Notes, scope: ProjectScope, deadline: Deadline, *, is_first: bool) -> Verdict:
    began = time.monotonic()
    exchange = tokens.verify if is_first else tokens.token_for
    try:
        token = exchange(notes.credential, scope, deadline=deadline)
    except (CloudError, CredentialUnusable, CredentialBlocked) as error:
        return notes.add(scope, cause_of(error), seconds=time.monotonic() - began, **upstream_of(error))
    powerful = [role for role in token.roles if role in POWERFUL_ROLES]
    return notes.add(
        scope,
        None,
        seconds=time.monotonic() - began,
        project_id=token.project_id,
        project_name=token.project_name[:64],
        upstream_request_id=token.request_id[:128],
        powerful_roles=powerful,
    )


class _Notes:
    """Writes the verdicts of one verification down."""

    def __init__(self, credential: IamCredential, by: User, meta: Meta) -> None:
        self.credential = credential
        self._by, self._meta = by, meta
        self._facts = {
            "verification": uuid.uuid4().hex,
            "version": credential.version,
            "purpose": credential.purpose,
            "iam_user": iam_user_of(credential),
            "iam_endpoint": credential.iam_endpoint,
        }

    def add(self, scope: ProjectScope, cause: Cause | None, *, seconds: float = 0.0, **facts: Any) -> Verdict:
        facts = {
            **self._facts,
            "project": scope.name or scope.id,
            "milliseconds": round(seconds * 1000),
            **{name: value for name, value in facts.items() if value},
        }
        kind = Kind.CREDENTIAL_VERIFIED if cause is None else Kind.CREDENTIAL_VERIFY_FAILED
        with writing():
            record(
                kind, by=self._by, meta=self._meta, target=self.credential, cause=cause.value if cause else "", **facts
            )
        log.info("credential_verified", credential_id=self.credential.pk, cause=cause.value if cause else "")
        return Verdict(facts["project"], cause, facts)
