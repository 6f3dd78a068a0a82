"""People of the admin site, their browsers, and forms filled in as a browser would send them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from accounts.models import ADMINS, AUDITORS, User
from tests.factories import UserFactory

BrowserOf = Callable[[User], Client]

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


@pytest.fixture
def admin(db: None) -> User:
    return UserFactory(username="ada", groups=[Group.objects.get(name=ADMINS)])


@pytest.fixture
def auditor(db: None) -> User:
    return UserFactory(username="audrey", groups=[Group.objects.get(name=AUDITORS)])


@pytest.fixture
def superuser(db: None) -> User:
    return UserFactory(username="root", is_superuser=True)


@pytest.fixture
def browser_of() -> BrowserOf:
    def sign_in(user: User) -> Client:
        client = Client(REMOTE_ADDR="192.0.2.7", headers={"user-agent": "Tests"})
        client.force_login(user, backend=BACKEND)
        return client

    return sign_in


@pytest.fixture
def ada(admin: User, browser_of: BrowserOf) -> Client:
    """The admin's."""
    return browser_of(admin)


def page(name: str, *args: object) -> str:
    """The address of an admin page, such as `page("omaccess_host_change", host.pk)`."""
    return reverse(f"admin:{name}", args=args)


def filled(response: Any) -> dict[str, Any]:
    """What a browser would send back for the form of this page, unchanged."""
    form = response.context["adminform"].form
    sent: dict[str, Any] = {}
    sent |= _sent(form)
    for wrapper in response.context["inline_admin_formsets"]:
        sent |= _sent(wrapper.formset.management_form)
        for row in wrapper.formset.forms:
            sent |= _sent(row)
    return sent


def _sent(form: Any) -> dict[str, Any]:
    sent: dict[str, Any] = {}
    for bound in form:
        value = bound.value()
        widget = bound.field.widget
        if getattr(widget, "widgets", None):
            parts = widget.decompress(value)
            for number, part in enumerate(parts):
                sent[f"{bound.html_name}_{number}"] = "" if part is None else str(part)
        elif value is True:
            sent[bound.html_name] = "on"
        elif value is False or value is None:
            continue
        else:
            sent[bound.html_name] = value
    return sent


def refusal(response: Any) -> str:
    """What a form says that was not saved: its own errors and those of its rows."""
    found = [str(response.context["adminform"].form.errors)]
    for wrapper in response.context["inline_admin_formsets"]:
        found += [str(wrapper.formset.non_form_errors()), *(str(row.errors) for row in wrapper.formset.forms)]
    return " ".join(found)
