"""What has to be done inside Django, in a process of its own: python -m tests.bench.prepare WHAT [options]

Prints one line of JSON. Runs with the variables of the database's owner.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

import django


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["inventory", "events", "statements", "scratch"])
    parser.add_argument("--number", type=int, default=0)
    parser.add_argument("--sandbox", default="")
    parser.add_argument("--role", default="")
    options = parser.parse_args(arguments)
    django.setup()
    ways: dict[str, Callable[[], dict[str, Any]]] = {
        "inventory": lambda: _inventory(options.number, options.sandbox),
        "events": lambda: _events(options.number),
        "statements": _statements,
        "scratch": lambda: _scratch(options.role),
    }
    sys.stdout.write(json.dumps(ways[options.what]()) + "\n")
    return 0


def _inventory(number: int, sandbox_url: str) -> dict[str, Any]:
    from omaccess.models import HostAccount
    from tests.bench import inventory_rows
    from tests.soak.person import signed_in

    people = inventory_rows.fill(number, sandbox_url)
    account = HostAccount.objects.get(host=1, name="root")
    return {
        "sessions": {name: signed_in(user) for name, user in people.items()},
        "host": 1,
        "account": account.pk,
        "exact": account.host.name,
    }


def _events(number: int) -> dict[str, Any]:
    from django.contrib.auth.models import Group

    from accounts.models import AUDITORS, User
    from tests.bench import event_rows
    from tests.soak.person import signed_in

    event_rows.fill(number)
    auditor = User.objects.create(username="auditor", password="!")
    auditor.groups.add(Group.objects.get(name=AUDITORS))
    return {"sessions": {"auditor": signed_in(auditor)}}


def _statements() -> dict[str, Any]:
    """Statements and commits of one request each, by what it asks for; of people and a host that `inventory` made."""
    from tests.bench import statements

    return statements.count()


def _scratch(role: str) -> dict[str, Any]:
    """Two tables to compare with: one for the bare view, and one like the audit's without chain and triggers."""
    from tests.bench import scratch

    scratch.make(role)
    return {}


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
