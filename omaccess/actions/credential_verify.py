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
from django.views.decorators.debug import sensitive_variables

from accounts.models import User
from omaccess import bulkhead, held_tokens, leases, tokens
from omaccess.actions.asking import recording, use_allowance
from omaccess.actions.credential_advice import POWERFUL_ROLES
from omaccess.audit import Kind, record
from omaccess.causes import Cause, cause_of, upstream_of
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline, IamToken, ProjectScope
from omaccess.cloud_link import iam_user_of
from omaccess.errors import CredentialBlocked, CredentialUnusable
from omaccess.held_tokens import Wanted, scope_of
from omaccess.locks import writing
from omaccess.meta import Meta
from omaccess.models import AuditEvent, BastionInstance, IamCredential

log = structlog.get_logger(__name__)

MAX_PROJECTS = 5
"""How many of a credential's projects one verification asks for."""

REQUEST_ID_LENGTH = 64
"""As the columns of a launch, whose events are compared with these."""

_OF_THE_PROJECT = {Cause.PROJECT_NOT_FOUND, Cause.PROJECT_UNAVAILABLE, Cause.IAM_FORBIDDEN}
"""Causes that say nothing about the next project."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one project. `cause` is None when there is a token for it; it may be of another version's names."""

    project: str
    cause: str | None
    facts: dict[str, Any]

    @property
    def project_text(self) -> str:
        """Its name, if there is a token that says it."""
        return str(self.facts.get("project_name") or self.project)

    @property
    def is_fresh(self) -> bool:
        """IAM gave the token after the click. Else one from before still stands, which says less."""
        return self.facts.get("fresh") is True

    @property
    def is_of_unknown_power(self) -> bool:
        """There is a token whose roles were not told: it was not exchanged here, or the answer held none."""
        return self.cause is None and self.facts.get("roles_known") is not True


@dataclass(frozen=True, slots=True)
class Verification:
    """One click: a verdict for each project that was asked for; the first was exchanged afresh."""

    verdicts: tuple[Verdict, ...]
    event: AuditEvent

    @property
    def powerful_roles(self) -> list[str]:
        """Of all its tokens, each once: roles are given for a project, so one token says nothing of the next."""
        roles = [role for verdict in self.verdicts for role in verdict.facts.get("powerful_roles", [])]
        return list(dict.fromkeys(roles))


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
    answered from the cache, and then say so. The intent is committed before anything is asked, every verdict as soon
    as it is there. It ends with the first failure that would be every project's. Counts as one of the person's
    launches of the minute.

    Raises:
        TooManyLaunches: nothing was asked or recorded.
        ExchangedJustNow: too soon; nothing was asked, and that is recorded.
        CannotRecord: the database failed. A request without verdict in the audit means: unknown.
    """
    with recording():
        use_allowance(by)
        notes = _Notes(credential, by, meta)
        with bulkhead.slot() as has_slot:
            notes.begin(scopes)
            if not has_slot:
                return (notes.add(scopes[0], Cause.BUSY),)
            return _ask_in_turn(notes, scopes)


def last(credential: IamCredential) -> Verification | None:
    """The newest verification of this credential as it is now: who it is and its secret unchanged since.

    Looked for by name, which is what the audit has an index for; so after another name was given nothing is found
    until it is verified again. The id tells it from one that had the name before.
    """
    mine = AuditEvent.objects.filter(
        target_name=str(credential),
        target_type=credential._meta.model_name,
        target_id=str(credential.pk),
        kind__in=(Kind.CREDENTIAL_VERIFIED, Kind.CREDENTIAL_VERIFY_FAILED),
    )
    events = list(mine.order_by("-position")[:MAX_PROJECTS])
    if not events or events[0].facts.get("version") != credential.version:
        return None
    together = [event for event in events if event.facts.get("verification") == events[0].facts.get("verification")]
    return Verification(tuple(_verdict_of(event) for event in reversed(together)), events[0])


def _verdict_of(event: AuditEvent) -> Verdict:
    cause = None if event.kind == Kind.CREDENTIAL_VERIFIED else event.cause
    return Verdict(str(event.facts.get("project", "")), cause, event.facts)


def _ask_in_turn(notes: _Notes, scopes: Sequence[ProjectScope]) -> tuple[Verdict, ...]:
    deadline = Deadline.after(settings.ATTEMPT_SECONDS)
    verdicts: list[Verdict] = []
    for scope in scopes:
        verdict = _ask(notes, scope, deadline, is_first=not verdicts)
        verdicts.append(verdict)
        if verdict.cause is not None and verdict.cause not in _OF_THE_PROJECT:
            break
    return tuple(verdicts)


def _ask(notes: _Notes, scope: ProjectScope, deadline: Deadline, *, is_first: bool) -> Verdict:
    began = time.monotonic()
    try:
        token, is_fresh = _exchange(notes.credential, scope, deadline, is_first=is_first)
    except (CloudError, CredentialUnusable, CredentialBlocked) as error:
        return notes.add(scope, cause_of(error), milliseconds=_milliseconds_since(began), **upstream_of(error))
    except tokens.ExchangedJustNow:
        notes.put_off()
        raise
    facts: dict[str, Any] = {"fresh": is_fresh, "project_id": token.project_id, "project_name": token.project_name[:64]}
    if is_fresh:
        facts["milliseconds"] = _milliseconds_since(began)
        facts["upstream_request_id"] = token.request_id[:REQUEST_ID_LENGTH]
    if token.roles:
        facts["roles_known"] = True
        facts["powerful_roles"] = [role for role in token.roles if role in POWERFUL_ROLES]
    return notes.add(scope, None, **facts)


@sensitive_variables("token", "before")
def _exchange(
    credential: IamCredential, scope: ProjectScope, deadline: Deadline, *, is_first: bool
) -> tuple[IamToken, bool]:
    """A token, and whether IAM gave it since this was called.

    Every exchange leaves its token in the lease's row, whatever the cache does: one that came there meanwhile is new.
    """
    if is_first:
        return tokens.verify(credential, scope, deadline=deadline), True
    before = _value_in_lease(credential, scope)
    token = tokens.token_for(credential, scope, deadline=deadline)
    return token, before != token.value == _value_in_lease(credential, scope)


@sensitive_variables("held")
def _value_in_lease(credential: IamCredential, scope: ProjectScope) -> str:
    held = held_tokens.in_lease(Wanted.of(credential, scope), leases.read(credential))
    return held.token.value if held is not None else ""


def _milliseconds_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


class _Notes:
    """Writes down that a verification is wanted, and its verdicts."""

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

    def begin(self, scopes: Sequence[ProjectScope]) -> None:
        self._record(Kind.CREDENTIAL_VERIFY_REQUESTED, None, projects=[scope.name or scope.id for scope in scopes])

    def put_off(self) -> None:
        self._record(Kind.CREDENTIAL_VERIFY_PUT_OFF, None)

    def add(self, scope: ProjectScope, cause: Cause | None, **facts: Any) -> Verdict:
        known = {name: value for name, value in facts.items() if value not in ("", None)}
        facts = {**self._facts, "project": scope.name or scope.id, **known}
        kind = Kind.CREDENTIAL_VERIFIED if cause is None else Kind.CREDENTIAL_VERIFY_FAILED
        self._record(kind, cause, **facts)
        log.info("credential_verified", credential_id=self.credential.pk, cause=cause.value if cause else "")
        return Verdict(facts["project"], cause, facts)

    def _record(self, kind: Kind, cause: Cause | None, **facts: Any) -> None:
        with writing():
            record(
                kind,
                by=self._by,
                meta=self._meta,
                target=self.credential,
                cause=cause.value if cause else "",
                **{**self._facts, **facts},
            )
