"""IAM credentials: who they are, how they do, and a secret that goes in and never comes out."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminPasswordWidget

from omaccess.actions import credentials
from omaccess.actions.credential_advice import doubts
from omaccess.admin.credential_cloud import AsksTheCloud, may_see_instances, verify_context
from omaccess.admin.credential_health import HealthFilter, health_cell, health_of
from omaccess.admin.fields import EndpointField
from omaccess.admin.pages import AuditedAdmin, SecretTyped, change_of
from omaccess.admin.site import site
from omaccess.admin.words import display, moment, row_id
from omaccess.cloud.regions import service_of
from omaccess.models import IamCredential

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
        help_texts = {
            "name": _("What the portal calls it, such as the bastion it is for."),
            "purpose": _(
                "Launch: asks for links, and needs cbh:instance:getOmUrl only. Read: lists instances so that they can "
                "be filled in, and needs the permission to list them only. Use an IAM user of its own for each."
            ),
            "iam_endpoint": _(
                "IAM of the bastion's region: https://iam.cn-north-4.myhuaweicloud.com for cn-north-4, and the like."
            ),
            "account_name": _(
                "The Huawei Cloud account (domain) that owns the user, as the console shows it under My Credentials: "
                "not the user's own name, not the account's id, not an e-mail address."
            ),
            "user_name": _(
                "An IAM user of that account with programmatic access and without login protection: not a HUAWEI ID, "
                "which is an e-mail address or a phone number."
            ),
        }

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

    def clean_iam_endpoint(self) -> str:
        """Some endpoints are allowed for other calls, and can give no token."""
        endpoint: str = self.cleaned_data["iam_endpoint"]
        if service_of(endpoint) == "cbh":
            raise ValidationError(_("This is the endpoint of Cloud Bastion Host. Tokens come from IAM: https://iam.…"))
        return endpoint

    def clean_purpose(self) -> str:
        """What launches rest on stays a launch credential; another one takes its place first."""
        purpose: str = self.cleaned_data["purpose"]
        if purpose != IamCredential.Purpose.LAUNCH and self.instance.pk:
            uses = (self.instance.instances.exists(), self.instance.host_accounts.exists())
            if any(uses):
                raise ValidationError(_("Instances or host accounts sign in with it; give them another one first."))
        return purpose


@admin.register(IamCredential, site=site)
class IamCredentialAdmin(AsksTheCloud, AuditedAdmin):
    change_class = credentials.CredentialChange
    change_form_outer_before_template = "admin/omaccess/iamcredential/before.html"
    form = CredentialForm
    search_fields = ["name__istartswith", "user_name__istartswith"]
    list_display = ["name", "iam_user", "purpose_name", "health", "last_used"]
    list_filter = ["purpose", HealthFilter, "is_enabled"]
    readonly_fields = ["health", "last_used", "last_success", "last_failure", "version"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        may_change = self.has_change_permission(request) if obj else self.has_add_permission(request)
        identity = ["iam_endpoint", "account_name", "user_name", *(["secret"] if may_change else [])]
        found: list[Any] = [
            (None, {"fields": ["name", "purpose", "is_enabled"]}),
            (_("Who it is"), {"fields": identity, "description": _usual_mistakes()}),
        ]
        if obj:
            health = [("last_used", "last_success"), ("last_failure", "version")]
            found.append((_("How it did"), {"fields": health}))
        return found

    def get_queryset(self, request: HttpRequest) -> QuerySet[IamCredential]:
        rows: Any = super().get_queryset(request)
        found: QuerySet[IamCredential] = rows.with_health()
        return found

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> forms.Field | None:
        if db_field.name == "iam_endpoint":
            kwargs["form_class"] = EndpointField
        field: forms.Field | None = super().formfield_for_dbfield(db_field, request, **kwargs)
        return field

    def page_context(self, request: HttpRequest, object_id: str | None) -> dict[str, Any]:
        credential = self.get_queryset(request).filter(pk=row_id(object_id) or 0).first()
        if credential is None:
            return {}
        may_verify, may_see = self.has_change_permission(request), may_see_instances(request)
        may_see_last = may_verify or request.user.has_perm("omaccess.view_auditevent")
        return {
            "health": health_of(credential),
            "may_verify": may_verify,
            "may_list": may_verify and may_see,
            "verify": verify_context(credential, may_see_instances=may_see, may_see_last=may_see_last),
        }

    def save_model(self, request: HttpRequest, obj: IamCredential, form: Any, change: bool) -> None:
        secret: str = form.cleaned_data["secret"]
        change_of(request).save(obj, secret=secret or None)
        if secret != secret.strip():
            messages.warning(
                request,
                _(
                    "The password begins or ends with a space or a line break, which is kept. If that came from "
                    "copying, enter it again."
                ),
            )

    def warnings(self, obj: IamCredential) -> list[str]:
        found = [str(text) for _mistake, text in doubts(obj)]
        if not obj.has_secret:
            found.append(gettext("This credential has no password now. Enter it, or launches with it are refused."))
        return found

    def response_post_save_add(self, request: HttpRequest, obj: IamCredential) -> HttpResponse:
        """To its page, where "Verify now" is."""
        return redirect("admin:omaccess_iamcredential_change", obj.pk)

    def response_post_save_change(self, request: HttpRequest, obj: IamCredential) -> HttpResponse:
        if request.POST.get("secret"):
            return redirect("admin:omaccess_iamcredential_change", obj.pk)
        response: HttpResponse = super().response_post_save_change(request, obj)
        return response

    @display(description=_("IAM user"))
    def iam_user(self, credential: IamCredential) -> str:
        return f"{credential.account_name}/{credential.user_name}"

    @display(description=_("purpose"), ordering="purpose")
    def purpose_name(self, credential: IamCredential) -> str:
        return gettext("launch") if credential.purpose == IamCredential.Purpose.LAUNCH else gettext("read")

    @display(description=_("health"))
    def health(self, credential: IamCredential) -> SafeString:
        return health_cell(credential)

    @display(description=_("last used"), ordering="last_used_at")
    def last_used(self, credential: IamCredential) -> str:
        return moment(credential.last_used_at)

    @display(description=_("last success"))
    def last_success(self, credential: IamCredential) -> str:
        return moment(credential.last_success_at)

    @display(description=_("last failure"))
    def last_failure(self, credential: IamCredential) -> str:
        return moment(credential.last_error_at)


def _usual_mistakes() -> SafeString:
    """Above the fields: what goes wrong most often, so that it does not."""
    mistakes = [
        gettext("The account name is mistaken for something else: it is the Huawei Cloud account's, not the user's."),
        gettext("A HUAWEI ID is used. It cannot exchange a token; it has to be an IAM user of the account."),
        gettext(
            "A permission is missing. To launch: cbh:instance:getOmUrl for the instance's project. To read: to list "
            "instances. Grant nothing more: a user who may make admin links (admin-url) does not belong here."
        ),
    ]
    rows = ((f"{number}.", text) for number, text in enumerate(mistakes, start=1))
    return format_html(
        '{}<ol class="flex flex-col gap-2 my-2">{}</ol>{}',
        gettext("Three things go wrong most often."),
        format_html_join("", '<li class="flex flex-row gap-3"><span>{}</span><span>{}</span></li>', rows),
        gettext("Changing endpoint, account or user empties the password. Once saved, verify it."),
    )
