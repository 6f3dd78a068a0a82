"""What people could open, by whose credential, and who may."""

from __future__ import annotations

import datetime as dt

from django.utils import timezone
from django.utils.translation import gettext as _

from accounts.models import ADMINS, User
from omaccess import vault
from omaccess.clients import endpoint_rules
from omaccess.cloud.errors import EndpointNotAllowed
from omaccess.doctor.findings import Finding, Findings, note
from omaccess.errors import VaultError
from omaccess.models import BastionInstance, Grant, HostAccount, IamCredential
from omaccess.models.inventory import LoginAddress


def credentials() -> Findings:
    """Each enabled one has a secret that opens, and an endpoint that may be called."""
    rules = endpoint_rules()
    for credential in IamCredential.objects.filter(is_enabled=True).order_by("name"):
        if not credential.has_secret:
            yield Finding(_("{name} has no secret. Enter it in the admin.").format(name=credential))
            continue
        try:
            vault.decrypt(credential.secret_ciphertext, table="iamcredential", row=str(credential.pk), field="secret")
        except VaultError as error:
            text = _("{name}: {problem}. Set the VAULT_KEYS of this database, or enter the secret again in the admin.")
            yield Finding(text.format(name=credential, problem=error))
        try:
            rules.check(credential.iam_endpoint)
        except EndpointNotAllowed as error:
            yield Finding(f"{credential}: {credential.iam_endpoint}: {error}")
        if credential.last_error and _is_newer(credential.last_error_at, credential.last_success_at):
            text = _("{name}: the last exchange failed ({cause}). Its page in the admin says what to do.")
            yield note(text.format(name=credential, cause=credential.last_error))


def _is_newer(one: dt.datetime | None, other: dt.datetime | None) -> bool:
    return one is not None and (other is None or one > other)


def instances() -> Findings:
    rules = endpoint_rules()
    enabled = BastionInstance.objects.filter(is_enabled=True).select_related("credential").order_by("name")
    if not enabled:
        yield Finding(_("There is no enabled bastion instance, so there is nothing to open. Add it in the admin."))
    with_address = set(LoginAddress.objects.filter(kind=LoginAddress.Kind.LINK).values_list("instance_id", flat=True))
    for instance in enabled:
        if instance.pk not in with_address:
            text = _("{name} has no login address of the kind link, so every link is refused. Add it at the instance.")
            yield Finding(text.format(name=instance))
        if not instance.credential.is_enabled:
            text = _("{name}: its launch credential is disabled. Enable it, or choose another one.")
            yield Finding(text.format(name=instance))
        try:
            rules.check(instance.endpoint)
        except EndpointNotAllowed as error:
            yield Finding(f"{instance}: {instance.endpoint}: {error}")


def people() -> Findings:
    if not User.objects.filter(is_active=True, groups__name=ADMINS).exists():
        yield Finding(_("Nobody is in the group admins. Run: manage.py create_admin"))
    if not HostAccount.objects.enabled().exists():
        yield Finding(_("There is no enabled host with an account. Add them in the admin."))
    if not Grant.objects.in_force(timezone.now()).exists():
        yield Finding(_("No grant is in force, so nobody can open anything. Add one in the admin."))


def endpoints() -> list[str]:
    """The IAM and CBH endpoints that a launch may call, each once."""
    iam = IamCredential.objects.filter(is_enabled=True).values_list("iam_endpoint", flat=True)
    cbh = BastionInstance.objects.filter(is_enabled=True).values_list("endpoint", flat=True)
    return sorted({*iam, *cbh} - {""})
