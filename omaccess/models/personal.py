"""What one person keeps for their own convenience. It opens nothing: pages ask the grants anew."""

from django.conf import settings
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from omaccess.models.inventory import Host


class Favourite(models.Model):
    """A host that somebody wants on top of their list. Made and taken away by that person."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="favourites", verbose_name=_("person")
    )
    host = models.ForeignKey(Host, on_delete=models.CASCADE, related_name="favourites", verbose_name=_("host"))
    created_at = models.DateTimeField(_("since"), default=timezone.now, editable=False)

    class Meta:
        verbose_name = _("favourite")
        verbose_name_plural = _("favourites")
        ordering = ["host__name", "host_id"]
        constraints = [models.UniqueConstraint(fields=["user", "host"], name="favourite_once_per_person")]

    def __str__(self) -> str:
        return f"{self.user} ★ {self.host}"
