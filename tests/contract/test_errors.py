"""Error bodies: what the vendor's client makes of each form, and that ours loses nothing of it."""

from __future__ import annotations

import json

import pytest

from omaccess.cloud.errors import CloudError, CloudThrottled
from omaccess.cloud.types import IamToken
from omaccess.sandbox.server import SandboxServer
from tests.contract.asking import VENDORS_CLOCK, opening
from tests.contract.ours import OurCloud
from tests.contract.target import Target
from tests.contract.vendor import VendorCbh, refusal_of

pytestmark = [VENDORS_CLOCK, pytest.mark.sandbox_only("a real cloud cannot be made to answer with a chosen error")]

CODE, WORDS = "CBH.10020009", "Request message format error"
READ_BY_BOTH = {
    "error_code and error_msg": {"error_code": CODE, "error_msg": WORDS},
    "errorCode and errorMsg": {"errorCode": CODE, "errorMsg": WORDS},
    "code and message": {"code": CODE, "message": WORDS},
    "nested in any object": {"fault": {"error_code": CODE, "error_msg": WORDS}},
    "the gateway's": {"error_msg": WORDS, "error_code": CODE, "request_id": "0" * 32},
}


def our_error(ours: OurCloud, token: IamToken) -> CloudError:
    """The error our client raises for get-om-url."""
    with pytest.raises(CloudError) as caught:
        ours.om_url(token)
    return caught.value


@pytest.mark.parametrize("form", READ_BY_BOTH)
def test_both_clients_read_code_and_words(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer, form: str
) -> None:
    lab.control.add_fault("cbh.om_url", times=2, status=400, body=json.dumps(READ_BY_BOTH[form]))

    theirs, mine = refusal_of(lambda: vendor.om_url(**opening(target))), our_error(ours, our_token)

    assert (theirs.kind, theirs.status, theirs.code, theirs.message) == ("ClientRequestException", 400, CODE, WORDS)
    assert (mine.status, mine.code, mine.description) == (400, CODE, WORDS)


def test_only_ours_reads_the_pair_that_the_reference_documents(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer
) -> None:
    lab.control.add_fault("cbh.om_url", times=2, status=403, envelope="cbh_doc", code="CBH.10020002", message="No.")

    theirs, mine = refusal_of(lambda: vendor.om_url(**opening(target))), our_error(ours, our_token)

    assert (theirs.status, theirs.code) == (403, "403")  # not recognised: the status as text, the whole body as words
    assert json.loads(str(theirs.message)) == {"error_code": "CBH.10020002", "error_description": "No."}
    assert (mine.status, mine.code, mine.description) == (403, "CBH.10020002", "No.")


def test_the_code_of_iams_error_object_is_a_number(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer
) -> None:
    lab.control.add_fault("cbh.om_url", times=2, status=401, envelope="keystone", message="Unauthorized.")

    theirs, mine = refusal_of(lambda: vendor.om_url(**opening(target))), our_error(ours, our_token)

    assert (theirs.status, theirs.code, theirs.message) == (401, 401, "Unauthorized.")
    assert (mine.status, mine.description) == (401, "Unauthorized.")


@pytest.mark.parametrize(("body", "kind"), [("<html>Bad gateway</html>", "text/html"), ("plain", "text/plain")])
def test_words_that_are_no_json_are_kept_whole(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer, body: str, kind: str
) -> None:  # fmt: skip
    lab.control.add_fault("cbh.om_url", times=2, status=400, body=body, content_type=kind)

    theirs, mine = refusal_of(lambda: vendor.om_url(**opening(target))), our_error(ours, our_token)

    assert (theirs.status, theirs.code, theirs.message) == (400, "400", body)
    assert (mine.status, mine.code, mine.description) == (400, "", body)


def test_an_error_without_a_body_has_its_status(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer
) -> None:
    lab.control.add_fault("cbh.om_url", times=2, status=404, body="")

    theirs, mine = refusal_of(lambda: vendor.om_url(**opening(target))), our_error(ours, our_token)

    assert (theirs.status, theirs.code, theirs.message) == (404, "404", "")
    assert mine.status == 404


def test_a_servers_error_is_another_kind(target: Target, vendor: VendorCbh, lab: SandboxServer) -> None:
    lab.control.add_fault("cbh.om_url", status=500, envelope="error_msg", code="CBH.10020000", message="Unknown error.")

    refusal = refusal_of(lambda: vendor.om_url(**opening(target)))

    assert (refusal.kind, refusal.status, refusal.code) == ("ServerResponseException", 500, "CBH.10020000")


def test_the_vendors_client_loses_the_body_of_429_and_ours_keeps_it(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer
) -> None:
    lab.control.add_fault(
        "cbh.om_url", times=2, status=429, envelope="gateway", code="APIGW.0308", message="Throttled.",
        retry_after="3600",
    )  # fmt: skip

    theirs, mine = refusal_of(lambda: vendor.om_url(**opening(target))), our_error(ours, our_token)

    assert (theirs.kind, theirs.status, theirs.code, theirs.request_id) == ("ClientRequestException", 429, "429", "")
    assert "Throttled." not in str(theirs.message)
    assert isinstance(mine, CloudThrottled)
    assert (mine.code, mine.description, mine.retry_after_seconds) == ("APIGW.0308", "Throttled.", 3600)


def test_the_request_id_is_the_headers_for_both(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken, lab: SandboxServer
) -> None:
    lab.control.add_fault(
        "cbh.om_url", times=2, status=403, headers={"X-Request-Id": "id-of-the-header"},
        body=json.dumps({"error_code": "APIGW.0302", "error_msg": "No.", "request_id": "id-of-the-body"}),
    )  # fmt: skip

    theirs, mine = refusal_of(lambda: vendor.om_url(**opening(target))), our_error(ours, our_token)

    assert theirs.request_id == mine.request_id == "id-of-the-header"


def test_the_sandboxs_own_refusal_of_a_parameter_has_the_documented_form(
    target: Target, vendor: VendorCbh, ours: OurCloud, our_token: IamToken
) -> None:
    theirs = refusal_of(lambda: vendor.om_url(**opening(target, host_account_name="x" * 65)))
    with pytest.raises(CloudError) as mine:
        ours.om_url(our_token, account="x" * 65)

    assert json.loads(str(theirs.message))["error_code"] == mine.value.code == "CBH.10020010"
    assert theirs.request_id != mine.value.request_id
