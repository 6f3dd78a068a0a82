"""What somebody wants to open one after the other."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class Worklist(models.Model):
    """The names and addresses that somebody pasted, to open one by one. One per person; the next replaces it."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="worklist", verbose_name=_("person")
    )
    lines = models.JSONField(_("names and addresses"), default=list)
    made_at = models.DateTimeField(_("made at"), default=timezone.now)

    class Meta:
        verbose_name = _("worklist")
        verbose_name_plural = _("worklists")

    def __str__(self) -> str:
        return str(self.user)
