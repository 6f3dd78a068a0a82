"""One attempt of one person to open one account. The working record behind the screens; the evidence is the audit."""

from __future__ import annotations

import secrets
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from accounts.models import User
from omaccess.models.inventory import HostAccount

CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
REFERENCE_LENGTH = 10


def new_reference() -> str:
    """Ten Crockford base-32 characters: 50 random bits that can be read out on the phone."""
    return "".join(secrets.choice(CROCKFORD) for _n in range(REFERENCE_LENGTH))


def normalise_reference(text: str) -> str:
    """What somebody typed or heard, as it is stored: upper case, O is 0, I and L are 1, hyphens gone."""
    return text.upper().replace("-", "").translate(str.maketrans("OIL", "011"))


class LaunchState(models.TextChoices):
    PENDING = "pending", _("asking Huawei Cloud")
    WAITING = "waiting", _("waiting for the bastion")
    OPENED = "opened", _("link handed to the browser")
    REFUSED = "refused", _("refused by Huawei Cloud")
    FAILED = "failed", _("failed")
    DENIED = "denied", _("not allowed")
    ABANDONED = "abandoned", _("abandoned")


TRANSITIONS: dict[LaunchState, frozenset[LaunchState]] = {
    LaunchState.PENDING: frozenset(
        {
            LaunchState.OPENED,
            LaunchState.REFUSED,
            LaunchState.FAILED,
            LaunchState.ABANDONED,
            LaunchState.WAITING,
        }
    ),
    LaunchState.WAITING: frozenset({LaunchState.PENDING, LaunchState.DENIED, LaunchState.ABANDONED}),
}
"""The one state machine. States that are not a key are terminal."""

OPEN_STATES = tuple(TRANSITIONS)


class LaunchQuerySet(models.QuerySet["Launch"]):
    def of(self, user: User) -> Self:
        return self.filter(user=user)

    def open(self) -> Self:
        return self.filter(state__in=OPEN_STATES)


class Launch(models.Model):
    """One attempt to open a session; the session itself belongs to the bastion. Made by `actions.launches` only.

    Names and addresses are copies of the moment. No column ever holds the link.
    """

    reference = models.CharField(_("reference"), max_length=REFERENCE_LENGTH, unique=True, default=new_reference)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="launches", verbose_name=_("person")
    )
    account = models.ForeignKey(
        HostAccount, on_delete=models.PROTECT, related_name="launches", verbose_name=_("host account")
    )
    once = models.UUIDField(null=True, editable=False)
    state = models.CharField(_("state"), max_length=10, choices=LaunchState.choices)
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=1)
    cause = models.CharField(_("cause"), max_length=64, blank=True)

    user_name = models.CharField(_("user name"), max_length=150)
    host_name = models.CharField(_("host"), max_length=200)
    host_address = models.CharField(_("address"), max_length=64)
    account_name = models.CharField(_("account"), max_length=200)
    instance_name = models.CharField(_("instance"), max_length=100)
    iam_user = models.CharField(_("IAM user"), max_length=300, blank=True)
    grant_text = models.CharField(_("grant"), max_length=300, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    ticket = models.CharField(_("ticket"), max_length=100, blank=True)

    upstream_state = models.CharField(_("state in the answer"), max_length=64, blank=True)
    upstream_code = models.CharField(_("code in the answer"), max_length=64, blank=True)
    upstream_description = models.CharField(_("description in the answer"), max_length=500, blank=True)
    request_id = models.CharField(_("Huawei Cloud request id"), max_length=64, blank=True)
    login_origin = models.CharField(_("address of the link"), max_length=255, blank=True)
    retry_after_seconds = models.PositiveIntegerField(_("try again after (seconds)"), null=True, blank=True)
    token_seconds = models.FloatField(_("time for the token (seconds)"), null=True, blank=True)
    link_seconds = models.FloatField(_("time for the link (seconds)"), null=True, blank=True)

    created_at = models.DateTimeField(_("asked at"), auto_now_add=True)
    attempted_at = models.DateTimeField(_("last attempt at"))
    ended_at = models.DateTimeField(_("ended at"), null=True, blank=True)

    objects = LaunchQuerySet.as_manager()

    class Meta:
        verbose_name = _("launch")
        verbose_name_plural = _("launches")
        ordering = ["-id"]
        default_permissions = ["view"]
        constraints = [
            models.UniqueConstraint(
                fields=["user", "once"],
                condition=Q(state__in=["pending", "waiting"]),
                name="launch_once_while_open",
            ),
            models.CheckConstraint(condition=Q(state__in=LaunchState.values), name="launch_state_known"),
            models.CheckConstraint(
                condition=Q(state__in=["pending", "waiting"], ended_at=None)
                | Q(~Q(state__in=["pending", "waiting"]), ended_at__isnull=False),
                name="launch_ended_when_terminal",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "-id"], name="launch_by_user"),
            models.Index(fields=["user", "once"], name="launch_by_once"),
            models.Index(fields=["account", "-id"], name="launch_by_account"),
            models.Index(
                fields=["attempted_at"],
                condition=Q(state__in=["pending", "waiting"]),
                name="launch_still_open",
            ),
        ]

    def __str__(self) -> str:
        return self.reference

    @property
    def is_open(self) -> bool:
        return self.state in OPEN_STATES


class LaunchAllowance(models.Model):
    """How many launches a person asked for in the present minute. A row, because it guards."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    window_started_at = models.DateTimeField()
    used = models.PositiveIntegerField()

    class Meta:
        verbose_name = _("launch allowance")
        verbose_name_plural = _("launch allowances")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.used}"
