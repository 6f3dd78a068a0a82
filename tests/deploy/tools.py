"""Programs that check what is in deploy/. Without one its test is skipped; with REQUIRE_SERVICES=1 it fails."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped,unused-ignore]

from tests import services

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
_SBIN = "/usr/sbin:/sbin"


def find(name: str) -> str:
    """The path of a program: on PATH, beside our Python, or where Debian keeps servers."""
    beside = Path(sys.executable).with_name(name)
    found = shutil.which(name) or shutil.which(name, path=_SBIN) or (str(beside) if beside.exists() else "")
    if not found:
        why = f"{name} is not installed"
        if services.required():
            pytest.fail(f"{why}, and REQUIRE_SERVICES=1.", pytrace=False)
        pytest.skip(why)
    return found


def run(*command: str | Path, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run to the end; output and exit code are the caller's to judge."""
    return subprocess.run(command, cwd=cwd, text=True, capture_output=True, timeout=60, check=False)


def documents(path: Path) -> list[dict[str, Any]]:
    """Every YAML document of a file."""
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]
