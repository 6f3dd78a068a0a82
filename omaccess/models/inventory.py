"""What can be opened: bastion instances, the hosts they manage, the accounts on those hosts."""

import ipaddress
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from omaccess.cloud.login_url import parse_origin
from omaccess.models.access import HostAccountQuerySet, HostQuerySet
from omaccess.models.credentials import IamCredential
from omaccess.models.search_key import FoldedName, SearchKey, SearchTextField


class BastionInstance(models.Model):
    """One Cloud Bastion Host instance. Made by an admin; disabled, never deleted."""

    name = models.CharField(_("name"), max_length=100, unique=True)
    region = models.CharField(_("region"), max_length=64, help_text=_("For example cn-north-4."))
    project_id = models.CharField(
        _("project id"), max_length=64, blank=True, help_text=_("Leave empty to find it by the project name.")
    )
    project_name = models.CharField(
        _("project name"),
        max_length=64,
        blank=True,
        help_text=_("Usually the region. Used when there is no project id."),
    )
    instance_id = models.CharField(_("instance id"), max_length=64, blank=True)
    ha_id = models.CharField(_("HA id"), max_length=64, blank=True)
    server_id = models.CharField(
        _("server id"),
        max_length=64,
        help_text=_("The id of the instance's own server, which get-om-url asks for. It may change on a rebuild."),
    )
    endpoint = models.CharField(
        _("CBH endpoint"),
        max_length=255,
        help_text=_("For example https://cbh.cn-north-4.myhuaweicloud.com."),
    )
    credential = models.ForeignKey(
        IamCredential,
        on_delete=models.PROTECT,
        related_name="instances",
        verbose_name=_("launch credential"),
        limit_choices_to={"purpose": IamCredential.Purpose.LAUNCH},
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)
    help_text = models.TextField(
        _("help for staff"),
        blank=True,
        max_length=2000,
        help_text=_("Shown after a link was handed over: certificate, VPN, whom to ask."),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    class Meta:
        verbose_name = _("bastion instance")
        verbose_name_plural = _("bastion instances")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=~Q(project_id="") | ~Q(project_name=""),
                name="instance_has_a_project",
                violation_error_message=_("Give the project id or the project name."),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if self.server_id and self.server_id == self.instance_id:
            raise ValidationError(
                {
                    "server_id": _(
                        "This is the instance id once more. The server id is another one: the id of the instance's own "
                        "server, called server_id in the list of instances."
                    )
                }
            )


class LoginAddress(models.Model):
    """An origin to which an instance's links may lead (link), or a later hop of the browser (redirect)."""

    class Kind(models.TextChoices):
        LINK = "link", _("link: a login_url may lead here")
        REDIRECT = "redirect", _("redirect: a later hop")

    instance = models.ForeignKey(
        BastionInstance, on_delete=models.CASCADE, related_name="login_addresses", verbose_name=_("instance")
    )
    origin = models.CharField(
        _("address"),
        max_length=255,
        help_text=_("scheme://host[:port], exact, no wildcard. For example https://203.0.113.7."),
    )
    kind = models.CharField(_("kind"), max_length=10, choices=Kind.choices, default=Kind.LINK)

    class Meta:
        verbose_name = _("login address")
        verbose_name_plural = _("login addresses")
        ordering = ["kind", "origin"]
        constraints = [
            models.UniqueConstraint(fields=["instance", "origin"], name="login_address_once_per_instance"),
            models.CheckConstraint(condition=Q(kind__in=["link", "redirect"]), name="login_address_kind_known"),
        ]

    def __str__(self) -> str:
        return self.origin

    def clean(self) -> None:
        from omaccess.clients import is_login_origin_allowed

        try:
            self.origin = parse_origin(self.origin)
        except ValueError as error:
            raise ValidationError({"origin": str(error)}) from None
        if not is_login_origin_allowed(self.origin):
            raise ValidationError(
                {"origin": _("Login addresses are https. Only the sandbox may use http, on loopback.")}
            )


class Host(models.Model):
    """A server managed by a bastion. Made by an admin; disabled, never deleted."""

    instance = models.ForeignKey(
        BastionInstance, on_delete=models.PROTECT, related_name="hosts", verbose_name=_("instance")
    )
    name = models.CharField(_("name"), max_length=200)
    address = models.CharField(
        _("address"),
        max_length=64,
        help_text=_("Exactly as it is registered in the bastion; it is sent as it stands."),
    )
    address_key = models.CharField(_("canonical address"), max_length=64, editable=False)
    owner = models.CharField(_("owner"), max_length=200, blank=True)
    contact = models.CharField(
        _("contact"),
        max_length=200,
        blank=True,
        help_text=_("How staff reach the owner: e-mail, phone, channel."),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)
    # By its trigrams a host is found by any part of it; `omaccess.search_index` says where that index is.
    search_text = SearchTextField(_("what is searched"), editable=False, default="", db_default="")
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects = HostQuerySet.as_manager()

    class Meta:
        verbose_name = _("host")
        verbose_name_plural = _("hosts")
        ordering = ["name", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["instance", "address_key"],
                name="host_address_once_per_instance",
                violation_error_message=_("This instance has a host with this address already."),
            ),
        ]
        indexes = [
            models.Index(fields=["name", "id"], name="host_by_name"),
            models.Index(fields=["address_key"], name="host_by_address"),
            models.Index(SearchKey("name"), "id", name="host_by_name_key"),
            models.Index(SearchKey("address"), name="host_by_address_text"),
            models.Index(SearchKey("address_key"), name="host_by_address_start"),
            models.Index(FoldedName(), "id", name="host_by_folded_name"),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        self.address_key = address_key(self.address)
        if update_fields is not None and not {"name", "address", "owner"}.isdisjoint(update_fields):
            update_fields = {*update_fields, "address_key", "search_text"}
        super().save(*args, update_fields=update_fields, **kwargs)

    def clean(self) -> None:
        self.address_key = address_key(self.address)

    @cached_property
    def is_production(self) -> bool:
        """By its labels, which whoever shows many hosts has prefetched."""
        return any(label.is_production for label in self.labels.all())


class Label(models.Model):
    """A key and a value on a host, such as env=prod. Grants may reach hosts by them."""

    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="labels", verbose_name=_("host"))
    key = models.CharField(_("key"), max_length=63)
    value = models.CharField(_("value"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("label")
        verbose_name_plural = _("labels")
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["host", "key"], name="label_key_once_per_host")]
        indexes = [
            models.Index(fields=["key", "value", "host"], name="label_by_key_value"),
            models.Index(SearchKey("key"), SearchKey("value"), "host", name="label_by_text"),
        ]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"

    @property
    def is_production(self) -> bool:
        return (self.key.lower(), self.value.lower()) in settings.PRODUCTION_LABELS


class HostAccount(models.Model):
    """A login on a host, by the name the bastion knows. Made by an admin; disabled, never deleted."""

    host = models.ForeignKey(Host, on_delete=models.PROTECT, related_name="accounts", verbose_name=_("host"))
    name = models.CharField(
        _("account name"),
        max_length=200,
        help_text=_("Exactly as the bastion knows it: case, spaces and all."),
    )
    is_privileged = models.BooleanField(_("privileged"), default=False)
    credential = models.ForeignKey(
        IamCredential,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="host_accounts",
        verbose_name=_("own launch credential"),
        limit_choices_to={"purpose": IamCredential.Purpose.LAUNCH},
        help_text=_("Empty: the instance's."),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)

    objects = HostAccountQuerySet.as_manager()

    class Meta:
        verbose_name = _("host account")
        verbose_name_plural = _("host accounts")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["host", "name"], name="account_name_once_per_host")]
        indexes = [
            models.Index(fields=["name", "host"], name="account_by_name"),
            models.Index(SearchKey("name"), "host", name="account_by_name_key"),
        ]
        permissions = [("test_account", "Can test host accounts (exchange, then drop the link)")]

    def __str__(self) -> str:
        return f"{self.name}@{self.host}"

    @property
    def launch_credential(self) -> IamCredential:
        """Its own, else the instance's. A refusal never falls back to another."""
        return self.credential if self.credential is not None else self.host.instance.credential


def address_key(address: str) -> str:
    """The canonical form of an address: one spelling for one machine, used by search and uniqueness."""
    text = address.strip()
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        return text.lower().rstrip(".")
