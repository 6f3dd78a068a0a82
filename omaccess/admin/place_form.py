"""Where an admin asks Huawei Cloud for instances: a region, and what follows from it."""

from __future__ import annotations

import re
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _
from unfold.widgets import UnfoldAdminTextInputWidget

from omaccess.actions.instance_matching import Place
from omaccess.admin.fields import EndpointField
from omaccess.cloud.regions import cbh_endpoint, region_of
from omaccess.models import IamCredential

PLACE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What a region or a project may be called."""


class PlaceForm(forms.Form):
    """Where to ask: a region, and what follows from it unless somebody says otherwise."""

    region = forms.CharField(
        label=_("Region"),
        max_length=64,
        help_text=_("Where the bastions are, such as cn-north-4."),
        widget=UnfoldAdminTextInputWidget,
    )
    project_name = forms.CharField(
        label=_("Project name"),
        max_length=64,
        required=False,
        help_text=_("Empty: the region, which is the name of its built-in project."),
        widget=UnfoldAdminTextInputWidget,
    )
    endpoint = EndpointField(
        label=_("CBH endpoint"),
        max_length=255,
        required=False,
        help_text=_(
            "Empty: cbh.REGION.myhuaweicloud.com, if that follows from the IAM endpoint; in Europe it has to be typed. "
            "It is sent a token, so it has to be one of those allowed."
        ),
        widget=UnfoldAdminTextInputWidget,
    )

    def __init__(self, credential: IamCredential, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._credential = credential

    def clean_region(self) -> str:
        return place_name(self.cleaned_data["region"])

    def clean_project_name(self) -> str:
        name: str = self.cleaned_data["project_name"]
        return place_name(name) if name else ""

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        region, endpoint = cleaned.get("region", ""), cleaned.get("endpoint", "")
        elsewhere = region_of(endpoint)
        if region and elsewhere and elsewhere != region:
            self.add_error("endpoint", _("This endpoint belongs to the region %(region)s.") % {"region": elsewhere})
        elif region and not endpoint and "endpoint" not in self.errors:
            cleaned["endpoint"] = self._derived_endpoint(region)
        return cleaned

    def _derived_endpoint(self, region: str) -> str:
        """Judged like a typed one. Empty, with an error at the field, when there is none."""
        derived = default_endpoint(self._credential, region)
        if not derived:
            self.add_error("endpoint", _("It cannot be told from the IAM endpoint; type it."))
            return ""
        try:
            endpoint: str = self.fields["endpoint"].clean(derived)
        except ValidationError as error:
            self.add_error("endpoint", error)
            return ""
        return endpoint

    def place(self) -> Place:
        cleaned = self.cleaned_data
        return Place(cleaned["region"], cleaned["endpoint"], cleaned["project_name"] or cleaned["region"])


def place_name(text: str) -> str:
    if not PLACE_NAME.fullmatch(text):
        raise ValidationError(_("Only letters, digits and . _ - stand in such a name."))
    return text


def default_endpoint(credential: IamCredential, region: str) -> str:
    """In the sandbox one address is all services."""
    return credential.iam_endpoint if settings.IS_SANDBOX else cbh_endpoint(credential.iam_endpoint, region)
