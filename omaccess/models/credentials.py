"""What the portal holds to speak for it in Huawei Cloud."""

from typing import Self

from django.db import models
from django.db.models import Case, DateTimeField, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy as _


class CredentialHealth(models.TextChoices):
    """How a credential does, as far as the portal knows: exactly one of these, the first that is true."""

    DISABLED = "disabled", _("disabled")
    NO_SECRET = "no_secret", _("no password")
    BLOCKED = "blocked", _("blocked")
    FAILING = "failing", _("failing")
    WORKS = "works", _("works")
    UNTRIED = "untried", _("never used")


class IamCredentialQuerySet(models.QuerySet["IamCredential"]):
    def with_health(self) -> Self:
        """Each with its `health` and `block_ends_at`, judged by the database in the same query."""
        lease = IamUserLease.objects.filter(
            iam_endpoint=OuterRef("iam_endpoint"),
            account_name=OuterRef("account_name"),
            user_name=OuterRef("user_name"),
            blocked_until__gt=Now(),
        )
        is_so = {
            CredentialHealth.DISABLED: Q(is_enabled=False),
            CredentialHealth.NO_SECRET: Q(secret_ciphertext=""),
            CredentialHealth.BLOCKED: Q(block_ends_at__isnull=False),
            # A release without `failing_since_at` may run beside this one, and its successes do not clear it.
            CredentialHealth.FAILING: Q(failing_since_at__isnull=False)
            & (Q(last_success_at__isnull=True) | Q(last_success_at__lt=F("last_error_at"))),
            CredentialHealth.WORKS: Q(last_success_at__isnull=False),
        }
        return self.annotate(
            block_ends_at=Subquery(lease.values("blocked_until")[:1], output_field=DateTimeField())
        ).annotate(
            health=Case(
                *(When(condition, then=Value(state.value)) for state, condition in is_so.items()),
                default=Value(CredentialHealth.UNTRIED.value),
            )
        )


class IamCredential(models.Model):
    """An IAM user whose password the portal holds, encrypted. Nobody reads it back; it can be replaced."""

    class Purpose(models.TextChoices):
        LAUNCH = "launch", _("launch: needs only cbh:instance:getOmUrl")
        READ = "read", _("read: lists")

    name = models.CharField(_("name"), max_length=100, unique=True)
    purpose = models.CharField(_("purpose"), max_length=10, choices=Purpose.choices, default=Purpose.LAUNCH)
    iam_endpoint = models.CharField(
        _("IAM endpoint"),
        max_length=255,
        help_text=_("For example https://iam.cn-north-4.myhuaweicloud.com."),
    )
    account_name = models.CharField(
        _("account (domain) name"),
        max_length=128,
        help_text=_("The Huawei Cloud account that owns the IAM user, not the user's own name."),
    )
    user_name = models.CharField(
        _("IAM user name"), max_length=128, help_text=_("An IAM user. A HUAWEI ID cannot exchange a token.")
    )
    secret_ciphertext = models.TextField(_("secret, encrypted"), blank=True, editable=False)
    version = models.PositiveIntegerField(
        _("version"),
        default=1,
        editable=False,
        help_text=_("Goes up whenever the identity or the secret changes."),
    )
    is_enabled = models.BooleanField(_("enabled"), default=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)
    last_success_at = models.DateTimeField(_("last success at"), null=True, blank=True, editable=False)
    last_error_at = models.DateTimeField(_("last error at"), null=True, blank=True, editable=False)
    last_error = models.CharField(_("last error"), max_length=64, blank=True, editable=False)
    failing_since_at = models.DateTimeField(
        _("failing since"),
        null=True,
        blank=True,
        editable=False,
        help_text=_("The first failure that no success has followed."),
    )
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    updated_at = models.DateTimeField(_("updated at"), auto_now=True)

    objects = IamCredentialQuerySet.as_manager()

    class Meta:
        verbose_name = _("IAM credential")
        verbose_name_plural = _("IAM credentials")
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=Q(purpose__in=["launch", "read"]), name="credential_purpose_known"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def has_secret(self) -> bool:
        return bool(self.secret_ciphertext)

    def forget_health(self) -> None:
        """Another identity or secret: what the one before met says nothing of it. To be saved by the caller."""
        self.last_used_at = self.last_success_at = self.last_error_at = self.failing_since_at = None
        self.last_error = ""


class IamUserLease(models.Model):
    """One row per IAM user: at most one token exchange at a time, and the block after a refused one.

    Written only by `omaccess.tokens`. All times are the database's clock. `outcome` counts finished exchanges, so
    that whoever waited can tell a new result from an old one.
    """

    iam_endpoint = models.CharField(max_length=255)
    account_name = models.CharField(max_length=128)
    user_name = models.CharField(max_length=128)
    holder = models.CharField(max_length=64, blank=True)
    holder_expires_at = models.DateTimeField(null=True)
    blocked_until = models.DateTimeField(_("blocked until"), null=True)
    forced_at = models.DateTimeField(null=True)
    outcome = models.PositiveBigIntegerField(default=0)
    token_key = models.CharField(max_length=200, blank=True)
    token_ciphertext = models.TextField(blank=True)
    failure = models.JSONField(null=True)

    class Meta:
        verbose_name = _("IAM user lease")
        verbose_name_plural = _("IAM user leases")
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["iam_endpoint", "account_name", "user_name"], name="one_lease_per_iam_user"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.account_name}/{self.user_name}"
