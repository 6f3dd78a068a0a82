from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate
from django.utils.translation import gettext_lazy as _


class OmAccessConfig(AppConfig):
    name = "omaccess"
    verbose_name = _("O&M access")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from omaccess import checks  # noqa: F401

        post_migrate.connect(_mend_the_search_index, sender=self, dispatch_uid="search_index")


def _mend_the_search_index(*, using: str, **_signal: Any) -> None:
    """A migration that had SQLite remake the table of hosts took the triggers of their search with it."""
    from omaccess import search_index

    search_index.mend(connections[using])
