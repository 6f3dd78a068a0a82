"""Reading the variables that describe a real account, and the words that reports are made of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from omaccess.sandbox.server import SandboxServer
from tests.contract.plain import PlainCloud
from tests.contract.quiet import Broken, expect, plain
from tests.contract.sandboxes import KEY, PORTAL, target_of, variables_of
from tests.contract.target import Target, TargetProblem, from_environment

pytestmark = pytest.mark.sandbox_only("tests the tool, not the cloud")

LEAST = {
    "VERIFY_CLOUD_REGION": "cn-north-4",
    "VERIFY_CLOUD_ACCOUNT": "acme",
    "VERIFY_CLOUD_USER": "portal",
    "VERIFY_CLOUD_PASSWORD": "a-password",
    "VERIFY_CLOUD_ACCESS_KEY": "an-access-key",
    "VERIFY_CLOUD_SECRET_KEY": "a-secret-key",
    "VERIFY_CLOUD_SERVER_ID": "a-server",
    "VERIFY_CLOUD_ADDRESS": "10.0.0.1",
    "VERIFY_CLOUD_HOST_ACCOUNT": "root",
}


def problem_of(variables: dict[str, str]) -> str:
    with pytest.raises(TargetProblem) as caught:
        from_environment(variables)
    return str(caught.value)


def test_the_endpoints_follow_from_the_region() -> None:
    target = from_environment(LEAST)

    assert target.iam_endpoint == "https://iam.cn-north-4.myhuaweicloud.com"
    assert target.cbh_endpoint == "https://cbh.cn-north-4.myhuaweicloud.com"
    assert target.hosts == ("cbh.cn-north-4.myhuaweicloud.com", "iam.cn-north-4.myhuaweicloud.com")
    assert not target.is_sandbox
    assert not target.speaks_http


def test_what_is_not_given_has_a_harmless_value() -> None:
    first, second = from_environment(LEAST), from_environment(LEAST)

    assert first.unmanaged_address == "192.0.2.1"
    assert first.missing_account != second.missing_account
    assert (first.lockable_user, first.disabled_person, first.console_person) == ("", None, None)


def test_the_sandbox_can_be_described_like_a_real_account(lab: SandboxServer) -> None:
    real, sandbox = from_environment(variables_of(lab)), target_of(lab)

    assert (real.person, real.key, real.iam_endpoint) == (sandbox.person, sandbox.key, sandbox.iam_endpoint)
    assert (real.disabled_person, real.console_person) == (sandbox.disabled_person, sandbox.console_person)


@pytest.mark.parametrize("missing", LEAST)
def test_a_missing_variable_is_named(missing: str) -> None:
    given = {name: value for name, value in LEAST.items() if name != missing}

    assert missing in problem_of(given)


def test_a_file_that_cannot_be_read_is_named_without_its_path(tmp_path: Path) -> None:
    given = {**LEAST, "VERIFY_CLOUD_PASSWORD_FILE": str(tmp_path / "nothing")}

    assert problem_of(given) == "VERIFY_CLOUD_PASSWORD_FILE cannot be read: the user's password"


def test_a_file_wins_and_loses_only_its_line_end(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(" with spaces \n")

    target = from_environment({**LEAST, "VERIFY_CLOUD_PASSWORD_FILE": str(file)})

    assert target.person.password == " with spaces "


@pytest.mark.parametrize("url", ["http://iam.example.com", "iam.example.com", "ftp://127.0.0.1", "https://"])
def test_a_password_is_not_sent_over_plain_http(url: str) -> None:
    assert "VERIFY_CLOUD_IAM_ENDPOINT" in problem_of({**LEAST, "VERIFY_CLOUD_IAM_ENDPOINT": url})


def test_an_optional_person_needs_both_name_and_password() -> None:
    assert "go together" in problem_of({**LEAST, "VERIFY_CLOUD_DISABLED_USER": "somebody"})


def test_no_secret_is_in_the_repr_of_a_target() -> None:
    target = from_environment({**LEAST, "VERIFY_CLOUD_SECURITY_TOKEN": "a-security-token"})

    assert set(target.secrets) == {"a-password", "a-secret-key", "a-security-token"}
    assert not [secret for secret in (*target.secrets, target.key.access) if secret in repr(target)]
    assert PORTAL.password not in repr(PORTAL)
    assert KEY.secret not in repr(KEY)


def test_a_broken_expectation_shows_words_and_facts_and_no_long_run() -> None:
    with pytest.raises(Broken) as caught:
        expect(False, "it is 200", status=401, state="x" * 65)

    assert str(caught.value) == "it is 200 (status 401, state [long])"
    assert plain("one\r\ntwo\x1b[31m") == "one  two [31m"
    expect(True, "nothing happens")


def test_a_cloud_that_is_not_there_is_words_without_the_request(target: Target) -> None:
    with PlainCloud(replace(target, iam_endpoint="http://127.0.0.1:9")) as cloud, pytest.raises(Broken) as caught:
        cloud.token()

    assert str(caught.value) == "127.0.0.1 gave no answer: ConnectionError"
    assert caught.value.__context__ is None
