"""Form fields that more than one page uses."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from omaccess.clients import endpoint_rules
from omaccess.cloud.errors import EndpointNotAllowed


class EndpointField(forms.CharField):
    """An endpoint that this installation may talk to, in its canonical form. Empty where it is not required."""

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        if not text:
            return ""
        try:
            return endpoint_rules().check(text)
        except EndpointNotAllowed as error:
            raise ValidationError(
                _("%(reason)s Which ones are allowed is set by CLOUD_ENDPOINTS, outside of this screen.")
                % {"reason": error.description}
            ) from None
