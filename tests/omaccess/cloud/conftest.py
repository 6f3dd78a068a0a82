"""Servers and transports for these tests; all of them end with the test."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from omaccess.cloud.endpoints import EndpointRules
from omaccess.cloud.http import CloudTransport
from tests.omaccess.cloud.wire import Authority, Reply, Wire

StartWire = Callable[..., Wire]
MakeTransport = Callable[..., CloudTransport]


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def server_tls(authority: Authority) -> ssl.SSLContext:
    return authority.server("127.0.0.1")


@pytest.fixture
def start_wire() -> Iterator[StartWire]:
    """Start a server that plays the given replies."""
    with ExitStack() as stack:

        def start(*replies: Reply, **options: Any) -> Wire:
            return stack.enter_context(Wire(list(replies), **options))

        yield start


@pytest.fixture
def make_transport(authority: Authority) -> Iterator[MakeTransport]:
    """A transport that may speak http to loopback and https to `wires`, and trusts the test's authority only.

    `ca_bundle=None` makes it trust the public authorities instead, as in production.
    """
    with ExitStack() as stack:

        def make(*wires: Wire, **options: Any) -> CloudTransport:
            rules = EndpointRules([wire.url for wire in wires], allow_http_loopback=True)
            transport = CloudTransport(rules, **{"ca_bundle": str(authority.bundle), **options})
            stack.callback(transport.close)
            return transport

        yield make


@pytest.fixture
def transport(make_transport: MakeTransport) -> CloudTransport:
    return make_transport()
