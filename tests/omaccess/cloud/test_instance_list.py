"""The list of instances, over real HTTP: pages, their end, and entries of every shape."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from omaccess.cloud.cbh import MAX_PAGES, PAGE_SIZE, CbhClient
from omaccess.cloud.errors import CloudError, PermissionMissing, TokenRejected, UnreadableAnswer
from omaccess.cloud.http import CloudTransport
from omaccess.cloud.types import CbhInstance, CbhInstanceList, Deadline
from tests.omaccess.cloud.conftest import StartWire
from tests.omaccess.cloud.wire import Wire, answer

TOKEN = "MIIcanary" + "t" * 900
SERVER, OTHER = "5c9a2f7e-1f7b-4a59-8c0e-0f6a4f0b8a11", "6d0b3a8f-2a8c-4b6a-9d1f-1a7b5a1c9b22"
ENTRY: dict[str, Any] = {
    "name": "bastion",
    "server_id": SERVER,
    "instance_id": OTHER,
    "bastion_version": "3.3.62.0",
    "az_info": {"region": "cn-north-4"},
    "status_info": {"status": "ACTIVE", "task_status": "NO_TASK", "instance_status": "ok"},
    "network": {
        "vip": "10.1.0.9",
        "web_port": "443",
        "public_ip": "203.0.113.7",
        "public_id": "      ",
        "private_ip": "10.1.0.5",
    },
    "ha_info": {"ha_id": "ha-1", "instance_type": "Master"},
}


def listed(wire: Wire, transport: CloudTransport) -> CbhInstanceList:
    return CbhClient(transport, wire.url).instances(token=TOKEN, project_id="p-1", deadline=Deadline.after(5))


def only(start_wire: StartWire, transport: CloudTransport, entry: object) -> CbhInstance:
    found = listed(start_wire(answer({"total": 1, "instance": [entry]})), transport)
    return found.instances[0]


def entries(first: int, number: int) -> list[dict[str, Any]]:
    return [{**ENTRY, "server_id": f"s-{index}"} for index in range(first, first + number)]


def offsets(wire: Wire) -> list[str]:
    return [parse_qs(urlsplit(one.target).query)["offset"][0] for one in wire.received]


def test_every_field_that_is_used_is_read(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer({"total": 1, "instance": [ENTRY]}, headers=[("X-Request-Id", "r-1")]))

    found = listed(wire, transport)

    assert wire.received[0].target == f"/v2/p-1/cbs/instance/list?limit={PAGE_SIZE}&offset=0"
    assert wire.received[0].headers["x-auth-token"] == TOKEN
    assert found == CbhInstanceList(
        (
            CbhInstance(
                name="bastion",
                server_id=SERVER,
                instance_id=OTHER,
                region="cn-north-4",
                status="ACTIVE",
                task_status="NO_TASK",
                instance_status="ok",
                version="3.3.62.0",
                public_ip="203.0.113.7",
                private_ip="10.1.0.5",
                vip="10.1.0.9",
                web_port=443,
                ha_id="ha-1",
                ha_role="master",
            ),
        ),
        is_cut=False,
        request_id="r-1",
    )


NOTHING = CbhInstance("", "", "", "", "", "", "", "", "", "", "", None, "", "")


@pytest.mark.parametrize(
    "entry",
    [
        {},
        dict.fromkeys(ENTRY),
        {key: [] for key in ENTRY},
        {key: {"a": {}} for key in ENTRY},
        {"network": "x", "ha_info": 7, "status_info": True, "az_info": None, "name": False},
        {"server_id": "../../admin", "instance_id": "a b", "ha_info": {"ha_id": "<script>"}},
        {"network": {"public_ip": "        ", "private_ip": "10.0.0.256", "vip": "evil.example", "web_port": "443; x"}},
        {"network": {"web_port": 70000}},
    ],
)
def test_what_is_no_id_no_address_and_no_text_is_nothing(
    start_wire: StartWire, transport: CloudTransport, entry: object
) -> None:
    assert only(start_wire, transport, entry) == NOTHING


def test_texts_are_cleaned_and_cut(start_wire: StartWire, transport: CloudTransport) -> None:
    found = only(start_wire, transport, {"name": "a\u202eb\r\nc https://evil.example/x " + "z" * 500})

    assert found.name.startswith("a b c [link] zz")
    assert len(found.name) == 64


def test_numbers_are_read_where_texts_are_documented(start_wire: StartWire, transport: CloudTransport) -> None:
    found = only(start_wire, transport, {"server_id": 17, "network": {"web_port": 8443, "public_ip": "2001:DB8::1"}})

    assert (found.server_id, found.web_port, found.public_ip) == ("17", 8443, "2001:db8::1")


def test_pages_are_read_until_the_total(start_wire: StartWire, transport: CloudTransport) -> None:
    total = PAGE_SIZE + 3
    wire = start_wire(
        answer({"total": total, "instance": entries(0, PAGE_SIZE)}),
        answer({"total": str(total), "instance": entries(PAGE_SIZE, 3)}),
    )

    found = listed(wire, transport)

    assert (len(found.instances), found.is_cut) == (total, False)
    assert offsets(wire) == ["0", str(PAGE_SIZE)]


def test_entries_that_are_no_objects_count_for_the_paging_only(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    wire = start_wire(answer({"total": 3, "instance": ["x", None, ENTRY]}))

    assert len(listed(wire, transport).instances) == 1
    assert offsets(wire) == ["0"]


def test_a_list_that_says_no_total_ends_with_a_page_that_is_not_full(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    wire = start_wire(answer({"instance": entries(0, PAGE_SIZE)}), answer({"instance": []}))

    assert len(listed(wire, transport).instances) == PAGE_SIZE
    assert len(wire.received) == 2


def test_a_service_that_knows_no_pages_is_not_asked_for_ever(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer({"total": 900, "instance": entries(0, 5)}))

    found = listed(wire, transport)

    assert (len(found.instances), found.is_cut, len(wire.received)) == (5, True, 2)


@pytest.mark.parametrize("second", [[], "repeated"])
def test_a_list_that_ends_before_its_total_is_never_called_whole(
    start_wire: StartWire, transport: CloudTransport, second: object
) -> None:
    first = entries(0, PAGE_SIZE)
    wire = start_wire(
        answer({"total": 150, "instance": first}),
        answer({"total": 150, "instance": first if second == "repeated" else []}),
    )

    found = listed(wire, transport)

    assert (len(found.instances), found.is_cut) == (PAGE_SIZE, True)


def test_a_total_that_only_the_first_page_says_is_remembered(start_wire: StartWire, transport: CloudTransport) -> None:
    wire = start_wire(answer({"total": 150, "instance": entries(0, PAGE_SIZE)}), answer({"instance": []}))

    assert listed(wire, transport).is_cut


def test_an_endless_list_is_cut(start_wire: StartWire, transport: CloudTransport) -> None:
    pages = [answer({"total": 10**9, "instance": entries(page * 9, 9)}) for page in range(MAX_PAGES + 2)]

    found = listed(start_wire(*pages), transport)

    assert (len(found.instances), found.is_cut) == (MAX_PAGES * 9, True)


@pytest.mark.parametrize("body", [{"total": 0, "instance": None}, {"total": 0, "instance": []}])
def test_an_empty_project_is_an_empty_list(
    start_wire: StartWire, transport: CloudTransport, body: dict[str, Any]
) -> None:
    assert listed(start_wire(answer(body)), transport).instances == ()


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"{}", b'{"instances": []}', b'{"instance": {"a": 1}}'])
def test_an_answer_without_a_list_is_unreadable(start_wire: StartWire, transport: CloudTransport, body: bytes) -> None:
    with pytest.raises(UnreadableAnswer):
        listed(start_wire(answer(body)), transport)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (401, {"error_code": "APIGW.0301", "error_msg": "Incorrect IAM authentication information"}, TokenRejected),
        (403, {"error_code": "CBH.10020002", "error_description": "Tenant has no authority."}, PermissionMissing),
    ],
)
def test_a_refusal_is_the_same_error_as_for_links(
    start_wire: StartWire, transport: CloudTransport, status: int, body: object, kind: type[CloudError]
) -> None:
    with pytest.raises(kind) as caught:
        listed(start_wire(answer(json.dumps(body).encode(), status)), transport)

    assert "canary" not in f"{caught.value!r}{vars(caught.value)}"


def test_a_token_that_cannot_be_sent_is_refused_before_anything_is(
    start_wire: StartWire, transport: CloudTransport
) -> None:
    wire = start_wire(answer({}))

    with pytest.raises(TokenRejected):
        CbhClient(transport, wire.url).instances(token="a b", project_id="p", deadline=Deadline.after(5))

    assert wire.received == []
