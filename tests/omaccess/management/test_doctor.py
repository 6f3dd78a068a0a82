"""`manage.py doctor` names what is missing, in words."""

from __future__ import annotations

import datetime as dt
import io
import os
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import ADMINS
from omaccess import vault
from omaccess.management.commands import doctor
from omaccess.models import Grant, HostAccount, IamCredential, Launch, LaunchState
from tests import inventory as inventory_rows
from tests.factories import BastionInstanceFactory, IamCredentialFactory, UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.database]


@pytest.fixture(autouse=True)
def _no_restricted_role(settings: Settings) -> None:
    """On PostgreSQL the suite runs as the owner of its tables; what that means is test_deploy's subject."""
    settings.REQUIRE_AUDIT_ROLE = False


def sentences(examine: object) -> list[str]:
    assert callable(examine)
    return [finding.text for finding in examine()]


def test_an_empty_installation_is_told_what_comes_next_and_the_exit_code_is_1() -> None:
    out = io.StringIO()

    with pytest.raises(SystemExit) as end:
        call_command("doctor", stdout=out)

    assert end.value.code == 1
    assert "ok     Database" in out.getvalue()
    assert "WRONG  People and grants" in out.getvalue()
    assert "Nobody is in the group admins. Run: manage.py create_admin" in out.getvalue()
    assert "There is no enabled bastion instance" in out.getvalue()
    assert "No grant is in force" in out.getvalue()
    assert "No worker answers." in out.getvalue()


def test_a_complete_installation_has_nothing_to_complain_about(inventory: inventory_rows.Inventory) -> None:
    UserFactory(groups=[Group.objects.get(name=ADMINS)])

    for examine in (doctor._settings, doctor._database, doctor._audit, doctor._cache, doctor._credentials,
                    doctor._instances, doctor._people, doctor._sweep):  # fmt: skip
        assert not [finding.text for finding in examine() if finding.is_wrong]


def test_a_credential_without_a_secret_is_named() -> None:
    IamCredentialFactory(name="hangzhou")

    assert sentences(doctor._credentials) == ["hangzhou has no secret. Enter it in the admin."]


def test_a_secret_that_does_not_open_is_named_and_not_shown() -> None:
    copied = IamCredentialFactory(name="hangzhou", secret="the password")
    IamCredential.objects.filter(pk=copied.pk).update(
        secret_ciphertext=vault.encrypt("the password", table="iamcredential", row="another", field="secret")
    )

    found = sentences(doctor._credentials)

    assert found == ["hangzhou: the ciphertext does not open: wrong key, altered, or moved from another row."]


def test_an_endpoint_that_may_not_be_called_is_named() -> None:
    BastionInstanceFactory(
        name="bastion", endpoint="https://cbh.example", credential__iam_endpoint="https://iam.example"
    )

    assert any("https://cbh.example" in text for text in sentences(doctor._instances))
    assert any("https://iam.example" in text for text in sentences(doctor._credentials))


def test_an_instance_without_a_login_address_is_named() -> None:
    BastionInstanceFactory(name="bastion")

    assert sentences(doctor._instances) == ["bastion has no login address of the kind link, so every link is refused."]


def test_grants_that_are_all_over_count_as_none(inventory: inventory_rows.Inventory) -> None:
    Grant.objects.update(valid_until=timezone.now() - dt.timedelta(minutes=1))

    assert "No grant is in force, so nobody can open anything." in sentences(doctor._people)


def test_malformed_keys_are_a_sentence_not_a_crash(settings: Settings) -> None:
    settings.VAULT_KEYS = "k1:short"

    assert any("VAULT_KEYS" in text for text in sentences(doctor._settings))


def test_a_launch_that_nobody_swept_betrays_the_scheduler(inventory: inventory_rows.Inventory) -> None:
    account: HostAccount = inventory.root
    Launch.objects.create(
        user=inventory.staff,
        account=account,
        state=LaunchState.PENDING,
        attempted_at=timezone.now() - dt.timedelta(hours=1),
    )

    assert len(sentences(doctor._sweep)) == 1


def test_messages_that_nobody_takes_betray_the_worker() -> None:
    queue = Path(django_settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"])
    message = queue / "1_waiting.celery.msg"
    message.touch()
    os.utime(message, (0, 0))

    try:
        found = sentences(lambda: doctor._late_messages(queue))
    finally:
        message.unlink()

    assert len(found) == 1
    assert "1 messages have waited" in found[0]
