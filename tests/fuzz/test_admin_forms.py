"""Every form of the admin with any values in its own fields: no error, and no change without its event."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Group
from django.db import models, transaction
from django.test import Client
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from accounts.models import User
from omaccess.models import (
    AuditEvent,
    AuditHead,
    BastionInstance,
    Grant,
    GrantAccount,
    GrantLabel,
    Host,
    HostAccount,
    IamCredential,
    IamUserLease,
    Label,
    Launch,
    LaunchAllowance,
    LoginAddress,
)
from tests.factories import GrantFactory, HostAccountFactory, HostFactory, IamCredentialFactory, UserFactory
from tests.fuzz.budget import Explorer
from tests.fuzz.web import MOST_CPU_SECONDS, check_manners, texts
from tests.omaccess.admin.conftest import BACKEND, filled, page

pytestmark = [pytest.mark.database, pytest.mark.django_db]

AUDITED: tuple[type[models.Model], ...] = (
    BastionInstance, LoginAddress, Host, Label, HostAccount, IamCredential, Grant, GrantLabel, GrantAccount, User,
        Group, User.groups.through,
)  # fmt: skip
"""Whatever stands in these rows came with an event."""
RECORDS: tuple[type[models.Model], ...] = (AuditEvent, AuditHead, IamUserLease, Launch, LaunchAllowance)
"""No form touches these."""
UNAUDITED_COLUMNS = {"updated_at", "last_login"}

Fields = dict[str, list[str]]


@dataclass
class Form:
    """A page of the admin with what a browser would send back unchanged."""

    address: str
    fields: Fields


@dataclass(frozen=True)
class Typed:
    """Which form, and what was typed over it; a value of None takes the field away."""

    form: int
    changes: tuple[tuple[int, tuple[str, ...] | None], ...]
    extra: tuple[tuple[str, str], ...] = ()


@dataclass
class Office:
    client: Client
    forms: list[Form]

    def post(self, typed: Typed) -> tuple[str, Any]:
        form = self.forms[typed.form % len(self.forms)]
        fields = {name: list(values) for name, values in form.fields.items()}
        names = sorted(fields)
        for number, texts_typed in typed.changes:
            fields[names[number % len(names)]] = list(texts_typed or ())
        for name, value in typed.extra:
            fields.setdefault(name, []).append(value)
        pairs = [(name, one.encode("utf-8", "surrogatepass")) for name, sent in fields.items() for one in sent]
        response = self.client.post(form.address, urlencode(pairs), content_type="application/x-www-form-urlencoded")
        return form.address, response


def _as_sent(fields: Mapping[str, Any]) -> Fields:
    return {
        name: [str(item) for item in value] if isinstance(value, list | tuple) else [str(value)]
        for name, value in fields.items()
    }


@pytest.fixture
def office(db: None) -> Office:
    """A superuser, who sees every field, before every form; each form once new and once for a row that is there."""
    client = Client()
    client.force_login(UserFactory(username="root", is_superuser=True), backend=BACKEND)
    account = HostAccountFactory(host=HostFactory(labels={"env": "prod"}))
    LoginAddress.objects.create(instance=account.host.instance, origin="https://203.0.113.7")
    people = Group.objects.create(name="people")
    rows: list[models.Model] = [
        account.host.instance,
        account.host,
        IamCredentialFactory(secret="a secret"),
        GrantFactory(every_account=False, names=["root"]),
        GrantFactory(by_labels=True, labels={"env": "prod"}),
        UserFactory(groups=[people]),
        people,
    ]
    addresses = {f"/admin/{row._meta.app_label}/{row._meta.model_name}/add/": None for row in rows}
    addresses |= {f"/admin/{row._meta.app_label}/{row._meta.model_name}/{row.pk}/change/": None for row in rows}
    forms = []
    for address in addresses:
        response = client.get(address)
        assert response.status_code == 200, address
        forms.append(Form(address, _with_rows(_as_sent(filled(response)), response)))
    return Office(client, forms)


def _with_rows(fields: Fields, response: Any) -> Fields:
    """With one more row in each inline, and every field of the form named, also those that are empty or unticked."""
    for name in response.context["adminform"].form.fields:
        fields.setdefault(name, [""])
    for wrapper in response.context["inline_admin_formsets"]:
        formset = wrapper.formset
        number = len(formset.forms)
        for name in formset.empty_form.fields:
            fields.setdefault(f"{formset.prefix}-{number}-{name}", [""])
    return fields


def snapshot(tables: tuple[type[models.Model], ...]) -> dict[str, list[Any]]:
    found = {}
    for table in tables:
        names = [field.attname for field in table._meta.concrete_fields if field.attname not in UNAUDITED_COLUMNS]
        found[table.__name__] = list(table._default_manager.order_by("pk").values_list(*names))
    return found


ids = st.sampled_from(
    ("1", "2", "3", "4", "5", "10", "999999", "-1", "9223372036854775807", "9223372036854775808", "1" * 30)
)
values: SearchStrategy[str] = st.one_of(
    texts,
    texts,
    ids,
    st.sampled_from(
        (
            "on",
            "host",
            "labels",
            "all",
            "launch",
            "read",
            "link",
            "redirect",
            "2026-11-23",
            "23:59:59",
            "0001-01-01",
            "9999-12-31",
            "00:00",
            "https://a.example",
            "INC[0-9]{6}",
            "(",
            "a{1000}{1000}",
        )
    ),
)
_extra_names = st.one_of(
    st.sampled_from(("_save", "_continue", "_addanother", "_saveasnew", "_popup", "_to_field", "accounts-TOTAL_FORMS",
        "labels-0-DELETE", "login_addresses-0-id", "accounts-0-host", "account_names-1-name",
                     "label_clauses-1-key", "password", "secret_ciphertext", "version", "is_superuser", "created_by",
                     "revoked_at", "id", "address_key", "user_permissions", "permissions")),
    st.text("abcdefghijklmnopqrstuvwxyz_-0123456789", max_size=12),
)  # fmt: skip
typed_forms: SearchStrategy[Typed] = st.builds(
    Typed,
    st.integers(0, 12),
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.one_of(st.none(), values.map(lambda one: (one,)), st.lists(values, max_size=3).map(tuple)),
        ),
        max_size=4,
    ).map(tuple),
    st.lists(st.tuples(_extra_names, values), max_size=2).map(tuple),
)
"""Fields by number, so that one strategy serves all forms; numbers beyond the last begin again."""


EXAMPLES = (
    *(Typed(number, ()) for number in range(13)),
    Typed(1, (), (("instance", "x"),)),
    Typed(3, (), (("user", "\u0000"),)),
    Typed(4, (), (("groups", "9" * 20),)),
    Typed(1, (), (("accounts-TOTAL_FORMS", "2000"),)),
    Typed(6, (), (("_to_field", ""),)),
)
"""Every form as it was, then what once was too much: ids that are none, and more rows than anybody types."""


def test_any_form_is_answered_and_no_change_is_unrecorded(office: Office, explorer: Explorer) -> None:
    before, records = snapshot(AUDITED), snapshot(RECORDS)
    head = AuditHead.objects.get().position

    def check(typed: Typed) -> None:
        began = time.thread_time()
        with transaction.atomic():
            address, response = office.post(typed)

            assert time.thread_time() - began < MOST_CPU_SECONDS, address
            check_manners(response)
            after = snapshot(AUDITED)
            events = list(AuditEvent.objects.filter(position__gt=head).values_list("kind", flat=True))
            if after != before:
                assert len(events) == 1
                assert events[0] != "change:refused"
                explorer.count("changes made")
            elif response.status_code != 302:
                assert set(events) <= {"change:refused"}
            for name, rows in snapshot(RECORDS).items():
                assert name.startswith("Audit") or rows == records[name]
            transaction.set_rollback(True)

    explorer.explore(typed_forms, check, few=60, share=0.004, examples=EXAMPLES)

    assert explorer.counts["changes made"] > 0


# --- lists, searches, addresses --------------------------------------------------------------------


_MODELS = (
    "omaccess/bastioninstance", "omaccess/host", "omaccess/hostaccount", "omaccess/iamcredential", "omaccess/grant",
    "omaccess/launch", "omaccess/auditevent", "accounts/user", "auth/group",
)  # fmt: skip
_parameters = st.sampled_from(
    ("q", "q", "o", "p", "e", "all", "_facets", "_popup", "_to_field", "_changelist_filters", "is_enabled__exact",
        "is_enabled", "instance__id__exact", "instance", "label", "person", "since", "until", "ref", "kind",
     "cause", "state", "state__exact", "target", "target__exact", "user__id__exact", "user", "group__id__exact",
     "host__id__exact", "host__instance__id__exact", "is_privileged__exact", "is_superuser__exact",
     "id", "id__exact", "id__in", "pk", "pk__gt", "name", "name__icontains", "name__regex", "created_at__year",
     "valid_from__gte", "position", "at", "hash__startswith", "password__startswith",
     "secret_ciphertext__startswith", "host__instance__credential__secret_ciphertext__contains",
     "user__password__regex", "groups__id__exact", "labels__key", "facts__x", "purpose__exact")
)  # fmt: skip


def _escape(text: str) -> str:
    return "".join(f"%{octet:02X}" for octet in text.encode("utf-8", "surrogatepass"))


_pairs = st.lists(st.tuples(_parameters, values.map(_escape)).map("=".join), max_size=4).map("&".join)
_objects = st.one_of(ids, texts.map(_escape), st.text("_0123456789ABCDEF", max_size=8))
admin_addresses: SearchStrategy[str] = st.one_of(
    st.builds("/admin/{}/?{}".format, st.sampled_from(_MODELS), _pairs),
    st.builds("/admin/{}/?{}".format, st.sampled_from(_MODELS), _pairs),
    st.builds(
        "/admin/{}/{}/{}/".format,
        st.sampled_from(_MODELS),
        _objects,
        st.sampled_from(("change", "history", "delete", "test", "revoke", "add-address", "password")),
    ),
    st.builds(
        "/admin/{}/add/?{}".format,
        st.sampled_from(_MODELS),
        st.lists(
            st.tuples(
                st.sampled_from(
                    (
                        "user",
                        "group",
                        "host",
                        "target",
                        "name",
                        "valid_from",
                        "credential",
                        "is_enabled",
                        "_popup",
                        "_to_field",
                        "instance",
                    )
                ),
                values.map(_escape),
            ).map("=".join),
            max_size=3,
        ).map("&".join),
    ),
    st.builds(
        "/admin/autocomplete/?term={}&app_label={}&model_name={}&field_name={}&page={}".format,
        values.map(_escape),
        st.sampled_from(("omaccess", "omaccess", "omaccess", "accounts", "auth", "x")),
        st.one_of(
            st.sampled_from(("grant", "host", "bastioninstance", "hostaccount", "launch", "user")), values.map(_escape)
        ),
        st.one_of(
            st.sampled_from(
                ("user", "group", "host", "instance", "credential", "account", "groups", "secret_ciphertext")
            ),
            values.map(_escape),
        ),
        st.one_of(st.just("1"), values.map(_escape)),
    ),
    st.builds("/admin/why/?user={}&account={}".format, _objects, _objects),
    st.builds("/admin/r/{}/{}/".format, _objects, _objects),
    st.builds("/admin/{}".format, values.map(_escape)),
    st.builds("/admin/login/?next={}".format, values.map(_escape)),
)

ADDRESSES = (
    "/admin/omaccess/auditevent/?since=0001-01-01&until=9999-12-31",
    "/admin/omaccess/auditevent/?since=0001-01-01T00:00:00%2B23:59",
    "/admin/omaccess/auditevent/?until=9999-12-31T23:59:59-23:59",
    "/admin/omaccess/host/?q=%00&instance__id__exact=%00",
    "/admin/omaccess/host/?p=99999999999999999999&o=99.-99.x",
    "/admin/omaccess/grant/99999999999999999999999/change/",
    "/admin/omaccess/auditevent/9223372036854775808/change/",
    "/admin/autocomplete/?app_label=omaccess&model_name=grant&field_name=host&term=%00&page=99999999999999999999",
)  # fmt: skip


def test_any_address_below_the_admin_is_answered(office: Office, explorer: Explorer) -> None:
    before = snapshot(AUDITED + RECORDS)

    def check(address: str) -> None:
        began = time.thread_time()
        with transaction.atomic():
            response = office.client.get(address)
            transaction.set_rollback(True)

        check_manners(response)
        assert time.thread_time() - began < MOST_CPU_SECONDS
        assert not re.search(rb"v1\.t1\.[A-Za-z0-9_=-]{20}", response.content)

    explorer.explore(admin_addresses, check, few=120, share=0.01, examples=ADDRESSES)

    assert snapshot(AUDITED + RECORDS) == before


@pytest.mark.parametrize(
    "model", ["omaccess_grant", "omaccess_host", "omaccess_auditevent", "omaccess_launch", "accounts_user"]
)
def test_any_bulk_action_is_answered(office: Office, explorer: Explorer, model: str) -> None:
    """Only chosen grants can be revoked, and each leaves its event."""

    def check(fields: Fields) -> None:
        with transaction.atomic():
            head = AuditHead.objects.get().position
            response = office.client.post(page(f"{model}_changelist"), fields)

            check_manners(response)
            revoked = Grant.objects.exclude(revoked_at=None).count()
            assert AuditEvent.objects.filter(position__gt=head).count() == revoked
            transaction.set_rollback(True)

    chosen = st.one_of(values, ids).map(lambda text: text.encode("utf-8", "replace").decode())
    fields = st.fixed_dictionaries(
        {
            "_selected_action": st.lists(chosen, max_size=4),
            "action": st.lists(st.one_of(st.just("revoke_selected"), chosen), max_size=2),
        },
        optional={
            name: st.lists(chosen, min_size=1, max_size=2)
            for name in ("index", "select_across", "confirmed", "_save", "form-TOTAL_FORMS", "form-INITIAL_FORMS")
        },
    )
    examples = [{"_selected_action": [text], "action": ["revoke_selected"]} for text in ("", "x", "9" * 20)]
    explorer.explore(fields, check, few=10, share=0.001, examples=examples)
