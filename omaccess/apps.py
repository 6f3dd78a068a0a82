from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class OmAccessConfig(AppConfig):
    name = "omaccess"
    verbose_name = _("O&M access")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from omaccess import checks  # noqa: F401
