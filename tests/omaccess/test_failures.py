"""The catalogue is complete, and its words can be filled in for any launch."""

from __future__ import annotations

import inspect
import string
from typing import Any
from urllib.parse import unquote

import pytest
from django.utils.translation import override

from omaccess.cloud import errors as cloud
from omaccess.cloud.types import OmUrlState
from omaccess.errors import CredentialBlocked, CredentialUnusable, NotAllowed
from omaccess.failures import CATALOGUE, Cause, cause_of, explain, state_of
from omaccess.models import Launch, LaunchState
from tests.factories import HostAccountFactory

PLACEHOLDERS = {"host", "account", "instance", "owner", "support", "iam_user", "address"}


@pytest.mark.parametrize("cause", Cause)
def test_every_cause_has_words_for_everybody(cause: Cause) -> None:
    failure = CATALOGUE[cause]

    texts = [str(text) for text in (failure.title, failure.what, failure.user, failure.admin)]
    used = {name for text in texts for _literal, name, _spec, _conversion in string.Formatter().parse(text) if name}

    assert all(texts)
    assert used <= PLACEHOLDERS
    assert not failure.opened


@pytest.mark.parametrize("state", [state for state in OmUrlState if state is not OmUrlState.SUCCESS])
def test_every_state_of_the_bastion_leads_to_an_entry(state: OmUrlState) -> None:
    error = cloud.OmUrlRefused(state=state, raw_state=str(state), service="cbh", status=200)

    assert cause_of(error) in CATALOGUE
    assert state_of(error) is LaunchState.REFUSED


def _every_error() -> list[Exception]:
    extra: dict[str, Any] = {
        "sent": True,
        "problem": "blank",
        "origin": "https://192.0.2.1",
        "retry_after_seconds": 1.0,
        "state": OmUrlState.UNKNOWN_ERROR,
        "raw_state": "x",
    }
    found: list[Exception] = []
    for _name, kind in inspect.getmembers(cloud, inspect.isclass):
        if not issubclass(kind, cloud.CloudError) or kind is cloud.CloudError:
            continue
        parameters = inspect.signature(kind.__init__).parameters
        facts = {name: value for name, value in extra.items() if name in parameters}
        found += [kind(service=service, **facts) for service in ("iam", "cbh")]
    return found


@pytest.mark.parametrize("error", _every_error(), ids=str)
def test_every_error_of_the_client_leads_to_an_entry(error: Exception) -> None:
    assert cause_of(error) in CATALOGUE
    assert state_of(error) in {LaunchState.REFUSED, LaunchState.FAILED}


@pytest.mark.parametrize(
    ("error", "cause", "state"),
    [
        (CredentialBlocked(), Cause.CREDENTIAL_BLOCKED, LaunchState.REFUSED),
        (CredentialUnusable(Cause.SECRET_UNREADABLE), Cause.SECRET_UNREADABLE, LaunchState.REFUSED),
        (NotAllowed(Cause.GRANT_REVOKED), Cause.GRANT_REVOKED, LaunchState.FAILED),
        (cloud.CloudForbidden(service="iam", status=403), Cause.IAM_FORBIDDEN, LaunchState.REFUSED),
        (cloud.CloudForbidden(service="cbh", status=403), Cause.PERMISSION_MISSING, LaunchState.REFUSED),
    ],
)
def test_the_portals_own_errors_lead_to_their_entries(error: Exception, cause: Cause, state: LaunchState) -> None:
    assert (cause_of(error), state_of(error)) == (cause, state)


def test_an_error_that_is_no_part_of_a_launch_is_a_bug() -> None:
    with pytest.raises(TypeError):
        cause_of(ValueError("x"))


@pytest.mark.django_db
def test_an_explanation_names_host_owner_and_contact() -> None:
    account = HostAccountFactory(host__owner="Shop team", host__contact="shop@acme.example")

    explanation = explain(Cause.HOST_NOT_MANAGED, account=account)

    assert "Shop team" in explanation.next_step
    assert explanation.contact == "shop@acme.example"
    assert explanation.opened_text == "Nothing was opened."


@pytest.mark.django_db
def test_names_that_look_like_formats_are_shown_as_they_are() -> None:
    account = HostAccountFactory(name="{owner.__class__}", host__name="{0}{host}", host__owner="{iam_user}")

    explanation = explain(Cause.HOST_ACCOUNT_UNKNOWN, account=account)

    assert "{owner.__class__}" in explanation.what
    assert "{0}{host}" in explanation.what
    assert "{iam_user}" in explanation.next_step


@pytest.mark.parametrize("cause", Cause)
def test_every_entry_can_be_filled_in_for_nothing_in_particular(cause: Cause) -> None:
    with override("en"):
        explanation = explain(cause)

    assert "{" not in explanation.title + explanation.what + explanation.next_step + explanation.admin_remedy


def test_the_launch_wins_over_what_the_inventory_says_today() -> None:
    launch = Launch(host_name="web-01", account_name="root", instance_name="bastion", host_address="10.0.0.1")

    assert "10.0.0.1" in explain(Cause.HOST_NOT_MANAGED, launch=launch).what


@pytest.mark.django_db
def test_a_refusal_that_somebody_else_mends_comes_with_a_mail_to_them_that_tells_what_happened() -> None:
    account = HostAccountFactory(host__name="web-01", host__contact="Shop team, shop@acme.example")
    launch = Launch(account=account, host_name="web-01", account_name="root", host_address="10.0.0.11")

    link = unquote(explain(Cause.HOST_NOT_MANAGED, launch=launch).mail_link)

    assert link.startswith("mailto:shop@acme.example?subject=")
    for fact in (launch.reference, "web-01", "10.0.0.11", "root", str(account.host.instance), "host_not_managed"):
        assert fact in link


@pytest.mark.django_db
def test_without_a_mail_address_there_is_no_mail(settings: Any) -> None:
    account = HostAccountFactory(host__contact="call 4711")
    settings.SUPPORT_CONTACT = "the service desk"

    assert explain(Cause.HOST_NOT_MANAGED, account=account).mail_link == ""
    assert explain(Cause.NO_GRANT, account=account).mail_link == ""


@pytest.mark.django_db
def test_a_host_without_a_contact_leads_to_somebody_who_can_find_out(settings: Any) -> None:
    settings.SUPPORT_CONTACT = "the service desk"

    explanation = explain(Cause.HOST_NOT_MANAGED, account=HostAccountFactory(host__contact=""))

    assert explanation.contact == "the service desk"
    assert "No contact is entered for the host" in explanation.contact_label


@pytest.mark.django_db
def test_what_somebody_mends_alone_names_nobody_to_write_to(settings: Any) -> None:
    settings.SUPPORT_CONTACT = "desk@acme.example"

    explanation = explain(Cause.DECISION_CHANGED, account=HostAccountFactory(host__contact="shop@acme.example"))

    assert (explanation.contact, explanation.mail_link) == ("", "")
