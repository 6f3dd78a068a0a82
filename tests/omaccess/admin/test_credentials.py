"""Credentials in the admin: the secret goes in and never comes out."""

from __future__ import annotations

import datetime as dt
import logging

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.utils import timezone

from accounts.models import User
from omaccess import vault
from omaccess.models import AuditEvent, IamCredential, IamUserLease
from tests.factories import GrantFactory, HostAccountFactory, IamCredentialFactory
from tests.omaccess.admin.conftest import BrowserOf, filled, page, refusal

pytestmark = pytest.mark.database

CANARY = "canary-5d1b! "


def address_of(credential: IamCredential) -> str:
    return page("omaccess_iamcredential_change", credential.pk)


def opened(credential: IamCredential) -> str:
    credential.refresh_from_db()
    return vault.decrypt(credential.secret_ciphertext, table="iamcredential", row=str(credential.pk), field="secret")


def test_a_credential_is_added_with_its_secret(ada: Client) -> None:
    form = filled(ada.get(page("omaccess_iamcredential_add"))) | {
        "name": "portal",
        "iam_endpoint": "https://iam.cn-north-4.myhuaweicloud.com",
        "account_name": "acme",
        "user_name": "portal",
        "secret": CANARY,
        "is_enabled": "on",
    }

    response = ada.post(page("omaccess_iamcredential_add"), form)

    assert response.status_code == 302
    credential = IamCredential.objects.get()
    assert opened(credential) == CANARY
    assert AuditEvent.objects.latest("position").kind == "credential:created"


def test_no_page_log_or_record_ever_shows_the_secret(
    ada: Client, admin: User, auditor: User, browser_of: BrowserOf, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    credential = IamCredentialFactory(secret="before")
    form = filled(ada.get(address_of(credential))) | {"secret": CANARY}

    replaced = ada.post(address_of(credential), form | {"_continue": "1"}, follow=True)
    invalid = ada.post(address_of(credential), form | {"name": ""})

    assert opened(credential) == CANARY
    credential.refresh_from_db()
    pages = [replaced, invalid, ada.get(page("omaccess_iamcredential_changelist"))]
    pages += [browser_of(auditor).get(address_of(credential))]
    pages += [ada.get(page("omaccess_iamcredential_history", credential.pk))]
    pages += [ada.get(page("omaccess_auditevent_change", AuditEvent.objects.latest("position").pk))]
    records = [entry.change_message for entry in LogEntry.objects.all()]
    records += [str(values) for values in AuditEvent.objects.values()]
    for text in [*(one.content.decode() for one in pages), *records, caplog.text]:
        assert CANARY.strip() not in text
        assert credential.secret_ciphertext not in text


def test_a_look_at_a_credential_offers_no_place_for_a_secret(auditor: User, browser_of: BrowserOf) -> None:
    credential = IamCredentialFactory(secret="before")

    body = browser_of(auditor).get(address_of(credential)).content.decode()

    assert 'type="password"' not in body


def test_an_empty_field_keeps_the_secret(ada: Client) -> None:
    credential = IamCredentialFactory(secret="before")
    form = filled(ada.get(address_of(credential))) | {"name": "renamed"}

    ada.post(address_of(credential), form)

    assert opened(credential) == "before"
    assert credential.version == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("iam_endpoint", "https://iam.cn-east-3.myhuaweicloud.com"),
        ("account_name", "other"),
        ("user_name", "other"),
    ],
)
def test_another_identity_empties_the_secret_and_says_so(ada: Client, field: str, value: str) -> None:
    credential = IamCredentialFactory(secret="before")
    form = filled(ada.get(address_of(credential))) | {field: value}

    response = ada.post(address_of(credential), form, follow=True)

    credential.refresh_from_db()
    assert not credential.has_secret
    assert credential.version == 2
    assert "has no password now" in response.content.decode()


@pytest.mark.parametrize("forged", ["secret_ciphertext", "version", "last_error"])
def test_what_is_no_field_cannot_be_forged(ada: Client, forged: str) -> None:
    credential = IamCredentialFactory(secret="before")
    was = getattr(credential, forged)
    form = filled(ada.get(address_of(credential))) | {forged: "77"}

    ada.post(address_of(credential), form)

    credential.refresh_from_db()
    assert getattr(credential, forged) == was


def test_a_foreign_iam_endpoint_is_refused(ada: Client) -> None:
    credential = IamCredentialFactory(secret="before")
    form = filled(ada.get(address_of(credential))) | {"iam_endpoint": "https://iam.evil.example"}

    response = ada.post(address_of(credential), form)

    assert "CLOUD_ENDPOINTS" in refusal(response)
    assert opened(credential) == "before"


def test_a_credential_in_use_stays_a_launch_credential(ada: Client) -> None:
    used = HostAccountFactory().host.instance.credential
    unused = IamCredentialFactory()

    for credential, is_saved in ((used, False), (unused, True)):
        form = filled(ada.get(address_of(credential))) | {"purpose": "read"}
        response = ada.post(address_of(credential), form)
        assert (response.status_code == 302) == is_saved


def test_the_secret_behind_ones_own_access_is_replaced_by_others_only(ada: Client, admin: User) -> None:
    account = HostAccountFactory()
    credential = account.host.instance.credential
    GrantFactory(user=admin, host=account.host)
    form = filled(ada.get(address_of(credential))) | {"secret": CANARY}

    response = ada.post(address_of(credential), form)

    assert "a grant of your own" in refusal(response)
    assert CANARY.strip() not in response.content.decode()
    assert opened(credential) == "a secret"


def test_the_list_says_how_a_credential_does(ada: Client) -> None:
    credential = IamCredentialFactory(secret="x", last_error="credential_rejected")
    until = timezone.now() + dt.timedelta(minutes=20)
    IamUserLease.objects.create(
        iam_endpoint=credential.iam_endpoint,
        account_name=credential.account_name,
        user_name=credential.user_name,
        blocked_until=until,
    )

    body = ada.get(page("omaccess_iamcredential_changelist")).content.decode()

    assert timezone.localtime(until).strftime("%Y-%m-%d %H:%M") in body
    assert "does not accept" in body


def test_the_form_names_the_usual_mistakes(ada: Client) -> None:
    body = ada.get(page("omaccess_iamcredential_add")).content.decode()

    for word in ("HUAWEI ID", "cbh:instance:getOmUrl", "not the user"):
        assert word in body


AGAIN = "Type the password again."


def test_a_form_that_was_wrong_asks_for_a_typed_password_again(ada: Client, admin: User) -> None:
    credential = IamCredentialFactory(secret="before")
    form = filled(ada.get(address_of(credential))) | {"name": ""}

    typed = ada.post(address_of(credential), form | {"secret": CANARY})
    untyped = ada.post(address_of(credential), form)

    assert typed.context["adminform"].form.errors["secret"] == [AGAIN]
    assert AGAIN in typed.text
    assert CANARY.strip() not in typed.text
    assert AGAIN not in untyped.text
    assert AGAIN not in ada.get(address_of(credential)).text


def test_a_refused_password_is_asked_for_again_too(ada: Client, admin: User) -> None:
    account = HostAccountFactory()
    GrantFactory(user=admin, host=account.host)
    address = address_of(account.host.instance.credential)

    response = ada.post(address, filled(ada.get(address)) | {"secret": CANARY})

    assert "a grant of your own" in refusal(response)
    assert AGAIN in response.text
