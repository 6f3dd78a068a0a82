"""What an admin has a credential do in Huawei Cloud: verify a password, list instances, fill one in."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client

from omaccess.models import AuditEvent, IamCredential, IamUserLease
from omaccess.sandbox.server import SandboxServer
from tests.canary.issued import Issued
from tests.canary.life import iam_faults, password_of
from tests.canary.sinks import Sinks, add_database, add_response
from tests.inventory import Inventory
from tests.omaccess.admin.conftest import page

pytestmark = pytest.mark.database


def ask(root: Client, address: str, sinks: Sinks, **data: str) -> Any:
    """Posts, and adds the answer and the page that it leads to."""
    response = root.post(address, data)
    add_response(sinks, response)
    if response.status_code == 302:
        add_response(sinks, root.get(response["Location"]))
    return response


def test_no_secret_is_in_what_a_verification_says(
    root: Client,
    inventory: Inventory,
    sandbox: SandboxServer,
    issued: Issued,
    sinks: Sinks,
    settings: Any,
    logged: None,
) -> None:
    settings.LAUNCHES_PER_MINUTE = 10_000
    verify = page("omaccess_iamcredential_verify", inventory.credentials["portal"].pk)

    for fault in [{}, *iam_faults(password_of(sandbox))]:
        IamUserLease.objects.all().delete()
        if fault:
            sandbox.control.add_fault("iam.token", times=5, **fault)
        ask(root, verify, sinks)
        sandbox.control.clear_faults()
    add_response(sinks, root.get(page("omaccess_iamcredential_changelist")))
    add_response(sinks, root.get(page("index")))
    add_database(sinks)

    verified = AuditEvent.objects.filter(target_type="iamcredential")
    assert verified.count() >= 11
    assert issued.tokens
    assert not issued.tickets
    assert sinks.leaks(issued) == []


def test_no_secret_is_in_a_list_of_instances_or_in_what_is_taken_over(
    root: Client,
    inventory: Inventory,
    sandbox: SandboxServer,
    issued: Issued,
    sinks: Sinks,
    settings: Any,
    logged: None,
) -> None:
    settings.LAUNCHES_PER_MINUTE = 10_000
    sandbox.control.edit_user("acme", "second", permissions=("cbh:instance:list",))
    IamCredential.objects.filter(name="second").update(purpose=IamCredential.Purpose.READ)
    address = page("omaccess_iamcredential_instances", inventory.credentials["second"].pk)
    place = {"region": "cn-north-4", "project_name": "", "endpoint": sandbox.url}

    response = ask(root, address, sinks, **place)
    token, password = issued.last_token, password_of(sandbox, "second")
    for fault in (
        {"status": 500, "envelope": "cbh_doc", "code": "CBH.10020009", "message": f"bad token {token}"},
        {"status": 403, "envelope": "gateway", "code": "APIGW.0302", "message": token},
        {"body": json.dumps({"instance": [{"name": "bastion", "echo": [token, password]}]})},
        {"body": f"<html>{token}</html>", "content_type": "text/html"},
    ):
        sandbox.control.add_fault("cbh.instances", times=2, **fault)
        ask(root, address, sinks, **place)
        sandbox.control.clear_faults()
    add_database(sinks)

    assert response.status_code == 200
    assert 'name="proposal"' in response.text
    assert sinks.leaks(issued) == []


def test_a_cloud_that_repeats_a_token_in_its_list_does_not_get_it_onto_a_page(
    root: Client, inventory: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks
) -> None:
    sandbox.control.edit_user("acme", "second", permissions=("cbh:instance:list",))
    IamCredential.objects.filter(name="second").update(purpose=IamCredential.Purpose.READ)
    address = page("omaccess_iamcredential_instances", inventory.credentials["second"].pk)
    place = {"region": "cn-north-4", "project_name": "", "endpoint": sandbox.url}
    ask(root, address, Sinks(), **place)
    entry = {"name": f"bastion {issued.last_token}", "bastion_version": issued.last_token}
    sandbox.control.add_fault("cbh.instances", body=json.dumps({"total": 1, "instance": [entry]}))

    response = ask(root, address, sinks, **place)

    assert "bastion [hidden]" in response.text
    assert sinks.leaks(issued) == []
