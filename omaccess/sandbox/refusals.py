"""Errors in the form each service uses, where the world has a say in it."""

from __future__ import annotations

from typing import Final

from omaccess.sandbox.replies import Refused
from omaccess.sandbox.world_types import AnswerStyle

_PLAIN_CODES: Final = {400: "IAM.0011", 401: "IAM.0062"}


def iam_refused(style: AnswerStyle, status: int, code: str, message: str) -> Refused:
    """An IAM error; without a code it is one that only ever has the `{"error": {…}}` form.

    Which form carries the coded errors of `/v3/auth/tokens` is not documented, hence the world's switch.
    """
    envelope = style.iam_errors
    if envelope == "mixed":
        envelope = "error_msg" if code else "keystone"
    return Refused(status, code or _PLAIN_CODES.get(status, "IAM.0001"), message, envelope=envelope)


def cbh_refused(style: AnswerStyle, status: int, code: str, message: str) -> Refused:
    """A CBH error. Its page documents `error_description`, the general convention `error_msg`."""
    return Refused(status, code, message, envelope=style.cbh_errors)


def bad_parameter(style: AnswerStyle) -> Refused:
    """A parameter of a CBH call is missing, repeated or out of bounds."""
    return cbh_refused(style, 400, "CBH.10020010", "Request message param error.")
