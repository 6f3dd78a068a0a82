"""The admin's pages, what admins do there with secrets, and what the admin's own history keeps of it."""

from __future__ import annotations

import re
import secrets
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from accounts.models import ADMINS, User
from omaccess.actions import credentials
from omaccess.admin.site import site
from omaccess.meta import Meta
from omaccess.models import AuditEvent, IamCredential, Launch
from omaccess.sandbox.server import SandboxServer
from tests.canary.conftest import signed_in, vault_key
from tests.canary.issued import Issued
from tests.canary.life import launch_everything, password_of
from tests.canary.sinks import Sinks, add_database, add_response
from tests.factories import GrantFactory, UserFactory
from tests.inventory import Inventory
from tests.omaccess.admin.conftest import filled, page

pytestmark = pytest.mark.database


def every_page() -> list[str]:
    """Lists, forms to add, and of the newest row of each kind the pages to change, look back and delete; popups."""
    found = [page("index"), page("why"), *(page("app_list", label) for label in ("omaccess", "accounts", "auth"))]
    for model in site._registry:
        name = f"{model._meta.app_label}_{model._meta.model_name}"
        found += [page(f"{name}_changelist") + "?q=a", page(f"{name}_changelist") + "?_popup=1", page(f"{name}_add")]
        newest = model._default_manager.order_by("-pk").first()
        assert newest is not None
        found += [page(f"{name}_{view}", newest.pk) for view in ("change", "history", "delete")]
    found += [page("omaccess_iamcredential_changelist"), page("omaccess_iamcredential_add") + "?_popup=1"]
    for model_name, field in (("bastioninstance", "credential"), ("hostaccount", "credential"), ("grant", "user")):
        query = f"?app_label=omaccess&model_name={model_name}&field_name={field}&term="
        found.append(page("autocomplete") + query)
    return found


def send(client: Client, address: str, sinks: Sinks, **changes: Any) -> Any:
    """The form of a page with some fields filled in otherwise, and the page that answers."""
    sent = filled(client.get(address)) | changes
    response = client.post(address, sent)
    add_response(sinks, response)
    if response.status_code == 302:
        add_response(sinks, client.get(response["Location"]))
    return response


def test_no_secret_is_on_any_page_of_the_admin(
    staff: Client, root: Client, inventory: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks
) -> None:
    launch_everything(staff, inventory, sandbox, issued, sinks)
    root.post(page("omaccess_hostaccount_test", inventory.root.pk))
    GrantFactory()
    GrantFactory(user=None, group=Group.objects.get(name=ADMINS), by_labels=True, labels={"env": "prod"})

    answers = {address: root.get(address) for address in every_page()}
    for row in AuditEvent.objects.order_by("kind", "-position"):
        # One event of each kind: their stories are told by templates of their own.
        address = page("omaccess_auditevent_change", row.pk)
        if not sinks.holds("kinds of events", row.kind):
            sinks.add("kinds of events", row.kind)
            answers[address] = root.get(address)
    for launch in Launch.objects.order_by("cause", "-pk"):
        if not sinks.holds("causes of launches", launch.cause or "none"):
            sinks.add("causes of launches", launch.cause or "none")
            answers[page("omaccess_launch_change", launch.pk)] = root.get(page("omaccess_launch_change", launch.pk))
    for address, answer in answers.items():
        assert answer.status_code in {200, 403, 405}, address
        sinks.add("admin page", answer.content)
    for form in ("csv", "jsonl"):
        add_response(sinks, root.post(page("omaccess_auditevent_export"), {"format": form}))

    assert len([answer for answer in answers.values() if answer.status_code == 200]) > 60
    assert sinks.leaks(issued) == []


def test_no_secret_that_an_admin_types_is_kept_in_the_clear_or_shown_again(
    root: Client, inventory: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks, logged: None
) -> None:
    """New credential, wrong form, replaced secret, changed identity; new person, replaced password."""
    typed = {
        name: issued.add("typed password", secrets.token_urlsafe(18)) for name in ("first", "second", "wrong", "person")
    }
    add = page("omaccess_iamcredential_add")
    identity = {"iam_endpoint": sandbox.url, "account_name": "acme", "user_name": "typed"}
    send(root, add, sinks, name="", secret=typed["wrong"], **identity)
    send(root, add, sinks, name="typed", secret=typed["first"], **identity)
    credential = IamCredential.objects.get(name="typed")
    change = page("omaccess_iamcredential_change", credential.pk)
    send(root, change, sinks, secret=typed["second"])
    send(root, change, sinks, iam_endpoint="ftp://nowhere", secret=typed["wrong"])
    send(root, f"{change}?_popup=1", sinks, account_name="other", secret=typed["second"], _popup="1")
    send(root, page("accounts_user_add"), sinks, username="typed", new_password="short")
    send(root, page("accounts_user_add"), sinks, username="typed", new_password=typed["person"])
    person = User.objects.get(username="typed")
    send(root, page("accounts_user_change", person.pk), sinks, new_password=typed["person"][::2] + typed["first"])
    issued.add("typed password", typed["person"][::2] + typed["first"])

    for name, pk in (("omaccess_iamcredential", credential.pk), ("accounts_user", person.pk)):
        for view in ("change", "history"):
            sinks.add("page afterwards", root.get(page(f"{name}_{view}", pk)).content)
    for entry in LogEntry.objects.all():
        sinks.add("admin history", f"{entry!r} {entry.change_message} {entry.get_change_message()} {vars(entry)}")
    add_database(sinks)

    credential.refresh_from_db()
    kinds = set(AuditEvent.objects.values_list("kind", flat=True))
    assert {"credential:created", "credential:secret_replaced", "credential:changed", "user:created"} <= kinds
    assert credential.has_secret
    assert LogEntry.objects.count() >= 5
    assert sinks.leaks(issued) == []


def test_no_secret_is_in_what_a_test_of_an_account_says(
    root: Client,
    inventory: Inventory,
    sandbox: SandboxServer,
    issued: Issued,
    sinks: Sinks,
    logged: None,
    settings: Any,
) -> None:
    settings.LAUNCHES_PER_MINUTE = 10_000
    password = password_of(sandbox)
    test = page("omaccess_hostaccount_test", inventory.root.pk)
    faults: list[tuple[str, dict[str, Any]]] = [
        ("cbh.om_url", {"login_url": "foreign_origin"}),
        ("cbh.om_url", {"login_url": "userinfo"}),
        ("cbh.om_url", {"drop": "mid_body"}),
        ("cbh.om_url", {"status": 500, "envelope": "cbh_doc", "code": "CBH.10020009", "message": "TOKEN"}),
        ("iam.token", {"status": 401, "envelope": "error_msg", "code": "IAM.0062", "message": f"wrong {password}"}),
    ]
    for call, fault in [("", {}), *faults]:
        if call:
            if fault.get("message") == "TOKEN":
                fault["message"] = f"bad {issued.last_token}"
            if call == "iam.token":
                sandbox.control.revoke_tokens()
            sandbox.control.add_fault(call, times=2, **fault)
        answer = root.post(test, {"back": "host"})
        add_response(sinks, answer)
        add_response(sinks, root.get(answer["Location"]))
        sandbox.control.clear_faults()
    add_response(sinks, root.get(page("omaccess_bastioninstance_change", inventory.instances["bastion"].pk)))
    add_database(sinks)

    kinds = list(AuditEvent.objects.values_list("kind", flat=True))
    assert kinds.count("test:requested") == 6
    assert "test:succeeded" in kinds
    assert issued.tickets
    assert sinks.leaks(issued) == []


def test_every_form_with_a_password_is_posted(root: Client, inventory: Inventory, issued: Issued) -> None:
    """A form that is sent by GET writes what was typed into addresses: logs, histories, `Referer`."""
    found = 0
    addresses = [
        *(page(f"{name}_add") for name in ("omaccess_iamcredential", "accounts_user", "omaccess_bastioninstance")),
        *(page("omaccess_iamcredential_change", row.pk) for row in inventory.credentials.values()),
        page("accounts_user_change", inventory.staff.pk),
        "/accounts/password/change/",
        "/accounts/reauthenticate/",
    ]
    bodies = [root.get(address).content.decode() for address in addresses]
    bodies.append(Client().get(reverse("account_login")).content.decode())

    for body in bodies:
        for form in re.findall(r"<form\b.*?</form>", body, re.DOTALL):
            if 'type="password"' in form:
                found += 1
                assert re.match(r'<form\b[^>]*\bmethod="post"', form, re.IGNORECASE), form[:200]
                assert 'autocomplete="' in form
                assert not re.search(r'type="password"[^>]*\bvalue="[^"]', form)

    assert found >= 5


def test_no_key_is_on_a_page_that_tells_of_a_rotation(
    root: Client, inventory: Inventory, issued: Issued, sinks: Sinks, settings: Any, logged: None
) -> None:
    settings.VAULT_KEYS = f"{vault_key(issued, 'c2')},{settings.VAULT_KEYS}"
    credentials.rotate(meta=Meta.system("rotate_secrets"))
    settings.VAULT_KEYS = vault_key(issued, "c3")
    credentials.rotate(meta=Meta.system("rotate_secrets"))

    event = AuditEvent.objects.filter(kind="secrets:rotated").latest("position")
    add_response(sinks, root.get(page("omaccess_auditevent_change", event.pk)))
    add_database(sinks)

    assert event.facts["unreadable"] == len(inventory.credentials)
    assert sinks.holds("log: as production writes it", "secret_unreadable")
    assert sinks.leaks(issued) == []


def test_an_admin_without_superuser_rights_sees_no_secret_either(
    inventory: Inventory, issued: Issued, sinks: Sinks
) -> None:
    admin = signed_in(UserFactory(groups=[Group.objects.get(name=ADMINS)]))

    for view, ids in (("changelist", []), ("add", []), ("change", [inventory.credentials["portal"].pk])):
        sinks.add("admin page", admin.get(page(f"omaccess_iamcredential_{view}", *ids)).content)

    assert sinks.holds("admin page", "Replace the password")
    assert sinks.leaks(issued) == []
