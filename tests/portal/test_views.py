"""Health, readiness, error pages and the admin's sign-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Permission
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries, Settings

from omaccess.models import AuditHead
from portal.views import Readiness, readiness
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_readiness() -> Iterator[None]:
    readiness.forget()
    yield
    readiness.forget()


def gone(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
    raise OperationalError("the database is gone; password=canary")


# --- health -----------------------------------------------------------------------------------------


def test_healthz_asks_nobody_even_with_a_session(
    client: Client, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client.force_login(UserFactory())

    with django_assert_num_queries(0):
        response = client.get("/healthz")

    assert (response.status_code, response.content) == (200, b"ok\n")


def test_readyz_is_ready_on_a_migrated_database(client: Client) -> None:
    response = client.get("/readyz")

    assert (response.status_code, response.content) == (200, b"ready\n")


def test_readyz_is_not_ready_with_an_unapplied_migration(client: Client) -> None:
    MigrationRecorder(connection).record_unapplied("omaccess", "0002_audit_is_append_only")
    newest = sorted(name for app, name in MigrationRecorder(connection).applied_migrations() if app == "omaccess")
    MigrationRecorder(connection).record_unapplied("omaccess", newest[-1])

    response = client.get("/readyz")

    assert (response.status_code, response.content) == (503, b"not ready\n")


def test_readyz_is_not_ready_without_the_audits_triggers(client: Client) -> None:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT name FROM sqlite_master WHERE type='trigger' AND tbl_name='omaccess_auditevent'")
            cursor.execute(f'DROP TRIGGER "{cursor.fetchone()[0]}"')
        else:
            cursor.execute("ALTER TABLE omaccess_auditevent DISABLE TRIGGER USER")

    assert client.get("/readyz").status_code == 503


def test_readyz_is_not_ready_without_a_database_and_says_no_more(client: Client) -> None:
    with connection.execute_wrapper(gone):
        response = client.get("/readyz")

    assert (response.status_code, response.content) == (503, b"not ready\n")


def test_probes_are_cached_and_asked_again_later(django_assert_num_queries: DjangoAssertNumQueries) -> None:
    patient, impatient = Readiness(seconds=3600), Readiness(seconds=0)
    patient.is_ready()
    impatient.is_ready()

    with django_assert_num_queries(0):
        assert patient.is_ready()
    with connection.execute_wrapper(gone):
        assert patient.is_ready()
        assert not impatient.is_ready()


def test_readyz_reads_the_head_without_a_lock(client: Client) -> None:
    assert AuditHead.objects.exists()

    with connection.execute_wrapper(_no_locks):
        assert client.get("/readyz").status_code == 200


def _no_locks(execute, sql, params, many, context):  # type: ignore[no-untyped-def]
    assert "FOR UPDATE" not in sql
    assert "FOR SHARE" not in sql
    return execute(sql, params, many, context)


# --- errors -----------------------------------------------------------------------------------------


def test_a_missing_page_is_friendly_signed_in_or_not(client: Client) -> None:
    stranger = client.get("/nowhere/")
    client.force_login(UserFactory())
    known = client.get("/nowhere/")

    assert stranger.status_code == known.status_code == 404
    assert b"There is nothing here for you" in stranger.content
    assert b"My activity" in known.content
    assert b"My activity" not in stranger.content
    assert "default-src 'none'" in known["Content-Security-Policy"]


def test_a_database_that_is_gone_is_a_503_page(client: Client) -> None:
    client.force_login(UserFactory())
    client.raise_request_exception = False

    with connection.execute_wrapper(gone):
        response = client.get("/")

    assert response.status_code == 503
    assert b"Not possible right now" in response.content
    assert b"canary" not in response.content
    assert response["Retry-After"] == "30"


def test_an_impossible_request_is_a_400_page(client: Client) -> None:
    response = client.get("/", headers={"host": "evil.example"})

    assert response.status_code == 400
    assert b"This request makes no sense" in response.content


def test_a_stale_form_that_opens_nothing_is_a_friendly_403() -> None:
    client = Client(enforce_csrf_checks=True)

    response = client.post(reverse("account_login"), {"login": "x", "password": "y"})

    assert response.status_code == 403
    assert b"The page was too old" in response.content


def test_a_stale_attempt_leads_to_the_launch() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(UserFactory())

    response = client.post("/launches/ABCDEFGH12/attempt/")

    assert (response.status_code, response["Location"]) == (303, "/launches/ABCDEFGH12/")


# --- the admin's sign-in ----------------------------------------------------------------------------


def test_the_admins_sign_in_leads_to_everybodys(client: Client) -> None:
    response = client.get("/admin/login/?next=/admin/omaccess/host/")

    assert response["Location"] == "/accounts/login/?next=/admin/omaccess/host/"


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "javascript:alert(1)", ""])
def test_the_admins_sign_in_leads_nowhere_else(client: Client, target: str) -> None:
    assert client.get("/admin/login/", {"next": target})["Location"] == "/accounts/login/?next=/admin/"


def test_whoever_may_not_enter_the_admin_is_told_so_and_not_sent_in_circles(client: Client) -> None:
    client.force_login(UserFactory())

    response = client.get("/admin/", follow=True)

    assert response.status_code == 403
    assert b"You may not see this" in response.content


def test_whoever_may_enter_is_led_in(client: Client) -> None:
    admin = UserFactory()
    admin.user_permissions.add(Permission.objects.get(codename="enter_admin"))
    client.force_login(admin)

    assert client.get("/admin/login/")["Location"] == "/admin/"
    assert client.get("/admin/").status_code == 200


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_come_by_any_address_and_in_the_clear(db: None, settings: Settings, path: str) -> None:
    settings.SECURE_SSL_REDIRECT = True

    assert Client().get(path, headers={"host": "10.9.8.7:8000"}).status_code == 200
