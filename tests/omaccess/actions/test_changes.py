"""A change holds what a launch reads: nobody opens anything on the strength of a row that is being changed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError, connection, models, transaction

from accounts.models import User
from omaccess.actions.changes import Change
from omaccess.actions.credentials import CredentialChange
from omaccess.actions.grants import GrantChange
from omaccess.actions.inventory import HostChange, InstanceChange
from omaccess.actions.people import UserChange
from omaccess.compiled import Compiled
from omaccess.locks import hold_for_share, shared
from omaccess.meta import Meta
from omaccess.models import Grant, HostAccount
from tests.factories import GrantFactory, HostAccountFactory

pytestmark = pytest.mark.database

META = Meta()


def _launch_reads() -> None:
    """The reads of a launch's second decision, with little patience."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SET lock_timeout = '200ms'" if connection.vendor == "postgresql" else "PRAGMA busy_timeout = 200"
        )
    with transaction.atomic():
        list(shared(User.objects.filter(grants__isnull=False).order_by()))
        list(shared(HostAccount.objects.select_related("host__instance__credential")))
        hold_for_share(Compiled(lambda: shared(Grant.objects.order_by("pk")).values_list("pk", flat=True)))


def _elsewhere(work: Callable[[], None]) -> BaseException | None:
    """Run on a connection of its own; what it raised."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except OperationalError as error:
            raised.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(timeout=20)
    assert not thread.is_alive()
    return raised[0] if raised else None


@pytest.fixture
def account(fresh_db: None) -> Iterator[HostAccount]:
    account = HostAccountFactory()
    GrantFactory(host=account.host)
    yield account
    connection.close()


SUBJECTS: dict[type[Change[Any]], Callable[[HostAccount], models.Model]] = {
    HostChange: lambda account: account.host,
    InstanceChange: lambda account: account.host.instance,
    CredentialChange: lambda account: account.host.instance.credential,
    GrantChange: lambda account: Grant.objects.get(),
    UserChange: lambda account: User.objects.get(),
}


@pytest.mark.parametrize("change", SUBJECTS, ids=lambda change: change.__name__)
def test_a_launch_waits_for_whoever_changes_what_it_rests_on(change: type[Change[Any]], account: HostAccount) -> None:
    subject = SUBJECTS[change](account)

    with change.of(subject, by=None, meta=META):
        meanwhile = _elsewhere(_launch_reads)
    afterwards = _elsewhere(_launch_reads)

    assert isinstance(meanwhile, OperationalError)
    assert afterwards is None


def test_a_change_that_ends_without_its_subject_is_a_mistake(db: None) -> None:
    with pytest.raises(RuntimeError, match="without its subject"), HostChange.of(None, by=None, meta=META):
        pass
