from __future__ import annotations

from datetime import UTC, datetime

import pytest
import time_machine

from omaccess.cloud.types import Deadline, IamToken, OmUrl, OmUrlState, PasswordCredential, ProjectScope

NUMBERS = {
    "SUCCESS": 0,
    "HOST_NOT_MANAGE": 1,
    "HOST_ACCOUNT_NOT_EXIST": 553,
    "IAM_USER_NO_PERMISSION": 901,
    "IAM_USER_CONFLICT": 1016,
    "CUR_VERSION_NOT_SUPPORT_OPERATION": 9001,
    "INS_WHITE_LIST_INITIALIZING": 9002,
    "UNKNOWN_ERROR": 9003,
}


@pytest.mark.parametrize(("name", "number"), NUMBERS.items())
def test_state_is_read_in_every_spelling(name: str, number: int) -> None:
    spellings: list[object] = [
        name,
        name.lower(),
        f"  {name}\n",
        f"#{name}",
        f"{name}({number})",
        f"#{name} ( {number} )",
        f"{name}（{number}）",  # noqa: RUF001 - the Chinese documentation's brackets
        number,
        float(number),
        str(number),
        f" {number} ",
        f"#{number}",
    ]

    assert {OmUrlState.parse(spelling) for spelling in spellings} == {OmUrlState(name)}


@pytest.mark.parametrize(
    "raw",
    [
        "SUCCESSFUL",
        "NOT_SUCCESS",
        "SUCCESS HOST_NOT_MANAGE",
        "SUCCESS(1)",
        "HOST_NOT_MANAGE(0)",
        "SUCCESS(12345)",
        "SUCCESS(",
        "SUCCESS 0",
        "0 SUCCESS",
        "-0",
        "0.0",
        "0x0",
        "\u0660",  # a zero, but not an ASCII one
        "unrecognised",
        "成功",
        "9004",
        9004,
        -1,
        0.5,
        float("nan"),
        float("inf"),
        10**400,
    ],
)
def test_state_nobody_documented_is_unrecognised(raw: object) -> None:
    assert OmUrlState.parse(raw) is OmUrlState.UNRECOGNISED


@pytest.mark.parametrize("raw", [None, "", " \n", True, False, [], ["SUCCESS"], {}, {"state": "SUCCESS"}])
def test_state_that_says_nothing_is_an_error(raw: object) -> None:
    with pytest.raises(ValueError, match="state is"):
        OmUrlState.parse(raw)


@pytest.mark.parametrize(("id_", "name"), [("", ""), ("p1", "cn-north-4")])
def test_scope_is_exactly_one_of_id_and_name(id_: str, name: str) -> None:
    with pytest.raises(ValueError, match="either"):
        ProjectScope(id=id_, name=name)


def test_secrets_are_in_no_repr() -> None:
    secrets = [
        PasswordCredential("acct", "user", "hush"),
        IamToken("hush", "p", "n", datetime.now(UTC), "u", "un", "r"),
        OmUrl("https://h/hush", "https://h", "r", "SUCCESS"),
    ]

    assert "hush" not in repr(secrets)


def test_deadline_runs_out_and_does_not_follow_the_wall_clock() -> None:
    deadline = Deadline.after(60)
    with time_machine.travel("2000-01-01"):
        assert 0 < deadline.remaining() <= 60

    assert not deadline.expired
    assert Deadline.after(-1).remaining() == 0.0
    assert Deadline.after(0).expired
