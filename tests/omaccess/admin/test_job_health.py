"""What the overview says of the jobs: nothing while all is well, else which one, what is wrong, and what to do."""

from __future__ import annotations

import datetime as dt

import pytest
import time_machine
from django.test import Client
from django.utils import timezone

from omaccess import jobs
from omaccess.admin.job_health import TITLES, job_troubles
from omaccess.models import JobRun
from portal.version import COMMIT, VERSION
from tests.omaccess.admin.conftest import page

pytestmark = pytest.mark.django_db


def ran_well() -> None:
    now = timezone.now()
    JobRun.objects.bulk_create(JobRun(name=name, started_at=now, succeeded_at=now) for name in jobs.intervals())


def said(ada: Client) -> str:
    return ada.get(page("index")).content.decode()


def test_nothing_is_said_while_all_is_well(ada: Client) -> None:
    ran_well()

    assert "Jobs that need somebody" not in said(ada)


def test_nothing_is_said_of_an_installation_that_has_only_begun() -> None:
    assert job_troubles() == []


def test_jobs_that_never_ran_are_late_in_time() -> None:
    with time_machine.travel(timezone.now() + dt.timedelta(hours=1)):
        after_an_hour = {trouble.title for trouble in job_troubles()}
    with time_machine.travel(timezone.now() + dt.timedelta(days=3)):
        after_three_days = job_troubles()

    assert after_an_hour == {TITLES["close_abandoned_launches"], TITLES["refresh_tokens"]}
    assert len(after_three_days) == len(jobs.intervals())
    assert {trouble.since for trouble in after_three_days} == {"never"}


def test_a_late_job_is_named_and_so_is_what_to_do(ada: Client) -> None:
    ran_well()
    JobRun.objects.filter(name="verify_audit").update(succeeded_at=timezone.now() - dt.timedelta(days=3))

    text = said(ada)

    assert "Verifying the audit" in text
    assert "It is late. Are the worker and the scheduler running?" in text
    assert "Clearing old launches" not in text


def test_a_job_that_failed_is_named_until_it_ends_well(ada: Client) -> None:
    ran_well()
    job = JobRun.objects.filter(name="refresh_tokens")
    job.update(failed_at=timezone.now() + dt.timedelta(seconds=1), error="OperationalError")

    failed = said(ada)
    job.update(succeeded_at=timezone.now() + dt.timedelta(seconds=2))

    assert "The last run failed: OperationalError." in failed
    assert "OperationalError" not in said(ada)


def test_an_audit_that_is_not_whole_is_said_on_the_first_page(ada: Client) -> None:
    ran_well()
    JobRun.objects.filter(name="verify_audit").update(result={"position": 41, "problems": 2})

    text = said(ada)

    assert "It found 2 problems. Change nothing in the database" in text


def test_every_scheduled_job_has_a_name_for_people() -> None:
    assert set(jobs.intervals()) <= set(TITLES)


def test_the_overview_says_which_release_this_is(ada: Client) -> None:
    assert f"Sallyport {VERSION}, commit {COMMIT}" in said(ada)
