"""The evidence. Rows are appended by `omaccess.audit.record` only; the database refuses every change.

Columns are copies as text: deleting or renaming what they speak of leaves history whole.
"""

from django.db import models
from django.utils.translation import gettext_lazy as _

from omaccess.models.search_key import SearchKey

GENESIS_HASH = "0" * 64
"""The hash before the first event."""


class AuditEvent(models.Model):
    """A fact that cannot be altered. `hash` covers the row's canonical bytes and the hash before (see chain.py)."""

    position = models.BigIntegerField(_("position"), primary_key=True)
    id = models.UUIDField(_("id"), unique=True)
    at = models.DateTimeField(_("at"))
    kind = models.CharField(_("kind"), max_length=64)
    actor_id = models.CharField(_("person id"), max_length=64, blank=True)
    actor_name = models.CharField(_("person"), max_length=150, blank=True)
    target_type = models.CharField(_("about"), max_length=64, blank=True)
    target_id = models.CharField(_("id of what it is about"), max_length=64, blank=True)
    target_name = models.CharField(_("name of what it is about"), max_length=300, blank=True)
    reference = models.CharField(_("reference"), max_length=10, blank=True)
    cause = models.CharField(_("cause"), max_length=64, blank=True)
    address = models.CharField(_("client address"), max_length=64, blank=True)
    browser = models.CharField(_("browser"), max_length=300, blank=True)
    request_id = models.CharField(_("request id"), max_length=64, blank=True)
    facts = models.JSONField(_("facts"), default=dict)
    previous_hash = models.CharField(_("hash before"), max_length=64)
    hash = models.CharField(_("hash"), max_length=64, unique=True)

    class Meta:
        verbose_name = _("audit event")
        verbose_name_plural = _("audit events")
        ordering = ["-position"]
        default_permissions = ["view"]
        permissions = [("export_audit", "Can export audit events")]
        indexes = [
            models.Index(fields=["kind", "-position"], name="audit_by_kind"),
            models.Index(fields=["actor_name", "-position"], name="audit_by_actor"),
            models.Index(fields=["target_name", "-position"], name="audit_by_target"),
            models.Index(fields=["reference", "-position"], name="audit_by_reference"),
            models.Index(fields=["at"], name="audit_by_time"),
            models.Index(fields=["cause", "-position"], name="audit_by_cause"),
            models.Index(fields=["actor_name", "-at", "-position"], name="audit_by_actor_and_time"),
            models.Index(SearchKey("target_name"), name="audit_by_target_key"),
        ]

    def __str__(self) -> str:
        return f"{self.position} {self.kind}"


class AuditHead(models.Model):
    """The chain's end: one row, locked by whoever appends, moved by the database itself."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1)
    position = models.BigIntegerField()
    hash = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("audit head")
        verbose_name_plural = _("audit heads")
        default_permissions = ()
        constraints = [models.CheckConstraint(condition=models.Q(id=1), name="audit_head_is_one_row")]

    def __str__(self) -> str:
        return f"{self.position}:{self.hash}"
