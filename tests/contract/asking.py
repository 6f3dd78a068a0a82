"""What the tests ask with, and what they do when a real account may not ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import pytest

from tests.contract.target import Target
from tests.contract.vendor import ServiceResponseException

Answer = TypeVar("Answer")

VENDORS_CLOCK: Final = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
"""The vendor's signer still reads the time in a way that Python 3.12 warns about."""


def opening(target: Target, **changed: str) -> dict[str, str]:
    """The parameters of get-om-url that open the target's host, some of them changed."""
    query = {
        "server_id": target.server_id,
        "ip_address": target.address,
        "host_account_name": target.host_account,
    }
    return {**query, **changed}


def if_permitted(target: Target, call: Callable[[], Answer]) -> Answer:
    """The answer of a call for which a real account's user may lack the permission: skipped then."""
    try:
        return call()
    except ServiceResponseException as error:
        if error.status_code == 403 and not target.is_sandbox:
            pytest.skip("the user lacks the permission for this call")
        raise
