"""Forms of the staff pages about oneself."""

from __future__ import annotations

from django import forms
from django.conf import settings
from django.utils.translation import gettext_lazy as _

from accounts.preferences import zones


class PreferencesForm(forms.Form):
    """Each may be left empty: then it is as the browser says."""

    language = forms.ChoiceField(label=_("Language"), required=False)
    time_zone = forms.ChoiceField(
        label=_("Time zone"), required=False, help_text=_("Of the times on the pages. The audit keeps UTC.")
    )
    theme = forms.ChoiceField(
        label=_("Colours"),
        required=False,
        choices=[("", _("As the system says")), ("light", _("Light")), ("dark", _("Dark"))],
    )

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        as_browser = ("", _("As the browser says"))
        self.fields["language"].choices = [as_browser, *settings.LANGUAGES]  # type: ignore[attr-defined]
        self.fields["time_zone"].choices = [as_browser, *((zone, zone) for zone in zones())]  # type: ignore[attr-defined]
