"""Who you are. Roles are Django groups (`admins`, `auditors`), made by the first migration; there is no role field."""

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.contrib.auth.validators import UnicodeUsernameValidator
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

ADMINS = "admins"
AUDITORS = "auditors"


class UserManager(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> "User":
        """Sign-in names differ by more than upper and lower case, see the constraint."""
        return self.get(username__iexact=username)

    def create_user(self, username: str, password: str | None = None, *, name: str = "", email: str = "") -> "User":
        """A person without any role. `password=None` makes the account unusable until one is set."""
        user = self.model(username=username, name=name, email=self.normalize_email(email))
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person who may sign in. Made by an admin (no public sign-up); disabled, never deleted."""

    username = models.CharField(
        _("user name"),
        max_length=150,
        unique=True,
        validators=[UnicodeUsernameValidator()],
        error_messages={"unique": _("Someone has this user name already.")},
    )
    name = models.CharField(_("full name"), max_length=150, blank=True)
    email = models.EmailField(_("e-mail"), blank=True)
    is_active = models.BooleanField(
        _("active"),
        default=True,
        help_text=_("An inactive person cannot sign in and opens nothing. Disable people, never delete them."),
    )
    # How the pages look to this person. Empty: as the browser says.
    language = models.CharField(_("language"), max_length=10, blank=True, default="", db_default="")
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, default="", db_default="")
    theme = models.CharField(_("colours"), max_length=5, blank=True, default="", db_default="")
    date_joined = models.DateTimeField(_("since"), default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        ordering = ["username"]
        constraints = [
            models.UniqueConstraint(Lower("username"), name="user_username_any_case"),
        ]
        permissions = [("enter_admin", "Can enter the admin site")]

    def __str__(self) -> str:
        return self.username

    def get_full_name(self) -> str:
        return self.name or self.username

    def get_short_name(self) -> str:
        return self.username

    @property
    def is_staff(self) -> bool:
        """May enter the admin site. Django and libraries ask by this name; the answer is a permission."""
        return self.is_active and self.has_perm("accounts.enter_admin")
