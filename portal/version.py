"""Which release this is, and of which commit. Read once, when the process starts: the files may change under it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from django.conf import settings

UNKNOWN = "unknown"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def version_in(folder: Path) -> str:
    """The project's version, as pyproject.toml says it beside the code: in a checkout and in an image alike."""
    try:
        with (folder / "pyproject.toml").open("rb") as file:
            return str(tomllib.load(file)["project"]["version"])
    except (OSError, tomllib.TOMLDecodeError, KeyError):
        return UNKNOWN


def commit_in(folder: Path) -> str:
    """What is checked out there, read from git's own files: the server need not have git, nor trust the folder."""
    try:
        git = folder / ".git"
        if git.is_file():  # a worktree: the file says where its own folder is
            git = folder / git.read_text().removeprefix("gitdir:").strip()
        head = (git / "HEAD").read_text().strip()
        if not head.startswith("ref:"):
            return _checked(head)
        ref = head.removeprefix("ref:").strip()
        shared = git / "commondir"
        common = git / shared.read_text().strip() if shared.is_file() else git
        loose = common / ref
        return _checked(loose.read_text().strip() if loose.is_file() else _packed(common, ref))
    except (OSError, UnicodeDecodeError):
        return UNKNOWN


def _packed(common: Path, ref: str) -> str:
    for line in (common / "packed-refs").read_text().splitlines():
        commit, _space, name = line.partition(" ")
        if name == ref:
            return commit
    return ""


def _checked(text: str) -> str:
    return text if _COMMIT.fullmatch(text) else UNKNOWN


VERSION = version_in(settings.BASE_DIR)
COMMIT = settings.COMMIT or commit_in(settings.BASE_DIR)
