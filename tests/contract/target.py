"""The cloud that the assertions are about: the sandbox, or a real account that the environment describes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

PREFIX: Final = "VERIFY_CLOUD_"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An IAM user with its password."""

    account: str
    name: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """An access key; a temporary one comes with a security token."""

    access: str = field(repr=False)
    secret: str = field(repr=False)
    security_token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Everything an assertion needs to know about one cloud.

    `address` with `host_account` opens; `unmanaged_address` is managed by no bastion; `missing_account` does not
    exist on `address`. The optional people make optional cases possible. Nothing secret is in its repr.
    """

    is_sandbox: bool
    iam_endpoint: str
    cbh_endpoint: str
    region: str
    project_id: str
    person: Person
    key: AccessKey
    server_id: str
    address: str
    host_account: str
    unmanaged_address: str
    missing_account: str
    lockable_user: str = ""
    disabled_person: Person | None = None
    console_person: Person | None = None

    @property
    def speaks_http(self) -> bool:
        """Plain http, which is for loopback only."""
        return self.cbh_endpoint.startswith("http://")

    @property
    def hosts(self) -> tuple[str, ...]:
        """The hosts that may be connected to."""
        return tuple(sorted({urlsplit(url).hostname or "" for url in (self.iam_endpoint, self.cbh_endpoint)}))

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not be printed by anybody."""
        people = (self.person, self.disabled_person, self.console_person)
        passwords = [person.password for person in people if person is not None]
        return tuple(filter(None, [*passwords, self.key.secret, self.key.security_token]))


@dataclass(frozen=True, slots=True)
class Variable:
    """One variable of the environment, without its prefix. A secret can also come from a file."""

    name: str
    words: str
    required: bool = True
    secret: bool = False

    @property
    def full_name(self) -> str:
        return PREFIX + self.name


VARIABLES: Final = (
    Variable("REGION", "the region, for example cn-north-4"),
    Variable("ACCOUNT", "the name of the account (IAM calls it domain)"),
    Variable("USER", "an IAM user that may call get-om-url"),
    Variable("PASSWORD", "the user's password", secret=True),
    Variable("ACCESS_KEY", "an access key (AK) of that user", secret=True),
    Variable("SECRET_KEY", "the access key's secret (SK)", secret=True),
    Variable("SERVER_ID", "the server id of the CBH instance"),
    Variable("ADDRESS", "the address of a managed host that the user may open"),
    Variable("HOST_ACCOUNT", "an account on that host that the user may open"),
    Variable("SECURITY_TOKEN", "the security token, if the access key is temporary", required=False, secret=True),
    Variable("PROJECT_ID", "the project's id; otherwise it is taken from a token", required=False),
    Variable("IAM_ENDPOINT", "otherwise https://iam.<region>.myhuaweicloud.com", required=False),
    Variable("CBH_ENDPOINT", "otherwise https://cbh.<region>.myhuaweicloud.com", required=False),
    Variable("UNMANAGED_ADDRESS", "an address that no bastion manages; otherwise 192.0.2.1", required=False),
    Variable("MISSING_ACCOUNT", "an account that the host does not have; otherwise a random name", required=False),
    Variable("LOCKABLE_USER", "a user whose password may be given wrongly: it may get locked", required=False),
    Variable("DISABLED_USER", "a disabled user", required=False),
    Variable("DISABLED_PASSWORD", "its password", required=False, secret=True),
    Variable("CONSOLE_USER", "a user without programmatic access", required=False),
    Variable("CONSOLE_PASSWORD", "its password", required=False, secret=True),
    Variable("MINUTES", "how long to measure the life of links, 0 to 120; otherwise 10", required=False),
    Variable("DIR", "where the findings go; otherwise var/verify-cloud", required=False),
)


class TargetProblem(Exception):
    """The environment describes no cloud; `lines` say in words what is missing or wrong."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def read_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The given variables, by name without prefix; files are read.

    Raises:
        TargetProblem: a required one is missing, or a file cannot be read.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for variable in VARIABLES:
        try:
            value = _value_of(variable, environ)
        except (OSError, UnicodeDecodeError):
            problems.append(f"{variable.full_name}_FILE cannot be read: {variable.words}")
            continue
        if value:
            found[variable.name] = value
        elif variable.required:
            or_file = f" (or {variable.full_name}_FILE)" if variable.secret else ""
            problems.append(f"{variable.full_name}{or_file} is missing: {variable.words}")
    if problems:
        raise TargetProblem(problems)
    return found


def _value_of(variable: Variable, environ: Mapping[str, str]) -> str:
    file = environ.get(f"{variable.full_name}_FILE", "") if variable.secret else ""
    if file:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n")
    return environ.get(variable.full_name, "")


def from_environment(environ: Mapping[str, str]) -> Target:
    """The real account that the variables describe.

    Raises:
        TargetProblem: something is missing or cannot be used.
    """
    given = read_variables(environ)
    region, account = given["REGION"], given["ACCOUNT"]
    return Target(
        is_sandbox=False,
        iam_endpoint=_endpoint(given, "IAM", region),
        cbh_endpoint=_endpoint(given, "CBH", region),
        region=region,
        project_id=given.get("PROJECT_ID", ""),
        person=Person(account=account, name=given["USER"], password=given["PASSWORD"]),
        key=AccessKey(
            access=given["ACCESS_KEY"], secret=given["SECRET_KEY"], security_token=given.get("SECURITY_TOKEN")
        ),
        server_id=given["SERVER_ID"],
        address=given["ADDRESS"],
        host_account=given["HOST_ACCOUNT"],
        unmanaged_address=given.get("UNMANAGED_ADDRESS", "192.0.2.1"),
        missing_account=given.get("MISSING_ACCOUNT", f"nobody-{secrets.token_hex(6)}"),
        lockable_user=given.get("LOCKABLE_USER", ""),
        disabled_person=_person(given, account, "DISABLED"),
        console_person=_person(given, account, "CONSOLE"),
    )


def _endpoint(given: Mapping[str, str], service: str, region: str) -> str:
    url = given.get(f"{service}_ENDPOINT", f"https://{service.lower()}.{region}.myhuaweicloud.com").removesuffix("/")
    parts = urlsplit(url)
    is_loopback = parts.hostname in ("127.0.0.1", "localhost", "::1")
    if not parts.hostname or parts.scheme not in ("https", "http") or (parts.scheme == "http" and not is_loopback):
        raise TargetProblem([f"{PREFIX}{service}_ENDPOINT must be https://host[:port]"])
    return url


def _person(given: Mapping[str, str], account: str, kind: str) -> Person | None:
    name, password = given.get(f"{kind}_USER", ""), given.get(f"{kind}_PASSWORD", "")
    if bool(name) != bool(password):
        raise TargetProblem([f"{PREFIX}{kind}_USER and {PREFIX}{kind}_PASSWORD go together"])
    return Person(account=account, name=name, password=password) if name else None
