"""Every text is there in every language. That the catalogues have all texts of the source, `make check` finds out."""

from __future__ import annotations

import gettext

import polib
import pytest
from django.conf import settings

from tests.messages import APPS, catalogue


@pytest.mark.parametrize("app", APPS)
def test_every_text_is_translated(app: str) -> None:
    texts = polib.pofile(str(catalogue(app)))

    assert [entry.msgid for entry in texts if not entry.translated() or entry.fuzzy] == []


@pytest.mark.parametrize("app", APPS)
def test_the_compiled_catalogue_is_that_of_the_texts(app: str) -> None:
    texts = polib.pofile(str(catalogue(app)))
    with catalogue(app).with_suffix(".mo").open("rb") as file:
        compiled = gettext.GNUTranslations(file)

    for entry in texts:
        if not entry.msgid_plural and not entry.msgctxt:
            assert compiled.gettext(entry.msgid) == entry.msgstr


def test_each_language_is_named_in_its_own_words() -> None:
    assert dict(settings.LANGUAGES) == {"en": "English", "zh-hans": "简体中文"}
