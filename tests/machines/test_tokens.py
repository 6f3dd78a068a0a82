"""Two machines hold one token per IAM user, fetch it once, and stop together when IAM refuses the password."""

from __future__ import annotations

from functools import partial

from omaccess.models import IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from tests.factories import UserFactory
from tests.faults.evidence import assert_record_is_true, links_in
from tests.faults.visitor import assert_opened, in_background
from tests.inventory import Inventory
from tests.machines.machine import Machine
from tests.processes import wait_until
from tests.soak.person import Person

Two = tuple[Machine, Machine]


def test_both_machines_without_a_token_fetch_one(
    two_machines: Two, inventory: Inventory, sandbox: SandboxServer
) -> None:
    account, answers = inventory.root, list[object]()
    sandbox.control.add_fault("iam.token", times=None, hold="before")
    people = [Person(machine.url, inventory.staff) for machine in two_machines for _each in range(3)]
    for person in people:
        assert person.get("/").status_code == 200

    pressed = [in_background(partial(person.press, account), answers) for person in people]
    wait_until(lambda: Launch.objects.filter(state="pending").count() == len(people))
    sandbox.control.clear_faults()
    for each in pressed:
        each.join(timeout=30)

    for answer in answers:
        assert_opened(answer)
    assert len(links_in(answers)) == len(people)
    assert sandbox.control.counters()["iam.token"] == 1
    assert_record_is_true(links_in(answers))


def test_a_token_that_one_machine_fetched_is_in_the_cache_for_the_other(
    two_machines: Two, inventory: Inventory, sandbox: SandboxServer
) -> None:
    one, two = two_machines
    with Person(one.url, inventory.staff) as staff, staff.at(two.url) as elsewhere:
        answers = [staff.press(inventory.root)]
        IamUserLease.objects.update(token_key="", token_ciphertext="")

        answers.append(elsewhere.press(inventory.root))

    for answer in answers:
        assert_opened(answer)
    assert sandbox.control.counters()["iam.token"] == 1
    assert_record_is_true(links_in(answers))


def test_a_password_that_iam_refused_on_one_machine_is_tried_by_neither_until_one_has_a_new_one(
    two_machines: Two, inventory: Inventory, sandbox: SandboxServer
) -> None:
    one, two = two_machines
    credential = inventory.credentials["portal"]
    sandbox.control.edit_user("acme", "portal", password="somebody changed it")
    with Person(one.url, inventory.staff) as staff, staff.at(two.url) as elsewhere:
        refused = [who.press(inventory.root) for who in (staff, elsewhere, staff, elsewhere)]
        tried = sandbox.control.counters()["iam.token"]
        with Person(two.url, UserFactory(is_superuser=True)) as admin:
            replaced = admin.post(
                f"/admin/omaccess/iamcredential/{credential.pk}/change/",
                {
                    "name": credential.name,
                    "purpose": credential.purpose,
                    "iam_endpoint": credential.iam_endpoint,
                    "account_name": credential.account_name,
                    "user_name": credential.user_name,
                    "is_enabled": "on",
                    "secret": "somebody changed it",
                },
            )
        opened = [who.press(inventory.root) for who in (staff, elsewhere)]

    assert links_in(refused) == []
    assert tried == 1
    causes = list(Launch.objects.order_by("pk").values_list("cause", flat=True))
    assert causes == ["credential_rejected", *["credential_blocked"] * 3, "", ""]
    assert replaced.status_code == 302, replaced.text
    for answer in opened:
        assert_opened(answer)
    assert sandbox.control.counters()["iam.token"] == 2
    assert_record_is_true(links_in(opened))
