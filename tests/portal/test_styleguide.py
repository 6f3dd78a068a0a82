"""The style guide: every component, and only for developers."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.test import Client
from django.urls import NoReverseMatch, reverse
from pytest_django import Settings

from portal.styleguide import ICONS, SECTIONS
from tests.factories import UserFactory
from tests.production import variables

ROOT = Path(__file__).resolve().parents[2]
COMPONENTS = ROOT / "templates" / "components"
ELEMENTS = ROOT / "templates" / "allauth" / "elements"
SAMPLES = ROOT / "templates" / "styleguide"
ON_EVERY_PAGE = {"banner", "languages"}


def test_without_debug_there_is_no_such_address() -> None:
    with pytest.raises(NoReverseMatch):
        reverse("styleguide")


@pytest.mark.django_db
def test_without_debug_it_is_not_found(client: Client) -> None:
    client.force_login(UserFactory())

    assert client.get("/styleguide/").status_code == 404


def test_with_debug_it_is_there(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", "import django; django.setup(); from django.urls import reverse; reverse('styleguide')"],
        cwd=ROOT,
        env=variables(tmp_path) | {"DEBUG": "1", "CLOUD": "sandbox"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 0, ended.stderr


@pytest.mark.django_db
def test_it_is_for_people_who_are_signed_in(client: Client, settings: Settings) -> None:
    settings.ROOT_URLCONF = "tests.e2e.urls"
    assert client.get("/styleguide/").status_code == 302
    client.force_login(UserFactory())

    page = client.get("/styleguide/").content.decode()

    assert all(f'id="{anchor}"' in page for anchor, _heading in SECTIONS)


def test_it_shows_every_component_and_every_element_of_ours() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in SAMPLES.glob("*.html"))
    components = {path.stem for path in COMPONENTS.glob("*.html")}
    elements = {path.stem.split("__")[0] for path in ELEMENTS.glob("*.html")}

    assert components - set(re.findall(r"components/([\w-]+)\.html", text)) == ON_EVERY_PAGE
    assert elements - set(re.findall(r"{% element (\w+)", text)) == {"h1"}  # a page has one


def test_it_shows_every_icon() -> None:
    named = re.findall(r'name == "([\w-]+)"', (COMPONENTS / "icon.html").read_text(encoding="utf-8"))

    assert set(named) <= set(ICONS)
