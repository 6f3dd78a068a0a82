"""Verifying a credential: a fresh exchange under the lease, block and counters of any, recorded, minting nothing."""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from typing import Any

import pytest
from django.core.cache import caches
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from accounts.models import User
from omaccess import bulkhead, tokens
from omaccess.actions import credential_verify, credentials
from omaccess.actions.credential_verify import projects_of
from omaccess.audit import Kind, record
from omaccess.causes import Cause
from omaccess.cloud.types import Deadline, ProjectScope
from omaccess.errors import CannotRecord, TooManyLaunches
from omaccess.locks import writing
from omaccess.meta import Meta
from omaccess.models import AuditEvent, BastionInstance, IamCredential, IamUserLease, Launch
from omaccess.sandbox.server import SandboxServer
from tests.factories import BastionInstanceFactory, HostAccountFactory, IamCredentialFactory, UserFactory
from tests.inventory import Inventory
from tests.omaccess.actions.failing_database import database_failing_at
from tests.omaccess.cloud.wire import Reply, Wire, answer

pytestmark = [pytest.mark.database, pytest.mark.django_db]

META = Meta(address="192.0.2.7", request_id="request-1")
PROJECT = ProjectScope(name="cn-north-4")


@pytest.fixture
def admin() -> Any:
    return UserFactory(username="ada")


@pytest.fixture
def portal(inventory: Inventory) -> IamCredential:
    return inventory.credentials["portal"]


def verify(credential: IamCredential, admin: User, *scopes: ProjectScope) -> tuple[credential_verify.Verdict, ...]:
    return credential_verify.run(credential, scopes=scopes or (PROJECT,), by=admin, meta=META)


def exchanges(sandbox: SandboxServer) -> int:
    return sandbox.control.counters().get("iam.token", 0)


def kinds() -> list[str]:
    return [event.kind for event in AuditEvent.objects.order_by("position")]


def test_it_asks_iam_afresh_although_a_token_is_cached_and_mints_nothing(
    portal: IamCredential, sandbox: SandboxServer, admin: User, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    held = tokens.token_for(portal, PROJECT, deadline=Deadline.after(10))

    verdicts = verify(portal, admin)

    assert [(one.project, one.cause) for one in verdicts] == [("cn-north-4", None)]
    assert exchanges(sandbox) == 2
    fresh = tokens.token_for(portal, PROJECT, deadline=Deadline.after(10))
    assert fresh.value != held.value
    assert sandbox.control.counters().get("cbh.om_url", 0) == 0
    assert not Launch.objects.exists()
    event = AuditEvent.objects.latest("position")
    assert kinds() == ["credential:verify_requested", "credential:verified"]
    assert (event.kind, event.target_name, event.cause) == ("credential:verified", "portal", "")
    assert event.facts["fresh"] is True
    assert event.facts["iam_user"] == "acme/portal"
    assert event.facts["project"] == "cn-north-4"
    assert event.facts["upstream_request_id"]
    everything = caplog.text + repr(verdicts) + str(event.facts)
    assert fresh.value not in everything
    assert "sandbox-password-portal" not in everything


def test_a_refusal_is_recorded_with_its_cause_and_blocks_like_any(
    portal: IamCredential, sandbox: SandboxServer, admin: User
) -> None:
    sandbox.control.edit_user("acme", "portal", password="changed behind our back")

    first = verify(portal, admin)
    second = verify(portal, admin)

    assert [one.cause for one in (*first, *second)] == [Cause.CREDENTIAL_REJECTED, Cause.CREDENTIAL_BLOCKED]
    assert exchanges(sandbox) == 1
    assert kinds() == ["credential:verify_requested", "credential:verify_failed"] * 2
    assert [event.cause for event in AuditEvent.objects.order_by("position")][1] == "credential_rejected"
    portal.refresh_from_db()
    assert portal.last_error == "credential_rejected"


def test_it_is_no_way_around_the_one_forced_exchange_in_thirty_seconds(
    portal: IamCredential, sandbox: SandboxServer, admin: User
) -> None:
    verify(portal, admin)

    with pytest.raises(tokens.ExchangedJustNow):
        verify(portal, admin)
    IamUserLease.objects.update(forced_at=F("forced_at") - dt.timedelta(seconds=31))
    verify(portal, admin)

    assert exchanges(sandbox) == 2
    asked, verified = "credential:verify_requested", "credential:verified"
    assert kinds() == [asked, verified, asked, "credential:verify_put_off", asked, verified]


def test_one_that_was_put_off_does_not_hide_the_one_before(portal: IamCredential, admin: User) -> None:
    verify(portal, admin)

    with pytest.raises(tokens.ExchangedJustNow):
        verify(portal, admin)

    verification = credential_verify.last(portal)
    assert verification is not None
    assert [one.cause for one in verification.verdicts] == [None]


def test_a_failed_verification_leaves_a_token_that_works_in_use(
    portal: IamCredential, sandbox: SandboxServer, admin: User
) -> None:
    held = tokens.token_for(portal, PROJECT, deadline=Deadline.after(10))
    sandbox.control.edit_user("acme", "portal", enabled=False)

    verdicts = verify(portal, admin)

    assert verdicts[0].cause is Cause.IAM_USER_DISABLED
    assert tokens.token_for(portal, PROJECT, deadline=Deadline.after(10)).value == held.value


def test_several_projects_are_each_asked_for_once_and_one_unknown_does_not_hide_the_others(
    portal: IamCredential, sandbox: SandboxServer, admin: User
) -> None:
    verdicts = verify(portal, admin, ProjectScope(name="nowhere-1"), PROJECT)

    assert [(one.project, one.cause) for one in verdicts] == [
        ("nowhere-1", Cause.PROJECT_NOT_FOUND),
        ("cn-north-4", None),
    ]
    assert exchanges(sandbox) == 2
    assert kinds() == ["credential:verify_requested", "credential:verify_failed", "credential:verified"]
    assert verdicts[1].is_fresh


@pytest.mark.parametrize("is_cached", [True, False])
def test_a_token_from_before_is_not_called_a_new_one(
    portal: IamCredential, sandbox: SandboxServer, admin: User, is_cached: bool
) -> None:
    held = tokens.token_for(portal, PROJECT, deadline=Deadline.after(10))
    if not is_cached:
        IamUserLease.objects.all().delete()
        caches["tokens"].clear()
    before = exchanges(sandbox)

    first, second = verify(portal, admin, ProjectScope(name="nowhere-1"), PROJECT)

    assert (first.cause, second.cause) == (Cause.PROJECT_NOT_FOUND, None)
    is_fresh = not is_cached
    assert exchanges(sandbox) == before + (2 if is_fresh else 1)
    assert second.is_fresh is is_fresh
    facts = AuditEvent.objects.latest("position").facts
    assert facts["fresh"] is is_fresh
    assert facts.get("upstream_request_id") != held.request_id
    assert ("upstream_request_id" in facts, "milliseconds" in facts) == (is_fresh, is_fresh)
    assert second.is_of_unknown_power is not is_fresh


@pytest.mark.parametrize("table", ["launchallowance", "auditevent", "iamuserlease"])
def test_a_database_that_fails_anywhere_means_that_it_cannot_be_recorded(
    portal: IamCredential, admin: User, table: str
) -> None:
    with database_failing_at(table), pytest.raises(CannotRecord):
        verify(portal, admin)


def test_after_a_refused_password_no_other_project_is_asked_for(
    portal: IamCredential, sandbox: SandboxServer, admin: User
) -> None:
    sandbox.control.edit_user("acme", "portal", password="changed behind our back")

    verdicts = verify(portal, admin, PROJECT, ProjectScope(name="another"))

    assert len(verdicts) == 1
    assert exchanges(sandbox) == 1


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"secret_ciphertext": ""}, Cause.CREDENTIAL_WITHOUT_SECRET),
        ({"is_enabled": False}, Cause.CREDENTIAL_DISABLED),
        ({"secret_ciphertext": "v1.gone.AAAA"}, Cause.SECRET_UNREADABLE),
    ],
)
def test_a_credential_that_cannot_be_used_says_so_and_asks_nothing(
    portal: IamCredential, sandbox: SandboxServer, admin: User, change: dict[str, Any], cause: Cause
) -> None:
    IamCredential.objects.filter(pk=portal.pk).update(**change)
    portal.refresh_from_db()

    verdicts = verify(portal, admin)

    assert [one.cause for one in verdicts] == [cause]
    assert exchanges(sandbox) == 0


def test_it_counts_against_the_persons_minute(portal: IamCredential, admin: User, settings: Settings) -> None:
    settings.LAUNCHES_PER_MINUTE = 1
    verify(portal, admin)

    with pytest.raises(TooManyLaunches):
        verify(portal, admin)

    assert kinds() == ["credential:verify_requested", "credential:verified"]


def test_a_full_portal_says_so_at_once(portal: IamCredential, sandbox: SandboxServer, admin: User) -> None:
    with bulkhead.slot(), bulkhead.slot(), bulkhead.slot(), bulkhead.slot() as last:
        verdicts = verify(portal, admin)

    assert last
    assert [one.cause for one in verdicts] == [Cause.BUSY]
    assert exchanges(sandbox) == 0
    assert kinds() == ["credential:verify_requested", "credential:verify_failed"]


def test_powerful_roles_are_noted_and_never_kept_with_the_token(admin: User) -> None:
    body = {
        "token": {
            "project": {"id": "p1", "name": "cn-north-4"},
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "roles": [{"id": "0", "name": "te_admin"}, {"id": "0", "name": "op_gated_cbh"}, "odd", {"name": 7}],
        }
    }
    with Wire([answer(body, 201, [("X-Subject-Token", "MIItoken")])]) as wire:
        credential = IamCredentialFactory(iam_endpoint=wire.url, secret="s")
        verdicts = verify(credential, admin)
        cached = tokens.token_for(credential, PROJECT, deadline=Deadline.after(5))

    assert verdicts[0].facts["powerful_roles"] == ["te_admin"]
    assert AuditEvent.objects.latest("position").facts["powerful_roles"] == ["te_admin"]
    assert not verdicts[0].is_of_unknown_power
    assert cached.value == "MIItoken"
    assert cached.roles == ()
    verification = credential_verify.last(credential)
    assert verification is not None
    assert verification.powerful_roles == ["te_admin"]


def test_the_powerful_roles_of_every_project_are_warned_of(admin: User) -> None:
    def token(value: str, *roles: str) -> Reply:
        body = {
            "token": {
                "project": {"id": "p1", "name": "p"},
                "expires_at": "2099-01-01T00:00:00.000000Z",
                "roles": [{"id": "0", "name": role} for role in roles],
            }
        }
        return answer(body, 201, [("X-Subject-Token", value)])

    replies = [token("MIIa", "op_gated_cbh"), token("MIIb", "te_admin"), token("MIIc", "te_admin", "secu_admin")]
    with Wire(replies) as wire:
        credential = IamCredentialFactory(iam_endpoint=wire.url, secret="s")
        verify(credential, admin, *(ProjectScope(name=name) for name in ("a", "b", "c")))

    verification = credential_verify.last(credential)
    assert verification is not None
    assert verification.powerful_roles == ["te_admin", "secu_admin"]


def test_a_request_id_is_cut_to_the_same_length_whatever_came_of_it(admin: User) -> None:
    body = {"token": {"project": {"id": "p1", "name": "p"}, "expires_at": "2099-01-01T00:00:00.000000Z"}}
    headers = [("X-Subject-Token", "MIItoken"), ("X-Request-Id", "r" * 100)]
    with Wire([answer(body, 201, headers), answer({}, 404, headers[1:])]) as wire:
        credential = IamCredentialFactory(iam_endpoint=wire.url, secret="s")
        verdicts = verify(credential, admin, ProjectScope(name="a"), ProjectScope(name="b"))

    assert [len(one.facts["upstream_request_id"]) for one in verdicts] == [64, 64]


def note(credential: IamCredential, kind: Kind, *, cause: str = "") -> None:
    with writing():
        facts: dict[str, Any] = {"project": "p", "verification": uuid.uuid4().hex, "version": credential.version}
        record(kind, by=None, meta=META, target=credential, cause=cause, **facts)


def test_the_last_verification_is_found_however_busy_others_are(portal: IamCredential, admin: User) -> None:
    verify(portal, admin)
    other = IamCredentialFactory(name="busy")
    for _number in range(150):
        note(other, Kind.CREDENTIAL_VERIFIED)

    with CaptureQueriesContext(connection) as queries:
        verification = credential_verify.last(portal)

    assert verification is not None
    assert [one.project for one in verification.verdicts] == ["cn-north-4"]
    (query,) = [one["sql"] for one in queries]
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"EXPLAIN QUERY PLAN {query}")
            assert "audit_by_target" in str(cursor.fetchall())


def test_another_credential_that_had_the_name_before_is_another(portal: IamCredential, admin: User) -> None:
    verify(portal, admin)
    IamCredential.objects.filter(pk=portal.pk).update(name="renamed")

    assert credential_verify.last(IamCredentialFactory(name="portal")) is None


def test_a_cause_of_another_version_is_kept_as_it_is(portal: IamCredential) -> None:
    note(portal, Kind.CREDENTIAL_VERIFY_FAILED, cause="cause_of_the_future")

    verification = credential_verify.last(portal)

    assert verification is not None
    assert [one.cause for one in verification.verdicts] == ["cause_of_the_future"]


def test_the_last_verification_is_forgotten_when_the_secret_changes(portal: IamCredential, admin: User) -> None:
    verify(portal, admin, ProjectScope(name="nowhere-1"), PROJECT)
    before = credential_verify.last(portal)

    credentials.replace_secret(portal, secret="another", by=admin, meta=META)
    portal.refresh_from_db()

    assert before is not None
    assert [one.project for one in before.verdicts] == ["nowhere-1", "cn-north-4"]
    assert [one.cause for one in before.verdicts] == [Cause.PROJECT_NOT_FOUND, None]
    assert credential_verify.last(portal) is None


def test_the_projects_are_those_of_the_instances_that_use_it() -> None:
    credential = IamCredentialFactory()
    BastionInstanceFactory(credential=credential, project_id="p1", name="a")
    BastionInstanceFactory(credential=credential, project_id="p1", name="b")
    off = BastionInstanceFactory(credential=credential, project_name="off", name="0")
    BastionInstance.objects.filter(pk=off.pk).update(is_enabled=False)
    HostAccountFactory(credential=credential, host__instance=BastionInstanceFactory(project_name="own", name="c"))
    BastionInstanceFactory(project_name="not this")

    assert projects_of(credential) == [ProjectScope(id="p1"), ProjectScope(name="own"), ProjectScope(name="off")]


def test_no_more_than_a_handful_of_projects_is_asked_for() -> None:
    credential = IamCredentialFactory()
    for number in range(credential_verify.MAX_PROJECTS + 2):
        BastionInstanceFactory(credential=credential, project_name=f"p{number}")

    assert len(projects_of(credential)) == credential_verify.MAX_PROJECTS


def test_without_the_cache_it_works_too(portal: IamCredential, sandbox: SandboxServer, admin: User) -> None:
    verify(portal, admin)
    caches["tokens"].clear()

    token = tokens.token_for(portal, PROJECT, deadline=Deadline.after(10))

    assert token.project_name == "cn-north-4"
    assert exchanges(sandbox) == 1
