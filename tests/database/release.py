"""The release before this one: which commit that is, and its code in a folder."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.production import ROOT

_MIGRATIONS = ("accounts/migrations/*.py", "omaccess/migrations/*.py")


def unpack_previous_release(folder: Path) -> str:
    """Put its code into the folder and return the commit; skips where git does not know of any.

    It is the last tag before this code; without a tag, the commit before the newest migration was added.
    """
    commit = _previous()
    archive = subprocess.run(["git", "archive", "--format=tar", commit], cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    return commit


def migrations_in(folder: Path) -> list[str]:
    """Names of omaccess's migrations there, oldest first."""
    return sorted(path.stem for path in (folder / "omaccess" / "migrations").glob("[0-9]*.py"))


def _previous() -> str:
    if _git("rev-parse", "--show-toplevel") != str(ROOT):
        pytest.skip("this is no clone, so nobody knows the release before")
    changed = _git("status", "--porcelain", "--untracked-files=all")
    tag = _git("describe", "--tags", "--abbrev=0", "HEAD" if changed else "HEAD^")
    if tag:
        return tag
    if _git("ls-files", "--others", "--exclude-standard", "--", *_MIGRATIONS) or _git(
        "diff", "--cached", "--diff-filter=A", "--name-only", "--", *_MIGRATIONS
    ):
        return "HEAD"  # the newest migration is not committed yet
    added = _git("log", "--first-parent", "--diff-filter=A", "--format=%H", "-1", "--", *_MIGRATIONS)
    before = _git("rev-parse", "--verify", "--quiet", f"{added}^") if added else ""
    if not before:
        pytest.skip("the history that is here begins with the newest migration")
    return before


def _git(*arguments: str) -> str:
    """What it says; empty when it is not here, or has nothing to say."""
    try:
        said = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return said.stdout.strip() if said.returncode == 0 else ""
