"""The vendor's client stays where it belongs: in these tests, and nothing of it is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.contract.asking import VENDORS_CLOCK, opening
from tests.contract.target import Target
from tests.contract.vendor import cbh_client, refusal_of

pytestmark = [VENDORS_CLOCK, pytest.mark.sandbox_only("tests the tool, not the cloud")]

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("folder", ["accounts", "omaccess", "portal", "deploy"])
def test_the_product_does_not_know_the_vendors_client(folder: str) -> None:
    files = [file for file in (ROOT / folder).rglob("*") if file.is_file() and file.suffix != ".pyc"]

    assert files
    assert not [file for file in files if b"huaweicloudsdk" in file.read_bytes()]


def test_its_import_writes_nothing_into_the_home_directory(tmp_path: Path) -> None:
    code = f"import os, tests.contract.vendor; assert os.environ['HOME'] == {str(tmp_path)!r}"

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "HOME": str(tmp_path)}, check=True)

    assert list(tmp_path.iterdir()) == []


def test_its_threads_end_with_the_block_also_when_it_cannot_be_built(target: Target) -> None:
    before = set(threading.enumerate())

    with cbh_client(target, project_id=None, region=target.region) as client:
        client.om_url(**opening(target))
        assert "ThreadPoolExecutor" in " ".join(thread.name for thread in threading.enumerate())

    def fail() -> None:
        with cbh_client(target, project_id=None, region="nowhere-north-1"):
            pass

    refusal_of(fail)
    left = set(threading.enumerate()) - before
    assert not [thread.name for thread in left if "ThreadPoolExecutor" in thread.name]
