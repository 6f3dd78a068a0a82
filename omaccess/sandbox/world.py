"""Loads a world file: the TOML that says what the simulated cloud contains.

The format is described at the top of `worlds/demo.toml`. Everything is checked while loading, and the first
problem is reported as one sentence that names the place.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlsplit

from omaccess.sandbox.tables import Table, TableError
from omaccess.sandbox.world_types import (
    LIST_ACTION,
    LOGIN_ACTION,
    OM_URL_ACTION,
    STATE_NUMBERS,
    AccessKey,
    Account,
    AnswerStyle,
    Host,
    HostAccount,
    IamUser,
    Instance,
    LockoutPolicy,
    Project,
    TokenPolicy,
    World,
    address_key,
)

__all__ = [
    "DEMO_WORLD",
    "LIST_ACTION",
    "LOGIN_ACTION",
    "OM_URL_ACTION",
    "STATE_NUMBERS",
    "AccessKey",
    "Account",
    "AnswerStyle",
    "Host",
    "HostAccount",
    "IamUser",
    "Instance",
    "LockoutPolicy",
    "Project",
    "TokenPolicy",
    "World",
    "WorldError",
    "address_key",
    "load_world",
    "parse_world",
]

DEMO_WORLD: Final = Path(__file__).parent / "worlds" / "demo.toml"

ENVELOPES: Final = ("cbh_doc", "error_msg", "keystone", "gateway")
STATE_FORMATS: Final = ("name", "int", "numeric_string", "named_number", "hash_number")
INSTANCE_STATUSES: Final = (
    "ACTIVE", "SHUTOFF", "DELETING", "BUILD", "DELETED", "ERROR", "HAWAIT", "FROZEN", "UPGRADING", "UNPAID",
    "RESIZE", "DILATATION", "HA",
)  # fmt: skip
_HEX32: Final = re.compile(r"[0-9a-f]{32}")
_ACCESS_KEY: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LABEL_KEY: Final = re.compile(r"[a-z][a-z0-9_.-]{0,62}")

Named = TypeVar("Named")


class WorldError(ValueError):
    """A world file cannot be used; the text names the place and the problem."""


def load_world(path: Path | str = DEMO_WORLD) -> World:
    """Read and check a world file; without a path, the demo's.

    Raises:
        WorldError: the file cannot be read, is not TOML, or contradicts itself.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise WorldError(f"Cannot read the world file {file}: {reason}") from error
    return parse_world(text, source=file.name)


def parse_world(text: str, *, source: str = "world") -> World:
    """Check the text of a world file; `source` names it in errors.

    Raises:
        WorldError: the text is not TOML or contradicts itself.
    """
    try:
        root = Table(tomllib.loads(text), source)
        world = _world(root)
        root.finish()
    except tomllib.TOMLDecodeError as error:
        raise WorldError(f"{source}: not valid TOML: {error}") from error
    except RecursionError:
        raise WorldError(f"{source}: nested too deeply") from None
    except TableError as error:
        raise WorldError(str(error)) from error
    return world


def _world(root: Table) -> World:
    accounts = _each(root.tables("account"), _account)
    _unique(root, "account", accounts, lambda account: account.name)
    account_names = {account.name for account in accounts}
    projects = _each(root.tables("project"), lambda table: _project(table, account_names))
    _unique(root, "project", projects, lambda project: (project.account, project.name))
    _unique(root, "project", projects, lambda project: project.id)
    users = _each(root.tables("user"), lambda table: _user(table, account_names, projects))
    _unique(root, "user", users, lambda user: (user.account, user.name))
    _unique(root, "access key", [key for user in users for key in user.access_keys], lambda key: key.access)
    rights: dict[str, tuple[str, ...]] = {}
    instances = _each(root.tables("instance"), lambda table: _instance(table, projects, users, rights))
    for key in (lambda instance: instance.name, lambda instance: instance.server_id):
        _unique(root, "instance", instances, key)
    by_name = {instance.name: instance for instance in instances}
    hosts = _each(root.tables("host"), lambda table: _host(table, by_name, users, rights))
    _unique(root, "host", hosts, lambda host: (host.instance, address_key(host.address)))
    _unique(root, "host", hosts, lambda host: (host.instance, host.name))
    return World(
        name=root.text("name"),
        description=root.text("description", "", longest=2000),
        lockout=_one(root.table("lockout"), _lockout),
        tokens=_one(root.table("tokens"), _tokens),
        style=_one(root.table("answers"), _style),
        accounts=accounts,
        projects=projects,
        users=users,
        instances=instances,
        hosts=hosts,
    )


def _one(table: Table, build: Callable[[Table], Named]) -> Named:
    built = build(table)
    table.finish()
    return built


def _each(tables: Iterable[Table], build: Callable[[Table], Named]) -> tuple[Named, ...]:
    return tuple(_one(table, build) for table in tables)


def _unique(root: Table, kind: str, entries: Iterable[Named], key: Callable[[Named], object]) -> None:
    seen: set[object] = set()
    for entry in entries:
        value = key(entry)
        if value in seen:
            shown = " / ".join(value) if isinstance(value, tuple) else value
            raise TableError(f"{root.where}: {kind} {shown} appears twice")
        seen.add(value)


def _known(table: Table, key: str, value: str, known: Iterable[str]) -> str:
    names = sorted(known)
    if value not in names:
        raise table.fail(key, f"names {value!r}, which is not defined (known: {', '.join(names) or 'none'})")
    return value


def _lockout(table: Table) -> LockoutPolicy:
    # Wider than the real console's ranges, so that tests can lock after one failure.
    return LockoutPolicy(
        failures=table.integer("failures", 5, least=1, most=100),
        window_seconds=table.number("window_seconds", 900, least=1, most=86_400),
        lock_seconds=table.number("lock_seconds", 900, least=1, most=86_400),
    )


def _tokens(table: Table) -> TokenPolicy:
    return TokenPolicy(
        lifetime_seconds=table.number("lifetime_seconds", 86_400, least=1, most=7 * 86_400),
        characters=table.integer("characters", 1_224, least=128, most=32_000),
    )


def _style(table: Table) -> AnswerStyle:
    status = table.integer("missing_instance_status", 404, least=400, most=404)
    if status not in (400, 404):
        raise table.fail("missing_instance_status", "must be 400 or 404")
    return AnswerStyle(
        iam_errors=table.choice("iam_errors", ("mixed", "keystone", "error_msg"), "mixed"),
        cbh_errors=table.choice("cbh_errors", ENVELOPES, "cbh_doc"),
        gatekeeper=table.choice("gatekeeper", ("gateway", "cbh"), "gateway"),
        missing_instance_status=status,
        state_format=table.choice("state_format", STATE_FORMATS, "name"),
        language=table.choice("language", ("zh", "en"), "zh"),
        om_url_seconds=table.number("om_url_seconds", 60, least=1, most=3600),
    )


def _id(table: Table, key: str, *derived_from: str) -> str:
    """An id of 32 hexadecimal digits; an absent one is derived from the names, so that it stays the same."""
    value = table.optional_text(key)
    if value is None:
        return uuid.uuid5(uuid.NAMESPACE_URL, "sandbox:" + "/".join(derived_from)).hex
    if not _HEX32.fullmatch(value):
        raise table.fail(key, "must be 32 lower-case hexadecimal digits")
    return value


def _account(table: Table) -> Account:
    name = table.text("name", longest=64)
    return Account(name=name, id=_id(table, "id", name))


def _project(table: Table, accounts: set[str]) -> Project:
    account = _known(table, "account", table.text("account"), accounts)
    name = table.text("name", longest=64)
    return Project(account=account, name=name, id=_id(table, "id", account, name), enabled=table.flag("enabled", True))


def _user(table: Table, accounts: set[str], projects: tuple[Project, ...]) -> IamUser:
    account = _known(table, "account", table.text("account"), accounts)
    name = table.text("name", longest=64)
    allowed: tuple[str, ...] | None = None
    if table.has("projects"):
        allowed = table.texts("projects")
        for project in allowed:
            _known(table, "projects", project, (p.name for p in projects if p.account == account))
    return IamUser(
        account=account,
        name=name,
        id=_id(table, "id", account, "user", name),
        password=table.text("password"),
        enabled=table.flag("enabled", True),
        programmatic_access=table.flag("programmatic_access", True),
        login_protection=table.flag("login_protection", False),
        permissions=table.texts("permissions", ()),
        projects=allowed,
        access_keys=_each(table.tables("access_keys", label="access"), _access_key),
        purpose=table.choice("purpose", ("launch", "read"), ""),
        portal_password=table.optional_text("portal_password"),
    )


def _access_key(table: Table) -> AccessKey:
    access = table.text("access")
    if not _ACCESS_KEY.fullmatch(access):
        raise table.fail("access", "must be 1 to 64 letters, digits, '_' or '-'")
    return AccessKey(
        access=access,
        secret=table.text("secret"),
        enabled=table.flag("enabled", True),
        security_token=table.text("security_token", "", longest=10_000, empty=True),
    )


def _instance(
    table: Table,
    projects: tuple[Project, ...],
    users: tuple[IamUser, ...],
    rights: dict[str, tuple[str, ...]],
) -> Instance:
    name = table.text("name", longest=65)
    account = _known(table, "account", table.text("account"), {project.account for project in projects})
    owned = [project.name for project in projects if project.account == account]
    user_names = [user.name for user in users if user.account == account]
    launch_user = _known(table, "launch_user", table.text("launch_user"), user_names)
    rights[name] = _may_open(table, user_names, (launch_user,))
    return Instance(
        name=name,
        account=account,
        project=_known(table, "project", table.text("project"), owned),
        server_id=_uuid(table, "server_id"),
        instance_id=table.text("instance_id", longest=36),
        ha_id=table.text("ha_id", "", longest=64, empty=True),
        ha_role=table.choice("ha_role", ("master", "slave"), "master"),
        version=table.text("version", "3.3.62.0", longest=64),
        supports_om_url=table.flag("supports_om_url", True),
        status=table.choice("status", INSTANCE_STATUSES, "ACTIVE"),
        trustlist_ready_after_seconds=table.number("trustlist_ready_after_seconds", 0, most=3600),
        login_origin=_origin(table, "login_origin"),
        public_ip=_ip(table, "public_ip"),
        private_ip=_ip(table, "private_ip"),
        vip=_ip(table, "vip"),
        availability_zone=table.text("availability_zone", "", empty=True),
        specification=table.text("specification", "cbh.basic.50"),
        launch_user=launch_user,
        help_text=table.text("help_text", "", longest=2000, empty=True),
    )


def _host(
    table: Table,
    instances: Mapping[str, Instance],
    users: tuple[IamUser, ...],
    rights: Mapping[str, tuple[str, ...]],
) -> Host:
    instance = instances[_known(table, "instance", table.text("instance"), instances)]
    user_names = [user.name for user in users if user.account == instance.account]
    allowed = _may_open(table, user_names, rights[instance.name])
    accounts = _each(table.tables("accounts"), lambda entry: _host_account(entry, user_names, allowed))
    _unique(table, "account", accounts, lambda account: account.name)
    return Host(
        name=table.text("name", longest=128),
        address=table.text("address", longest=64),
        instance=instance.name,
        accounts=accounts,
        managed=table.flag("managed", True),
        os=table.choice("os", ("linux", "windows"), "linux"),
        owner=table.text("owner", "", empty=True),
        contact=table.text("contact", "", empty=True),
        labels=_one(table.table("labels"), _labels),
    )


def _host_account(table: Table, user_names: list[str], allowed: tuple[str, ...]) -> HostAccount:
    forced = table.choice("forced_state", STATE_NUMBERS) if table.has("forced_state") else None
    launch_user = table.optional_text("launch_user")
    if launch_user is not None:
        _known(table, "launch_user", launch_user, user_names)
    return HostAccount(
        name=table.text("name", longest=64),
        registered=table.flag("registered", True),
        may_open=_may_open(table, user_names, allowed),
        forced_state=forced,
        privileged=table.flag("privileged", False),
        launch_user=launch_user,
        shows=table.text("shows", "", empty=True),
    )


def _may_open(table: Table, user_names: list[str], inherited: tuple[str, ...]) -> tuple[str, ...]:
    """Who has an access rule: the nearest list wins (account, host, instance, else the launch user)."""
    names = table.texts("may_open", inherited)
    for name in names:
        _known(table, "may_open", name, user_names)
    return names


def _labels(table: Table) -> dict[str, str]:
    labels = {key: table.text(key, longest=128) for key in table.keys()}  # noqa: SIM118 - not a dict
    for key in labels:
        if not _LABEL_KEY.fullmatch(key):
            raise table.fail(key, "must be lower-case letters, digits, '.', '_' or '-'")
    return labels


def _uuid(table: Table, key: str) -> str:
    value = table.text(key, longest=36)
    try:
        canonical = str(uuid.UUID(value))
    except ValueError:
        canonical = ""
    if value != canonical:
        raise table.fail(key, "must be a UUID in lower case with hyphens")
    return value


def _ip(table: Table, key: str) -> str:
    value = table.text(key, "", empty=True)
    try:
        return value and ipaddress.ip_address(value).compressed
    except ValueError:
        raise table.fail(key, "must be an IP address") from None


def _origin(table: Table, key: str) -> str | None:
    value = table.optional_text(key)
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or value != f"{parts.scheme}://{parts.netloc}" or "@" in value:
        raise table.fail(key, "must be scheme://host[:port] and nothing else")
    return value
