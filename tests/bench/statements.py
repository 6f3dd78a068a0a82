"""How many statements a request takes. Runs inside Django, on an installation that `prepare inventory` filled."""

from __future__ import annotations

import uuid
from collections.abc import Callable

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from omaccess.models import HostAccount
from tests.bench.servers import HOST

_AROUND = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")


def count() -> dict[str, dict[str, int]]:
    """By what was asked for: `statements` without those around transactions, and `commits`; nothing where it failed.

    Each after a warm-up.
    """
    account = HostAccount.objects.get(host=1, name="root")
    everything, admin = _client("everything"), _client("admin")

    def launch() -> int:
        fields = {"account": account.pk, "once": str(uuid.uuid4())}
        return everything.post("/launches/", fields, secure=True).status_code

    asked: dict[str, tuple[Callable[[], int], int]] = {
        "launch": (launch, 303),
        "hosts page": (lambda: everything.get("/", secure=True).status_code, 200),
        "host page": (lambda: everything.get("/hosts/1/", secure=True).status_code, 200),
        "admin host list": (lambda: admin.get("/admin/omaccess/host/", secure=True).status_code, 200),
    }
    return {what: _counted(ask, expected) for what, (ask, expected) in asked.items()}


def _counted(ask: Callable[[], int], expected: int) -> dict[str, int]:
    ask()
    with CaptureQueriesContext(connection) as captured:
        status = ask()
    if status != expected:
        return {}
    all_of_them = [query["sql"] for query in captured]
    real = [sql for sql in all_of_them if not sql.startswith(_AROUND)]
    return {"statements": len(real), "commits": all_of_them.count("COMMIT")}


def _client(username: str) -> Client:
    client = Client(raise_request_exception=False, headers={"host": HOST})
    client.force_login(User.objects.get(username=username))
    return client
