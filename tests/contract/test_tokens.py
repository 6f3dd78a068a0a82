"""Tokens by password: through the vendor's IAM client, over plain HTTP and through ours."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from omaccess.cloud.errors import (
    AccountLocked,
    CloudError,
    CloudForbidden,
    ConsoleOnlyUser,
    CredentialRejected,
    OmUrlRefused,
    UserDisabled,
)
from omaccess.cloud.iam import parse_moment
from omaccess.cloud.types import OmUrlState
from omaccess.sandbox.server import SandboxServer
from tests.contract.asking import VENDORS_CLOCK, opening
from tests.contract.ours import OurCloud
from tests.contract.plain import PlainCloud
from tests.contract.quiet import Broken, expect
from tests.contract.target import Person, Target
from tests.contract.vendor import VendorIam, refusal_of

pytestmark = VENDORS_CLOCK

DAY = timedelta(hours=24)
SLACK = timedelta(minutes=20)  # the clocks of a cloud and of this machine may differ


def refused_by_us(ours: OurCloud, person: Person) -> CloudError:
    """Our client's error for a person who gets no token."""
    try:
        ours.token(person)
    except CloudError as error:
        return error
    raise Broken("our client was given a token")


def lasts_a_day(expires_at: object) -> bool:
    moment = parse_moment(expires_at)
    return moment is not None and abs(moment - datetime.now(UTC) - DAY) < SLACK


def test_the_vendors_client_gets_a_token_of_the_regions_project(
    target: Target, project_id: str, vendor_iam: VendorIam
) -> None:
    token = vendor_iam.token(target.person, project_name=target.region)

    expect(token.status == 201, "a token comes with 201", status=token.status)
    expect(len(token.value or "") > 100, "the token is in X-Subject-Token", length=len(token.value or ""))
    expect(lasts_a_day(token.expires_at), "the token lasts 24 hours", expires_at=token.expires_at)
    expect(token.project_id == project_id, "the token is for the region's project")
    expect(token.project_name == target.region, "the built-in project is named like the region")
    expect(token.user_name == target.person.name, "the token names its user")
    expect(token.account == target.person.account, "the token names its account")
    expect(token.methods == ("password",), "the token was got by password")
    expect(not token.has_catalog, "nocatalog leaves the catalog out")


def test_a_token_without_nocatalog_brings_the_catalog(target: Target, vendor_iam: VendorIam) -> None:
    token = vendor_iam.token(target.person, project_name=target.region, nocatalog=None)

    expect(token.has_catalog, "the catalog is in the body")


def test_plain_http_and_our_client_get_tokens_of_the_same_project(
    target: Target, project_id: str, plain: PlainCloud, ours: OurCloud
) -> None:
    reply, token = plain.sign_in(target.person), ours.token()

    details = reply.body["token"]
    expect(reply.status == 201, "a token comes with 201", status=reply.status)
    expect(details["project"]["id"] == token.project_id == project_id, "both are for the region's project")
    expect(token.project_name == details["project"]["name"], "both name the project alike")
    expect(token.user_id == details["user"]["id"], "both are of the same user")
    expect(lasts_a_day(details["expires_at"]), "the token lasts 24 hours", expires_at=details["expires_at"])
    expect(abs(token.expires_at - datetime.now(UTC) - DAY) < SLACK, "our client reads the same life")


def test_a_new_token_does_not_end_an_earlier_one(target: Target, ours: OurCloud) -> None:
    earlier = ours.token()
    later = ours.token()

    expect(earlier.value != later.value, "each exchange gives another token")
    for token in (later, earlier):
        with pytest.raises(OmUrlRefused) as refused:
            ours.om_url(token, address=target.unmanaged_address)
        expect(refused.value.state is OmUrlState.HOST_NOT_MANAGE, "the token still works")


def test_a_token_that_the_vendors_client_got_works_in_ours(
    target: Target, vendor_iam: VendorIam, ours: OurCloud
) -> None:
    theirs = vendor_iam.token(target.person, project_name=target.region)

    with pytest.raises(OmUrlRefused) as refused:
        ours.om_url(ours.token(), token_value=theirs.value, address=target.unmanaged_address)
    expect(refused.value.state is OmUrlState.HOST_NOT_MANAGE, "CBH accepts the token")


def test_an_unknown_user_is_refused_alike_by_both_clients(
    target: Target, vendor_iam: VendorIam, plain: PlainCloud, ours: OurCloud
) -> None:
    nobody = Person(account=target.person.account, name=target.missing_account, password="not-a-password-1")

    theirs = refusal_of(lambda: vendor_iam.token(nobody, project_name=target.region))
    reply, error = plain.sign_in(nobody), refused_by_us(ours, nobody)

    expect(theirs.status == 401, "the vendor's client says 401", status=theirs.status)
    expect(reply.status == 401, "the answer is 401", status=reply.status)
    expect("X-Subject-Token" not in reply.headers, "no token comes with a refusal")
    expect(type(error) is CredentialRejected, "ours says CredentialRejected", said=type(error).__name__)
    expect(theirs.request_id != "", "the vendor's client finds a request id")


def test_a_wrong_password_is_refused_like_an_unknown_user(target: Target, plain: PlainCloud, ours: OurCloud) -> None:
    if not target.lockable_user:
        pytest.skip("VERIFY_CLOUD_LOCKABLE_USER is not given: a wrong password may lock a user")
    person = Person(account=target.person.account, name=target.lockable_user, password="not-the-password-1")
    nobody = Person(account=target.person.account, name=target.missing_account, password="not-a-password-1")

    wrong, unknown = plain.sign_in(person), plain.sign_in(nobody)
    error = refused_by_us(ours, person)

    expect(wrong.status == 401, "the answer is 401", status=wrong.status)
    expect(wrong.body == unknown.body, "the body does not tell whether the user exists")
    expect(isinstance(error, CredentialRejected), "ours says CredentialRejected", said=type(error).__name__)


@pytest.mark.sandbox_only("the vendor's client adds an attempt that a real policy may count")
def test_the_vendors_client_reads_a_wrong_password_as_code_401(target: Target, vendor_iam: VendorIam) -> None:
    person = Person(account=target.person.account, name=target.lockable_user, password="not-the-password-1")

    refusal = refusal_of(lambda: vendor_iam.token(person, project_name=target.region))

    assert (refusal.kind, refusal.status) == ("ClientRequestException", 401)
    assert refusal.code == 401  # a number: the envelope is IAM's `error` object
    assert refusal.message == "The username or password is wrong."


def test_a_disabled_user_gets_no_token(target: Target, vendor_iam: VendorIam, ours: OurCloud) -> None:
    person = target.disabled_person
    if person is None:
        pytest.skip("VERIFY_CLOUD_DISABLED_USER is not given")

    theirs = refusal_of(lambda: vendor_iam.token(person, project_name=target.region))
    error = refused_by_us(ours, person)

    expect(theirs.status in (401, 403), "the vendor's client is refused", status=theirs.status)
    expect(isinstance(error, CloudForbidden | CredentialRejected), "ours is refused", said=type(error).__name__)
    expect(error.status == theirs.status, "both read the same status", ours=error.status, vendor=theirs.status)
    if target.is_sandbox:
        assert theirs.code == "IAM.0082"
        assert type(error) is UserDisabled


def test_a_user_for_the_console_only_gets_no_token(target: Target, vendor_iam: VendorIam, ours: OurCloud) -> None:
    person = target.console_person
    if person is None:
        pytest.skip("VERIFY_CLOUD_CONSOLE_USER is not given")

    theirs = refusal_of(lambda: vendor_iam.token(person, project_name=target.region))
    error = refused_by_us(ours, person)

    expect(theirs.status == 403, "the vendor's client says 403", status=theirs.status)
    expect(theirs.code == "IAM.0081", "the code is IAM.0081", code=theirs.code)
    expect(type(error) is ConsoleOnlyUser, "ours says ConsoleOnlyUser", said=type(error).__name__)


@pytest.mark.sandbox_only("it would lock somebody")
def test_after_too_many_wrong_passwords_both_clients_see_a_locked_user(
    target: Target, vendor_iam: VendorIam, ours: OurCloud
) -> None:
    wrong = Person(account=target.person.account, name=target.person.name, password="not-the-password-1")
    for _ in range(5):
        refused_by_us(ours, wrong)

    theirs = refusal_of(lambda: vendor_iam.token(target.person, project_name=target.region))
    error = refused_by_us(ours, target.person)

    assert (theirs.status, theirs.code) == (401, "IAM.0061")
    assert type(error) is AccountLocked


@pytest.mark.sandbox_only("a real token cannot be made to expire")
def test_an_expired_token_opens_nothing(target: Target, lab: SandboxServer, plain: PlainCloud, project_id: str) -> None:
    token, _ = plain.token()
    lab.control.advance_clock(DAY.total_seconds() + 1)

    reply = plain.om_url(token, project_id, opening(target))

    assert reply.status == 401
    assert reply.body["error_code"] == "APIGW.0301"
