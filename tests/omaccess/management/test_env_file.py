"""The commands against an installation that ENV_FILE names, in processes of their own, as an operator runs them."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher

ROOT = Path(__file__).parents[3]


@pytest.fixture
def env_file(tmp_path: Path) -> Path:
    path = tmp_path / "env"
    path.write_text(
        "SECRET_KEY='a-secret-key-for-this-test-that-is-long-enough-0123456789'\n"
        "VAULT_KEYS='t1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY='\n"
        f"DATA_DIR='{tmp_path}'\n"
        f"DATABASE_URL='sqlite:///{tmp_path}/demo.sqlite3'\n"
        "CLOUD='sandbox'\nHTTPS='false'\nSANDBOX_PORT='8399'\nDEMO_PASSWORD='chosen by an operator'\n"
    )
    return path


def manage(env_file: Path, *command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "ENV_FILE": str(env_file)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_demos_data_take_password_and_port_from_the_file(env_file: Path) -> None:
    migrated = manage(env_file, "migrate", "--verbosity", "0")
    loaded = manage(env_file, "demo_data")

    assert (migrated.returncode, migrated.stderr) == (0, "")
    assert (loaded.returncode, loaded.stderr) == (0, "")
    with sqlite3.connect(env_file.parent / "demo.sqlite3") as database:
        (password,) = database.execute("SELECT password FROM accounts_user WHERE username = 'staff'").fetchone()
        endpoints = {row[0] for row in database.execute("SELECT endpoint FROM omaccess_bastioninstance")}
    assert PBKDF2PasswordHasher().verify("chosen by an operator", password)
    assert endpoints == {"http://127.0.0.1:8399"}


def test_the_doctor_says_in_words_what_is_wrong_with_a_key(env_file: Path) -> None:
    env_file.write_text(env_file.read_text().replace("t1:MDEy", "t1:"))

    ended = manage(env_file, "doctor")

    assert ended.returncode == 1
    assert "VAULT_KEYS: the key t1" in ended.stdout
    assert "Traceback" not in ended.stdout + ended.stderr


@pytest.mark.parametrize("port", ["99999", "-1", "http"])
def test_the_sandbox_names_a_port_that_is_none(env_file: Path, port: str) -> None:
    ended = manage(env_file, "sandbox", f"--port={port}")

    assert ended.returncode == 1
    assert "must be a port number" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("content", [None, b"\xff\xfe"], ids=["missing", "not text"])
def test_a_file_that_cannot_be_read_names_its_variable(env_file: Path, content: bytes | None) -> None:
    secret = env_file.parent / ("a" * 300 if content is None else "key")
    if content is not None:
        secret.write_bytes(content)
    lines = [line for line in env_file.read_text().splitlines() if not line.startswith("SECRET_KEY=")]
    env_file.write_text("\n".join([*lines, f"SECRET_KEY_FILE='{secret}'"]))

    ended = manage(env_file, "doctor")

    assert ended.returncode == 1
    assert "SECRET_KEY_FILE" in ended.stderr
    assert "Traceback" not in ended.stdout + ended.stderr
