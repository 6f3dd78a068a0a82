"""People and groups in the admin. Roles are groups; what a group may do is fixed by migration, not here."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import password_validators_help_text_html, validate_password
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest
from django.utils.safestring import mark_safe
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

from accounts.models import ADMINS, AUDITORS, User
from omaccess.actions import people
from omaccess.admin.pages import AuditedAdmin, SecretTyped
from omaccess.admin.site import site
from omaccess.admin.words import NOTHING, display, moment

SHOWN_MEMBERS = 200
MAX_PASSWORD = 4096


class UserForm(SecretTyped, forms.ModelForm):  # type: ignore[type-arg]
    """A password only goes in. Without one, nobody can sign in as this person with a password."""

    typed_once = "new_password"

    new_password = forms.CharField(
        label=_("Password"),
        required=False,
        strip=False,
        max_length=MAX_PASSWORD,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
    )

    class Meta:
        model = User
        fields = ["username", "name", "email", "is_active", "is_superuser", "groups"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("new_password")
        if field is None:
            return  # somebody who may only look
        if self.instance.pk and self.instance.has_usable_password():
            field.label = _("Replace the password")
            hint = gettext("Leave empty to keep it. A new one ends the person's sessions.")
        else:
            hint = gettext("Leave empty for none: then nobody can sign in as this person with a password.")
        field.help_text = mark_safe(hint + password_validators_help_text_html())  # noqa: S308 - our own words

    def clean_username(self) -> str:
        """Names differ by more than upper and lower case; the database would say so less kindly."""
        name: str = self.cleaned_data["username"]
        if User.objects.filter(username__iexact=name).exclude(pk=self.instance.pk).exists():
            raise ValidationError(_("Someone has this user name already."))
        return name

    def _post_clean(self) -> None:
        """Judged against the name and address that were typed, so after the instance has them."""
        super()._post_clean()  # type: ignore[misc]
        password = self.cleaned_data.get("new_password")
        if password:
            try:
                validate_password(password, self.instance)
            except ValidationError as error:
                self.add_error("new_password", error)


@admin.register(User, site=site)
class UserAdmin(AuditedAdmin):
    change_class = people.UserChange
    form = UserForm
    autocomplete_fields = ["groups"]
    search_fields = ["username__istartswith", "name__istartswith", "email__istartswith"]
    search_help_text = _("User name, full name or e-mail, from the beginning.")
    list_display = ["username", "name", "email", "group_names", "signed_in", "has_password", "is_active"]
    list_filter = ["is_active", "is_superuser"]
    ordering = ["username"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Who is a superuser, only superusers see; a forged field would not be part of the form."""
        may_change = self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        rights = ["is_active", *(["is_superuser"] if request.user.is_superuser else []), "groups"]
        found: list[Any] = [
            (None, {"fields": ["username", ("name", "email"), *(["new_password"] if may_change else [])]}),
            (
                _("Rights"),
                {
                    "fields": rights,
                    "description": _(
                        "Groups are roles (admins, auditors) or subjects of grants. Nobody changes their own groups."
                    ),
                },
            ),
        ]
        if obj:
            found.append((_("History"), {"fields": [("joined", "signed_in")]}))
        return found

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["joined", "signed_in", *(["username"] if obj else [])]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return ["is_active", *(["is_superuser"] if request.user.is_superuser else [])]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Conditions in the address: what this person's list does not show is not asked for, either."""
        hidden = {"password", *([] if request.user.is_superuser else ["is_superuser"])}
        may: bool = super().lookup_allowed(lookup, value, request)
        return may and lookup.partition(LOOKUP_SEP)[0] not in hidden

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        rows: QuerySet[User] = super().get_queryset(request)
        return rows.prefetch_related("groups")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only superusers change superusers: a new password would otherwise make anybody one."""
        may: bool = super().has_change_permission(request, obj)
        return may and (obj is None or not obj.is_superuser or request.user.is_superuser)

    def before_transaction(self, request: HttpRequest) -> None:
        """Hashing takes long by design, and no lock is held for it."""
        password = request.POST.get("new_password", "")
        if password and len(password) <= MAX_PASSWORD:
            request._password_hash = make_password(password)  # type: ignore[attr-defined]

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        if form.cleaned_data.get("new_password"):
            obj.password = request._password_hash  # type: ignore[attr-defined]
        elif not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)

    @display(description=_("groups"))
    def group_names(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all()) or NOTHING

    @display(description=_("since"))
    def joined(self, user: User) -> str:
        return moment(user.date_joined)

    @display(description=_("last sign-in"), ordering="last_login")
    def signed_in(self, user: User) -> str:
        return moment(user.last_login)

    @display(description=_("password"), boolean=True)
    def has_password(self, user: User) -> bool:
        return user.has_usable_password()


@admin.register(Group, site=site)
class GroupAdmin(AuditedAdmin):
    change_class = people.GroupChange
    search_fields = ["name__istartswith"]
    list_display = ["name", "role"]
    ordering = ["name"]  # pages of an autocomplete need one
    fields = ["name", "role", "members"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["name", "role", "members"] if obj else ["name"]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """The roles are known by their names."""
        is_role = obj is not None and obj.name in (ADMINS, AUDITORS)
        return ["role", "members", *(["name"] if is_role else [])]

    @display(description=_("role"))
    def role(self, group: Group) -> str:
        return {
            ADMINS: gettext("keeps the inventory and grants access"),
            AUDITORS: gettext("reads everything here and exports the audit"),
        }.get(group.name, NOTHING)

    @display(description=_("members"))
    def members(self, group: Group) -> str:
        """Read here, changed at the person: their row is what a launch holds still while it decides."""
        names = list(
            User.objects.filter(groups=group)
            .order_by("username")
            .values_list("username", flat=True)[: SHOWN_MEMBERS + 1]
        )
        if not names:
            return gettext("Nobody. People are put into groups at the person's page.")
        more = " …" if len(names) > SHOWN_MEMBERS else ""
        return ", ".join(names[:SHOWN_MEMBERS]) + more
