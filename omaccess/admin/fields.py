"""Form fields that more than one page uses."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from omaccess.clients import endpoint_rules
from omaccess.cloud.errors import EndpointNotAllowed
from omaccess.cloud.login_url import OriginProblem, split_origin

# The cloud's package knows no translations, so its slugs are told here.
PROBLEMS: dict[str, str | Promise] = {
    "blank": _("It is empty."),
    "not_text": _("It is not a text."),
    "too_long": _("It is too long."),
    "characters": _("It holds characters that do not belong in an address."),
    "relative": _("It needs the form scheme://host, such as https://iam.cn-north-4.myhuaweicloud.com."),
    "scheme": _("Only http and https are known."),
    "user_info": _("It must not hold a user name or password."),
    "host": _("Its host is not a valid name or address."),
    "numeric_host": _("Its host is a number in an unusual spelling; write the address as four decimal numbers."),
    "port": _("Its port is not a number from 1 to 65535."),
    "path": _("It must end after the host and port: no path, no query."),
}


class EndpointField(forms.CharField):
    """An endpoint that this installation may talk to, in its canonical form. Empty where it is not required."""

    def clean(self, value: Any) -> str:
        text: str = super().clean(value)
        if not text:
            return ""
        try:
            return endpoint_rules().check(text)
        except EndpointNotAllowed:
            reason = {"reason": _problem_of(text)}
            raise ValidationError(
                _("%(reason)s Which ones are allowed is set by CLOUD_ENDPOINTS, outside of this screen.") % reason
            ) from None


def _problem_of(text: str) -> str | Promise:
    """Why the rules refuse it: it is no address, or none of those that are allowed."""
    try:
        split_origin(text.removesuffix("/"))
    except OriginProblem as problem:
        return PROBLEMS[problem.slug]
    return _("It is not one of the endpoints that this installation may talk to.")
