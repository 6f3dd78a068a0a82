"""Tokens at rest: which one is wanted, and where one is held: sealed, in the cache and in the lease's row.

The cache may vanish at any time. What does not open (the keys were changed) is as good as not there.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from dataclasses import dataclass
from typing import Any

import structlog
from django.core.cache import caches
from django.core.cache.backends.base import BaseCache
from django.db import Error
from django.utils import timezone
from redis.exceptions import RedisError

from omaccess import leases, vault
from omaccess.cloud.types import IamToken, ProjectScope
from omaccess.errors import VaultError
from omaccess.models import BastionInstance, IamCredential

log = structlog.get_logger(__name__)

USE_MARGIN = dt.timedelta(seconds=60)
REFRESH_MARGIN = dt.timedelta(hours=1)

Project = BastionInstance | ProjectScope
"""What a token is for: an instance's project, or one that is named."""


@dataclass(frozen=True, slots=True)
class Held:
    """A token as it is kept, with the moment it was received: margins depend on its whole life."""

    token: IamToken
    received_at: dt.datetime

    def is_usable(self, now: dt.datetime) -> bool:
        return now < self.token.expires_at - min(USE_MARGIN, self._life / 10)

    def is_due(self, now: dt.datetime) -> bool:
        """Time to fetch the next one, ahead of expiry."""
        return now >= self.token.expires_at - min(REFRESH_MARGIN, self._life / 4)

    @property
    def _life(self) -> dt.timedelta:
        return self.token.expires_at - self.received_at


@dataclass(frozen=True, slots=True)
class Wanted:
    """For what a token is wanted. `key` names it in cache and lease: a replaced secret makes another key."""

    credential: IamCredential
    scope: ProjectScope
    key: str

    @classmethod
    def of(cls, credential: IamCredential, project: Project) -> Wanted:
        scope = project if isinstance(project, ProjectScope) else scope_of(project)
        facts = [credential.pk, credential.version, credential.iam_endpoint, scope.id, scope.name]
        digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
        return cls(credential, scope, f"token:{digest}")


def scope_of(instance: BastionInstance) -> ProjectScope:
    """By the project's id if it is known, else by its name."""
    return ProjectScope(id=instance.project_id) if instance.project_id else ProjectScope(name=instance.project_name)


def cached(wanted: Wanted) -> Held | None:
    try:
        ciphertext = _cache().get(wanted.key)
    except (RedisError, Error, OSError) as error:
        log.warning("cache_unavailable", error=type(error).__name__)
        return None
    return _unsealed(wanted, ciphertext) if isinstance(ciphertext, str) else None


def in_lease(wanted: Wanted, row: Any) -> Held | None:
    if row.token_key != wanted.key or not row.token_ciphertext:
        return None
    return _unsealed(wanted, row.token_ciphertext)


def to_cache(wanted: Wanted, held: Held) -> None:
    seconds = int((held.token.expires_at - timezone.now()).total_seconds())
    try:
        _cache().set(wanted.key, sealed(wanted, held), timeout=max(1, seconds))
    except (RedisError, Error, OSError) as error:
        log.warning("cache_unavailable", error=type(error).__name__)


def drop(wanted: Wanted) -> None:
    """Out of the lease's row and the cache."""
    leases.drop_token(wanted.credential, wanted.key)
    try:
        _cache().delete(wanted.key)
    except (RedisError, Error, OSError) as error:
        log.warning("cache_unavailable", error=type(error).__name__)


def sealed(wanted: Wanted, held: Held) -> str:
    """The token as one text that only this installation's keys open.

    Its roles stay out: they are many, nobody needs them later, and versions of the portal that run side by side
    during an upgrade must be able to read each other's.
    """
    token = held.token
    text = json.dumps(
        {
            "value": token.value,
            "project_id": token.project_id,
            "project_name": token.project_name,
            "expires_at": token.expires_at.isoformat(),
            "user_id": token.user_id,
            "user_name": token.user_name,
            "request_id": token.request_id,
            "received_at": held.received_at.isoformat(),
        }
    )
    return vault.encrypt(text, table="token", row=wanted.key, field="value")


def _unsealed(wanted: Wanted, ciphertext: str) -> Held | None:
    """None when it does not open: the keys were changed, and a new token costs one exchange."""
    try:
        facts = json.loads(vault.decrypt(ciphertext, table="token", row=wanted.key, field="value"))
    except VaultError:
        log.warning("cached_token_unreadable", credential_id=wanted.credential.pk)
        return None
    received_at = dt.datetime.fromisoformat(facts.pop("received_at"))
    expires_at = dt.datetime.fromisoformat(facts.pop("expires_at"))
    return Held(IamToken(expires_at=expires_at, **facts), received_at)


def _cache() -> BaseCache:
    return caches["tokens"]
