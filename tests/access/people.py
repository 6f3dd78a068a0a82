"""Everybody who may knock: one browser for each kind of person, and rows of everybody's own."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from accounts.models import ADMINS, AUDITORS, User
from omaccess.models import HostAccount, Launch
from tests.factories import GrantFactory, UserFactory
from tests.inventory import Inventory

PEOPLE = ("anonymous", "staff", "colleague", "auditor", "admin", "superuser")
"""The order of the table's columns. `staff` may open web-01 and launched it; `colleague` may open `legacy` only."""


@dataclass
class People:
    users: dict[str, User]
    clients: dict[str, Client]

    def __getitem__(self, name: str) -> Client:
        return self.clients[name]


def gather(inventory: Inventory) -> People:
    inventory.grant.delete()
    GrantFactory(user=inventory.staff, host=inventory.root.host)
    users: dict[str, User] = {
        "staff": inventory.staff,
        "colleague": UserFactory(username="colleague"),
        "auditor": UserFactory(username="auditor", groups=[Group.objects.get(name=AUDITORS)]),
        "admin": UserFactory(username="admin", groups=[Group.objects.get(name=ADMINS)]),
        "superuser": UserFactory(username="superuser", is_superuser=True),
        "disabled": UserFactory(username="disabled", is_superuser=True, groups=[Group.objects.get(name=ADMINS)]),
    }
    GrantFactory(user=users["colleague"], host=inventory.hosts["legacy"])
    clients = {"anonymous": Client()} | {name: browser(user) for name, user in users.items()}
    # After the sign-in: the session is there still, and whole.
    User.objects.filter(username="disabled").update(is_active=False)
    return People(users, clients)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def launched(user: User, account: HostAccount, reference: str, state: str = "opened") -> Launch:
    return Launch.objects.create(
        reference=reference,
        user=user,
        account=account,
        state=state,
        user_name=user.username,
        host_name=account.host.name,
        host_address=account.host.address,
        account_name=account.name,
        instance_name=account.host.instance.name,
        attempted_at=timezone.now(),
        ended_at=None if state == "waiting" else timezone.now(),
    )
