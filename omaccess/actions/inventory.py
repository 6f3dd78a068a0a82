"""Changing instances and hosts: what can be opened, and where it leads."""

from __future__ import annotations

from typing import Any

from accounts.models import User
from omaccess.actions.changes import Change, Facts, reached_by_own, refuse_own_reach
from omaccess.audit import Kind
from omaccess.meta import Meta
from omaccess.models import BastionInstance, Host, HostAccount, LoginAddress

_REACH_OF_INSTANCE = (
    "project_id",
    "project_name",
    "server_id",
    "endpoint",
    "credential",
    "is_enabled",
    "login_addresses",
)
_REACH_OF_HOST = ("instance", "address", "is_enabled", "labels")
_REACH_OF_ACCOUNT = ("name", "is_enabled", "credential")


class InstanceChange(Change[BastionInstance]):
    """An instance with its login addresses."""

    created = Kind.INSTANCE_CREATED
    changed = Kind.INSTANCE_CHANGED

    def lock(self, subject_id: int) -> None:
        BastionInstance.objects.select_for_update(no_key=True).get(pk=subject_id)

    def facts(self, subject_id: int) -> Facts:
        instance = BastionInstance.objects.select_related("credential").get(pk=subject_id)
        return {
            "name": instance.name,
            "region": instance.region,
            "project_id": instance.project_id,
            "project_name": instance.project_name,
            "instance_id": instance.instance_id,
            "ha_id": instance.ha_id,
            "server_id": instance.server_id,
            "endpoint": instance.endpoint,
            "credential": instance.credential.name,
            "is_enabled": instance.is_enabled,
            "help_text": instance.help_text,
            "login_addresses": [f"{address.kind}: {address.origin}" for address in instance.login_addresses.all()],
        }

    def check(self, by: User, subject: BastionInstance, after: Facts) -> None:
        if _differ(self.before, after, _REACH_OF_INSTANCE):
            # No label or name is touched here, so own grants reach the same accounts before and after.
            refuse_own_reach(reached_by_own(HostAccount.objects.filter(host__instance=subject.pk), by), target=subject)


class HostChange(Change[Host]):
    """A host with its labels and accounts."""

    created = Kind.HOST_CREATED
    changed = Kind.HOST_CHANGED

    def lock(self, subject_id: int) -> None:
        # In the order in which a launch's one query locks them.
        list(HostAccount.objects.select_for_update(no_key=True).filter(host=subject_id).order_by("pk"))
        Host.objects.select_for_update(no_key=True).get(pk=subject_id)

    def facts(self, subject_id: int) -> Facts:
        host = Host.objects.select_related("instance").get(pk=subject_id)
        accounts = HostAccount.objects.filter(host=subject_id).select_related("credential").order_by("pk")
        return {
            "instance": host.instance.name,
            "name": host.name,
            "address": host.address,
            "owner": host.owner,
            "contact": host.contact,
            "is_enabled": host.is_enabled,
            "labels": [str(label) for label in host.labels.all()],
            "accounts": [_account_facts(account) for account in accounts],
        }

    def look(self, subject_id: int) -> None:
        """Which of its accounts own grants reach before: a label taken away must not hide them."""
        self._reached_before = self._reached(subject_id)

    def check(self, by: User, subject: Host, after: Facts) -> None:
        touched = self._touched(after)
        before = self._reached_before if self.subject_id is not None else set()
        reached = touched & (before | self._reached(subject.pk))
        refuse_own_reach(HostAccount.objects.filter(pk__in=reached), target=subject)

    def _reached(self, host_id: int) -> set[int]:
        if self.by is None:
            return set()
        accounts = HostAccount.objects.filter(host=host_id)
        return set(reached_by_own(accounts, self.by).values_list("pk", flat=True))

    def _touched(self, after: Facts) -> set[int]:
        """All accounts when the host itself changed, else those that changed or are new."""
        old = {account["id"]: account for account in self.before.get("accounts", [])}
        new = {account["id"]: account for account in after["accounts"]}
        if _differ(self.before, after, _REACH_OF_HOST):
            return set(new)
        return {pk for pk, account in new.items() if _differ(old.get(pk, {}), account, _REACH_OF_ACCOUNT)}


def add_login_address(*, instance: BastionInstance, origin: str, by: User, meta: Meta) -> LoginAddress:
    """Allow an instance's links to lead to one more address, as the admin does with an address that was seen.

    Raises: ValidationError for an address that is none, is not allowed or is there already; OwnReach.
    """
    address = LoginAddress(instance=instance, origin=origin, kind=LoginAddress.Kind.LINK)
    with InstanceChange.of(instance, by=by, meta=meta):
        address.full_clean()
        address.save()
    return address


def _account_facts(account: HostAccount) -> Facts:
    return {
        "id": account.pk,
        "name": account.name,
        "is_privileged": account.is_privileged,
        "is_enabled": account.is_enabled,
        "credential": account.credential.name if account.credential else "",
    }


def _differ(before: Facts, after: Facts, names: tuple[str, ...]) -> bool:
    def of(facts: Facts) -> list[Any]:
        return [facts.get(name) for name in names]

    return of(before) != of(after)
