"""Changing what the portal signs in to Huawei Cloud with, and keeping its tokens and ciphertexts fresh."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import structlog
from django.conf import settings
from django.db.models import Q

from accounts.models import User
from omaccess import tokens, vault
from omaccess.actions.changes import Change, Facts, reached_by_own, refuse_own_reach
from omaccess.audit import Kind, record
from omaccess.causes import cause_of
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline
from omaccess.errors import CredentialBlocked, CredentialUnusable, VaultError
from omaccess.locks import writing
from omaccess.meta import Meta
from omaccess.models import BastionInstance, HostAccount, IamCredential
from omaccess.models.access import HostAccountQuerySet

log = structlog.get_logger(__name__)

IDENTITY = ("iam_endpoint", "account_name", "user_name")
"""Who it is. A secret belongs to one identity: with another it is emptied, never tried."""

HEALTH = ("last_used_at", "last_success_at", "last_error_at", "last_error", "failing_since_at")

_REACH = (*IDENTITY, "purpose", "is_enabled", "secret")


class CredentialChange(Change[IamCredential]):
    """A credential; its secret goes in by `save` and never comes out."""

    created = Kind.CREDENTIAL_CREATED
    changed = Kind.CREDENTIAL_CHANGED

    def lock(self, subject_id: int) -> None:
        IamCredential.objects.select_for_update(no_key=True).get(pk=subject_id)

    def look(self, subject_id: int) -> None:
        self._stored = IamCredential.objects.get(pk=subject_id)

    def facts(self, subject_id: int) -> Facts:
        credential = IamCredential.objects.get(pk=subject_id)
        return {
            "name": credential.name,
            "purpose": credential.purpose,
            "iam_endpoint": credential.iam_endpoint,
            "account_name": credential.account_name,
            "user_name": credential.user_name,
            "is_enabled": credential.is_enabled,
            "secret": self._secret_fact(credential),
        }

    def save(self, credential: IamCredential, *, secret: str | None) -> None:
        """Save the row; a changed identity empties the secret, a given secret replaces it, both raise the version.

        The version names cached tokens, so none that belongs to another identity or secret is ever used again.
        """
        stored = self._stored if self.subject_id is not None else None
        is_other = stored is not None and any(getattr(stored, name) != getattr(credential, name) for name in IDENTITY)
        if is_other:
            credential.secret_ciphertext = ""
        credential.save()
        if secret:
            credential.secret_ciphertext = vault.encrypt(
                secret, table="iamcredential", row=str(credential.pk), field="secret"
            )
        if is_other or (secret and stored is not None):
            credential.version += 1
            credential.forget_health()
        if is_other or secret:
            credential.save(update_fields=["secret_ciphertext", "version", *HEALTH])
        if secret:
            tokens.forget_block(credential)

    def kind_of(self, after: Facts) -> Kind:
        if self.subject_id is not None:
            others = {name for name in after if name != "secret" and after[name] != self.before[name]}
            if not others and after["secret"] == "replaced":  # noqa: S105 - a word, not a secret
                return Kind.CREDENTIAL_SECRET_REPLACED
        return super().kind_of(after)

    def check(self, by: User, subject: IamCredential, after: Facts) -> None:
        if any(self.before.get(name) != after[name] for name in _REACH):
            refuse_own_reach(reached_by_own(used_by(subject), by), target=subject)

    def _secret_fact(self, credential: IamCredential) -> str:
        stored = getattr(self, "_stored", None)
        if not credential.has_secret:
            return "none"
        if stored is None or stored.secret_ciphertext == credential.secret_ciphertext:
            return "set"
        return "replaced"


def replace_secret(credential: IamCredential, *, secret: str, by: User | None, meta: Meta) -> None:
    """Put another password in place of the stored one, and end the block that the old one earned.

    Raises: OwnReach; ValueError for an empty secret.
    """
    if not secret:
        raise ValueError("a secret is not empty")
    with CredentialChange.of(credential, by=by, meta=meta) as change:
        credential.refresh_from_db()
        change.save(credential, secret=secret)


def used_by(credential: IamCredential) -> HostAccountQuerySet:
    """The accounts that are opened with this credential: their own, or their instance's."""
    return HostAccount.objects.filter(
        Q(credential=credential) | Q(credential=None, host__instance__credential=credential)
    )


def refresh_tokens() -> dict[str, int]:
    """Fetch the next token, ahead of expiry, for whatever launches use. Returns: how many were `fetched` and `failed`.

    A credential that fails is logged with its cause, and the rest go on.
    """
    fetched = failed = 0
    for credential, instance in _in_use():
        try:
            deadline = Deadline.after(settings.ATTEMPT_SECONDS)
            fetched += tokens.refresh(credential, instance, deadline=deadline)
        except (CloudError, CredentialUnusable, CredentialBlocked) as error:
            failed += 1
            log.warning(
                "token_refresh_failed",
                credential_id=credential.pk,
                instance_id=instance.pk,
                cause=cause_of(error).value,
            )
    return {"fetched": fetched, "failed": failed}


def _in_use() -> list[tuple[IamCredential, BastionInstance]]:
    """Each enabled launch credential with each enabled instance it speaks to."""
    instances = {instance.pk: instance for instance in BastionInstance.objects.filter(is_enabled=True)}
    pairs = {(instance.credential_id, instance.pk) for instance in instances.values()}
    own = HostAccount.objects.enabled().filter(credential__isnull=False).order_by()
    for credential_id, instance_id in own.values_list("credential_id", "host__instance_id").distinct():
        if credential_id is not None:
            pairs.add((int(credential_id), int(instance_id)))
    credentials = IamCredential.objects.filter(
        is_enabled=True, purpose=IamCredential.Purpose.LAUNCH, pk__in={pair[0] for pair in pairs}
    ).exclude(secret_ciphertext="")
    usable = {credential.pk: credential for credential in credentials}
    return [
        (usable[credential_id], instances[instance_id])
        for credential_id, instance_id in sorted(pairs)
        if credential_id in usable and instance_id in instances
    ]


@dataclass(frozen=True, slots=True)
class Rotation:
    """How many secrets were sealed anew with the first key, were so already, or do not open with any key."""

    rotated: int
    current: int
    unreadable: int


def rotate(*, by: User | None = None, meta: Meta) -> Rotation:
    """Seal every stored secret with the first key of VAULT_KEYS, so that older keys can be taken out.

    The secrets stay what they are, so no version changes and cached tokens go on. One that does not open is left,
    logged and counted. Rows and event are one transaction, a few milliseconds even for hundreds of credentials.
    """
    key_id = vault.primary_key_id()
    rotated = current = unreadable = 0
    with writing():
        for credential in IamCredential.objects.exclude(secret_ciphertext="").order_by("pk"):
            sealed = credential.secret_ciphertext
            if vault.key_id_of(sealed) == key_id:
                current += 1
                continue
            place = {"table": "iamcredential", "row": str(credential.pk), "field": "secret"}
            try:
                fresh = vault.encrypt(vault.decrypt(sealed, **place), **place)
            except VaultError as error:
                log.error("secret_unreadable", credential_id=credential.pk, reason=str(error))
                unreadable += 1
                continue
            # A secret replaced meanwhile was sealed with the first key already; it must not be undone.
            rows = IamCredential.objects.filter(pk=credential.pk, secret_ciphertext=sealed)
            if rows.update(secret_ciphertext=fresh):
                rotated += 1
            else:
                current += 1
        result = Rotation(rotated, current, unreadable)
        record(Kind.SECRETS_ROTATED, by=by, meta=meta, key=key_id, **asdict(result))
    return result
