"""The demo's data: what they promise to show is really there, and nobody else's database is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import User
from omaccess import policies, vault
from omaccess.actions import launches
from omaccess.audit import Kind
from omaccess.causes import Cause
from omaccess.meta import Meta
from omaccess.models import (
    AuditEvent,
    BastionInstance,
    Grant,
    HostAccount,
    IamCredential,
    Label,
    LaunchState,
    LoginAddress,
)
from omaccess.sandbox.server import SandboxServer
from omaccess.sandbox.world import load_world
from tests.factories import UserFactory

pytestmark = [pytest.mark.django_db, pytest.mark.database]

URL = "http://127.0.0.1:8010"


def load(url: str = URL, **options: object) -> None:
    call_command("demo_data", sandbox_url=url, **options)


def person(username: str) -> User:
    return User.objects.get(username=username)


def account(host: str, name: str) -> HostAccount:
    return HostAccount.objects.get(host__name=host, name=name)


@pytest.fixture(scope="module")
def demo_cloud() -> Iterator[SandboxServer]:
    with SandboxServer(load_world()) as server:
        yield server


@pytest.mark.parametrize(
    ("host", "name", "state", "cause"),
    [
        ("web-hz-01", "deploy", LaunchState.OPENED, ""),
        ("edge-fra-v6", "netops", LaunchState.OPENED, ""),
        ("win-hz-fs01", "MERIDIAN\\svc-files", LaunchState.OPENED, ""),
        ("web-hz-old", "deploy", LaunchState.REFUSED, Cause.HOST_NOT_MANAGED),
        ("db-hz-01", "oracle", LaunchState.REFUSED, Cause.HOST_ACCOUNT_UNKNOWN),
        ("erp-hz-app1", "root", LaunchState.REFUSED, Cause.IAM_USER_NO_PERMISSION),
        ("erp-hz-db", "sysdba", LaunchState.REFUSED, Cause.IAM_USER_CONFLICT),
        ("tms-legacy-01", "tms", LaunchState.REFUSED, Cause.VERSION_TOO_OLD),
        ("iot-np-01", "fleet", LaunchState.WAITING, Cause.TRUSTLIST_INITIALISING),
        ("backup-hz-01", "root", LaunchState.REFUSED, Cause.UPSTREAM_UNKNOWN_ERROR),
        ("backup-hz-01", "backup", LaunchState.REFUSED, Cause.CREDENTIAL_REJECTED),
        ("erp-hz-app1", "auditview", LaunchState.REFUSED, Cause.PERMISSION_MISSING),
    ],
)
def test_staff_meet_every_answer_of_the_cloud(
    host: str,
    name: str,
    state: LaunchState,
    cause: str,
    demo_cloud: SandboxServer,
    meta_of: Callable[[User], Meta],
) -> None:
    load(demo_cloud.url)
    staff = person("staff")

    result = launches.launch(
        account_id=account(host, name).pk, reason="", ticket="", once=None, by=staff, meta=meta_of(staff)
    )

    assert (result.launch.state, result.launch.cause) == (state, cause)
    assert (result.url is not None) == (state == LaunchState.OPENED)


@pytest.mark.parametrize(
    ("host", "name", "cause"),
    [
        ("customs-gw-fra", "gateway", Cause.GRANT_ENDED),
        ("monitor-fra-01", "ops", Cause.GRANT_NOT_YET),
        ("win-fra-dc01", "MERIDIAN\\t1-admin", Cause.STEP_UP_NEEDED),
        ("jenkins-hz-01", "jenkins", Cause.GRANT_REVOKED),
        ("win-hz-wms01", "MERIDIAN\\wms-operator", Cause.HOST_DISABLED),
        ("jenkins-hz-01", "root", Cause.NO_GRANT),
    ],
)
def test_staff_meet_every_answer_of_the_portal(host: str, name: str, cause: Cause) -> None:
    load()

    decision = policies.decide(account(host, name), user=person("staff"), at=timezone.now())

    assert decision.cause == cause


def test_staff_are_asked_for_a_reason_and_for_a_ticket() -> None:
    load()
    staff, now = person("staff"), timezone.now()

    database = policies.decide(account("db-hz-01", "postgres"), user=staff, at=now)
    node = policies.decide(account("k8s-fra-master-1", "core"), user=staff, at=now)

    assert (database.asks_reason, database.asks_ticket) == (True, False)
    assert (node.asks_reason, node.asks_ticket) == (True, True)
    assert node.grant_for(reason="patching", ticket="CHG0012345") is not None


def test_labels_say_which_hosts_show_a_refusal() -> None:
    load()

    shown = dict(Label.objects.filter(key="shows").values_list("host__name", "value"))

    assert shown["web-hz-old"] == "not-managed-by-the-bastion"
    assert shown["tms-legacy-01"] == "bastion-version-too-old"
    assert "web-hz-01" not in shown


def test_a_colleague_opens_little_and_admins_and_auditors_nothing() -> None:
    load()
    now = timezone.now()

    reach = {name: HostAccount.objects.openable_by(person(name), at=now).count() for name in ("staff", "colleague")}

    assert 0 < reach["colleague"] < reach["staff"]
    assert not HostAccount.objects.visible_to(person("admin"), at=now).exists()
    assert not HostAccount.objects.visible_to(person("auditor"), at=now).exists()
    assert person("admin").is_staff
    assert person("auditor").is_staff
    assert not person("staff").is_staff


def test_everybody_signs_in_with_the_password_that_was_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_PASSWORD", "chosen by the evaluator")

    load()

    assert all(user.check_password("chosen by the evaluator") for user in User.objects.all())


def test_every_stored_secret_decrypts_to_what_the_portal_is_to_believe() -> None:
    load()

    stored = {
        credential.name: vault.decrypt(
            credential.secret_ciphertext, table="iamcredential", row=str(credential.pk), field="secret"
        )
        for credential in IamCredential.objects.all()
    }

    assert stored == {user.name: user.stored_password for user in load_world().users if user.purpose}


def test_loading_is_audited_once_with_counts() -> None:
    load()

    event = AuditEvent.objects.get()
    assert event.kind == Kind.DEMO_LOADED
    assert event.facts["grants"] == Grant.objects.count()
    assert event.facts["hosts"] == len(load_world().hosts)
    assert event.facts["sandbox_url"] == URL


def test_a_second_run_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    load()
    person("staff").groups.clear()

    load()

    assert "nothing was changed" in capsys.readouterr().out
    assert AuditEvent.objects.count() == 1
    assert not person("staff").groups.exists()


def test_a_second_run_follows_the_sandbox_to_its_new_address() -> None:
    load()

    load("http://127.0.0.1:9010")

    assert set(BastionInstance.objects.values_list("endpoint", flat=True)) == {"http://127.0.0.1:9010"}
    assert set(LoginAddress.objects.values_list("origin", flat=True)) == {"http://127.0.0.1:9010"}
    assert set(IamCredential.objects.values_list("iam_endpoint", flat=True)) == {"http://127.0.0.1:9010"}
    assert AuditEvent.objects.first().facts["sandbox_url_before"] == URL  # type: ignore[union-attr]


def test_passwords_of_people_who_exist_change_only_when_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    monkeypatch.setenv("DEMO_PASSWORD", "another good one")

    load()
    unchanged = person("staff").check_password("sallyport-demo")
    load(set_passwords=True)

    assert unchanged
    assert person("staff").check_password("another good one")
    assert "another good one" not in str(list(AuditEvent.objects.values()))


def test_a_database_that_is_not_empty_is_refused_and_left_alone() -> None:
    UserFactory(username="somebody")

    with pytest.raises(CommandError, match="already holds people"):
        load()

    assert list(User.objects.values_list("username", flat=True)) == ["somebody"]
    assert not AuditEvent.objects.exists()


def test_a_real_installation_is_refused(settings: Settings) -> None:
    settings.IS_SANDBOX = False

    with pytest.raises(CommandError, match="CLOUD is huawei"):
        load()

    assert not User.objects.exists()


@pytest.mark.parametrize("url", ["http://192.0.2.7:8010", "http://sandbox.example", "not an address"])
def test_a_sandbox_that_is_not_on_this_machine_is_refused(url: str) -> None:
    with pytest.raises(CommandError, match="address cannot be used"):
        load(url)

    assert not User.objects.exists()
