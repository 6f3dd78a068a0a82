"""IAM credentials: who they are, how they do, and a secret that goes in and never comes out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import DateTimeField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Now
from django.http import HttpRequest
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

from omaccess import tokens
from omaccess.actions import credentials
from omaccess.admin.inventory import EndpointField
from omaccess.admin.pages import AuditedAdmin, SecretTyped, change_of
from omaccess.admin.site import site
from omaccess.admin.words import cause_title, display, moment
from omaccess.models import IamCredential, IamUserLease

MAX_SECRET = 1000


class CredentialForm(SecretTyped, forms.ModelForm):  # type: ignore[type-arg]
    """The secret is only ever read from what was typed; nothing puts the stored one into the page."""

    typed_once = "secret"

    secret = forms.CharField(
        label=_("Password of the IAM user"),
        required=False,
        strip=False,
        max_length=MAX_SECRET,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}, render_value=False),
    )

    class Meta:
        model = IamCredential
        fields = ["name", "purpose", "is_enabled", "iam_endpoint", "account_name", "user_name"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "secret" not in self.fields:
            return  # somebody who may only look
        if self.instance.has_secret:
            self.fields["secret"].label = _("Replace the password")
            self.fields["secret"].help_text = _(
                "One is stored, encrypted; nobody can read it here. Leave empty to keep it. A new one ends a block."
            )
        else:
            self.fields["secret"].help_text = _("None is stored, so this credential cannot be used yet.")

    def clean_purpose(self) -> str:
        """What launches rest on stays a launch credential; another one takes its place first."""
        purpose: str = self.cleaned_data["purpose"]
        if purpose != IamCredential.Purpose.LAUNCH and self.instance.pk:
            uses = (self.instance.instances.exists(), self.instance.host_accounts.exists())
            if any(uses):
                raise ValidationError(_("Instances or host accounts sign in with it; give them another one first."))
        return purpose


@admin.register(IamCredential, site=site)
class IamCredentialAdmin(AuditedAdmin):
    change_class = credentials.CredentialChange
    form = CredentialForm
    search_fields = ["name__istartswith", "user_name__istartswith"]
    list_display = [
        "name",
        "iam_user",
        "purpose",
        "has_stored_secret",
        "last_used",
        "last_success",
        "last_error_text",
        "blocked",
        "is_enabled",
    ]
    list_filter = ["purpose", "is_enabled"]
    readonly_fields = ["last_used", "last_success", "last_failure", "last_error_text", "blocked", "version"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        may_change = self.has_change_permission(request) if obj else self.has_add_permission(request)
        identity = ["iam_endpoint", ("account_name", "user_name"), *(["secret"] if may_change else [])]
        found: list[Any] = [
            (None, {"fields": [("name", "purpose"), "is_enabled"]}),
            (
                _("Who it is"),
                {
                    "fields": identity,
                    "description": _(
                        "Three things go wrong most often. The account name is the Huawei Cloud account's, not the "
                        "user's. It has to be an IAM user: a HUAWEI ID cannot do this. And the user needs a policy "
                        "with cbh:instance:getOmUrl for the instance's project. "
                        "Changing endpoint, account or user empties the password."
                    ),
                },
            ),
        ]
        if obj:
            health = [("last_used", "last_success"), ("last_failure", "last_error_text"), ("blocked", "version")]
            found.append((_("How it does"), {"fields": health}))
        return found

    def get_queryset(self, request: HttpRequest) -> QuerySet[IamCredential]:
        lease = IamUserLease.objects.filter(
            iam_endpoint=OuterRef("iam_endpoint"),
            account_name=OuterRef("account_name"),
            user_name=OuterRef("user_name"),
            blocked_until__gt=Now(),
        )
        rows: QuerySet[IamCredential] = super().get_queryset(request)
        return rows.annotate(block_ends_at=Subquery(lease.values("blocked_until")[:1], output_field=DateTimeField()))

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> forms.Field | None:
        if db_field.name == "iam_endpoint":
            kwargs["form_class"] = EndpointField
        field: forms.Field | None = super().formfield_for_dbfield(db_field, request, **kwargs)
        return field

    def save_model(self, request: HttpRequest, obj: IamCredential, form: Any, change: bool) -> None:
        change_of(request).save(obj, secret=form.cleaned_data["secret"] or None)

    def warnings(self, obj: IamCredential) -> list[str]:
        if obj.has_secret:
            return []
        return [gettext("This credential has no password now. Enter it, or launches with it are refused.")]

    @display(description=_("IAM user"))
    def iam_user(self, credential: IamCredential) -> str:
        return f"{credential.account_name}/{credential.user_name}"

    @display(description=_("password"), boolean=True)
    def has_stored_secret(self, credential: IamCredential) -> bool:
        return credential.has_secret

    @display(description=_("last used"), ordering="last_used_at")
    def last_used(self, credential: IamCredential) -> str:
        return moment(credential.last_used_at)

    @display(description=_("last success"), ordering="last_success_at")
    def last_success(self, credential: IamCredential) -> str:
        return moment(credential.last_success_at)

    @display(description=_("last failure"))
    def last_failure(self, credential: IamCredential) -> str:
        return moment(credential.last_error_at)

    @display(description=_("last error"))
    def last_error_text(self, credential: IamCredential) -> str:
        return cause_title(credential.last_error)

    @display(description=_("not asked until"))
    def blocked(self, credential: IamCredential) -> str:
        """Annotated in lists; asked for where a row came some other way."""
        if "block_ends_at" in vars(credential):
            return moment(vars(credential)["block_ends_at"])
        return moment(tokens.blocked_until(credential))
