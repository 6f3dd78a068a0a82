"""What a sandbox world consists of: frozen values, read once and shared by all threads.

A demo-data loader reads the same values, so the portal's demo inventory and the simulated cloud cannot drift
apart; fields that only such a loader uses say so.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

STATE_NUMBERS: Final[Mapping[str, int]] = {
    "SUCCESS": 0,
    "HOST_NOT_MANAGE": 1,
    "HOST_ACCOUNT_NOT_EXIST": 553,
    "IAM_USER_NO_PERMISSION": 901,
    "IAM_USER_CONFLICT": 1016,
    "CUR_VERSION_NOT_SUPPORT_OPERATION": 9001,
    "INS_WHITE_LIST_INITIALIZING": 9002,
    "UNKNOWN_ERROR": 9003,
}
"""Every documented verdict of get-om-url and its number. Source: CBH API reference, ShowOmUrl."""

OM_URL_ACTION: Final = "cbh:instance:getOmUrl"
LIST_ACTION: Final = "cbh:instance:list"
"""The public documents name no action for the list, status and feature calls; this follows their pattern."""
LOGIN_ACTION: Final = "cbh:instance:login"


def address_key(address: str) -> str:
    """The form in which two spellings of one address are equal; host names are compared without case."""
    text = address.strip()
    try:
        return ipaddress.ip_address(text).compressed
    except ValueError:
        return text.casefold()


@dataclass(frozen=True, slots=True, kw_only=True)
class LockoutPolicy:
    """When failed passwords lock an IAM user. Source: IAM, login authentication policy."""

    failures: int = 5
    window_seconds: float = 900
    lock_seconds: float = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPolicy:
    """How long tokens live and how long their text is (the real ones vary from about 1,200 to 9,100)."""

    lifetime_seconds: float = 86_400
    characters: int = 1_224


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerStyle:
    """Choices between forms that the public documents leave open."""

    iam_errors: str = "mixed"
    """`mixed`: plain errors as `{"error": {…}}`, coded ones with `error_code`; or one form throughout."""
    cbh_errors: str = "cbh_doc"
    gatekeeper: str = "gateway"
    """Who refuses a bad token at CBH: the `gateway` in front of it (APIGW.0301), or `cbh` (CBH.10020100)."""
    missing_instance_status: int = 404
    state_format: str = "name"
    language: str = "zh"
    om_url_seconds: float = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A Huawei Cloud account (IAM calls it a domain): it owns users and projects."""

    name: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A project of an account; built-in ones are named after their region."""

    account: str
    name: str
    id: str
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessKey:
    """A pair of access key id and secret key (AK/SK) with which its IAM user signs requests."""

    access: str
    secret: str = field(repr=False)
    enabled: bool = True
    security_token: str = field(default="", repr=False)
    """A temporary key has one and is worth nothing without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IamUser:
    """An IAM user, with what IAM lets it do."""

    account: str
    name: str
    id: str
    password: str = field(repr=False)
    enabled: bool = True
    programmatic_access: bool = True
    login_protection: bool = False
    """A second factor is demanded: the password alone is refused exactly like a wrong one."""
    permissions: tuple[str, ...] = ()
    projects: tuple[str, ...] | None = None
    """Names of the projects it may use; None means all of the account."""
    access_keys: tuple[AccessKey, ...] = ()
    purpose: str = ""
    """For demo data: `launch` or `read` makes this user a credential in the portal; empty does not."""
    portal_password: str | None = field(default=None, repr=False)
    """For demo data: what the portal believes the password to be, when that is to be wrong."""

    @property
    def stored_password(self) -> str:
        """For demo data: the password to store in the portal."""
        return self.password if self.portal_password is None else self.portal_password

    def may(self, action: str) -> bool:
        """Whether a permission covers the action; `*` in a permission stands for anything."""
        return any(fnmatchcase(action, permission) for permission in self.permissions)

    def may_use(self, project: Project) -> bool:
        """Whether the project is one this user may work in."""
        return project.account == self.account and (self.projects is None or project.name in self.projects)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostAccount:
    """A login on a managed host, named exactly (case-sensitive) as CBH knows it."""

    name: str
    registered: bool = True
    """False: the portal's inventory has it, the bastion does not (HOST_ACCOUNT_NOT_EXIST)."""
    may_open: tuple[str, ...]
    """Names of the IAM users with an access rule in the bastion."""
    forced_state: str | None = None
    """A verdict given whatever else is true (IAM_USER_CONFLICT, UNKNOWN_ERROR)."""
    privileged: bool = False
    """For demo data."""
    launch_user: str | None = None
    """For demo data: the IAM user whose credential this account uses instead of the instance's."""
    shows: str = ""
    """For demo data and documents: what opening this account demonstrates, in a few words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A server behind a bastion."""

    name: str
    address: str
    instance: str
    accounts: tuple[HostAccount, ...]
    managed: bool = True
    """False: the portal's inventory has it, the bastion does not (HOST_NOT_MANAGE)."""
    os: str = "linux"
    owner: str = ""
    contact: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)

    def account(self, name: str) -> HostAccount | None:
        """The account with exactly this name."""
        return next((account for account in self.accounts if account.name == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Instance:
    """A CBH instance."""

    name: str
    account: str
    project: str
    server_id: str
    instance_id: str
    ha_id: str = ""
    ha_role: str = "master"
    version: str = "3.3.62.0"
    supports_om_url: bool = True
    status: str = "ACTIVE"
    trustlist_ready_after_seconds: float = 0
    """How long after the first call the trustlist initialises (INS_WHITE_LIST_INITIALIZING meanwhile)."""
    login_origin: str | None = None
    """scheme://host[:port] of its login URLs; None means the sandbox itself, which serves the page."""
    public_ip: str = ""
    private_ip: str = ""
    vip: str = ""
    """The floating address of a pair (with `ha_id`); empty means that of the instance itself."""
    availability_zone: str = ""
    specification: str = "cbh.basic.50"
    launch_user: str
    """For demo data: the IAM user whose credential the portal uses for this instance."""
    help_text: str = ""
    """For demo data: what staff are told when nothing appears."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Everything the simulated cloud contains. Built by `load_world` and `parse_world`, which check it."""

    name: str
    description: str
    lockout: LockoutPolicy
    tokens: TokenPolicy
    style: AnswerStyle
    accounts: tuple[Account, ...]
    projects: tuple[Project, ...]
    users: tuple[IamUser, ...]
    instances: tuple[Instance, ...]
    hosts: tuple[Host, ...]

    def account(self, name: str) -> Account:
        return next(account for account in self.accounts if account.name == name)

    def user(self, account: str, name: str) -> IamUser | None:
        """The IAM user of that name in that account."""
        return next((user for user in self.users if (user.account, user.name) == (account, name)), None)

    def projects_of(self, account: str) -> tuple[Project, ...]:
        return tuple(project for project in self.projects if project.account == account)

    def project_of(self, instance: Instance) -> Project:
        """The project an instance lives in."""
        return next(
            project
            for project in self.projects
            if (project.account, project.name) == (instance.account, instance.project)
        )

    def instances_in(self, project: Project) -> tuple[Instance, ...]:
        return tuple(instance for instance in self.instances if self.project_of(instance) == project)

    def hosts_of(self, instance: Instance) -> tuple[Host, ...]:
        """All hosts of an instance, including those only the portal's inventory has."""
        return tuple(host for host in self.hosts if host.instance == instance.name)

    def managed_host(self, instance: Instance, address: str) -> Host | None:
        """The host the bastion manages under this address, compared by canonical form."""
        key = address_key(address)
        return next(
            (host for host in self.hosts_of(instance) if host.managed and address_key(host.address) == key),
            None,
        )

    def verdict(self, instance: Instance, address: str, account_name: str, user_name: str) -> str:
        """What get-om-url answers once the trustlist is ready: the name of a state.

        The order of the checks is an assumption; no document gives one.
        """
        if not instance.supports_om_url:
            return "CUR_VERSION_NOT_SUPPORT_OPERATION"
        host = self.managed_host(instance, address)
        if host is None:
            return "HOST_NOT_MANAGE"
        account = host.account(account_name)
        if account is None or not account.registered:
            return "HOST_ACCOUNT_NOT_EXIST"
        if account.forced_state is not None:
            return account.forced_state
        return "SUCCESS" if user_name in account.may_open else "IAM_USER_NO_PERMISSION"
