"""The portal's own exceptions. What Huawei Cloud did is in `cloud/errors.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from omaccess.failures import Cause
    from omaccess.models import HostAccount


class NotAllowed(Exception):
    """The decision was no. `cause` is an entry of the catalogue."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause


class Invisible(Exception):
    """For this person the thing does not exist: unknown and not permitted look alike."""


class AnswersNeeded(Exception):
    """A grant would allow it, with a reason or a ticket. `problems` maps field to a sentence."""

    def __init__(self, account: HostAccount, problems: dict[str, str]) -> None:
        super().__init__(", ".join(problems))
        self.account = account
        self.problems = problems


class TooManyLaunches(Exception):
    """More launches in a minute than one person may ask for."""

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(f"retry after {retry_after_seconds} s")
        self.retry_after_seconds = retry_after_seconds


class InvalidTransition(Exception):
    """Somebody was faster: the launch is no longer in the state that this step starts from."""


class CannotRecord(Exception):
    """The audit could not be written, so nothing may happen."""


class CredentialUnusable(Exception):
    """The stored credential cannot be used at all: no secret, disabled, or the secret does not decrypt."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause


class CredentialBlocked(Exception):
    """IAM refused this IAM user a short while ago; asking again could lock it."""


class VaultError(Exception):
    """A secret does not decrypt: wrong key, or a ciphertext that belongs elsewhere."""
