"""Which release this is: out of a checkout, a worktree, packed references, an image, or nothing at all."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from portal.version import UNKNOWN, commit_in, version_in
from tests.processes import ROOT, environment

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def git(tmp_path: Path) -> Path:
    folder = tmp_path / ".git"
    (folder / "refs" / "heads").mkdir(parents=True)
    (folder / "HEAD").write_text("ref: refs/heads/main\n")
    return folder


def test_the_version_is_the_project_s() -> None:
    assert version_in(ROOT) == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


@pytest.mark.parametrize("content", [None, "", "rubbish = [", "[tool.other]\nversion = '1'"])
def test_a_version_that_cannot_be_read_is_unknown(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "pyproject.toml").write_text(content)

    assert version_in(tmp_path) == UNKNOWN


def test_the_commit_of_a_checkout(tmp_path: Path, git: Path) -> None:
    (git / "refs" / "heads" / "main").write_text(f"{COMMIT}\n")

    assert commit_in(tmp_path) == COMMIT


def test_the_commit_of_packed_references(tmp_path: Path, git: Path) -> None:
    (git / "packed-refs").write_text(
        f"# pack-refs with: peeled\n{'f' * 40} refs/heads/other\n{COMMIT} refs/heads/main\n"
    )

    assert commit_in(tmp_path) == COMMIT


def test_the_commit_without_a_branch(tmp_path: Path, git: Path) -> None:
    (git / "HEAD").write_text(f"{COMMIT}\n")

    assert commit_in(tmp_path) == COMMIT


def test_the_commit_of_a_worktree(tmp_path: Path, git: Path) -> None:
    own = git / "worktrees" / "other"
    own.mkdir(parents=True)
    (own / "HEAD").write_text("ref: refs/heads/side\n")
    (own / "commondir").write_text("../..\n")
    (git / "refs" / "heads" / "side").write_text(COMMIT)
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / ".git").write_text(f"gitdir: {own}\n")

    assert commit_in(tree) == COMMIT


@pytest.mark.parametrize("head", ["ref: refs/heads/unborn", "not a commit", "", "ref: ../../../etc/passwd"])
def test_what_is_no_commit_is_unknown(tmp_path: Path, git: Path, head: str) -> None:
    (git / "HEAD").write_text(head)

    assert commit_in(tmp_path) == UNKNOWN


def test_without_git_s_files_it_is_unknown(tmp_path: Path) -> None:
    assert commit_in(tmp_path) == UNKNOWN


def test_an_image_is_told_its_commit() -> None:
    program = "import django; django.setup(); from portal.version import COMMIT; print(COMMIT)"
    variables = environment(COMMIT="abc1234", DJANGO_SETTINGS_MODULE="portal.settings")

    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=variables, capture_output=True, text=True)

    assert found.stdout.strip() == "abc1234", found.stderr
