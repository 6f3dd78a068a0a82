"""The list of instances and the other calls about an instance, as the vendor's models read them."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

import pytest

from omaccess.cloud.types import IamToken
from omaccess.sandbox.server import SandboxServer
from tests.contract.asking import VENDORS_CLOCK, if_permitted
from tests.contract.ours import OurCloud
from tests.contract.quiet import expect
from tests.contract.sandboxes import NEW_SERVER_ID
from tests.contract.target import Target
from tests.contract.vendor import VendorCbh, refusal_of

pytestmark = VENDORS_CLOCK

TEXTS = ("name", "server_id", "instance_id", "created_time", "update", "bastion_version")
GROUPS = {
    "az_info": ("region", "zone", "availability_zone_display"),
    "status_info": ("status", "task_status", "instance_status"),
    "resource_info": ("specification", "resource_id"),
    "network": ("private_ip", "vpc_id", "subnet_id", "security_group_id"),
}
STATUSES = {
    "POWERING_ON", "POWERING_OFF", "DELETE_WAITE", "REBOOTING", "RESIZE", "UPGRADING", "FROZEN", "ACTIVE",
}  # fmt: skip


@pytest.fixture
def listed(target: Target, vendor: VendorCbh) -> dict[str, Any]:
    """The whole list."""
    return if_permitted(target, lambda: vendor.instances())


def test_the_list_counts_and_holds_the_instance(target: Target, listed: dict[str, Any]) -> None:
    expect(listed["total"] == len(listed["instance"]), "total counts them", total=listed["total"])
    ids = [instance["server_id"] for instance in listed["instance"]]
    expect(target.server_id in ids, "the instance is in the list")


def test_the_fields_of_an_instance_have_the_models_types(listed: dict[str, Any]) -> None:
    for instance in listed["instance"]:
        for name in TEXTS:
            expect(isinstance(instance[name], str), f"{name} is a text", kind=type(instance[name]).__name__)
        expect(isinstance(instance["alter_permit"], bool), "alter_permit is true or false")
        for group, names in GROUPS.items():
            for name in names:
                expect(isinstance(instance[group][name], str), f"{group}.{name} is a text")
        size = instance["resource_info"]["data_disk_size"]
        expect(float(size) >= 0, "resource_info.data_disk_size is a number", kind=type(size).__name__)


def test_our_client_reads_the_same_instances(
    target: Target, listed: dict[str, Any], ours: OurCloud, our_token: IamToken
) -> None:
    found = ours.instances(our_token)

    expect(not found.is_cut, "the list is read to its end")
    mine = sorted((each.server_id, each.instance_id, each.name, each.status) for each in found.instances)
    theirs = sorted(
        (each["server_id"], each["instance_id"], each["name"], each["status_info"]["status"])
        for each in listed["instance"]
    )
    expect(mine == theirs, "ids, names and statuses are the same", ours=len(mine), vendor=len(theirs))
    addresses = {each.server_id: (each.public_ip, each.private_ip) for each in found.instances}
    for each in listed["instance"]:
        network = each["network"]
        same = addresses[each["server_id"]] == (network["public_ip"].strip(), network["private_ip"].strip())
        expect(same, "the addresses are the same")


def test_pages_of_one_make_up_the_whole_list(vendor: VendorCbh, listed: dict[str, Any]) -> None:
    pages = [vendor.instances(limit="1", offset=str(number)) for number in range(listed["total"])]

    expect(all(len(page["instance"]) == 1 for page in pages), "a page of one holds one")
    expect(all(page["total"] == listed["total"] for page in pages), "every page tells the same total")
    ids = sorted(page["instance"][0]["server_id"] for page in pages)
    expect(ids == sorted(found["server_id"] for found in listed["instance"]), "together they are the list")


def test_a_page_beyond_the_end_is_empty(vendor: VendorCbh, listed: dict[str, Any]) -> None:
    page = vendor.instances(limit="10", offset=str(listed["total"]))

    expect(not page["instance"], "nothing is beyond the end", found=len(page["instance"] or ()))


@pytest.mark.sandbox_only("the parameter is documented as a number while ids are UUIDs: open")
def test_one_instance_is_found_by_its_id(target: Target, vendor: VendorCbh, listed: dict[str, Any]) -> None:
    wanted = next(found for found in listed["instance"] if found["server_id"] == target.server_id)

    found = vendor.instances(instance_id=wanted["instance_id"])

    assert (found["total"], [instance["name"] for instance in found["instance"]]) == (1, ["bastion"])
    assert vendor.instances(instance_id="12345") == {"total": 0, "instance": []}


@pytest.mark.sandbox_only("which bounds the real service enforces is not documented")
@pytest.mark.parametrize("query", [{"limit": "0"}, {"limit": "1001"}, {"limit": "x"}, {"offset": "-1"}])
def test_pages_out_of_bounds_are_refused(vendor: VendorCbh, query: dict[str, str]) -> None:
    assert refusal_of(lambda: vendor.instances(**query)).status == 400


@pytest.mark.sandbox_only("a real account need not have such instances")
def test_a_pair_tells_its_common_id_and_an_instance_without_public_address_blanks(vendor: VendorCbh) -> None:
    by_id = {instance["server_id"]: instance for instance in vendor.instances()["instance"]}

    pair = by_id[NEW_SERVER_ID]
    assert (pair["ha_info"]["ha_id"], pair["ha_info"]["instance_type"]) == (
        "2d6a9f4e-8a4c-4b2a-bd7f-7a3b1a7c5b88",
        "master",
    )
    private = next(found for found in by_id.values() if found["name"] == "old-bastion")["network"]
    assert (private["private_ip"], private["public_ip"], private["public_id"].strip()) == ("192.0.2.20", "", "")


def test_the_status_of_an_instance_is_one_of_the_documented(target: Target, vendor: VendorCbh) -> None:
    found = if_permitted(target, lambda: vendor.status(target.server_id))

    expect(found["server_id"] == target.server_id, "it is about the instance asked for")
    expect(isinstance(found["name"], str), "it has the name")
    expect(found["status"] in STATUSES, "the status is a documented one", status=found["status"])


def test_the_features_are_flags_and_versions(target: Target, vendor: VendorCbh) -> None:
    found = if_permitted(target, lambda: vendor.features())

    flags = {name: flag for name, flag in found["switch_info"].items() if flag is not None}
    expect(all(isinstance(flag, bool) for flag in flags.values()), "every switch is true or false")
    expect("is_support_iam_login" in flags, "whether IAM users may log in is told")
    expect(isinstance(found["version_info"]["iam_login"], str), "the first version for that is told")


def test_an_iam_user_is_given_a_login_link_to_the_instance(target: Target, vendor: VendorCbh) -> None:
    link = if_permitted(target, lambda: vendor.login_url(target.server_id)) or ""

    parts = urlsplit(link)
    scheme = "http" if target.speaks_http else "https"
    expect(parts.scheme == scheme and bool(parts.hostname), "it is an absolute link", scheme=parts.scheme)
    expect("cbhinfo=" in parts.query, "its secret is in the parameter cbhinfo")


def test_login_to_an_unknown_instance_is_refused(target: Target, vendor: VendorCbh) -> None:
    unknown = "00000000-0000-4000-8000-000000000000"

    refusal = refusal_of(lambda: if_permitted(target, lambda: vendor.login_url(unknown)))

    expect(refusal.status in (400, 404), "it is refused", status=refusal.status)


@pytest.mark.sandbox_only("a link for the bastion's administrator is not made for a test")
def test_the_administrators_link_leads_to_the_instance(target: Target, vendor: VendorCbh, lab: SandboxServer) -> None:
    link = vendor.admin_url(target.server_id) or ""

    parts = urlsplit(link)
    assert f"{parts.scheme}://{parts.netloc}" == lab.url
    assert parts.query.startswith("cbhinfo=")
    assert refusal_of(lambda: vendor.admin_url("00000000-0000-4000-8000-000000000000")).status == 404
