"""Whoever is signed in is signed in on both machines, and whoever is not is so on neither."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from accounts.models import User
from tests.factories import PASSWORD, UserFactory
from tests.faults.visitor import Visitor
from tests.inventory import Inventory
from tests.machines.machine import Machine
from tests.soak.person import Person

Two = tuple[Machine, Machine]


@pytest.fixture
def staff(inventory: Inventory) -> User:
    """With a password as the machines hash them: their settings are not those of the tests."""
    inventory.staff.password = PBKDF2PasswordHasher().encode(PASSWORD, salt="salt-of-22-characters-")
    inventory.staff.save()
    return inventory.staff


def test_a_sign_in_on_one_machine_is_one_on_the_other_and_so_is_its_end(two_machines: Two, staff: User) -> None:
    one, two = two_machines
    visitor = Visitor(one.url, staff, "")

    signed_in = visitor.sign_in(staff.username, PASSWORD)
    elsewhere = visitor.at(two.url)
    meanwhile = elsewhere.get("/").status_code
    signed_out = elsewhere.sign_out()
    afterwards = [who.get("/").status_code for who in (visitor, elsewhere)]

    assert signed_in.status_code == 302, signed_in.text
    assert meanwhile == 200
    assert signed_out.status_code == 302
    assert afterwards == [302, 302]


def test_a_person_switched_off_on_one_machine_is_nobody_on_the_other(two_machines: Two, inventory: Inventory) -> None:
    one, two = two_machines
    with Person(one.url, inventory.staff) as staff, Person(two.url, UserFactory(is_superuser=True)) as admin:
        before = staff.get("/").status_code
        switched_off = admin.post(
            f"/admin/accounts/user/{inventory.staff.pk}/change/",
            {"username": inventory.staff.username, "name": inventory.staff.name, "email": ""},
        )
        after = [who.get("/").status_code for who in (staff, staff.at(two.url))]

    assert before == 200
    assert switched_off.status_code == 302, switched_off.text
    assert not User.objects.get(pk=inventory.staff.pk).is_active
    assert after == [302, 302]


def test_failed_sign_ins_are_counted_over_both_machines(two_machines: Two, staff: User) -> None:
    one, two = (Visitor(machine.url, staff, "") for machine in two_machines)

    for visitor in (one, two, one, two, one):
        assert "is wrong" in visitor.sign_in(staff.username, "a wrong guess").text
    right = [visitor.sign_in(staff.username, PASSWORD) for visitor in (two, one)]

    for answer in right:
        assert answer.status_code == 200
        assert "Too many failed" in answer.text


def test_a_message_from_one_machine_is_shown_by_the_other_once(two_machines: Two, inventory: Inventory) -> None:
    one, two = two_machines
    account = inventory.root
    with Person(one.url, inventory.staff) as staff, staff.at(two.url) as elsewhere:
        staff.http.cookies.pop(settings.CSRF_COOKIE_NAME)
        told = staff.press(account)
        pages = [who.get(f"/hosts/{account.host_id}/").text for who in (elsewhere, staff)]

    assert told.status_code == 303
    assert ["The page was too old" in page for page in pages] == [True, False]
