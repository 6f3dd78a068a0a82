"""What an admin has a credential do: nothing is asked of the cloud before the intent is committed."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from accounts.models import User
from omaccess.actions import account_test, cloud_instances, credential_verify
from omaccess.actions.instance_matching import Place
from omaccess.cloud.types import ProjectScope
from omaccess.errors import CannotRecord
from omaccess.meta import Meta
from omaccess.models import IamCredential
from omaccess.sandbox.server import SandboxServer
from tests.inventory import Inventory
from tests.launching import HeadHeldByAnother

pytestmark = pytest.mark.database

META = Meta(address="192.0.2.7")


def verify(inventory: Inventory, by: User) -> object:
    return credential_verify.run(
        inventory.credentials["portal"], scopes=[ProjectScope(name="cn-north-4")], by=by, meta=META
    )


def list_instances(inventory: Inventory, by: User) -> object:
    reader = inventory.credentials["second"]
    reader.purpose = IamCredential.Purpose.READ
    return cloud_instances.ask(reader, Place("cn-north-4", reader.iam_endpoint, "cn-north-4"), by=by, meta=META)


def try_account(inventory: Inventory, by: User) -> object:
    return account_test.run(inventory.root, by=by, meta=META)


@pytest.mark.parametrize("ask", [verify, list_instances, try_account])
def test_nothing_is_asked_when_the_intent_cannot_be_recorded(
    committed_inventory: Inventory, sandbox: SandboxServer, ask: Callable[[Inventory, User], object]
) -> None:
    with HeadHeldByAnother(), pytest.raises(CannotRecord):
        ask(committed_inventory, committed_inventory.staff)

    assert not any(sandbox.control.counters().values())
