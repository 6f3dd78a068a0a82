"""What the benchmark measures. Imported after Django is set up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import transaction
from django.test import Client
from django.utils import timezone

from accounts.models import User
from omaccess import audit, policies
from omaccess.actions import launches
from omaccess.meta import Meta
from omaccess.models import Host, HostAccount, Label
from omaccess.models.inventory import address_key
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import load_world
from tests import inventory as inventory_rows

Operations = dict[str, Callable[[], object]]
WORLD = inventory_rows.__file__.replace("inventory.py", "world.toml")


@contextmanager
def measures() -> Iterator[tuple[Callable[[int], None], Operations]]:
    """A function that grows the inventory to a number of hosts, and the operations to time, by name."""
    world = load_world(WORLD)
    with SandboxServer(world) as sandbox:
        inventory = inventory_rows.load(world, sandbox.url)
        staff, account = inventory.staff, inventory.root
        meta = _signed_in(staff)
        client = Client(headers={"host": "portal.example.com"})
        client.force_login(staff)

        def launch() -> None:
            result = launches.launch(account_id=account.pk, reason="", ticket="", once=None, by=staff, meta=meta)
            if result.url is None:
                raise RuntimeError(f"the launch was {result.launch.state}: {result.launch.cause}")

        def page(address: str) -> None:
            response = client.get(address)
            if response.status_code != 200:
                raise RuntimeError(f"{address} answers {response.status_code}")

        def record() -> None:
            with transaction.atomic():
                audit.record(audit.Kind.SIGNED_IN, by=staff, meta=meta)

        yield (
            lambda hosts: _grow(inventory, hosts),
            {
                "launch, token from the cache": launch,
                "decision for one account": lambda: policies.decide(account, user=staff, at=timezone.now()),
                "hosts list": lambda: page("/"),
                "search by the start of a name": lambda: page("/?q=bench-000"),
                "host page": lambda: page(f"/hosts/{account.host_id}/"),
                "one audit event": record,
            },
        )


def _signed_in(user: User) -> Meta:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return Meta(address="192.0.2.7", browser="Benchmark", request_id="bench", session_key=session.session_key or "")


def _grow(inventory: inventory_rows.Inventory, hosts: int) -> None:
    """Add hosts with two labels and two accounts each until there are so many."""
    instance = next(iter(inventory.instances.values()))
    addresses = [f"10.{200 + number // 65536}.{number // 256 % 256}.{number % 256}" for number in range(hosts)]
    made = Host.objects.bulk_create(
        Host(instance=instance, name=f"bench-{number:05}", address=addresses[number],
             address_key=address_key(addresses[number]))
        for number in range(Host.objects.count(), hosts)
    )  # fmt: skip
    Label.objects.bulk_create(
        Label(host=host, key=key, value=value)
        for host in made
        for key, value in (("env", "prod"), ("team", f"team-{host.pk % 20}"))
    )
    HostAccount.objects.bulk_create(HostAccount(host=host, name=name) for host in made for name in ("root", "deploy"))
