"""The decision, and its agreement with the lists."""

from __future__ import annotations

import datetime as dt
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from omaccess.causes import Cause
from omaccess.models import Grant, Host, HostAccount, access
from omaccess.policies import decide, decide_many
from omaccess.reach import Openable, visible_on
from tests.factories import BastionInstanceFactory, GrantFactory, HostAccountFactory, HostFactory, UserFactory

pytestmark = pytest.mark.database


def decision_for(account: HostAccount, user: User) -> Cause | None:
    return decide(account, user=user, at=timezone.now()).cause


def is_listed(account: HostAccount, user: User) -> bool:
    return HostAccount.objects.openable_by(user, at=timezone.now()).filter(pk=account.pk).exists()


def is_visible(account: HostAccount, user: User) -> bool:
    return HostAccount.objects.visible_to(user, at=timezone.now()).filter(pk=account.pk).exists()


def test_without_a_grant_nothing_exists(db: None) -> None:
    account, user = HostAccountFactory(), UserFactory(is_superuser=True)

    assert decision_for(account, user) is Cause.NO_GRANT
    assert not is_visible(account, user)


def test_a_grant_to_a_group_reaches_its_members_only(db: None) -> None:
    account, group = HostAccountFactory(), Group.objects.create(name="dba")
    GrantFactory(user=None, group=group, host=account.host)
    member, stranger = UserFactory(groups=[group]), UserFactory()

    assert decision_for(account, member) is None
    assert decision_for(account, stranger) is Cause.NO_GRANT


def test_account_names_are_compared_exactly(db: None) -> None:
    host, user = HostFactory(), UserFactory()
    GrantFactory(user=user, host=host, every_account=False, names=["root "])
    exact, stripped, upper = (HostAccountFactory(host=host, name=name) for name in ("root ", "root", "ROOT "))

    assert [decision_for(account, user) for account in (exact, stripped, upper)] == [
        None,
        Cause.NO_GRANT,
        Cause.NO_GRANT,
    ]


def test_a_grant_without_account_names_reaches_nothing(db: None) -> None:
    account, user = HostAccountFactory(), UserFactory()
    GrantFactory(user=user, host=account.host, every_account=False)

    assert decision_for(account, user) is Cause.NO_GRANT


def test_every_label_clause_must_match_and_none_reaches_nothing(db: None) -> None:
    both = HostAccountFactory(host=HostFactory(labels={"env": "prod", "team": "shop"}))
    one = HostAccountFactory(host=HostFactory(labels={"env": "prod"}))
    user, other = UserFactory(), UserFactory()
    GrantFactory(user=user, by_labels=True, labels={"env": "prod", "team": "shop"})
    GrantFactory(user=other, by_labels=True)

    assert (decision_for(both, user), decision_for(one, user)) == (None, Cause.NO_GRANT)
    assert decision_for(both, other) is Cause.NO_GRANT


@pytest.mark.parametrize(
    ("traits", "cause", "visible"),
    [
        ({}, None, True),
        ({"not_yet": True}, Cause.GRANT_NOT_YET, True),
        ({"expired": True}, Cause.GRANT_ENDED, True),
        ({"revoked": True}, Cause.GRANT_REVOKED, True),
        ({"long_expired": True}, Cause.NO_GRANT, False),
        ({"is_step_up_required": True}, Cause.STEP_UP_NEEDED, True),
    ],
)
def test_time_and_conditions_decide_and_explain(
    db: None, traits: dict[str, Any], cause: Cause | None, visible: bool
) -> None:
    account, user = HostAccountFactory(), UserFactory()
    GrantFactory(user=user, host=account.host, **traits)

    assert decision_for(account, user) is cause
    assert is_visible(account, user) is visible


def test_an_inactive_person_opens_nothing(db: None) -> None:
    account, user = HostAccountFactory(), UserFactory(is_active=False)
    GrantFactory(user=user, host=account.host)

    assert decision_for(account, user) is Cause.PERSON_DISABLED
    assert not is_visible(account, user)


def test_the_least_demanding_grant_that_fits_is_the_one_it_rests_on(db: None) -> None:
    account, user = HostAccountFactory(), UserFactory()
    GrantFactory(user=user, host=account.host, is_reason_required=True)
    plain = GrantFactory(user=user, everything=True)

    decision = decide(account, user=user, at=timezone.now())

    assert decision.grant_for(reason="because", ticket="") == plain
    assert not decision.asks_reason


def test_the_end_of_access_is_the_last_end(db: None) -> None:
    account, user, now = HostAccountFactory(), UserFactory(), timezone.now()
    ends = [now + dt.timedelta(days=days) for days in (1, 3, 2)]
    for end in ends:
        GrantFactory(user=user, host=account.host, valid_until=end)

    assert decide(account, user=user, at=now).valid_until == ends[1]


@pytest.mark.parametrize(
    ("traits", "queries"),
    [
        ({"everything": True}, 1),
        ({"by_labels": True, "labels": {"env": "prod"}}, 2),
        ({"by_labels": True, "labels": {"env": "prod"}, "every_account": False, "names": ["root"]}, 3),
    ],
)
def test_many_decisions_cost_a_constant_number_of_queries(
    db: None, django_assert_num_queries: Any, traits: dict[str, Any], queries: int
) -> None:
    user = UserFactory()
    accounts = [HostAccountFactory(name="root", host=HostFactory(labels={"env": "prod"})) for _ in range(5)]
    GrantFactory.create_batch(8, user=user, **traits)
    loaded = list(
        HostAccount.objects.filter(pk__in=[account.pk for account in accounts])
        .select_related("host__instance")
        .prefetch_related("host__labels")
    )

    with django_assert_num_queries(queries):
        decisions = decide_many(loaded, user=user, at=timezone.now())

    assert all(decision.is_open for decision in decisions.values())


@pytest.mark.parametrize("few", [0, 1, 2, 3])
def test_hosts_of_several_narrow_grants_are_all_listed(db: None, few: int) -> None:
    user = UserFactory()
    hosts = [HostFactory(labels={"name": name}) for name in ("a", "b", "c")]
    for host in hosts:
        HostAccountFactory(host=host, name="root")
        HostAccountFactory(host=host, name="ops")
        GrantFactory(user=user, by_labels=True, labels={"name": host.labels.get().value})
    by_name = UserFactory()
    GrantFactory(user=by_name, everything=True, every_account=False, names=["root", "ops"])

    with mock.patch.object(access, "FEW", few):
        found = {person: set(Openable(person, at=timezone.now()).hosts().rows()) for person in (user, by_name)}

    assert found == {user: set(hosts), by_name: set(hosts)}


# --- the function and the queryset say the same ------------------------------------------------------

KEYS, VALUES, NAMES = ["env", "team"], ["prod", "test", "Prod"], ["root", "Root", "ops ", "ops"]
NOW = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
MOMENTS = st.sampled_from([NOW + dt.timedelta(days=days) for days in (-60, -31, -29, -1, 0, 1, 40)])

labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES), max_size=2)
host = st.fixed_dictionaries(
    {
        "labels": labels,
        "enabled": st.booleans(),
        "instance": st.integers(0, 1),
        "accounts": st.dictionaries(st.sampled_from(NAMES), st.booleans(), max_size=3),
    }
)
grant = st.fixed_dictionaries(
    {
        "subject": st.sampled_from(["me", "my group", "another", "another group"]),
        "target": st.sampled_from(list(Grant.Target)),
        "host": st.integers(0, 2),
        "labels": labels,
        "every_account": st.booleans(),
        "names": st.lists(st.sampled_from(NAMES), unique=True, max_size=2),
        "valid_from": MOMENTS,
        "valid_until": st.none() | MOMENTS,
        "revoked_at": st.none() | MOMENTS,
        "is_step_up_required": st.booleans(),
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    hosts=st.lists(host, min_size=1, max_size=3),
    grants=st.lists(grant, max_size=4),
    instances=st.lists(st.booleans(), min_size=2, max_size=2),
    is_active=st.booleans(),
    few=st.sampled_from([0, 1, access.FEW]),
)
def test_lists_show_exactly_what_the_decision_says(
    db: None,
    hosts: list[dict[str, Any]],
    grants: list[dict[str, Any]],
    instances: list[bool],
    is_active: bool,
    few: int,
) -> None:
    with transaction.atomic(), mock.patch.object(access, "FEW", few):
        me = _random_inventory(hosts, grants, instances, is_active)
        accounts = list(HostAccount.objects.select_related("host__instance").prefetch_related("host__labels"))
        decisions = {account: decide(account, user=me, at=NOW) for account in accounts}

        assert set(HostAccount.objects.openable_by(me, at=NOW)) == {a for a, d in decisions.items() if d.is_listed}
        assert set(HostAccount.objects.visible_to(me, at=NOW)) == {a for a, d in decisions.items() if d.is_visible}
        for host in Host.objects.all():
            visible = {a for a, d in decisions.items() if d.is_visible and a.host == host}
            assert set(visible_on(host.pk, user=me, at=NOW)) == visible
        assert set(Host.objects.openable_by(me, at=NOW)) == {a.host for a, d in decisions.items() if d.is_listed}
        found = Openable(me, at=NOW)
        assert set(found.accounts_on(Host.objects.values_list("pk", flat=True))) == {
            a for a, d in decisions.items() if d.is_listed
        }
        assert set(found.hosts().rows()) == {a.host for a, d in decisions.items() if d.is_listed}
        assert set(found.instances) == {a.host.instance for a, d in decisions.items() if d.is_listed}
        assert all(decision.is_listed for decision in decisions.values() if decision.is_open)
        assert decide_many(accounts, user=me, at=NOW) == {a.pk: d for a, d in decisions.items()}
        transaction.set_rollback(True)


def _random_inventory(
    hosts: list[dict[str, Any]], grants: list[dict[str, Any]], instances: list[bool], is_active: bool
) -> User:
    mine, other = Group.objects.create(name="mine"), Group.objects.create(name="other")
    me, another = UserFactory(is_active=is_active, groups=[mine]), UserFactory(groups=[other])
    bastions = [BastionInstanceFactory(is_enabled=enabled) for enabled in instances]
    rows = []
    for number, facts in enumerate(hosts):
        row = HostFactory(
            instance=bastions[facts["instance"]],
            is_enabled=facts["enabled"],
            labels=facts["labels"],
            address=f"10.0.0.{number}",
        )
        rows.append(row)
        for name, enabled in facts["accounts"].items():
            HostAccountFactory(host=row, name=name, is_enabled=enabled)
    subjects = {"me": (me, None), "my group": (None, mine), "another": (another, None), "another group": (None, other)}
    for facts in grants:
        if facts["valid_until"] is not None and facts["valid_until"] <= facts["valid_from"]:
            continue
        user, group = subjects[facts["subject"]]
        GrantFactory(
            user=user,
            group=group,
            target=facts["target"],
            host=rows[facts["host"] % len(rows)] if facts["target"] == Grant.Target.HOST else None,
            labels=facts["labels"] if facts["target"] == Grant.Target.LABELS else None,
            every_account=facts["every_account"],
            names=facts["names"],
            valid_from=facts["valid_from"],
            valid_until=facts["valid_until"],
            revoked_at=facts["revoked_at"],
            revoked_by=another if facts["revoked_at"] else None,
            is_step_up_required=facts["is_step_up_required"],
        )
    return User.objects.get(pk=me.pk)
