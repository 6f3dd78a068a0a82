"""The demo's people, inventory and grants, made from the sandbox's world file. Only `demo_data` uses it.

`staff` may open what opens, and one account for each way in which an open can be refused, so that somebody who
evaluates the portal meets every one of its answers. Everything here is invented.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils.text import slugify

from accounts.models import ADMINS, AUDITORS, User
from omaccess import audit, vault
from omaccess.meta import Meta
from omaccess.models import (
    AuditEvent,
    BastionInstance,
    Grant,
    GrantAccount,
    GrantLabel,
    Host,
    HostAccount,
    IamCredential,
    Label,
    Launch,
    LoginAddress,
)
from omaccess.models.inventory import address_key
from omaccess.sandbox import world as sandbox
from omaccess.sandbox.world import OM_URL_ACTION, World

PEOPLE = {
    "staff": "Stella Okafor",
    "colleague": "Colin Reyes",
    "admin": "Ada Brandt",
    "auditor": "Aurel Novak",
}
WEB_TEAM = "web team"
DISABLED_HOSTS = frozenset({"win-hz-wms01"})
"""One that its owners took out of service, so that the demo shows what that looks like."""


class NotADemo(Exception):
    """This database is not the demo's, so nothing was written; the text says why."""


def loaded() -> AuditEvent | None:
    """The newest event by which the demo marked this database as its own."""
    return AuditEvent.objects.filter(kind=audit.Kind.DEMO_LOADED).order_by("-position").first()


def load(world: World, *, url: str, password: str, now: dt.datetime) -> dict[str, int]:
    """Make everything in one transaction, the event last. Returns how many rows of each kind were made.

    Raises: NotADemo when the database already holds something.
    """
    hashed = {username: make_password(password) for username in PEOPLE}  # slow by design, so before the lock
    with transaction.atomic():
        _refuse_what_is_not_empty()
        people = _people(hashed)
        credentials = _credentials(world, url)
        instances = _instances(world, url, credentials)
        hosts = _hosts(world, instances)
        accounts = _accounts(world, hosts, credentials)
        grants = _grants(world, people, hosts, now)
        counts = {
            "people": len(people),
            "credentials": len(credentials),
            "instances": len(instances),
            "hosts": len(hosts),
            "accounts": accounts,
            "grants": grants,
        }
        _record(sandbox_url=url, **counts)
    return counts


def follow(*, old_url: str, url: str) -> None:
    """The sandbox answers at another address than last time: correct every row that names the old one."""
    with transaction.atomic():
        IamCredential.objects.filter(iam_endpoint=old_url).update(iam_endpoint=url)
        BastionInstance.objects.filter(endpoint=old_url).update(endpoint=url)
        LoginAddress.objects.filter(origin=old_url).update(origin=url)
        _record(sandbox_url=url, sandbox_url_before=old_url)


def set_passwords(password: str, *, url: str) -> None:
    """Give the demo's people the password that the next start announces."""
    hashed = {username: make_password(password) for username in PEOPLE}
    with transaction.atomic():
        people = list(User.objects.select_for_update().filter(username__in=PEOPLE))
        for person in people:
            person.password = hashed[person.username]
        User.objects.bulk_update(people, ["password"])
        _record(sandbox_url=url, passwords_set=sorted(person.username for person in people))


def _record(*, sandbox_url: str, **facts: Any) -> None:
    """The mark by which this database is the demo's; where its sandbox answers is read back by the next run."""
    audit.record(
        audit.Kind.DEMO_LOADED,
        by=None,
        meta=Meta.system("demo_data"),
        actor_name="system: demo_data",
        sandbox_url=sandbox_url,
        **facts,
    )


def _refuse_what_is_not_empty() -> None:
    for model in (User, BastionInstance, IamCredential, Host, Grant, Launch, AuditEvent):
        if model._default_manager.exists():
            raise NotADemo(
                f"This database already holds {model._meta.verbose_name_plural}, and the demo did not make them. "
                "Demo data only goes into an empty database."
            )


# --- people and inventory ----------------------------------------------------------------------------


def _people(hashed: Mapping[str, str]) -> dict[str, User]:
    User.objects.bulk_create(
        User(username=username, name=name, email=f"{username}@meridian.example", password=hashed[username])
        for username, name in PEOPLE.items()
    )
    people = {person.username: person for person in User.objects.filter(username__in=PEOPLE)}
    web_team = Group.objects.create(name=WEB_TEAM)
    people["admin"].groups.add(Group.objects.get(name=ADMINS))
    people["auditor"].groups.add(Group.objects.get(name=AUDITORS))
    for username in ("staff", "colleague"):
        people[username].groups.add(web_team)
    return people


def _credentials(world: World, url: str) -> dict[str, IamCredential]:
    held = [user for user in world.users if user.purpose]
    IamCredential.objects.bulk_create(
        IamCredential(
            name=user.name,
            purpose=user.purpose,
            iam_endpoint=url,
            account_name=user.account,
            user_name=user.name,
        )
        for user in held
    )
    credentials = {credential.name: credential for credential in IamCredential.objects.all()}
    for user in held:
        # After the row: the ciphertext is bound to its number.
        credential = credentials[user.name]
        credential.secret_ciphertext = vault.encrypt(
            user.stored_password, table="iamcredential", row=str(credential.pk), field="secret"
        )
    IamCredential.objects.bulk_update(credentials.values(), ["secret_ciphertext"])
    return credentials


def _instances(world: World, url: str, credentials: Mapping[str, IamCredential]) -> dict[str, BastionInstance]:
    BastionInstance.objects.bulk_create(
        BastionInstance(
            name=known.name,
            region=known.project,
            project_id=world.project_of(known).id,
            project_name=known.project,
            instance_id=known.instance_id,
            ha_id=known.ha_id,
            server_id=known.server_id,
            endpoint=url,
            credential=credentials[known.launch_user],
            help_text=known.help_text,
        )
        for known in world.instances
    )
    instances = {instance.name: instance for instance in BastionInstance.objects.all()}
    LoginAddress.objects.bulk_create(
        LoginAddress(instance=instances[known.name], origin=known.login_origin or url) for known in world.instances
    )
    return instances


def _hosts(world: World, instances: Mapping[str, BastionInstance]) -> dict[tuple[str, str], Host]:
    """By names of instance and host."""
    Host.objects.bulk_create(
        Host(
            instance=instances[known.instance],
            name=known.name,
            address=known.address,
            address_key=address_key(known.address),
            owner=known.owner,
            contact=known.contact,
            is_enabled=known.name not in DISABLED_HOSTS,
        )
        for known in world.hosts
    )
    hosts = {(host.instance.name, host.name): host for host in Host.objects.select_related("instance")}
    Label.objects.bulk_create(
        Label(host=hosts[known.instance, known.name], key=key, value=value)
        for known in world.hosts
        for key, value in {**known.labels, **_shows(world, known)}.items()
    )
    return hosts


def _shows(world: World, host: sandbox.Host) -> dict[str, str]:
    """A label that says what the host is in the demo for, where that is more than opening: shows=…"""
    shown = [slugify(account.shows) for account in host.accounts if not _opens_at_once(world, host, account)]
    return {"shows": "+".join(shown)} if shown else {}


def _accounts(world: World, hosts: Mapping[tuple[str, str], Host], credentials: Mapping[str, IamCredential]) -> int:
    rows = [
        HostAccount(
            host=hosts[known.instance, known.name],
            name=account.name,
            is_privileged=account.privileged,
            credential=credentials[account.launch_user] if account.launch_user else None,
        )
        for known in world.hosts
        for account in known.accounts
    ]
    return len(HostAccount.objects.bulk_create(rows))


# --- grants ------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Plan:
    """One grant in words. `host` or `labels` says what it reaches; without `names`, every account."""

    note: str
    user: str = ""
    group: str = ""
    host: tuple[str, str] | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    names: Sequence[str] = ()
    begins: dt.timedelta = dt.timedelta(days=-30)
    ends: dt.timedelta | None = None
    revoked: dt.timedelta | None = None
    reason: bool = False
    ticket: str = ""
    step_up: bool = False


_HANGZHOU, _FRANKFURT = "bastion-hangzhou", "bastion-frankfurt"

PLANS = (
    Plan(group=WEB_TEAM, labels={"tier": "web"}, names=["deploy"], note="The web team deploys to its servers."),
    Plan(user="staff", labels={"env": "staging"}, note="Staging is open for whoever works on it."),
    Plan(
        user="staff",
        labels={"env": "prod", "tier": "db"},
        names=["dba-readonly", "erpread"],
        note="Reading the production databases.",
    ),
    Plan(
        user="staff",
        labels={"env": "prod", "tier": "db"},
        names=["postgres", "mysql"],
        reason=True,
        note="Changing a production database needs a reason.",
    ),
    Plan(
        user="staff",
        labels={"tier": "k8s"},
        names=["core"],
        reason=True,
        ticket="CHG[0-9]{7}",
        note="Cluster nodes only with an approved change, such as CHG0012345.",
    ),
    Plan(user="staff", host=(_HANGZHOU, "web-hz-01"), names=["root"], reason=True, note="On call for booking."),
    Plan(user="staff", host=(_HANGZHOU, "erp-hz-app1"), names=["erpadm"], note="Finance IT, first line."),
    Plan(
        user="staff",
        host=(_HANGZHOU, "win-hz-fs01"),
        names=["MERIDIAN\\svc-files"],
        ends=dt.timedelta(days=14),
        note="For the move of the file shares.",
    ),
    Plan(user="staff", host=(_FRANKFURT, "edge-fra-v6"), names=["netops"], note="The edge router, by IPv6."),
    Plan(
        user="staff",
        host=(_FRANKFURT, "customs-gw-fra"),
        names=["gateway"],
        ends=dt.timedelta(days=-3),
        note="Ended: the customs release is out.",
    ),
    Plan(
        user="staff",
        host=(_FRANKFURT, "monitor-fra-01"),
        names=["ops"],
        begins=dt.timedelta(days=10),
        note="Not yet: begins with the next on-call rotation.",
    ),
    Plan(
        user="staff",
        host=(_FRANKFURT, "win-fra-dc01"),
        names=["MERIDIAN\\t1-admin"],
        step_up=True,
        note="The domain controller needs a second factor.",
    ),
    Plan(
        user="staff",
        host=(_HANGZHOU, "jenkins-hz-01"),
        names=["jenkins"],
        revoked=dt.timedelta(days=-1),
        note="Revoked: the pipeline was handed to developer tools.",
    ),
    Plan(
        user="staff",
        host=(_HANGZHOU, "win-hz-wms01"),
        names=["MERIDIAN\\wms-operator"],
        note="The host is disabled until the warehouse has moved.",
    ),
    Plan(user="colleague", host=(_HANGZHOU, "db-hz-02"), names=["dba-readonly"], note="For the monthly report."),
)


def _grants(world: World, people: Mapping[str, User], hosts: Mapping[tuple[str, str], Host], now: dt.datetime) -> int:
    plans = [*PLANS, *_plans_for_refusals(world)]
    admin = people["admin"]
    grants = Grant.objects.bulk_create(
        Grant(
            user=people[plan.user] if plan.user else None,
            group=Group.objects.get(name=plan.group) if plan.group else None,
            target=Grant.Target.HOST if plan.host else Grant.Target.LABELS,
            host=hosts[plan.host] if plan.host else None,
            every_account=not plan.names,
            valid_from=now + plan.begins,
            valid_until=now + plan.ends if plan.ends is not None else None,
            is_reason_required=plan.reason,
            ticket_pattern=plan.ticket,
            is_step_up_required=plan.step_up,
            note=plan.note,
            created_by=admin,
            revoked_at=now + plan.revoked if plan.revoked is not None else None,
            revoked_by=admin if plan.revoked is not None else None,
        )
        for plan in plans
    )
    pairs = list(zip(grants, plans, strict=True))
    GrantLabel.objects.bulk_create(
        GrantLabel(grant=grant, key=key, value=value) for grant, plan in pairs for key, value in plan.labels.items()
    )
    GrantAccount.objects.bulk_create(
        GrantAccount(grant=grant, name=name) for grant, plan in pairs for name in plan.names
    )
    return len(grants)


def _plans_for_refusals(world: World) -> Iterable[Plan]:
    """For each host with accounts that do not open at once: a grant for just these."""
    for host in world.hosts:
        names = [account.name for account in host.accounts if not _opens_at_once(world, host, account)]
        if names:
            yield Plan(
                user="staff",
                host=(host.instance, host.name),
                names=names,
                note="For the demo: the bastion or Huawei Cloud does not open these at once, and the portal says why.",
            )


def _opens_at_once(world: World, host: sandbox.Host, account: sandbox.HostAccount) -> bool:
    instance = next(instance for instance in world.instances if instance.name == host.instance)
    name = account.launch_user or instance.launch_user
    user = world.user(instance.account, name)
    return (
        user is not None
        and user.stored_password == user.password
        and user.may(OM_URL_ACTION)
        and not instance.trustlist_ready_after_seconds
        and world.verdict(instance, host.address, account.name, name) == "SUCCESS"
    )
