"""Who may open what: grants, and the two sights that follow from them (openable, visible)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.db.models.expressions import RawSQL
from django.utils.translation import gettext_lazy as _

from omaccess.ticket_pattern import InvalidTicketPattern, check_ticket_pattern

if TYPE_CHECKING:
    from accounts.models import User
    from omaccess.models.inventory import Host, HostAccount  # noqa: F401 - the querysets name them as text

SIGHT_AFTER_END = dt.timedelta(days=30)
"""How long a host page goes on explaining itself after the grant ended or was revoked."""

FEW = 2_000
"""Up to so many rows it is quicker to begin with them than to walk a table in its order until a page is full."""


def few(ids: models.QuerySet[Any, int]) -> set[int] | None:
    """These ids when they are few, None when they are not; reads no more than it takes to know."""
    found = list(ids.order_by()[: FEW + 1])
    return set(found) if len(found) <= FEW else None


def are_many(rows: models.QuerySet[Any]) -> Exists:
    """Whether there are more of these (correlated) rows than a few."""
    return Exists(rows.order_by()[FEW:])


class GrantQuerySet(models.QuerySet["Grant"]):
    def of(self, user: User) -> Self:
        """Grants whose subject is this person, or a group this person is in."""
        return self.of_person(user.pk)

    def of_person(self, pk: Any) -> Self:
        """The same by id, or by a place for one in a compiled query."""
        return self.filter(Q(user=pk) | Q(group__in=Group.objects.filter(user=pk)))

    def each_of(self, user: Any) -> tuple[Self, Self]:
        """The same in two parts, by person and by group: as one, all grants of everybody are looked at for each row.

        A person, or a place for an id in a compiled query.
        """
        return self.filter(user=user), self.filter(group__user=user)

    def in_force(self, at: dt.datetime) -> Self:
        return self.filter(Q(valid_until=None) | Q(valid_until__gt=at), revoked_at=None, valid_from__lte=at)

    def not_over(self, at: dt.datetime) -> Self:
        """In force, or still to come."""
        return self.filter(Q(valid_until=None) | Q(valid_until__gt=at), revoked_at=None)

    def visible(self, at: dt.datetime) -> Self:
        """In force, still to come, or over for no more than 30 days."""
        since = at - SIGHT_AFTER_END
        return self.filter(Q(valid_until=None) | Q(valid_until__gt=since), Q(revoked_at=None) | Q(revoked_at__gt=since))

    def for_host(self, host_id: int) -> Self:
        """Those that could reach this host: everything but grants for one other host. Labels are not yet compared."""
        return self.filter(Q(host=host_id) | Q(host=None))

    def reaching(self, account: HostAccount) -> Self:
        """Those whose target and account names cover this one account, decided by the database. Not for subqueries.

        `_covers_the_account` says the same for lists. Here it is text: composing it took longer than a launch's writes.
        """
        params = [account.host_id, account.name, account.host_id]
        return self.filter(RawSQL(_REACHES, params, output_field=models.BooleanField()))  # noqa: S611 - our own text

    def near(self, user: User, host_ids: Iterable[int], names: Iterable[str]) -> Self:
        """This person's that could reach one of these hosts under one of these account names; some of them may not.

        There is at least one host and one name. It is text for the same reason as `reaching`.
        """
        hosts, called = list(host_ids), list(names)
        text = _NEAR.format(hosts=_places(hosts), names=_places(called))
        params = [user.pk, *hosts, user.pk, *hosts, *called, *hosts]
        return self.filter(RawSQL(text, params, output_field=models.BooleanField()))  # noqa: S611 - our own text


def _places(values: Sequence[object]) -> str:
    return f"({', '.join(['%s'] * len(values))})"


_REACHES = """
    (omaccess_grant.host_id = %s OR omaccess_grant.host_id IS NULL)
    AND (omaccess_grant.every_account OR EXISTS (
        SELECT 1 FROM omaccess_grantaccount named WHERE named.grant_id = omaccess_grant.id AND named.name = %s))
    AND (omaccess_grant.target IN ('all', 'host') OR (omaccess_grant.target = 'labels'
        AND EXISTS (SELECT 1 FROM omaccess_grantlabel clause WHERE clause.grant_id = omaccess_grant.id)
        AND NOT EXISTS (
            SELECT 1 FROM omaccess_grantlabel clause WHERE clause.grant_id = omaccess_grant.id AND NOT EXISTS (
                SELECT 1 FROM omaccess_label label
                WHERE label.host_id = %s AND label.key = clause.key AND label.value = clause.value))))
"""


_NEAR = """
    omaccess_grant.id IN (
        SELECT own.id FROM omaccess_grant own WHERE own.user_id = %s AND (own.host_id IN {hosts} OR own.host_id IS NULL)
        UNION ALL
        SELECT shared.id FROM omaccess_grant shared
        INNER JOIN accounts_user_groups member ON member.group_id = shared.group_id
        WHERE member.user_id = %s AND (shared.host_id IN {hosts} OR shared.host_id IS NULL))
    AND (omaccess_grant.every_account OR EXISTS (
        SELECT 1 FROM omaccess_grantaccount named WHERE named.grant_id = omaccess_grant.id AND named.name IN {names}))
    AND (omaccess_grant.host_id IS NOT NULL OR NOT EXISTS (
        SELECT 1 FROM omaccess_grantlabel clause WHERE clause.grant_id = omaccess_grant.id AND NOT EXISTS (
            SELECT 1 FROM omaccess_label label
            WHERE label.host_id IN {hosts} AND label.key = clause.key AND label.value = clause.value)))
"""


def _covers_the_account() -> Q:
    """On grants within a query of accounts: target and account names cover that account. Time and subject aside.

    The host is compared twice on purpose: beside the kind of target, so that an index finds the few candidates.
    """
    from omaccess.models.inventory import Label

    same_label = Label.objects.filter(
        host=OuterRef(OuterRef(OuterRef("host"))), key=OuterRef("key"), value=OuterRef("value")
    )
    named = GrantAccount.objects.filter(grant=OuterRef("pk"), name=OuterRef(OuterRef("name")))
    by_labels = Q(Exists(_clauses()), ~Exists(_clauses().exclude(Exists(same_label))), target=Grant.Target.LABELS)
    return Q(
        Q(host=OuterRef("host")) | Q(host=None),
        Q(target__in=[Grant.Target.ALL, Grant.Target.HOST]) | by_labels,
        Q(every_account=True) | Exists(named),
    )


def _clauses() -> models.QuerySet[GrantLabel]:
    return GrantLabel.objects.filter(grant=OuterRef("pk"))


class Grant(models.Model):
    """Permission to open. One subject, one target, some account names, a time. Revoked, never deleted."""

    class Target(models.TextChoices):
        HOST = "host", _("one host")
        LABELS = "labels", _("hosts with labels")
        ALL = "all", _("all hosts")

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="grants",
        verbose_name=_("person"),
    )
    group = models.ForeignKey(
        Group,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="grants",
        verbose_name=_("group"),
    )
    target = models.CharField(_("reaches"), max_length=10, choices=Target.choices, default=Target.HOST)
    host = models.ForeignKey(
        "omaccess.Host",
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="grants",
        verbose_name=_("host"),
    )
    every_account = models.BooleanField(
        _("every account"), default=False, help_text=_("Any account of the hosts, also those added later.")
    )
    valid_from = models.DateTimeField(_("valid from"))
    valid_until = models.DateTimeField(_("valid until"), null=True, blank=True, help_text=_("Empty: no end."))
    is_reason_required = models.BooleanField(_("reason required"), default=False)
    ticket_pattern = models.CharField(
        _("ticket pattern"),
        max_length=200,
        blank=True,
        help_text=_(
            "A regular expression (RE2) that the whole ticket must match, such as INC[0-9]{6}. Empty: no ticket needed."
        ),
    )
    is_step_up_required = models.BooleanField(
        _("second factor required"),
        default=False,
        help_text=_("There are no second factors yet: such a grant refuses, and says why."),
    )
    note = models.CharField(_("note"), max_length=500, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("granted by"),
    )
    created_at = models.DateTimeField(_("granted at"), auto_now_add=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, editable=False)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
        verbose_name=_("revoked by"),
    )

    objects = GrantQuerySet.as_manager()

    class Meta:
        verbose_name = _("grant")
        verbose_name_plural = _("grants")
        ordering = ["-created_at", "-id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(user=None, group__isnull=False) | Q(user__isnull=False, group=None),
                name="grant_one_subject",
                violation_error_message=_("Choose one person or one group."),
            ),
            models.CheckConstraint(
                condition=Q(target="host", host__isnull=False) | Q(target__in=["labels", "all"], host=None),
                name="grant_host_only_when_it_reaches_one",
                violation_error_message=_("Choose a host exactly when the grant reaches one host."),
            ),
            models.CheckConstraint(
                condition=Q(valid_until=None) | Q(valid_until__gt=models.F("valid_from")),
                name="grant_ends_after_it_begins",
                violation_error_message=_("A grant ends after it begins."),
            ),
            models.CheckConstraint(
                condition=Q(revoked_at=None, revoked_by=None) | Q(revoked_at__isnull=False, revoked_by__isnull=False),
                name="grant_revoked_by_someone",
            ),
        ]
        indexes = [
            models.Index(fields=["user", "host"], name="grant_by_user_and_host"),
            models.Index(fields=["group", "host"], name="grant_by_group_and_host"),
            models.Index(fields=["-created_at", "-id"], name="grant_newest_first"),
        ]

    def __str__(self) -> str:
        return f"{self.subject_name} → {self.target_name}"

    @property
    def subject_name(self) -> str:
        return str(self.user) if self.user_id else str(self.group)

    @property
    def target_name(self) -> str:
        if self.target == self.Target.HOST:
            return str(self.host)
        if self.target == self.Target.LABELS:
            return ", ".join(str(clause) for clause in self.label_clauses.all()) or "-"
        return str(_("all hosts"))

    def clean(self) -> None:
        try:
            check_ticket_pattern(self.ticket_pattern)
        except InvalidTicketPattern as error:
            raise ValidationError({"ticket_pattern": str(error)}) from None


class GrantLabel(models.Model):
    """A clause of a grant that reaches hosts by labels; a host must match every clause."""

    grant = models.ForeignKey(Grant, on_delete=models.CASCADE, related_name="label_clauses")
    key = models.CharField(_("key"), max_length=63)
    value = models.CharField(_("value"), max_length=200, blank=True)

    class Meta:
        verbose_name = _("label clause")
        verbose_name_plural = _("label clauses")
        ordering = ["key", "value"]
        constraints = [models.UniqueConstraint(fields=["grant", "key", "value"], name="clause_once_per_grant")]

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class GrantAccount(models.Model):
    """An account name a grant covers, compared exactly."""

    grant = models.ForeignKey(Grant, on_delete=models.CASCADE, related_name="account_names")
    name = models.CharField(_("account name"), max_length=200)

    class Meta:
        verbose_name = _("account name")
        verbose_name_plural = _("account names")
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["grant", "name"], name="account_name_once_per_grant")]

    def __str__(self) -> str:
        return self.name


class HostAccountQuerySet(models.QuerySet["HostAccount"]):
    def reached_by(self, *grants: GrantQuerySet) -> Self:
        """Accounts that at least one of these grants reaches. `policies.reaches` says the same of one pair."""
        reached = Q()
        for some in grants:
            reached |= Q(Exists(some.filter(_covers_the_account())))
        return self.filter(reached)

    def enabled(self) -> Self:
        return self.filter(is_enabled=True, host__is_enabled=True, host__instance__is_enabled=True)

    def openable_by(self, user: User, *, at: dt.datetime) -> Self:
        """Enabled all the way, and a grant is in force now: what lists, counts and search show."""
        if not user.is_active:
            return self.none()
        return self.enabled().reached_by(*Grant.objects.in_force(at).each_of(user))

    def visible_to(self, user: User, *, at: dt.datetime) -> Self:
        """What has a page that explains itself to this person. Everything else does not exist for them."""
        if not user.is_active:
            return self.none()
        return self.reached_by(*Grant.objects.visible(at).each_of(user))


class HostQuerySet(models.QuerySet["Host"]):
    def openable_by(self, user: User, *, at: dt.datetime) -> Self:
        from omaccess.models.inventory import HostAccount

        return self.with_any_of(HostAccount.objects.openable_by(user, at=at))

    def visible_to(self, user: User, *, at: dt.datetime) -> Self:
        from omaccess.models.inventory import HostAccount

        return self.with_any_of(HostAccount.objects.visible_to(user, at=at))

    def enabled(self) -> Self:
        """Enabled hosts of enabled instances, with an enabled account."""
        from omaccess.models.inventory import HostAccount

        account = HostAccount.objects.filter(host=OuterRef("pk"), is_enabled=True)
        return self.filter(Exists(account), is_enabled=True, instance__is_enabled=True)

    def with_any_of(self, accounts: HostAccountQuerySet) -> Self:
        return self.filter(Exists(accounts.filter(host=OuterRef("pk"))))
