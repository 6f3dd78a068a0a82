"""get-om-url: the same verdicts for the vendor's client and for ours."""

from __future__ import annotations

from urllib.parse import parse_qs

import pytest

from omaccess.cloud.errors import CloudRequestRefused, OmUrlRefused, UnreadableAnswer
from omaccess.cloud.types import IamToken, OmUrlState
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import STATE_NUMBERS
from tests.contract.asking import VENDORS_CLOCK, opening
from tests.contract.ours import OurCloud, origin_of
from tests.contract.quiet import expect
from tests.contract.sandboxes import NEW_SERVER_ID, OLD_SERVER_ID
from tests.contract.target import Target
from tests.contract.vendor import VendorCbh, cbh_client, refusal_of

pytestmark = VENDORS_CLOCK

REFUSALS = sorted(set(STATE_NUMBERS) - {"SUCCESS"})
ODD_NAMES = ["two words", "a+b", "a/b", "CORP\\svc", "100%", "100%25", "x:y", "a&b=c#d?e", "~-_.", "jörg", "运维"]
NOT_THE_SERVICES = ("<html><body>Portal</body></html>", "", "   ", "[]", "null", '"text"')


def state_for_us(
    ours: OurCloud,
    token: IamToken,
    *,
    server_id: str | None = None,
    address: str | None = None,
    account: str | None = None,
) -> OmUrlState:
    """The state with which our client is refused."""
    with pytest.raises(OmUrlRefused) as refused:
        ours.om_url(token, server_id=server_id, address=address, account=account)
    return refused.value.state


def test_both_clients_are_given_a_link_to_the_same_address(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken
) -> None:
    theirs = vendor.om_url(**opening(target))
    origin = origin_of(theirs.login_url or "")
    link = ours.om_url(our_token, link_origins=(origin,))

    expect((theirs.status, theirs.state) == (200, "SUCCESS"), "it succeeds", state=theirs.state)
    expect(not theirs.description, "success needs no description")
    expect(link.origin == origin, "both links lead to the same address")
    expect(link.value != theirs.login_url, "each request gets a link of its own")
    expect(link.request_id != "", "the answer can be found again by its request id")


def test_a_host_that_no_bastion_manages_is_refused_to_both(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken
) -> None:
    theirs = vendor.om_url(**opening(target, ip_address=target.unmanaged_address))
    mine = state_for_us(ours, our_token, address=target.unmanaged_address)

    expect(theirs.status == 200, "a refusal comes with 200", status=theirs.status)
    expect(theirs.state == "HOST_NOT_MANAGE", "the state is a name", state=theirs.state)
    expect(bool(theirs.description), "a refusal is described")
    expect(not theirs.login_url, "no link comes with a refusal")
    expect(mine is OmUrlState.HOST_NOT_MANAGE, "ours reads the same", state=mine)


def test_an_account_that_the_host_does_not_have_is_refused_to_both(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken
) -> None:
    theirs = vendor.om_url(**opening(target, host_account_name=target.missing_account))
    mine = state_for_us(ours, our_token, account=target.missing_account)

    expect(theirs.state == "HOST_ACCOUNT_NOT_EXIST", "the state says so", state=theirs.state)
    expect(mine is OmUrlState.HOST_ACCOUNT_NOT_EXIST, "ours reads the same", state=mine)


def test_an_unknown_instance_is_an_error_for_both(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken
) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"

    theirs = refusal_of(lambda: vendor.om_url(**opening(target, server_id=unknown)))
    with pytest.raises(CloudRequestRefused) as mine:
        ours.om_url(our_token, server_id=unknown)

    expect(theirs.status in (400, 404), "the vendor's client is refused", status=theirs.status)
    expect(mine.value.status == theirs.status, "ours reads the same status", status=mine.value.status)


@pytest.mark.parametrize("missing", ["server_id", "ip_address", "host_account_name"])
def test_a_missing_parameter_is_refused_with_400(target: Target, vendor: VendorCbh, missing: str) -> None:
    query = opening(target)
    del query[missing]

    refusal = refusal_of(lambda: vendor.om_url(**query))

    expect(refusal.status == 400, "it is refused with 400", status=refusal.status)


@pytest.mark.sandbox_only("a real bastion is in one state")
@pytest.mark.parametrize(
    ("server_id", "address", "account", "state"),
    [
        ("", "", "ghost", "HOST_ACCOUNT_NOT_EXIST"),
        ("", "", "forbidden", "IAM_USER_NO_PERMISSION"),
        ("", "", "conflict", "IAM_USER_CONFLICT"),
        ("", "", "broken", "UNKNOWN_ERROR"),
        (OLD_SERVER_ID, "10.1.0.5", "root", "CUR_VERSION_NOT_SUPPORT_OPERATION"),
        (NEW_SERVER_ID, "10.2.0.5", "root", "INS_WHITE_LIST_INITIALIZING"),
    ],
)
def test_what_is_wrong_in_the_world_is_refused_alike_to_both(  # noqa: PLR0913, RUF100 - fixtures
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken,
    server_id: str, address: str, account: str, state: str,
) -> None:  # fmt: skip
    server_id, address = server_id or target.server_id, address or target.address

    theirs = vendor.om_url(server_id=server_id, ip_address=address, host_account_name=account)
    mine = state_for_us(ours, our_token, server_id=server_id, address=address, account=account)

    assert (theirs.status, theirs.state, mine) == (200, state, state)
    assert theirs.login_url is None


@pytest.mark.sandbox_only("the wire's form cannot be chosen in a real cloud")
@pytest.mark.parametrize("state", REFUSALS)
def test_every_state_is_read_alike_by_name_and_by_number(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer, state: str
) -> None:
    number = STATE_NUMBERS[state]
    for form, seen in (("name", state), ("int", str(number)), ("numeric_string", str(number))):
        lab.control.add_fault("cbh.om_url", times=2, state=state, state_format=form)

        theirs = vendor.om_url(**opening(target))

        assert (theirs.status, theirs.state) == (200, seen)  # the vendor's model turns numbers into texts
        assert state_for_us(ours, our_token) is OmUrlState(state)


@pytest.mark.sandbox_only("the wire's form cannot be chosen in a real cloud")
def test_success_as_a_number_opens_for_both(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer, link_origin: str
) -> None:
    lab.control.add_fault("cbh.om_url", times=2, state_format="int")

    theirs = vendor.om_url(**opening(target))
    link = ours.om_url(our_token, link_origins=(link_origin,))

    assert theirs.state == "0"
    assert origin_of(theirs.login_url or "") == link.origin == lab.url


@pytest.mark.sandbox_only("a real cloud says documented states")
def test_an_unknown_state_with_a_link_opens_nothing(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer
) -> None:
    lab.control.add_fault("cbh.om_url", times=2, custom_state="ALMOST_SUCCESS", merge={"more": {"unknown": 1}})

    theirs = vendor.om_url(**opening(target))

    assert theirs.state == "ALMOST_SUCCESS"
    assert state_for_us(ours, our_token) is OmUrlState.UNRECOGNISED


@pytest.mark.sandbox_only("a real cloud is not expected to answer so")
@pytest.mark.parametrize("body", NOT_THE_SERVICES)
def test_an_answer_that_is_none_is_a_model_of_nothing_for_them_and_an_error_for_us(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer, body: str
) -> None:
    lab.control.add_fault("cbh.om_url", times=2, body=body, content_type="text/html")

    theirs = vendor.om_url(**opening(target))

    assert (theirs.status, theirs.state, theirs.description, theirs.login_url) == (200, None, None, None)
    with pytest.raises(UnreadableAnswer):
        ours.om_url(our_token)


@pytest.mark.sandbox_only("a real host has few accounts")
@pytest.mark.parametrize("account", ODD_NAMES)
def test_odd_names_of_accounts_arrive_intact_from_both_clients(  # noqa: PLR0913, RUF100 - fixtures
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer, account: str
) -> None:
    theirs = vendor.om_url(**opening(target, host_account_name=account))
    ours.om_url(our_token, account=account, link_origins=(lab.url,))

    first, second = lab.control.calls("cbh.om_url")
    assert theirs.state == "SUCCESS"
    assert first.query == second.query  # down to order and percent-encoding
    assert parse_qs(first.query)["host_account_name"] == [account]


@pytest.mark.sandbox_only("a real bastion need not have such a host")
@pytest.mark.parametrize("address", ["2001:db8::15", "2001:DB8:0:0::15"])
def test_an_ipv6_address_arrives_from_both_clients(  # noqa: PLR0913, RUF100 - fixtures
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer, address: str
) -> None:
    theirs = vendor.om_url(**opening(target, ip_address=address))
    link = ours.om_url(our_token, address=address, link_origins=(lab.url,))

    first, second = lab.control.calls("cbh.om_url")
    assert theirs.state == "SUCCESS"
    assert link.origin == lab.url
    assert first.query == second.query
    assert parse_qs(first.query)["ip_address"] == [address]


@pytest.mark.sandbox_only("which answer a real gateway gives is not documented")
def test_another_accounts_project_is_refused(target: Target) -> None:
    with cbh_client(target, project_id="f" * 32) as client:
        refusal = refusal_of(lambda: client.om_url(**opening(target)))

    assert refusal.status == 400
    assert "CBH.10020001" in str(refusal.message)
