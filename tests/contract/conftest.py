"""One set of fixtures for both clouds: the sandbox in every run, a real account when the runner names one."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from omaccess.cloud.types import IamToken
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import load_world
from tests.contract import sandboxes
from tests.contract.ours import OurCloud, origin_of, our_cloud
from tests.contract.plain import PlainCloud
from tests.contract.real import MARKER, REAL_TARGET
from tests.contract.target import Target
from tests.contract.vendor import VendorCbh, VendorIam, cbh_client, iam_client

WORLD = Path(__file__).parent / "world.toml"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", MARKER)


@pytest.fixture(scope="session")
def _contract_server() -> Iterator[SandboxServer]:
    with SandboxServer(load_world(WORLD), control_token=secrets.token_urlsafe(16)) as server:
        yield server


@pytest.fixture(scope="session")
def target(request: pytest.FixtureRequest) -> Target:
    """The cloud under test."""
    real = request.config.stash.get(REAL_TARGET, None)
    if real is not None:
        return real
    server: SandboxServer = request.getfixturevalue("_contract_server")
    return sandboxes.target_of(server)


@pytest.fixture(autouse=True)
def _as_new(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every test meets a sandbox without faults, locks, tokens or a moved clock."""
    if request.config.stash.get(REAL_TARGET, None) is not None:
        yield
        return
    server: SandboxServer = request.getfixturevalue("_contract_server")
    server.control.reset()
    yield
    server.control.clear_faults()
    server.control.reset()


@pytest.fixture
def lab(_contract_server: SandboxServer) -> SandboxServer:
    """The sandbox itself, to steer it. For tests marked `sandbox_only`."""
    return _contract_server


@pytest.fixture(scope="session")
def project_id(target: Target) -> str:
    """The project of the region: as given, else as a token says."""
    if target.project_id:
        return target.project_id
    with PlainCloud(target) as plain:
        return plain.token()[1]


@pytest.fixture
def plain(target: Target) -> Iterator[PlainCloud]:
    with PlainCloud(target) as cloud:
        yield cloud


@pytest.fixture
def vendor(target: Target, project_id: str) -> Iterator[VendorCbh]:
    """The vendor's CBH client, with everything given, so that it discovers nothing."""
    with cbh_client(target, project_id=project_id) as client:
        yield client


@pytest.fixture
def vendor_iam(target: Target) -> Iterator[VendorIam]:
    with iam_client(target) as client:
        yield client


@pytest.fixture
def ours(target: Target) -> Iterator[OurCloud]:
    with our_cloud(target) as cloud:
        yield cloud


@pytest.fixture
def our_token(ours: OurCloud) -> IamToken:
    return ours.token()


@pytest.fixture
def link_origin(target: Target, vendor: VendorCbh) -> str:
    """Where this cloud's links lead, as scheme://host[:port], learnt from the vendor's client."""
    link = vendor.om_url(
        server_id=target.server_id, ip_address=target.address, host_account_name=target.host_account
    ).login_url
    return origin_of(link or "")
