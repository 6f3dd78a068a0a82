"""What is counted: each thing once, when it is true, under names that strangers cannot make up."""

from __future__ import annotations

import ast
import datetime as dt
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from prometheus_client import REGISTRY

from accounts.models import User
from omaccess import bulkhead, jobs, leases, metrics, tokens
from omaccess.causes import Cause
from omaccess.cloud.errors import CloudTimeout, CredentialRejected
from omaccess.cloud.types import Deadline
from omaccess.meta import Meta
from omaccess.models import AuditHead, IamUserLease, JobRun, Launch, LaunchState
from omaccess.sandbox.server import SandboxServer
from omaccess.shared_metrics import SharedMetrics
from tests.inventory import Inventory
from tests.launching import open_account
from tests.processes import ROOT

MetaOf = Callable[[User], Meta]


class Growth:
    """By how much a series grew since this was made."""

    def __init__(self, name: str, **labels: str) -> None:
        self._name, self._labels = name, labels
        self._before = self._now

    @property
    def _now(self) -> float:
        return REGISTRY.get_sample_value(self._name, self._labels) or 0.0

    def __eq__(self, other: object) -> bool:
        return self._now - self._before == other

    def __repr__(self) -> str:
        return f"{self._name} grew by {self._now - self._before}"

    __hash__ = None  # type: ignore[assignment]


def shared() -> dict[tuple[str, str], float]:
    """Name and first label's value → number, read from the rows now."""
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in SharedMetrics().collect()
        for sample in family.samples
    }


# --- launches -----------------------------------------------------------------------------------------


@pytest.mark.database
def test_a_launch_is_counted_when_it_is_committed(
    committed_inventory: Inventory, sandbox: SandboxServer, meta_of: MetaOf
) -> None:
    requested = Growth("sallyport_launches_requested_total")
    opened = Growth("sallyport_launches_total", state="opened", cause="")
    refused = Growth("sallyport_launches_total", state="refused", cause="host_not_managed")
    appended = Growth("sallyport_audit_append_seconds_count")
    meta = meta_of(committed_inventory.staff)

    open_account(committed_inventory.root, committed_inventory.staff, meta)
    open_account(committed_inventory.account("root", "unmanaged"), committed_inventory.staff, meta)

    assert requested == 2
    assert opened == 1
    assert refused == 1
    assert appended == 4


def test_every_cause_is_there_before_the_first_launch_ends_by_it() -> None:
    """A series that begins with 1 has not increased, and an alarm that asks for an increase is silent."""
    there = {
        (sample.labels["state"], sample.labels["cause"])
        for family in metrics.LAUNCHES.collect()
        for sample in family.samples
    }

    assert {(state, cause.value) for state in ("refused", "failed") for cause in Cause} <= there
    assert ("opened", "") in there


def test_what_was_rolled_back_is_not_counted(inventory: Inventory, sandbox: SandboxServer, meta_of: MetaOf) -> None:
    opened = Growth("sallyport_launches_total", state="opened", cause="")

    with transaction.atomic():
        open_account(inventory.root, inventory.staff, meta_of(inventory.staff))
        transaction.set_rollback(True)

    assert opened == 0


# --- the cloud ----------------------------------------------------------------------------------------


def test_a_token_comes_from_an_exchange_then_from_the_cache(inventory: Inventory, sandbox: SandboxServer) -> None:
    exchange, cache = (Growth("sallyport_token_lookups_total", source=source) for source in ("exchange", "cache"))
    calls = Growth("sallyport_cloud_call_seconds_count", service="iam", call="token", outcome="ok")
    waits = Growth("sallyport_lease_wait_seconds_count")
    instance = inventory.instances["bastion"]

    for _time in range(3):
        tokens.token_for(instance.credential, instance, deadline=Deadline.after(5))

    assert exchange == 1
    assert cache == 2
    assert calls == 1
    assert waits == 0


def test_without_the_cache_it_comes_from_the_row(inventory: Inventory, sandbox: SandboxServer) -> None:
    from django.core.cache import caches

    instance = inventory.instances["bastion"]
    tokens.token_for(instance.credential, instance, deadline=Deadline.after(5))
    lease = Growth("sallyport_token_lookups_total", source="lease")
    caches["tokens"].clear()

    tokens.token_for(instance.credential, instance, deadline=Deadline.after(5))

    assert lease == 1


def test_whoever_waits_for_another_s_exchange_is_timed_once(inventory: Inventory, sandbox: SandboxServer) -> None:
    instance = inventory.instances["bastion"]
    leases.read(instance.credential)
    IamUserLease.objects.update(holder="another", holder_expires_at=timezone.now() + dt.timedelta(minutes=1))
    waits, seconds = Growth("sallyport_lease_wait_seconds_count"), Growth("sallyport_lease_wait_seconds_sum")

    with pytest.raises(CloudTimeout):
        tokens.token_for(instance.credential, instance, deadline=Deadline.after(0.2))

    assert waits == 1
    assert 0.1 < seconds._now - seconds._before < 5


def test_a_refused_password_is_a_kind_of_its_own_and_blocks_one_iam_user(
    inventory: Inventory, sandbox: SandboxServer
) -> None:
    rejected = Growth("sallyport_cloud_call_seconds_count", service="iam", call="token", outcome="credential_rejected")
    sandbox.control.add_fault("iam.token", status=401, envelope="error_msg", code="IAM.0062", message="wrong")
    instance = inventory.instances["bastion"]
    before = shared()["sallyport_iam_users_blocked", ""]

    with pytest.raises(CredentialRejected):
        tokens.token_for(instance.credential, instance, deadline=Deadline.after(5))

    assert rejected == 1
    assert (before, shared()["sallyport_iam_users_blocked", ""]) == (0, 1)


def test_what_is_no_error_of_the_cloud_is_a_defect() -> None:
    defects = Growth("sallyport_cloud_call_seconds_count", service="cbh", call="om_url", outcome="defect")

    with pytest.raises(ZeroDivisionError), metrics.cloud_call("cbh", "om_url"):
        1 / 0  # noqa: B018

    assert defects == 1


# --- places -------------------------------------------------------------------------------------------


def test_places_are_counted_while_they_are_held(settings: Any) -> None:
    bulkhead.prepare()
    used, refused = Growth("sallyport_cloud_slots_used"), Growth("sallyport_cloud_slots_refused_total")
    places = [bulkhead.slot() for _number in range(settings.WEB_THREADS // 2)]

    held = [place.__enter__() for place in places]
    assert used == len(places)
    with bulkhead.slot() as one_too_many:
        assert used == len(places)
    for place in places:
        place.__exit__(None, None, None)

    assert all(held)
    assert not one_too_many
    assert used == 0
    assert refused == 1
    assert REGISTRY.get_sample_value("sallyport_cloud_slots") == len(places)


def test_a_place_whose_holder_fails_is_free_again() -> None:
    used = Growth("sallyport_cloud_slots_used")

    with pytest.raises(ZeroDivisionError), bulkhead.slot():
        1 / 0  # noqa: B018

    assert used == 0


# --- rows ---------------------------------------------------------------------------------------------


@pytest.mark.database
@pytest.mark.django_db
def test_rows_say_what_all_machines_share(inventory: Inventory, sandbox: SandboxServer, meta_of: MetaOf) -> None:
    open_account(inventory.account("root", "fresh"), inventory.staff, meta_of(inventory.staff))
    moment = timezone.now()
    JobRun.objects.create(
        name="verify_audit",
        started_at=moment,
        succeeded_at=moment,
        queue_seconds=0.5,
        run_seconds=2.0,
        successes=7,
        failures=1,
        result={"position": 41, "problems": 2},
    )

    found = shared()

    assert Launch.objects.get().state == LaunchState.WAITING
    assert found["sallyport_launches_open", "waiting"] == 1
    assert found["sallyport_launches_open", "pending"] == 0
    assert found["sallyport_audit_head_position", ""] == AuditHead.objects.get().position
    assert found["sallyport_audit_verified_position", ""] == 41
    assert found["sallyport_audit_verify_problems", ""] == 2
    assert found["sallyport_job_result", "verify_audit,problems"] == 2
    assert found["sallyport_job_last_success_timestamp_seconds", "verify_audit"] == pytest.approx(moment.timestamp())
    assert found["sallyport_job_successes_total", "verify_audit"] == 7
    assert found["sallyport_job_failures_total", "verify_audit"] == 1
    assert found["sallyport_job_queue_seconds", "verify_audit"] == 0.5
    assert found["sallyport_job_run_seconds", "verify_audit"] == 2.0


@pytest.mark.django_db
def test_every_scheduled_job_is_there_from_the_start_and_no_other() -> None:
    JobRun.objects.create(name="of_an_earlier_release", started_at=timezone.now())

    found = shared()

    known = {name for metric, name in found if metric == "sallyport_job_successes_total"}
    assert known == set(jobs.intervals())
    assert not [name for metric, name in found if metric.startswith("sallyport_job_last")]


@pytest.mark.database
@pytest.mark.django_db
def test_counting_open_launches_does_not_walk_through_all_of_them() -> None:
    from django.db import connection

    open_ones = Launch.objects.open().order_by().values_list("state")

    if connection.vendor != "postgresql":
        pytest.skip("SQLite does not compare a bound value with the condition of an index")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
    # Both hold the open ones only.
    assert any(index in open_ones.explain() for index in ("launch_still_open", "launch_once_while_open"))


# --- the web ------------------------------------------------------------------------------------------


def views() -> set[str]:
    name = "sallyport_http_request_seconds"
    return {
        sample.labels["view"]
        for family in REGISTRY.collect()
        if family.name == name
        for sample in family.samples
        if sample.name == f"{name}_count"
    }


@pytest.mark.django_db
def test_addresses_of_strangers_make_no_series(client: Client) -> None:
    before = views()
    nowhere = Growth("sallyport_http_request_seconds_count", view="none")
    odd = Growth("sallyport_http_requests_total", method="other", status_class="4xx")

    for path in ("/nothing-1", "/nothing-2", "/static/nothing.css"):
        client.get(path)
    client.generic("BREW", "/nothing-3")

    assert views() - before <= {"none", "static"}
    assert nowhere == 3
    assert odd == 1


@pytest.mark.django_db
def test_requests_are_counted_by_the_name_of_their_view_and_probes_are_not(client: Client) -> None:
    page = Growth("sallyport_http_request_seconds_count", view="omaccess:host")
    answers = Growth("sallyport_http_requests_total", method="GET", status_class="3xx")

    client.get("/hosts/4711/")
    for probe in ("/healthz", "/readyz", "/metrics"):
        client.get(probe)

    assert page == 1
    assert answers == 1
    assert not {"healthz", "readyz", "metrics"} & views()


# --- labels -------------------------------------------------------------------------------------------


def test_labels_are_few_and_none_says_who_or_where() -> None:
    """All label names of all metrics, read from the source."""
    allowed = {"state", "cause", "service", "call", "outcome", "source", "method", "status_class", "view"}
    allowed |= {"name", "figure", "version", "commit", "of"}
    for file in ("omaccess/metrics.py", "omaccess/shared_metrics.py", "portal/metrics.py"):
        assert set(_label_names(ast.parse((ROOT / file).read_text()))) <= allowed


def _label_names(tree: ast.Module) -> Iterator[str]:
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        lists = [word.value for word in call.keywords if word.arg == "labels"]
        if isinstance(call.func, ast.Name) and call.func.id in {"Counter", "Gauge", "Histogram"}:
            lists += call.args[2:3]
        for one in lists:
            if isinstance(one, ast.List):
                yield from (str(item.value) for item in one.elts if isinstance(item, ast.Constant))


def test_a_wait_is_over_however_it_ends() -> None:
    waits = Growth("sallyport_lease_wait_seconds_count")

    def fail() -> None:
        with metrics.lease_wait() as pausing:
            pausing()
            pausing()
            raise CloudTimeout(service="iam")

    with pytest.raises(CloudTimeout):
        fail()
    with metrics.lease_wait():
        """Nobody pauses."""

    assert waits == 1


# --- what cannot be counted ---------------------------------------------------------------------------


@pytest.mark.database
def test_a_launch_opens_and_a_page_answers_when_nothing_can_be_counted(
    committed_inventory: Inventory,
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def no_space(*_args: object, **_kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    for cell in {type(metrics.LAUNCHES_REQUESTED), type(metrics.AUDIT_APPEND_SECONDS), type(metrics.CLOUD_SLOTS)}:
        for name in {"inc", "dec", "set", "observe", "labels"} & set(dir(cell)):
            monkeypatch.setattr(cell, name, no_space)
    monkeypatch.setattr(metrics, "_is_loss_told", False)
    browser = Client()
    browser.force_login(committed_inventory.staff)

    answer = browser.post(reverse("omaccess:launches"), {"account": committed_inventory.root.pk, "reason": "deploy"})

    assert answer.status_code == 303
    assert Launch.objects.latest("pk").state == LaunchState.OPENED
    lost = [record for record in caplog.records if "metric_lost" in record.getMessage()]
    assert [record.levelname for record in lost] == ["WARNING"]
