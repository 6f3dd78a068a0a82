"""The clouds of the soak: two sandboxes with one IAM user each, their weather, and the rows that lead to them."""

from __future__ import annotations

import dataclasses
import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from omaccess.models import BastionInstance, Host, HostAccount, IamCredential, LoginAddress
from omaccess.sandbox.callbook import CallBook, CallRecord
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import World, load_world
from tests.factories import IamCredentialFactory

WORLD = Path(__file__).parent.parent / "world.toml"
TOKEN_SECONDS = 8.0
"""Tokens that do not last, so that many an exchange is under way when a process dies."""

_WEATHER: tuple[tuple[str, dict[str, object]], ...] = (
    ("iam.token", {"latency_seconds": 0.1}),
    ("iam.token", {"latency_seconds": 0.4}),
    ("iam.token", {"drop": "before"}),
    ("iam.token", {"drop": "after"}),
    ("iam.token", {"drop": "mid_body"}),
    ("iam.token", {"status": 503}),
    ("cbh.om_url", {"latency_seconds": 0.05}),
    ("cbh.om_url", {"latency_seconds": 0.3}),
    ("cbh.om_url", {"drop": "before"}),
    ("cbh.om_url", {"drop": "after"}),
    ("cbh.om_url", {"drop": "mid_headers"}),
    ("cbh.om_url", {"status": 500}),
    ("cbh.om_url", {"status": 429, "retry_after": "1"}),
    ("cbh.om_url", {"body": "no JSON"}),
    ("cbh.om_url", {"state": "INS_WHITE_LIST_INITIALIZING"}),
    ("cbh.om_url", {"state": "INS_WHITE_LIST_INITIALIZING"}),
    ("cbh.om_url", {"login_url": "foreign_origin"}),
)
_MOST_PENDING = 4
_ESTABLISHED = "01"


class ExchangeBook(CallBook):
    """Knows how many exchanges were under way at once, as their clients see it.

    A cloud goes on with a call whose client has died or has run out of time; the next exchange may come meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.most_exchanges = 0
        self._clients: set[int] = set()
        self._clients_lock = threading.Lock()

    @contextmanager
    def arriving(self, record: CallRecord) -> Iterator[None]:
        if record.call != "iam.token":
            with super().arriving(record):
                yield
            return
        client = int(record.connection)
        with self._clients_lock:
            self._clients.add(client)
            self.most_exchanges = max(self.most_exchanges, len(self._clients & connected_ports()))
        try:
            with super().arriving(record):
                yield
        finally:
            with self._clients_lock:
                self._clients.discard(client)


def connected_ports() -> set[int]:
    """The local ports of this machine's connections whose own end is open."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines()[1:]]
    return {int(row[1].partition(":")[2], 16) for row in rows if row[3] == _ESTABLISHED}


@dataclass(frozen=True)
class Clouds:
    servers: list[SandboxServer]
    books: list[ExchangeBook]
    accounts: list[HostAccount]
    """Those that open come first in each cloud's part, and more often than the rest."""

    def change_weather(self, chance: random.Random) -> None:
        """Something goes wrong in one of them for the next calls."""
        control = chance.choice(self.servers).control
        if len(control.pending_faults()) < _MOST_PENDING:
            call, fault = chance.choice(_WEATHER)
            control.add_fault(call, times=chance.randint(1, 3), **fault)

    def wait_for_a_call(self, call: str, chance: random.Random, seconds: float) -> None:
        """Until the next call of this kind arrives in one of them, or so many seconds are over."""
        control = chance.choice(self.servers).control
        control.wait(call, received=control.counters().get(call, 0) + 1, seconds=seconds)

    def settle(self) -> None:
        for server in self.servers:
            server.control.clear_faults()

    def exchanges(self) -> int:
        return sum(server.control.counters().get("iam.token", 0) for server in self.servers)

    def most_exchanges_at_once(self) -> int:
        """Per IAM user, of whom each cloud has one."""
        return max(book.most_exchanges for book in self.books)

    def lead_to(self, place: str) -> bool:
        """Whether this is an address of one of them, the root of which may go without its slash."""
        scheme, host = urlsplit(place)[:2]
        return f"{scheme}://{host}" in {server.url for server in self.servers}


@contextmanager
def clouds() -> Iterator[Clouds]:
    """Two clouds, and the portal's rows for them."""
    world = load_world(WORLD)
    world = dataclasses.replace(world, tokens=dataclasses.replace(world.tokens, lifetime_seconds=TOKEN_SECONDS))
    with ExitStack() as stack:
        servers = [stack.enter_context(SandboxServer(world)) for _number in range(2)]
        books = [ExchangeBook() for _server in servers]
        for server, book in zip(servers, books, strict=True):
            server.app.cloud.book = book
        accounts = [account for server in servers for account in _rows(world, server.url)]
        yield Clouds(servers, books, accounts)


def _rows(world: World, url: str) -> list[HostAccount]:
    """What the portal knows of the world that answers at this address; all of it by one IAM user."""
    user = world.users[0]
    credential = IamCredentialFactory(
        name=f"{user.name} at {url}",
        iam_endpoint=url,
        account_name=user.account,
        user_name=user.name,
        secret=user.password,
        purpose=IamCredential.Purpose.LAUNCH,
    )
    made = []
    for known in world.instances:
        instance = BastionInstance.objects.create(
            name=f"{known.name} at {url}",
            region=known.project,
            project_name=known.project,
            server_id=known.server_id,
            endpoint=url,
            credential=credential,
        )
        LoginAddress.objects.create(instance=instance, origin=url)
        for known_host in (host for host in world.hosts if host.instance == known.name):
            host = Host.objects.create(
                instance=instance, name=f"{known_host.name} at {url}", address=known_host.address
            )
            made += [HostAccount.objects.create(host=host, name=account.name) for account in known_host.accounts]
    return made
