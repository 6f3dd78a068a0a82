"""How the scheduled jobs do: one row each, written by whichever worker ran it, read by every machine."""

from django.db import models
from django.utils.translation import gettext_lazy as _

_MOST = 2**63 - 1
"""The largest figure: what a column of the database could hold. Larger ones cannot be a metric's value."""


class JobRun(models.Model):
    """The last run of one scheduled job, and how often it succeeded and failed.

    Rows, because a worker may be on another machine than the web server that is asked how the jobs do.
    """

    name = models.CharField(_("job"), max_length=100, primary_key=True)
    started_at = models.DateTimeField(_("last started at"))
    succeeded_at = models.DateTimeField(_("last succeeded at"), null=True)
    failed_at = models.DateTimeField(_("last failed at"), null=True)
    error = models.CharField(_("last error"), max_length=100, blank=True, help_text=_("Its kind, never its text."))
    queue_seconds = models.FloatField(_("waited in the queue (seconds)"), null=True)
    run_seconds = models.FloatField(_("took (seconds)"), null=True)
    successes = models.PositiveBigIntegerField(_("successes"), default=0)
    failures = models.PositiveBigIntegerField(_("failures"), default=0)
    result = models.JSONField(_("what the last run found, in numbers"), default=dict)

    class Meta:
        verbose_name = _("job")
        verbose_name_plural = _("jobs")
        ordering = ["name"]
        default_permissions = ()

    def __str__(self) -> str:
        return self.name

    @property
    def figures(self) -> dict[str, int]:
        """`result` as far as it is whole numbers by name. The role that the portal runs as may write anything there."""
        if not isinstance(self.result, dict):
            return {}
        return {name: value for name, value in self.result.items() if type(value) is int and abs(value) <= _MOST}
