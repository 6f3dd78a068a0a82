"""What the vendor's client finds out by itself while it is built."""

from __future__ import annotations

import pytest

from omaccess.sandbox.server import SandboxServer
from tests.contract.asking import VENDORS_CLOCK
from tests.contract.plain import PlainCloud
from tests.contract.quiet import expect
from tests.contract.target import Target
from tests.contract.vendor import Refusal, cbh_client, iam_client, refusal_of

pytestmark = VENDORS_CLOCK


def discover(target: Target, region: str) -> str | None:
    """Build a client by region, without a project; the project it found."""
    with cbh_client(target, project_id=None, region=region) as client:
        return client.project_id


def test_the_project_is_found_by_the_regions_name(target: Target, project_id: str) -> None:
    expect(discover(target, target.region) == project_id, "the found project is the token's")


def test_a_client_that_found_its_project_is_answered(target: Target) -> None:
    with cbh_client(target, project_id=None, region=target.region) as client:
        answer = client.om_url(
            server_id=target.server_id,
            ip_address=target.unmanaged_address,
            host_account_name=target.host_account,
        )

    expect(answer.state == "HOST_NOT_MANAGE", "the found project is accepted", state=answer.state)


def test_the_account_is_found_for_global_credentials(target: Target, plain: PlainCloud) -> None:
    of_the_token = plain.sign_in(target.person).body["token"]["user"]["domain"]["id"]

    with iam_client(target, discover_domain=True) as client:
        found = client.domain_id
        token = client.token(target.person, project_name=target.region)

    expect(found == of_the_token, "the found account is the token's")
    expect(token.status == 201, "a call that names the account is answered", status=token.status)


def test_a_region_without_a_project_is_the_clients_own_error(target: Target) -> None:
    refusal = refusal_of(lambda: discover(target, "nowhere-north-1"))

    words = str(refusal.message)
    expect(refusal.kind == "SdkException", "the client refuses by itself", kind=refusal.kind)
    expect(words.startswith("Failed to get project id of region 'nowhere-north-1'"), "it names the region")
    expect("X-IAM-Trace-Id=None" not in words, "it quotes IAM's trace id")


@pytest.mark.sandbox_only("project names are unique in a real account")
def test_several_projects_are_the_clients_own_error(target: Target, lab: SandboxServer) -> None:
    lab.control.add_fault("iam.projects", merge={"projects": [{"id": "one"}, {"id": "two"}]})

    refusal = refusal_of(lambda: discover(target, target.region))

    assert refusal.kind == "SdkException"
    assert str(refusal.message).startswith("Multiple project ids found: [one,two], X-IAM-Trace-Id=")


@pytest.mark.sandbox_only("a real service does not count our calls")
def test_a_client_that_was_given_everything_discovers_nothing(
    target: Target, project_id: str, lab: SandboxServer
) -> None:
    with cbh_client(target, project_id=project_id) as client:
        client.om_url(server_id=target.server_id, ip_address=target.address, host_account_name=target.host_account)

    received = lab.control.counters()
    assert (received["iam.projects"], received["iam.domains"], received["cbh.om_url"]) == (0, 0, 1)


@pytest.mark.sandbox_only("a real service does not show the headers it received")
def test_discoveries_come_without_content_type_and_ids(target: Target, lab: SandboxServer) -> None:
    discover(target, target.region)
    with iam_client(target, discover_domain=True):
        pass

    for call in ("iam.projects", "iam.domains"):
        (record,) = lab.control.calls(call)
        names = {name.lower() for name in record.headers}
        assert "x-sdk-date" in names
        assert names.isdisjoint({"content-type", "x-project-id", "x-domain-id"})


@pytest.mark.sandbox_only("it needs an answer that IAM does not give")
def test_a_refused_discovery_is_the_clients_own_error(target: Target, lab: SandboxServer) -> None:
    lab.control.add_fault(
        "iam.projects", status=403, envelope="error_msg", code="IAM.0003", message="Policy doesn't allow it."
    )

    refusal: Refusal = refusal_of(lambda: discover(target, target.region))

    assert refusal.kind == "SdkException"
    assert "error_code:IAM.0003" in str(refusal.message)


@pytest.mark.sandbox_only("which answer the real service gives is not documented")
def test_a_client_without_project_or_region_is_told_so(target: Target) -> None:
    with cbh_client(target, project_id=None) as client:
        refusal = refusal_of(lambda: client.status(target.server_id))

    assert refusal.status == 400
    assert "CBH.10020001" in str(refusal.message)
