"""The inventory that is measured: so many hosts with three accounts each, 5,000 grants, and people. Inside Django."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
from collections.abc import Iterable, Iterator

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from accounts.models import ADMINS, AUDITORS, User
from omaccess.models import (
    BastionInstance,
    Grant,
    GrantAccount,
    GrantLabel,
    Host,
    HostAccount,
    IamCredential,
    Label,
    LoginAddress,
)
from omaccess.models.inventory import address_key
from omaccess.sandbox.world import World, load_world
from tests.bench import bulk
from tests.bench.servers import WORLD
from tests.bench.sizes import GRANTS, REACH, SEARCHED, host_name
from tests.factories import IamCredentialFactory

PEOPLE, GROUPS, TEAMS = 200, 40, 200
CLIENTS = 16
"""People who may open everything, so that clients at the same time are different people."""
ACCOUNTS = ("root", "deploy", "ops")
_ENVIRONMENTS = ("prod", "stage", "test")


def fill(hosts: int, sandbox_url: str) -> dict[str, User]:
    """Everything in one transaction. Returns the people who are measured: who may open what, by name.

    `everything`, `by_hosts` (single-host grants), `by_label` (one grant), `nothing`, `admin`, `auditor`, `client-N`.
    """
    world = load_world(WORLD)
    with transaction.atomic():
        people = _people()
        instance = _instance(world, sandbox_url)
        _hosts(hosts, instance, world)
        _grants(hosts, people)
    bulk.settle(User, Host, Label, HostAccount, Grant, GrantLabel, GrantAccount)
    return people


def _people() -> dict[str, User]:
    named = ["everything", "by_hosts", "by_label", "nothing", "admin", "auditor"]
    named += [f"client-{number}" for number in range(CLIENTS)]
    users = {name: User(username=name, name=name.title(), password="!") for name in named}
    others = [User(username=f"person-{number:03}", name=f"Person {number}", password="!") for number in range(PEOPLE)]
    User.objects.bulk_create([*users.values(), *others])
    groups = Group.objects.bulk_create(Group(name=f"team {number}") for number in range(GROUPS))
    for number, user in enumerate(others):
        user.groups.set([groups[number % GROUPS], groups[(number * 7 + 3) % GROUPS]])
    Group.objects.get(name=ADMINS).user_set.add(users["admin"])
    Group.objects.get(name=AUDITORS).user_set.add(users["auditor"])
    # Everybody is in some group, as in a real company; this one grants nothing.
    Group.objects.create(name="everybody").user_set.add(*users.values())
    return users


def _instance(world: World, url: str) -> BastionInstance:
    known, user = world.instances[0], world.users[0]
    credential: IamCredential = IamCredentialFactory(
        name=user.name, iam_endpoint=url, account_name=user.account, user_name=user.name, secret=user.password
    )
    instance = BastionInstance.objects.create(
        name=known.name,
        region=known.project,
        project_id=world.project_of(known).id,
        server_id=known.server_id,
        endpoint=url,
        credential=credential,
    )
    LoginAddress.objects.create(instance=instance, origin=url)
    return instance


def _hosts(number: int, instance: BastionInstance, world: World) -> None:
    """Host 1 is the one that the sandbox knows; the others have names and addresses as they come."""
    known = world.hosts[0]

    def host(pk: int) -> Host:
        address = known.address if pk == 1 else f"10.{64 + pk // 65536}.{pk // 256 % 256}.{pk % 256}"
        name = known.name if pk == 1 else host_name(pk)
        return Host(
            pk=pk, instance=instance, name=name, address=address, address_key=address_key(address), owner="Shop team"
        )

    ids = range(1, number + 1)
    bulk.insert(Host, map(host, ids))
    label_ids = itertools.count(1)
    bulk.insert(
        Label,
        (
            Label(pk=next(label_ids), host_id=pk, key=key, value=value)
            for pk in ids
            for key, value in _labels(pk, number)
        ),
    )
    account_ids = itertools.count(1)
    bulk.insert(
        HostAccount,
        (
            HostAccount(pk=next(account_ids), host_id=pk, name=name, is_privileged=name == "root")
            for pk in ids
            for name in ACCOUNTS
        ),
    )


def _labels(pk: int, hosts: int) -> Iterator[tuple[str, str]]:
    yield "env", _ENVIRONMENTS[pk % 3]
    yield "team", f"team-{pk % TEAMS}"
    if pk in reached(hosts):
        yield "squad", "ours"


@functools.cache
def reached(hosts: int) -> frozenset[int]:
    """The hosts that `by_hosts` and `by_label` may open: host 1, those that SEARCHED finds, others spread over all."""
    searched = [pk for pk in range(1, min(hosts, 99) + 1) if host_name(pk).startswith(SEARCHED)]
    spread = range(1, hosts + 1, max(1, hosts // REACH))
    return frozenset(list(dict.fromkeys([1, *searched, *spread]))[:REACH])


def _grants(hosts: int, people: dict[str, User]) -> None:
    clients = [user for name, user in people.items() if name == "everything" or name.startswith("client-")]
    subjects = _subjects()
    grants: list[Grant] = []
    labels: list[GrantLabel] = []
    names: list[GrantAccount] = []
    ids = itertools.count(1)

    def grant(**values: object) -> Grant:
        values = {"valid_from": timezone.now() - dt.timedelta(days=7), "every_account": True, **values}
        grants.append(Grant(pk=next(ids), **values))
        return grants[-1]

    def clause(of: Grant, key: str, value: str) -> None:
        labels.append(GrantLabel(pk=len(labels) + 1, grant=of, key=key, value=value))

    for user in clients:
        grant(user=user, target=Grant.Target.ALL)
    for pk in sorted(reached(hosts)):
        grant(user=people["by_hosts"], target=Grant.Target.HOST, host_id=pk)
    clause(grant(user=people["by_label"], target=Grant.Target.LABELS), "squad", "ours")
    for number in range(GRANTS - len(grants)):
        by_host = number % 10 < 7
        target = {"target": Grant.Target.HOST, "host_id": number * 37 % hosts + 1} if by_host else {"target": "labels"}
        made = grant(**next(subjects), **target, every_account=number % 2 == 0)
        if not by_host:
            clause(made, "team", f"team-{number % TEAMS}")
            clause(made, "env", _ENVIRONMENTS[number % 3])
        if number % 2:
            names.append(GrantAccount(pk=len(names) + 1, grant=made, name=ACCOUNTS[number % 3]))
    _insert_grants(grants, labels, names)


def _insert_grants(grants: Iterable[Grant], labels: Iterable[GrantLabel], names: Iterable[GrantAccount]) -> None:
    bulk.insert(Grant, grants)
    bulk.insert(GrantLabel, labels)
    bulk.insert(GrantAccount, names)


def _subjects() -> Iterator[dict[str, object]]:
    """Two grants for one person, then one for a group, and so on."""
    people = itertools.cycle(User.objects.filter(username__startswith="person-"))
    groups = itertools.cycle(Group.objects.filter(name__startswith="team "))
    while True:
        yield {"user": next(people)}
        yield {"user": next(people)}
        yield {"group": next(groups)}
