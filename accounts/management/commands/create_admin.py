"""Makes the first admin, or another one when nobody can sign in any more."""

from __future__ import annotations

import getpass
import sys
from typing import Any

from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, transaction
from django.utils.translation import gettext as _

from accounts.models import ADMINS, User
from omaccess.audit import CannotRecord, Kind, record
from omaccess.meta import Meta
from portal.env import env


class Command(BaseCommand):
    help = (
        "Make a person in the group admins. Admins keep the inventory and grant access; they open nothing without a "
        "grant themselves. The password is asked for twice, or read from ADMIN_PASSWORD (or ADMIN_PASSWORD_FILE), or "
        "from standard input."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--name", default="", help="full name")
        parser.add_argument("--email", default="")
        parser.add_argument(
            "--promote", action="store_true", help="the person exists; add them to admins and leave the password"
        )
        parser.add_argument(
            "--superuser", action="store_true", help="also every permission of the admin site (still opens no host)"
        )
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from the first line of standard input"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            if options["promote"]:
                user = _promote(options["username"], is_superuser=options["superuser"])
                text = _("{username} is an admin now.")
            else:
                user = _create(options)
                text = _("{username} was made and is an admin.")
        except CannotRecord as error:
            raise CommandError(_("The audit cannot be written, so nothing was done.")) from error
        except Error as error:
            problem = _("The database cannot be used ({problem}). Has `python manage.py migrate` been run?")
            raise CommandError(problem.format(problem=type(error).__name__)) from error
        self.stdout.write(text.format(username=user.username))


def _create(options: dict[str, Any]) -> User:
    user = User(
        username=options["username"],
        name=options["name"],
        email=User.objects.normalize_email(options["email"]),
        is_superuser=options["superuser"],
    )
    group = _admins()
    if User.objects.filter(username__iexact=user.username).exists():
        raise CommandError(_("{username} exists. To make them an admin: --promote.").format(username=user.username))
    try:
        user.full_clean(exclude=["password"])
        password = _password(from_stdin=options["password_stdin"])
        validate_password(password, user)
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error
    user.set_password(password)
    with transaction.atomic():
        user.save(force_insert=True)
        user.groups.add(group)
        _record(Kind.USER_CREATED, user, after=_facts(user))
    return user


def _promote(username: str, *, is_superuser: bool) -> User:
    group = _admins()
    with transaction.atomic():
        # Locked: a launch that rests on this person's groups reads the same row.
        user = User.objects.select_for_update().filter(username__iexact=username).first()
        if user is None:
            raise CommandError(_("There is nobody called {username}.").format(username=username))
        if not user.is_active:
            text = _("{username} is disabled. An admin can enable them; or make another admin.")
            raise CommandError(text.format(username=user.username))
        before = _facts(user)
        user.groups.add(group)
        if is_superuser and not user.is_superuser:
            user.is_superuser = True
            user.save(update_fields=["is_superuser"])
        after = _facts(user)
        if after == before:
            raise CommandError(_("{username} is an admin already.").format(username=user.username))
        _record(Kind.USER_CHANGED, user, before=before, after=after)
    return user


def _admins() -> Group:
    group = Group.objects.filter(name=ADMINS).first()
    if group is None:
        raise CommandError(_("There is no group called {group}; the migrations make it.").format(group=ADMINS))
    return group


def _facts(user: User) -> dict[str, Any]:
    """What the audit says of a person, before and after. Never anything about the password."""
    return {
        "username": user.username,
        "name": user.name,
        "email": user.email,
        "is_active": user.is_active,
        "is_superuser": user.is_superuser,
        "password": "set" if user.has_usable_password() else "none",
        "groups": sorted(user.groups.values_list("name", flat=True)),
    }


def _record(kind: Kind, user: User, **facts: Any) -> None:
    record(kind, by=None, actor_name="system: create_admin", target=user, meta=Meta.system("create_admin"), **facts)


def _password(*, from_stdin: bool) -> str:
    """Raises: CommandError when there is none, or the two that were typed differ."""
    given = sys.stdin.readline() if from_stdin else env.str("ADMIN_PASSWORD", "")
    # Editors end the last line of a file with a line break, which nobody means to be part of a password.
    password = given.rstrip("\r\n") if given or from_stdin else _typed_password()
    if not password:
        raise CommandError(_("The password is empty."))
    return password


def _typed_password() -> str:
    if not sys.stdin.isatty():
        text = _("There is no terminal to ask for a password: use --password-stdin or ADMIN_PASSWORD_FILE.")
        raise CommandError(text)
    password = getpass.getpass(_("Password: "))
    if getpass.getpass(_("Again: ")) != password:
        raise CommandError(_("The two passwords differ; nothing was made."))
    return password
