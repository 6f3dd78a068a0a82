"""The colour of an installation."""

from __future__ import annotations

import re

import pytest
from django.test import Client
from pytest_django import Settings

from portal import brand

ACCENTS = ["#1d4ed8", "#ffff00", "#000000", "#ffffff", "#0b6b6b", "#ff2200", "#777777"]


@pytest.mark.parametrize("accent", ACCENTS)
def test_texts_are_readable_in_every_colour_and_on_it(accent: str) -> None:
    steps = {
        name: (brand.parse(light), brand.parse(dark))
        for name, light, dark in re.findall(r"(--[a-z-]+): light-dark\((#\w{6}), (#\w{6})\)", brand.rules(accent))
    }

    for at, ground in enumerate((brand.LIGHT_GROUND, brand.DARK_GROUND)):
        assert brand.contrast(steps["--link"][at], ground) >= 4.5
        assert brand.contrast(steps["--on-accent"][at], steps["--accent"][at]) >= 4.5
        assert brand.contrast(steps["--on-accent"][at], steps["--accent-strong"][at]) >= 4.5
        assert brand.contrast(steps["--accent-strong"][at], steps["--accent-soft"][at]) >= 4.5


@pytest.mark.django_db
def test_pages_carry_the_colour_under_an_address_that_changes_with_it(client: Client, settings: Settings) -> None:
    settings.SITE_ACCENT = "#1d4ed8"
    first = brand.stylesheet_address()
    page = client.get("/accounts/login/").content.decode()
    answer = client.get(first)
    settings.SITE_ACCENT = "#1d4ed9"

    assert f'href="{first}"' in page
    assert answer["Content-Type"] == "text/css"
    assert "immutable" in answer["Cache-Control"]
    assert brand.stylesheet_address() != first


@pytest.mark.django_db
def test_without_a_colour_nothing_is_asked_for(client: Client, settings: Settings) -> None:
    settings.SITE_ACCENT = ""

    assert "brand.css" not in client.get("/accounts/login/").content.decode()
