"""What has gone wrong at comparable doors with people, roles, sessions and defaults, tried here by those who would."""

from __future__ import annotations

import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.test import Client

from accounts.models import ADMINS, AUDITORS, User
from omaccess.admin.site import site
from omaccess.models import Launch
from omaccess.sandbox.server import SandboxServer
from portal.celery import app
from tests import production
from tests.factories import PASSWORD, GrantFactory, UserFactory
from tests.inventory import Inventory
from tests.launching import revoke
from tests.test_security import handed_out, press

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def staff(client: Client, inventory: Inventory) -> Client:
    client.force_login(inventory.staff)
    return client


# --- tokens listed, users by default, roles that replace -------------------------------------------

SECRET_WORDS = ("ciphertext", "token", "session", "password")


@pytest.mark.django_db
def test_nothing_that_holds_a_secret_can_be_listed_or_shown(client: Client) -> None:
    client.force_login(UserFactory(is_superuser=True))
    registered = {model._meta.label for model in site._registry}
    shown = [
        f"{model._meta.label}.{name}"
        for model, page in site._registry.items()
        for name in (*page.list_display, *page.get_readonly_fields(_request(client)), *page.search_fields)
        if any(word in str(name).lower() for word in SECRET_WORDS)
    ]

    assert registered == {
        *(f"omaccess.{name}" for name in ("BastionInstance", "Host", "HostAccount", "IamCredential", "Grant")),
        *("omaccess.Launch", "omaccess.AuditEvent", "accounts.User", "auth.Group"),
    }
    assert shown == ["accounts.User.has_password"]  # a yes or no
    for path in (
        "api/",
        "api/tokens",
        "sessions/",
        "tokens/",
        "admin/sessions/session/",
        "admin/omaccess/iamuserlease/",
    ):
        assert client.get(f"/{path}").status_code == 404


def _request(client: Client) -> Any:
    return client.get("/admin/").wsgi_request


@pytest.mark.django_db
def test_a_new_installation_has_nobody_in_it() -> None:
    guesses = [(name, word) for name in ("admin", "root", "sallyport", "staff") for word in (name, "admin", "password")]

    assert not User.objects.exists()
    assert [guess for guess in guesses if authenticate(username=guess[0], password=guess[1])] == []
    assert sorted(Group.objects.values_list("name", flat=True)) == [ADMINS, AUDITORS]


@pytest.mark.django_db
def test_a_second_role_adds_to_the_first() -> None:
    user = UserFactory(groups=[Group.objects.get(name=AUDITORS)])

    call_command("create_admin", user.username, "--promote")

    fresh = User.objects.get(pk=user.pk)
    assert sorted(fresh.groups.values_list("name", flat=True)) == [ADMINS, AUDITORS]
    assert fresh.has_perms(["omaccess.export_audit", "omaccess.change_host"])


@pytest.mark.django_db
def test_a_second_grant_adds_to_the_first(inventory: Inventory) -> None:
    person = UserFactory()
    [first, second] = [inventory.account("root"), inventory.account("root", "legacy")]
    for account in (first, second):
        GrantFactory(user=person, host=account.host)
    client = Client()
    client.force_login(person)

    page = client.get("/").content.decode()

    assert f"/hosts/{first.host_id}/" in page
    assert f"/hosts/{second.host_id}/" in page


# --- checks that are skipped because something is fresh -------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("change", ["grant revoked", "host disabled", "person disabled", "session ended"])
def test_a_fresh_sign_in_and_a_fresh_token_skip_no_check(
    staff: Client, inventory: Inventory, sandbox: SandboxServer, change: str
) -> None:
    first = press(staff, inventory.root.pk)
    asked = len(sandbox.control.calls())
    change_now(change, inventory)

    second = press(staff, inventory.account("root", "legacy").pk)

    assert handed_out(sandbox, first)
    assert not handed_out(sandbox, second)
    assert len(sandbox.control.calls()) == asked


def change_now(change: str, inventory: Inventory) -> None:
    if change == "grant revoked":
        revoke(inventory)
    elif change == "host disabled":
        inventory.hosts["legacy"].is_enabled = False
        inventory.hosts["legacy"].save()
    elif change == "person disabled":
        User.objects.filter(pk=inventory.staff.pk).update(is_active=False)
    else:
        Session.objects.all().delete()


# --- another person between two steps ---------------------------------------------------------------------


@pytest.fixture
def browser(inventory: Inventory) -> Client:
    """One browser with CSRF checks, as a real one has; `staff` is signed in and has a host's page open."""
    client = Client(enforce_csrf_checks=True)
    sign_in(client, inventory.staff)
    return client


def sign_in(client: Client, user: User) -> None:
    client.get("/accounts/login/")
    token = client.cookies["sallyport-csrf"].value
    fields = {"login": user.username, "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert client.post("/accounts/login/", fields).status_code == 302


def sign_out(client: Client) -> None:
    token = client.cookies["sallyport-csrf"].value
    assert client.post("/accounts/logout/", {"csrfmiddlewaretoken": token}).status_code == 302


@pytest.mark.django_db
def test_a_form_of_one_person_opens_nothing_for_the_next_one_in_the_same_browser(
    browser: Client, inventory: Inventory
) -> None:
    browser.get(f"/hosts/{inventory.root.host_id}/")
    token_of_staff = browser.cookies["sallyport-csrf"].value
    form = {"account": inventory.root.pk, "once": str(uuid.uuid4()), "csrfmiddlewaretoken": token_of_staff}
    sign_out(browser)
    colleague = UserFactory()
    GrantFactory(user=colleague, host=inventory.root.host)
    sign_in(browser, colleague)

    response = browser.post("/launches/", form)

    assert response.status_code == 303
    assert response["Location"].startswith("/hosts/")
    assert not Launch.objects.exists()


@pytest.mark.django_db
def test_a_cookie_from_before_the_sign_in_or_after_the_sign_out_is_worth_nothing(inventory: Inventory) -> None:
    planted, victim = Client(), Client(enforce_csrf_checks=True)
    planted.get("/accounts/login/")
    session = planted.session
    session["planted"] = True
    session.save()
    victim.cookies["sallyport-session"] = session.session_key or ""
    sign_in(victim, inventory.staff)
    stolen = victim.cookies["sallyport-session"].value
    thief, early = Client(), Client()
    early.cookies["sallyport-session"] = session.session_key or ""
    assert early.get("/").status_code == 302
    sign_out(victim)
    thief.cookies["sallyport-session"] = stolen

    assert thief.get("/").status_code == 302
    assert press(thief, inventory.root.pk)["Location"].startswith("/accounts/login/")
    assert not Launch.objects.exists()


@pytest.mark.django_db
def test_the_result_of_one_person_is_not_shown_to_the_next_one(browser: Client, inventory: Inventory) -> None:
    browser.get(f"/hosts/{inventory.root.host_id}/")
    once = str(uuid.uuid4())
    token = browser.cookies["sallyport-csrf"].value
    browser.post("/launches/", {"account": inventory.root.pk, "once": once, "csrfmiddlewaretoken": token})
    launch = Launch.objects.get()
    sign_out(browser)
    colleague = UserFactory()
    GrantFactory(user=colleague, host=inventory.root.host)
    sign_in(browser, colleague)

    assert browser.get(f"/launches/{launch.reference}/").status_code == 404
    assert browser.get(f"/launches/status/{once}/").status_code == 204
    assert launch.reference not in browser.get("/activity/").content.decode()


# --- what an installation is when nobody set anything -----------------------------------------------------


CLOSED: dict[str, Any] = {
    "DEBUG": False,
    "IS_SANDBOX": False,
    "SESSION_COOKIE_NAME": "__Host-session",
    "SESSION_COOKIE_SECURE": True,
    "SESSION_COOKIE_HTTPONLY": True,
    "SESSION_COOKIE_SAMESITE": "Lax",
    "SESSION_COOKIE_AGE": 12 * 3600,
    "SESSION_SERIALIZER": "django.contrib.sessions.serializers.JSONSerializer",
    "CSRF_COOKIE_NAME": "__Host-csrf",
    "CSRF_COOKIE_SECURE": True,
    "CSRF_COOKIE_HTTPONLY": True,
    "SECURE_SSL_REDIRECT": True,
    "X_FRAME_OPTIONS": "DENY",
    "TRUSTED_PROXIES": [],
}


@pytest.fixture(scope="module")
def settings_in_production(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The settings of an installation with nothing but its keys and its name."""
    names = [*CLOSED, "SECURE_HSTS_SECONDS", "CLOUD_ENDPOINTS", "PASSWORD_HASHERS"]
    code = (
        "import json, sys; from django.conf import settings;"
        "print(json.dumps({name: getattr(settings, name) for name in sys.argv[1:]}))"
    )
    env = production.variables(tmp_path_factory.mktemp("installation"))
    done = subprocess.run(
        [sys.executable, "-c", code, *names], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    )
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def test_an_installation_with_nothing_but_keys_is_closed(settings_in_production: dict[str, Any]) -> None:
    assert {name: settings_in_production[name] for name in CLOSED} == CLOSED
    assert settings_in_production["SECURE_HSTS_SECONDS"] >= 31_536_000
    assert settings_in_production["PASSWORD_HASHERS"][0].endswith("PBKDF2PasswordHasher")
    assert all(pattern.startswith("https://*.myhuaweicloud.") for pattern in settings_in_production["CLOUD_ENDPOINTS"])


def test_debug_pages_cannot_be_switched_on_for_a_real_cloud(tmp_path: Path) -> None:
    env = {**production.variables(tmp_path), "DEBUG": "1"}

    done = production.manage("check", env=env, is_quiet=True)

    assert done.returncode != 0
    assert "DEBUG" in done.stderr


def test_a_message_to_the_worker_is_data_and_never_code() -> None:
    assert set(app.conf.accept_content) == {"json"}
    assert app.conf.task_serializer == "json"
