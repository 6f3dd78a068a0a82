"""The pytest plugin of a run against a real account: `-p tests.contract.real`, as the runner calls it.

It takes the target from the environment, begins only if the credentials work, and makes reports harmless. A traceback
can hold anything, a client's exception may quote a link or a body; so a failure is reported by its place, its words,
status and code alone.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import Final

import pytest

from omaccess.cloud.errors import CloudError
from tests.contract.asking import opening
from tests.contract.plain import PlainCloud
from tests.contract.quiet import Broken, plain
from tests.contract.target import Target, from_environment
from tests.contract.vendor import SdkException, ServiceResponseException, cbh_client

REAL_TARGET: Final = pytest.StashKey[Target]()
CANNOT_BEGIN: Final = 20
"""The exit code of a run that found its credentials unusable; pytest's own are smaller."""
MARKER: Final = "sandbox_only(reason): what no real cloud can be made to show"
_LONGEST: Final = 400


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)
    config.stash[REAL_TARGET] = from_environment(os.environ)


def pytest_sessionstart(session: pytest.Session) -> None:
    """One try of the password and one of the key: a wrong one, tried by every test, would lock the user."""
    target = session.config.stash[REAL_TARGET]
    try:
        with PlainCloud(target) as cloud:
            _, project_id = cloud.token()
        with cbh_client(target, project_id=target.project_id or project_id) as client:
            client.om_url(**opening(target, ip_address=target.unmanaged_address))
    except (Broken, SdkException) as error:
        words = in_words(error, target)
    else:
        return
    pytest.exit(f"Cannot begin: {words}", returncode=CANNOT_BEGIN)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed and call.excinfo is not None:
        words = in_words(call.excinfo.value, item.config.stash[REAL_TARGET])
        place = next((entry for entry in reversed(call.excinfo.traceback) if entry.path == item.path), None)
        report.longrepr = f"{item.path.name}:{place.lineno + 1 if place else '?'}: {words}"
    report.sections.clear()  # what was logged or printed meanwhile
    return report


def in_words(error: BaseException, target: Target) -> str:
    """What may be shown of an exception."""
    if isinstance(error, Broken):
        words = str(error)
    elif isinstance(error, ServiceResponseException):
        words = f"{type(error).__name__}, status {error.status_code}, code {plain(error.error_code)}"
    elif isinstance(error, CloudError):
        words = f"{type(error).__name__}, status {error.status}, code {plain(error.code)}"
    else:
        words = f"{type(error).__name__}, whose text is not shown"
    shown = plain(words, longest=_LONGEST)
    return "(the words held a secret)" if any(secret in shown for secret in target.secrets) else shown
