"""Every component of the pages in all its states, for whoever changes how they look. There only with DEBUG."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable

from django import forms
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from omaccess.views.rows import LabelChip

LONG = "an-extraordinarily-long-host-name-for-the-quarterly-reporting-cluster-node-0001.internal.acme.example"
ICONS = (
    "arrow-out", "search", "close", "back", "check", "warn", "stop", "clock", "info", "user", "copy", "key", "server",
    "star",
)  # fmt: skip
SECTIONS = (
    ("buttons", "Buttons"),
    ("badges", "Badges"),
    ("chips", "Label chips"),
    ("alerts", "Alerts"),
    ("fields", "Fields"),
    ("facts", "Facts, reference, time"),
    ("waiting", "Waiting"),
    ("verdicts", "Verdicts"),
    ("empty", "Nothing here"),
    ("tables", "Tables and tabs"),
    ("icons", "Icons"),
    ("production", "Production"),
    ("elements", "Elements of the sign-in pages"),
)
"""Anchors and headings, in the order of the page."""


class SampleForm(forms.Form):
    """The kinds of fields that allauth's pages have."""

    name = forms.CharField(label="Name", max_length=100)
    password = forms.CharField(label="Password", widget=forms.PasswordInput, help_text="At least 12 characters.")


class SampleChoices(forms.Form):
    """A choice, and one that went wrong."""

    choice = forms.ChoiceField(label="Choice", choices=[("one", "One"), ("two", "Two")], help_text="One of two.")
    wrong = forms.ChoiceField(label="Wrong choice", choices=[("one", "One")])


@require_safe
def styleguide(request: HttpRequest) -> HttpResponse:
    wrong = SampleForm({}, auto_id="wrong-%s")
    wrong.add_error(None, "This did not work.")
    choices = SampleChoices({"choice": "two", "wrong": "three"})
    context = {
        "selects": list(choices),
        "sections": SECTIONS,
        "tones": ("", "ok", "warn", "bad", "info"),
        "alert_tones": ("ok", "warn", "bad", "info"),
        "long": LONG,
        "icons": ICONS,
        "chips": _chips(("team=shop", False, "#chips"), ("team=shop", False, ""), ("env=prod", True, "#chips")),
        "long_chips": [LabelChip(f"note={LONG}", False, "#chips")],
        "at": dt.datetime(2026, 3, 1, 9, 30, tzinfo=dt.UTC),
        "form": SampleForm(auto_id="good-%s"),
        "wrong_form": wrong,
    }
    return render(request, "styleguide.html", context)


def _chips(*labels: tuple[str, bool, str]) -> Iterable[LabelChip]:
    return [LabelChip(text, is_production, href) for text, is_production, href in labels]
