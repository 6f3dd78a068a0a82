"""The test world as rows of the portal: what the sandbox knows and what the portal believes agree."""

from __future__ import annotations

from dataclasses import dataclass, field

from accounts.models import User
from omaccess.models import BastionInstance, Grant, Host, HostAccount, IamCredential, Label, LoginAddress
from omaccess.sandbox.world import World
from tests.factories import GrantFactory, IamCredentialFactory, UserFactory


@dataclass
class Inventory:
    """`staff` may open everything in it."""

    staff: User
    grant: Grant
    credentials: dict[str, IamCredential] = field(default_factory=dict)
    instances: dict[str, BastionInstance] = field(default_factory=dict)
    hosts: dict[str, Host] = field(default_factory=dict)

    def account(self, name: str, host: str = "web-01") -> HostAccount:
        """For example `account("root")`, `account("root", "legacy")`."""
        return HostAccount.objects.get(host=self.hosts[host], name=name)

    @property
    def root(self) -> HostAccount:
        """An account that opens."""
        return self.account("root")


def load(world: World, url: str) -> Inventory:
    """Make the rows for a world whose sandbox answers at `url`."""
    staff = UserFactory(username="staff")
    inventory = Inventory(staff=staff, grant=GrantFactory(user=staff, everything=True))
    for user in world.users:
        inventory.credentials[user.name] = IamCredentialFactory(
            name=user.name,
            iam_endpoint=url,
            account_name=user.account,
            user_name=user.name,
            secret=user.password,
        )
    for known in world.instances:
        instance = BastionInstance.objects.create(
            name=known.name,
            region=known.project,
            project_name=known.project,
            server_id=known.server_id,
            endpoint=url,
            credential=inventory.credentials[known.launch_user],
            help_text="Nothing there? Ask the bastion team.",
        )
        LoginAddress.objects.create(instance=instance, origin=url)
        inventory.instances[known.name] = instance
    for known_host in world.hosts:
        host = Host.objects.create(
            instance=inventory.instances[known_host.instance],
            name=known_host.name,
            address=known_host.address,
            owner=known_host.owner,
            contact=known_host.contact,
        )
        inventory.hosts[known_host.name] = host
        for key, value in known_host.labels.items():
            Label.objects.create(host=host, key=key, value=value)
        for account in known_host.accounts:
            HostAccount.objects.create(host=host, name=account.name, is_privileged=account.privileged)
    return inventory
