"""The contract's assertions against a real Huawei Cloud account, as `make verify-cloud` runs them.

    VERIFY_CLOUD_REGION=… VERIFY_CLOUD_ACCOUNT=… … python -m tests.contract

First the tests of this folder that a real cloud can answer, then the measurement of what the documents leave open.
The findings are printed as a table and kept as JSON. It ends with 0 when everything holds, with 1 when something does
not, and with 2 when it cannot begin. No token, password, key or link is ever printed or kept.

The account is described by variables. Those marked (secret) may also be given as a file, by `…_FILE`.

VERIFY_CLOUD_REGION             the region, for example cn-north-4
VERIFY_CLOUD_ACCOUNT            the name of the account (IAM calls it domain)
VERIFY_CLOUD_USER               an IAM user that may call get-om-url; the lists and features are asked too if it may
VERIFY_CLOUD_PASSWORD           (secret) the user's password
VERIFY_CLOUD_ACCESS_KEY         (secret) an access key (AK) of that user
VERIFY_CLOUD_SECRET_KEY         (secret) the access key's secret (SK)
VERIFY_CLOUD_SERVER_ID          the server id of the CBH instance
VERIFY_CLOUD_ADDRESS            the address of a managed host that the user may open
VERIFY_CLOUD_HOST_ACCOUNT       an account on that host that the user may open

Optional:

VERIFY_CLOUD_SECURITY_TOKEN     (secret) the security token, if the access key is temporary
VERIFY_CLOUD_PROJECT_ID         the project's id; otherwise it is taken from a token
VERIFY_CLOUD_IAM_ENDPOINT       otherwise https://iam.<region>.myhuaweicloud.com; give both where that is not so (EU)
VERIFY_CLOUD_CBH_ENDPOINT       otherwise https://cbh.<region>.myhuaweicloud.com
VERIFY_CLOUD_UNMANAGED_ADDRESS  an address that no bastion manages; otherwise 192.0.2.1, which is for documentation
VERIFY_CLOUD_MISSING_ACCOUNT    an account that the host does not have; otherwise a random name
VERIFY_CLOUD_LOCKABLE_USER      a user whose password may be given wrongly: the account's policy may lock it. Never the
                                portal's own
VERIFY_CLOUD_DISABLED_USER      a disabled user, with VERIFY_CLOUD_DISABLED_PASSWORD (secret)
VERIFY_CLOUD_CONSOLE_USER       a user without programmatic access, with VERIFY_CLOUD_CONSOLE_PASSWORD (secret)
VERIFY_CLOUD_MINUTES            how long to measure the life of links, 0 to 120; otherwise 10
VERIFY_CLOUD_DIR                where the findings go; otherwise var/verify-cloud

What it does to the account: it exchanges the password about twenty times, calls get-om-url about forty times and
fetches some of the links (so sessions may appear in the bastion's log), lists instances, asks for one login link, signs
one request with a wrong secret and two at a wrong time. It changes nothing, and ends at the first wrong password or
key. Connections go to the two endpoints directly, no proxy is used; only the measurement also connects to where links
lead, without verifying that certificate.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.contract.measure import Finding, Measurement
from tests.contract.plain import PlainCloud
from tests.contract.quiet import Broken, plain
from tests.contract.real import CANNOT_BEGIN
from tests.contract.target import PREFIX, Target, TargetProblem, from_environment

ROOT: Final = Path(__file__).resolve().parent.parent.parent
_DEFAULT_MINUTES: Final = "10"
_MOST_MINUTES: Final = 120.0


def main(environ: Mapping[str, str]) -> int:
    """Verify one account; returns the exit code."""
    try:
        target = from_environment(environ)
        minutes = _minutes(environ)
    except TargetProblem as problem:
        for line in ("No cloud to verify:", *(f"  {line}" for line in problem.lines)):
            _say(line)
        _say("Every variable is described at the top of tests/contract/__main__.py.")
        return 2
    _say(f"Verifying {' and '.join(target.hosts)}, region {plain(target.region)}.")
    code = _run_tests(target, environ)
    if code == CANNOT_BEGIN:
        _say("Nothing was measured: the credentials have to work first.")
        return 1
    tests_hold = code == 0
    findings, problem_words = _measure(target, minutes)
    file = _keep(environ, target, findings, tests_hold=tests_hold, problem=problem_words)
    _print_table(findings)
    if problem_words:
        _say(f"The measurement ended early: {problem_words}")
    _say(f"\nFindings: {file}")
    _say("Everything that was asserted holds." if tests_hold else "Some assertions do not hold: see above.")
    return 0 if tests_hold and not problem_words else 1


def _minutes(environ: Mapping[str, str]) -> float:
    text = environ.get(f"{PREFIX}MINUTES", "") or _DEFAULT_MINUTES
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes <= _MOST_MINUTES:
        raise TargetProblem([f"{PREFIX}MINUTES must be a number from 0 to {_MOST_MINUTES:.0f}"])
    return minutes


def pytest_command(target: Target, path: str) -> list[str]:
    """pytest on `path` as a real account demands it: sockets to its hosts only, reports without values."""
    return [
        sys.executable, "-m", "pytest", path,
        "-p", "tests.contract.real", "-p", "no:cacheprovider", "--assert=plain", "-q", "-rs", "-m", "not sandbox_only",
        "-o", "addopts=--strict-markers --disable-socket", f"--allow-hosts={','.join(target.hosts)}",
    ]  # fmt: skip


def _run_tests(target: Target, environ: Mapping[str, str]) -> int:
    """Run this folder's tests; their exit code."""
    # A proxy would need another host; a .netrc would replace the signature of the vendor's client.
    direct = {name: value for name, value in environ.items() if not name.lower().endswith("_proxy")}
    command = pytest_command(target, "tests/contract")
    return subprocess.run(command, cwd=ROOT, env={**direct, "NETRC": os.devnull}, check=False).returncode


def _measure(target: Target, minutes: float) -> tuple[list[Finding], str]:
    """The findings, and why there are no more of them (blank: there are all)."""
    _say(f"\nMeasuring what the documents leave open; the life of links takes up to {minutes:g} minutes.")
    found: list[Finding] = []
    with PlainCloud(target) as cloud:
        try:
            for finding in Measurement(target, cloud, minutes=minutes, wait=_wait).findings():
                found.append(finding)
        except Broken as problem:
            return found, plain(problem, longest=200)
    return found, ""


def _wait(seconds: float) -> None:
    if seconds:
        _say(f"  a link waits for {seconds:g} s")
    time.sleep(seconds)


def _keep(
    environ: Mapping[str, str], target: Target, findings: list[Finding], *, tests_hold: bool, problem: str
) -> Path:
    now = datetime.now(UTC)
    folder = Path(environ.get(f"{PREFIX}DIR", "") or ROOT / "var" / "verify-cloud")
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{now:%Y%m%dT%H%M%SZ}.json"
    kept = {
        "measured_at": now.isoformat(timespec="seconds"),
        "region": target.region,
        "hosts": target.hosts,
        "assertions_hold": tests_hold,
        "problem": problem,
        "findings": {finding.question: finding.answer for finding in findings},
    }
    file.write_text(json.dumps(kept, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def _print_table(findings: list[Finding]) -> None:
    width = max((len(finding.question) for finding in findings), default=0)
    _say("")
    for finding in findings:
        _say(f"{finding.question:<{width}}  {finding.answer}")


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main(os.environ))
