"""The catalogues of texts: python -m tests.messages collect | check

`collect` reads the texts out of the source into each app's `locale/<language>/LC_MESSAGES/django.po` and compiles them.
`check` fails when a text is missing, untranslated, in doubt, no longer used, or not compiled.
Needs GNU gettext. The compiled catalogues are kept in the repository: the portal itself runs where no gettext is.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import polib

from tests.production import variables

ROOT = Path(__file__).resolve().parents[1]
APPS = ("accounts", "omaccess", "portal")
"""Texts of the templates are in the catalogue of `portal`."""
LANGUAGE = "zh_Hans"


def catalogue(app: str, root: Path = ROOT) -> Path:
    return root / app / "locale" / LANGUAGE / "LC_MESSAGES" / "django.po"


def written(root: Path) -> list[Path]:
    """All catalogues; the English one only puts words of libraries differently, so nothing is collected into it."""
    return sorted(path for app in APPS for path in (root / app / "locale").glob("*/LC_MESSAGES/django.po"))


def extract(root: Path) -> None:
    """Bring the catalogues below `root`, a tree with the portal's source, up to date."""
    for app in APPS:
        catalogue(app, root).parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "manage.py", "makemessages", "--locale", LANGUAGE, "--no-location", "--no-obsolete"]
    ignored = [part for folder in (".venv", "var", "tests", "deploy") for part in ("--ignore", f"{folder}/*")]
    with tempfile.TemporaryDirectory() as folder:
        env = variables(Path(folder))
        subprocess.run([*command, *ignored], cwd=root, env=env, check=True, stdout=subprocess.DEVNULL)
    for app in APPS:
        texts = polib.pofile(str(catalogue(app, root)), wrapwidth=110)
        # A date would differ at every run, and nobody reads the rest.
        texts.metadata = {
            "Language": LANGUAGE,
            "MIME-Version": "1.0",
            "Content-Type": "text/plain; charset=UTF-8",
            "Content-Transfer-Encoding": "8bit",
            "Plural-Forms": "nplurals=1; plural=0;",
        }
        texts.header = ""
        texts.metadata_is_fuzzy = False
        texts.save()


def compile_all(root: Path) -> None:
    for path in written(root):
        subprocess.run(["msgfmt", "--check-format", "--check-domain", "-o", path.with_suffix(".mo"), path], check=True)


def problems() -> list[str]:
    """What is wrong with the catalogues, one line each; empty when all is well."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in (*APPS, "templates"):
            shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "manage.py", root)
        extract(root)
        compile_all(root)
        for app in APPS:
            kept, fresh = catalogue(app), catalogue(app, root)
            if not kept.exists() or kept.read_bytes() != fresh.read_bytes():
                found.append(f"{app}: the texts have changed; run make messages and translate the new ones")
            for entry in polib.pofile(str(fresh)):
                if not entry.translated() or entry.fuzzy:
                    found.append(f"{app}: untranslated: {entry.msgid!r}")
        for path in written(ROOT):
            compiled = path.with_suffix(".mo")
            fresh = root / compiled.relative_to(ROOT)
            if not compiled.exists() or compiled.read_bytes() != fresh.read_bytes():
                found.append(f"{path.relative_to(ROOT)}: not compiled; run make messages")
    return found


def main(arguments: Sequence[str]) -> int:
    if list(arguments) == ["collect"]:
        extract(ROOT)
        compile_all(ROOT)
        return 0
    found = problems()
    sys.stdout.writelines(f"{problem}\n" for problem in found)
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
