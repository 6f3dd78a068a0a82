"""`manage.py create_admin`: the first person who may enter the admin site."""

from __future__ import annotations

import getpass
import io
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command

from accounts.models import ADMINS, User
from omaccess.audit import Kind
from omaccess.models import AuditEvent, AuditHead
from tests.factories import PASSWORD, UserFactory
from tests.omaccess.audit.log import drop_triggers, undone

pytestmark = [pytest.mark.database, pytest.mark.django_db]


Typing = Callable[..., None]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _no_password_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADMIN_PASSWORD", raising=False)
    monkeypatch.delenv("ADMIN_PASSWORD_FILE", raising=False)


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typing:
    """Somebody at a terminal who types these passwords."""

    def types(*passwords: str) -> None:
        answers = iter(passwords)
        monkeypatch.setattr(sys, "stdin", Terminal())
        monkeypatch.setattr(getpass, "getpass", lambda prompt: next(answers))

    return types


def create(*args: str, **options: Any) -> str:
    out = io.StringIO()
    call_command("create_admin", *args, stdout=out, **options)
    return out.getvalue()


def test_the_first_admin_may_enter_the_admin_site_and_is_no_superuser(typed: Typing) -> None:
    typed(PASSWORD, PASSWORD)

    said = create("alice", "--name", "Alice A.", "--email", "alice@EXAMPLE.org")

    alice = User.objects.get(username="alice")
    assert said == "alice was made and is an admin.\n"
    assert (alice.is_staff, alice.is_superuser, alice.is_active) == (True, False, True)
    assert (alice.name, alice.email) == ("Alice A.", "alice@example.org")
    assert alice.check_password(PASSWORD)
    assert [group.name for group in alice.groups.all()] == [ADMINS]


def test_making_an_admin_is_recorded_without_the_password(typed: Typing) -> None:
    typed(PASSWORD, PASSWORD)

    create("alice")

    event = AuditEvent.objects.get()
    assert (event.kind, event.actor_id, event.actor_name) == (Kind.USER_CREATED, "", "system: create_admin")
    assert (event.target_type, event.target_name) == ("user", "alice")
    assert "before" not in event.facts
    assert event.facts["after"]["groups"] == [ADMINS]
    assert PASSWORD not in str(event.facts)
    assert "md5" not in str(event.facts)


def test_a_superuser_only_when_asked_for(typed: Typing) -> None:
    typed(PASSWORD, PASSWORD)

    create("alice", "--superuser")

    assert User.objects.get().is_superuser
    assert AuditEvent.objects.get().facts["after"]["is_superuser"] is True


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_the_password_can_come_from_standard_input(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(f" {PASSWORD} {ending}next line\n" if ending else f" {PASSWORD} "))

    create("alice", "--password-stdin")

    assert User.objects.get().check_password(f" {PASSWORD} ")


def test_the_password_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADMIN_PASSWORD", PASSWORD)

    create("alice")

    assert User.objects.get().check_password(PASSWORD)


def test_the_password_can_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    monkeypatch.setenv("ADMIN_PASSWORD_FILE", str(tmp_path / "password"))

    create("alice")

    assert User.objects.get().check_password(PASSWORD)


def refused(match: str, *args: str) -> None:
    with pytest.raises(CommandError, match=match):
        create(*args)

    assert not AuditEvent.objects.exists()


def test_two_different_passwords_make_nobody(typed: Typing) -> None:
    typed(PASSWORD, PASSWORD + "x")

    refused("differ", "alice")

    assert not User.objects.exists()


def test_an_empty_password_makes_nobody(typed: Typing) -> None:
    typed("", "")

    refused("empty", "alice")


def test_an_empty_standard_input_makes_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(""))

    refused("empty", "alice", "--password-stdin")


@pytest.mark.parametrize(("password", "why"), [("short", "too short"), ("alice-alice-1", "too similar")])
def test_a_weak_password_makes_nobody_and_says_why(typed: Typing, password: str, why: str) -> None:
    typed(password, password)

    refused(why, "alice-alice")


def test_without_a_terminal_it_says_how_to_give_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(PASSWORD))

    refused("--password-stdin or ADMIN_PASSWORD_FILE", "alice")


@pytest.mark.parametrize(
    ("name", "why"), [("a b", "Enter a valid username"), ("x" * 151, "at most 150"), ("", "blank")]
)
def test_a_name_that_cannot_be_is_refused(typed: Typing, name: str, why: str) -> None:
    typed(PASSWORD, PASSWORD)

    refused(why, name)


def test_a_malformed_address_is_refused(typed: Typing) -> None:
    typed(PASSWORD, PASSWORD)

    refused("valid email", "alice", "--email", "nobody")


@pytest.mark.parametrize("name", ["zoe", "ZOE"])
def test_a_person_who_exists_is_not_touched_and_the_way_is_shown(typed: Typing, name: str) -> None:
    UserFactory(username="zoe")
    typed(PASSWORD + "x", PASSWORD + "x")

    refused("--promote", name)

    assert User.objects.get().check_password(PASSWORD)


def test_promoting_keeps_the_password_and_is_recorded_with_before_and_after() -> None:
    UserFactory(username="zoe", groups=[Group.objects.create(name="ops")])

    said = create("Zoe", "--promote")

    zoe = User.objects.get()
    event = AuditEvent.objects.get()
    assert said == "zoe is an admin now.\n"
    assert zoe.check_password(PASSWORD)
    assert zoe.is_staff
    assert event.kind == Kind.USER_CHANGED
    assert event.facts["before"]["groups"] == ["ops"]
    assert event.facts["after"]["groups"] == ["admins", "ops"]


def test_promoting_to_superuser() -> None:
    UserFactory(username="zoe")

    create("zoe", "--promote", "--superuser")

    assert User.objects.get().is_superuser


def test_promoting_nobody_is_one_clear_sentence() -> None:
    refused("nobody called ghost", "ghost", "--promote")


def test_promoting_somebody_disabled_is_refused() -> None:
    UserFactory(username="zoe", is_active=False)

    refused("disabled", "zoe", "--promote")

    assert not User.objects.get().groups.exists()


def test_promoting_an_admin_again_changes_nothing() -> None:
    UserFactory(username="zoe", groups=[Group.objects.get(name=ADMINS)])

    refused("already", "zoe", "--promote")


def test_without_the_group_it_points_at_the_migrations(typed: Typing) -> None:
    Group.objects.filter(name=ADMINS).delete()
    typed(PASSWORD, PASSWORD)

    refused("migrations", "alice")


def test_without_an_audit_nobody_is_made(typed: Typing) -> None:
    typed(PASSWORD, PASSWORD)
    with undone():
        drop_triggers()
        AuditHead.objects.all().delete()

        with pytest.raises(CommandError, match="audit cannot be written"):
            create("alice")

        assert not User.objects.exists()
