"""The runner as an operator starts it, with the sandbox in the place of a real account."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from omaccess.sandbox.server import SandboxServer
from tests.contract.__main__ import ROOT, pytest_command
from tests.contract.__main__ import __doc__ as MANUAL
from tests.contract.sandboxes import DISABLED, HUMAN, KEY, PORTAL, target_of, variables_of
from tests.contract.target import PREFIX, VARIABLES

pytestmark = pytest.mark.sandbox_only("tests the tool, not the cloud")

SECRETS = (PORTAL.password, DISABLED.password, HUMAN.password, KEY.access, KEY.secret, "cbhinfo=")
LONG_RUN = re.compile(r"[A-Za-z0-9+=-]{48,}")  # as every token has, and no name of a test


LOUD = """
import logging, sys
import pytest

@pytest.fixture
def broken():
    raise KeyError("{secret}")

def test_in_every_way():
    value = "{secret}"
    print(value)
    sys.stderr.write(value)
    logging.getLogger("loud").error(value)
    assert value == "other", value

def test_in_a_fixture(broken):
    pass

def test_in_a_chain():
    try:
        raise ValueError("{secret}")
    except ValueError as error:
        raise RuntimeError("again {secret}") from error
"""


def run(variables: dict[str, str], command: tuple[str, ...] = ("-m", "tests.contract")) -> tuple[int, str]:
    """Exit code and everything that the runner printed."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT, env={**bare, **variables}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stdout


def test_without_variables_it_says_in_words_what_is_missing() -> None:
    code, output = run({})

    assert code == 2
    for variable in VARIABLES:
        if variable.required:
            assert f"{variable.full_name}" in output
            assert variable.words in output
    assert "Traceback" not in output


def test_the_manual_describes_every_variable() -> None:
    assert MANUAL is not None
    for variable in VARIABLES:
        assert variable.full_name in MANUAL
        if variable.secret:
            line = next(line for line in MANUAL.splitlines() if f"{variable.full_name} " in line)
            assert "(secret)" in line


def test_a_cloud_that_keeps_the_contract_passes_and_is_measured(lab: SandboxServer, tmp_path: Path) -> None:
    variables = {**variables_of(lab), "VERIFY_CLOUD_MINUTES": "0", "VERIFY_CLOUD_DIR": str(tmp_path)}
    password = tmp_path / "password"
    password.write_text(variables.pop("VERIFY_CLOUD_PASSWORD") + "\n")
    variables["VERIFY_CLOUD_PASSWORD_FILE"] = str(password)

    code, output = run(variables)

    assert code == 0, output
    assert " skipped" not in output  # every optional case was given
    (file,) = tmp_path.glob("*.json")
    kept = json.loads(file.read_text())
    assert (kept["assertions_hold"], kept["problem"]) == (True, "")
    assert kept["findings"]["a used link works again"] == "no (status 410)"
    assert "a used link works again" in output
    assert_silent(output + file.read_text())


def test_a_cloud_that_breaks_the_contract_fails_without_a_secret_in_the_output(
    lab: SandboxServer, tmp_path: Path
) -> None:
    # Wrong in a way that each test meets with a token or a link in its hands, and words that quote one.
    lab.control.add_fault(
        "cbh.om_url", times=None, custom_state="cbhinfo=" + "A" * 200, description=f"{PORTAL.password} {KEY.secret}"
    )
    lab.control.add_fault("iam.projects", times=None, merge={"projects": [{"id": KEY.secret}, {"id": PORTAL.password}]})
    variables = {**variables_of(lab), "VERIFY_CLOUD_MINUTES": "0", "VERIFY_CLOUD_DIR": str(tmp_path)}

    code, output = run(variables)

    assert code == 1
    assert "test_both_clients_are_given_a_link_to_the_same_address" in output
    assert "the state is a name (state [long])" in output
    assert "SdkException, whose text is not shown" in output
    assert "OmUrlRefused, status 200" in output
    assert_silent(output + "".join(file.read_text() for file in tmp_path.glob("*.json")))


@pytest.mark.parametrize(
    ("name", "words", "exchanges", "questions"),
    [
        ("PASSWORD", "the user gets no token of the region's project: status 401", 1, 0),
        ("SECRET_KEY", "ClientRequestException, status 401, code APIGW.0301", 1, 1),
    ],
)
def test_a_wrong_secret_is_tried_once_and_not_by_every_test(
    lab: SandboxServer, name: str, words: str, exchanges: int, questions: int
) -> None:
    wrong = "wrong-secret-of-the-operator"

    code, output = run({**variables_of(lab), PREFIX + name: wrong})

    assert code == 1
    assert f"Cannot begin: {words}" in output
    received = lab.control.counters()
    assert (received["iam.token"], received["cbh.om_url"]) == (exchanges, questions)
    assert wrong not in output
    assert_silent(output)


def test_a_test_that_shows_everything_it_has_is_reported_without_it(lab: SandboxServer, tmp_path: Path) -> None:
    secret = "a-secret-of-the-cloud"
    file = tmp_path / "test_loud.py"
    file.write_text(LOUD.replace("{secret}", secret))

    code, output = run(variables_of(lab), tuple(pytest_command(target_of(lab), str(file))[1:]))

    assert code == 1
    assert "2 failed, 1 error" in output
    assert "RuntimeError, whose text is not shown" in output
    assert secret not in output


def assert_silent(output: str) -> None:
    """Nothing in the output is a secret, or so long that it could be one."""
    found = [secret[:4] for secret in SECRETS if secret in output]
    assert not found
    assert not LONG_RUN.findall(output)
