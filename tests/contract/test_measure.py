"""The measurement itself, where its answers are known: in the sandbox a link lasts 60 s and opens once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from omaccess.sandbox.server import SandboxServer
from tests.contract.links import Unreachable, forged, look
from tests.contract.measure import AGES, Measurement
from tests.contract.plain import PlainCloud
from tests.contract.quiet import Broken
from tests.contract.target import Target

pytestmark = pytest.mark.sandbox_only("tests the tool, not the cloud")


def measure(target: Target, lab: SandboxServer, *, minutes: float = 10) -> dict[str, str]:
    """All findings; waiting moves the sandbox's clock."""
    with PlainCloud(target) as cloud:
        measurement = Measurement(target, cloud, minutes=minutes, wait=lab.control.advance_clock)
        return {finding.question: finding.answer for finding in measurement.findings()}


def test_what_is_known_of_the_sandbox_is_found(target: Target, lab: SandboxServer) -> None:
    found = measure(target, lab)

    port = target.cbh_endpoint.rpartition(":")[2]
    form = found.pop("form of a link")
    assert form.startswith(f"http, IP address, port {port}, no path, parameters: cbhinfo; ")
    assert found == {
        "length of a token": "1224 characters",
        "two tokens of one user work side by side": "yes",
        "form of a successful state": "a name (SUCCESS)",
        "form of a refusing state": "a name (HOST_NOT_MANAGE)",
        "language of a description": "no X-Language: Chinese; zh-cn: Chinese; en-us: Chinese",
        "error body: missing parameter": "status 400: error_code, error_description (code CBH.10020010)",
        "error body: unknown instance": "status 404: error_code, error_description (code CBH.10027007)",
        "error body: bad token": "status 401: error_code, error_msg, request_id (code APIGW.0301)",
        "what a link shows": "status 200; a forged one status 410",
        "a used link works again": "no (status 410)",
        "a second link ends the first": "no",
        "life of a link": "works after 30 s; after 60 s no longer (status 410)",
    }


def test_the_time_given_limits_the_life_that_is_measured(target: Target, lab: SandboxServer) -> None:
    assert measure(target, lab, minutes=0)["life of a link"] == "works after 0 s; not measured longer"
    assert measure(target, lab, minutes=0.5)["life of a link"] == "works after 30 s; not measured longer"


def test_other_forms_are_recognised(target: Target, lab: SandboxServer) -> None:
    lab.control.add_fault("cbh.om_url", times=None, state_format="int", description="No.")

    found = measure(target, lab, minutes=0)

    assert found["form of a successful state"] == found["form of a refusing state"] == "a number"
    assert "en-us: ASCII, so probably English" in found["language of a description"]


def test_links_that_can_be_used_again_are_found_and_their_life_too(target: Target, lab: SandboxServer) -> None:
    lab.control.add_fault("om.page", times=1, status=200, body="<title>In</title>", content_type="text/html")
    lab.control.add_fault("om.page", times=1, status=302, body="", headers={"Location": "/login?reason=gone"})
    lab.control.add_fault("om.page", times=None, status=200, body="<title>In</title>", content_type="text/html")

    found = measure(target, lab, minutes=180)

    assert found["what a link shows"] == "status 200; a forged one status 302, a redirect"
    assert found["a used link works again"] == "yes"
    assert found["life of a link"] == f"works after {max(age for age in AGES if age <= 3600)} s; not measured longer"


def test_a_link_that_shows_the_same_as_a_forged_one_tells_nothing(target: Target, lab: SandboxServer) -> None:
    lab.control.add_fault("om.page", times=None, status=200, body="<title>App</title>", content_type="text/html")

    found = measure(target, lab)

    assert found["a used link works again"] == found["life of a link"] == "cannot be told from here"


def test_links_that_cannot_be_reached_are_not_measured(target: Target, lab: SandboxServer) -> None:
    lab.control.add_fault("om.page", times=None, drop="before")

    found = measure(target, lab)

    assert found["what a link shows"] == "nothing from this machine (RemoteDisconnected)"
    assert found["life of a link"] == "not measured"


def test_without_a_link_the_measurement_says_why_and_ends(target: Target, lab: SandboxServer) -> None:
    with pytest.raises(Broken, match="no link was given: status 200, state HOST_ACCOUNT_NOT_EXIST"):
        measure(replace(target, host_account=target.missing_account), lab)


def test_a_link_is_asked_for_only_over_https_or_from_this_machine() -> None:
    for link in ("http://192.0.2.9/?cbhinfo=x", "ftp://127.0.0.1/", "nothing", "https://[::1"):
        with pytest.raises(Unreachable) as caught:
            look(link)
        assert str(caught.value) == "ValueError"
        assert caught.value.__context__ is None


def test_a_forged_link_differs_in_one_character_of_its_secret() -> None:
    link = "https://192.0.2.9:443?cbhinfo=AAAABBBBAAAABBBB"

    other = forged(link)

    assert other.startswith("https://192.0.2.9:443?cbhinfo=")
    assert sum(before != after for before, after in zip(link, other, strict=True)) == 1
