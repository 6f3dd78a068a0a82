"""What happens in an installation: launches with every refusal and every fault, each through the web."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from django.core.cache import caches
from django.test import Client
from django.urls import reverse

from omaccess.models import IamUserLease, Launch, LaunchState
from omaccess.sandbox.server import SandboxServer
from tests.canary.issued import Issued
from tests.canary.sinks import Sinks, add_response
from tests.inventory import Inventory

REFUSALS = [
    ("web-01", "ghost"),
    ("web-01", "forbidden"),
    ("web-01", "conflict"),
    ("web-01", "broken"),
    ("unmanaged", "root"),
    ("legacy", "root"),
    ("fresh", "root"),
]


def press(staff: Client, account: Any, sinks: Sinks) -> Any:
    """The button, and then the page of the launch."""
    answer = staff.post(reverse("omaccess:launches"), {"account": account.pk, "reason": "canary"})
    launch = Launch.objects.order_by("-pk").first()
    assert launch is not None
    is_hand_over = launch.state == LaunchState.OPENED and answer.status_code == 303
    add_response(sinks, answer, is_hand_over=is_hand_over)
    sinks.add("launch page", staff.get(reverse("omaccess:launch", args=[launch.reference])).content)
    sinks.add("repr of launch", repr(launch) + repr(vars(launch)))
    return answer


def cbh_faults(token: str) -> list[dict[str, Any]]:
    """Everything that can go wrong with a link in it or beside it; also a cloud that repeats what it was sent."""
    link = "https://bastion.example.com/?cbhinfo=" + "a-secret-that-no-ticket-office-issued"
    return [
        *({"login_url": kind} for kind in ("missing", "blank", "relative", "http", "javascript", "userinfo")),
        *({"login_url": kind} for kind in ("foreign_origin", "huge")),
        *({"drop": kind} for kind in ("before", "after", "mid_headers", "mid_body")),
        {"state": "UNKNOWN_ERROR", "login_url": "valid"},
        {"custom_state": "SOMETHING_NEW", "login_url": "valid"},
        {"omit_state": True, "login_url": "valid"},
        {"state": "IAM_USER_NO_PERMISSION", "description": f"token {token} may not"},
        {"state": "UNKNOWN_ERROR", "description": f"see {link}", "login_url": "valid"},
        {"status": 500, "envelope": "cbh_doc", "code": "CBH.10020009", "message": f"bad token {token}"},
        {"status": 403, "envelope": "gateway", "code": "APIGW.0302", "message": quote(token, safe="")},
        {"status": 400, "body": token, "content_type": "text/html"},
        {"status": 502, "body": f"<html>{token}</html>", "content_type": "text/html"},
        {"body": f'{{"state": "SUCCESS", "login_url": "{token}"', "content_type": "application/json"},
    ]


def iam_faults(password: str) -> list[dict[str, Any]]:
    return [
        {"drop": "before"},
        {"drop": "after"},
        {"drop": "mid_headers"},
        {"status": 500, "envelope": "keystone", "message": f"password {password} broke us"},
        {"status": 503, "body": json.dumps({"echo": {"password": password}})},
        {"status": 400, "envelope": "error_msg", "code": "IAM.0001", "message": f"{password}"},
        {"headers": {"X-Subject-Token": None}},
        {"body": "{", "status": 201},
        {"merge": {"token": None}},
        {"status": 401, "envelope": "error_msg", "code": "IAM.0062", "message": f"wrong password {password}"},
    ]


def password_of(sandbox: SandboxServer, name: str = "portal") -> str:
    (password,) = [user.password for user in sandbox.app.cloud.world.users if user.name == name]
    return password


def forget_tokens() -> None:
    caches["tokens"].clear()
    IamUserLease.objects.all().delete()


def launch_everything(
    staff: Client, inventory: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks
) -> None:
    """Success, every refusal, a renewed token, every fault."""
    control = sandbox.control
    assert press(staff, inventory.root, sinks)["Location"].startswith(sandbox.url)
    for host, account in REFUSALS:
        press(staff, inventory.account(account, host), sinks)

    control.revoke_tokens()
    assert press(staff, inventory.root, sinks)["Location"].startswith(sandbox.url)
    assert len(issued.tokens) == 2

    for fault in cbh_faults(issued.last_token):
        # Twice: some faults are worth a second try.
        control.add_fault("cbh.om_url", times=2, **fault)
        press(staff, inventory.root, sinks)
        control.clear_faults()

    for fault in iam_faults(password_of(sandbox)):
        forget_tokens()
        control.add_fault("iam.token", times=2, **fault)
        press(staff, inventory.root, sinks)
        control.clear_faults()
    forget_tokens()
