"""Every page that staff can come upon, each with something on it: for what must hold on all of them."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from pytest_django import Settings

from omaccess.actions import worklists
from omaccess.causes import Cause
from omaccess.models import BastionInstance, Favourite, Host, HostAccount, Launch, LaunchState
from tests.browser import Visitor
from tests.factories import GrantFactory, HostAccountFactory, HostFactory, UserFactory
from tests.inventory import Inventory
from tests.launching import HeadHeldByAnother
from tests.omaccess.views.test_activity import make_launch

LONG = "an-extraordinarily-long-host-name-for-the-quarterly-reporting-cluster-node-0001.internal.acme.example"

EXPECTED = ("400", "403", "404", "422", "429", "500", "503", "violates the following Content Security Policy")
"""Complaints of a browser that belong to these pages."""


@dataclass
class Tour:
    """Leads a visitor, in any language, from page to page; `pages` yields the name of the one that is shown."""

    visitor: Visitor
    inventory: Inventory
    settings: Settings

    def pages(self) -> Iterator[str]:
        self.settings.ROOT_URLCONF = "tests.e2e.urls"
        for text in EXPECTED:
            self.visitor.expects(text)
        yield from self._signed_out()
        self.visitor.sign_in()
        yield from self._to_be_read()
        yield from self._launches()
        yield from self._answers()
        yield from self._signing_out()
        yield from self._with_conditions()
        yield from self._without_any_access()

    def _go(self, path: str) -> None:
        self.visitor.go(path)

    def _signed_out(self) -> Iterator[str]:
        for name, path in {
            "sign-in": "/accounts/login/",
            "inactive": "/accounts/inactive/",
            "opening": "/launches/opening/",
        }.items():
            self._go(path)
            yield name
        self._go("/accounts/login/")
        self.visitor.page.locator("[name=login]").fill("staff")
        self.visitor.page.locator("[name=password]").fill("wrong")
        self.visitor.page.keyboard.press("Enter")
        self.visitor.page.get_by_role("alert").wait_for()
        yield "sign-in-failed"

    def _to_be_read(self) -> Iterator[str]:
        self._go("/")
        yield "hosts-without-shortcuts"
        odd = self._odd_host()
        make_launch(self.inventory.staff, odd.accounts.get(), host_address=odd.address, instance_name="bastion")
        for host in (odd, self.inventory.hosts["web-01"]):
            Favourite.objects.create(user=self.inventory.staff, host=host)
        make_launch(self.inventory.staff, self.inventory.root)
        worklists.keep(["web-01", "legacy", "nowhere", LONG], by=self.inventory.staff, now=timezone.now())
        for name, path in {
            "hosts": "/",
            "search": "/?q=web",
            "search-filtered": "/?label=env%3Dprod&label=team%3Dshop",
            "search-without-result": "/?q=nothing-like-this",
            "host-production": f"/hosts/{self.inventory.hosts['web-01'].pk}/?account={self.inventory.root.pk}",
            "host-odd": f"/hosts/{odd.pk}/",
            "activity": "/activity/",
            "activity-without-result": "/activity/?q=nothing-like-this",
            "access": "/activity/access/",
            "worklist": "/worklist/",
            "preferences": "/preferences/",
            "password": "/accounts/password/change/",
            "reauthenticate": "/accounts/reauthenticate/",
            "sign-out": "/accounts/logout/",
            "not-found": "/nowhere/",
            "forbidden": "/admin/",
            "no-sense": "/no-sense/",
            "mistake": "/mistake/",
            "styleguide": "/styleguide/",
        }.items():
            self._go(path)
            yield name

    def _launches(self) -> Iterator[str]:
        now = timezone.now()
        place: dict[str, Any] = {"host_address": "10.0.0.11", "instance_name": "bastion"}
        launches: dict[str, dict[str, Any]] = {
            "opened": {"state": LaunchState.OPENED},
            "pending": {"state": LaunchState.PENDING, "ended_at": None},
            "waiting": {"state": LaunchState.WAITING, "ended_at": None},
            "refused": {
                "state": LaunchState.REFUSED,
                "cause": Cause.UPSTREAM_UNKNOWN_ERROR,
                "upstream_code": "CBH.1001",
                "upstream_description": "W" * 400,
                "reason": "r" * 400,
            },
            "failed": {"state": LaunchState.FAILED, "cause": Cause.CLOUD_THROTTLED, "retry_after_seconds": 40},
            "denied": {"state": LaunchState.DENIED, "cause": Cause.GRANT_REVOKED},
            "abandoned": {"state": LaunchState.ABANDONED, "cause": Cause.ABANDONED},
        }
        for name, facts in launches.items():
            account = HostAccount.objects.get(host__name=LONG) if name == "refused" else self.inventory.root
            launch = make_launch(self.inventory.staff, account, **(place | {"attempted_at": now} | facts))
            self._go(f"/launches/{launch.reference}/")
            yield f"launch-{name}"
        # Nothing may be left that goes on by itself.
        Launch.objects.exclude(state=LaunchState.OPENED).delete()

    def _answers(self) -> Iterator[str]:
        """What a press of the button may be answered with, when no script shows it elsewhere."""
        path = f"/hosts/{self.inventory.hosts['web-01'].pk}/"
        self._go(path)
        allowed, self.settings.LAUNCHES_PER_MINUTE = self.settings.LAUNCHES_PER_MINUTE, 0
        self._press("root")
        yield "too-many"
        self.settings.LAUNCHES_PER_MINUTE = allowed
        self._go(path)
        with HeadHeldByAnother():
            self._press("root")
        yield "cannot-record"

    def _press(self, account: str, **answers: str) -> None:
        """Sent into this window, so that the answer is its page."""
        heading = self.visitor.page.get_by_role("heading", name=account, exact=True)
        form = self.visitor.page.locator(".account").filter(has=heading).locator("form")
        for name, text in answers.items():
            form.locator(f"[name={name}]").fill(text)
        with self.visitor.page.expect_navigation():
            form.evaluate("form => { form.target = '_self'; form.submit(); }")

    def _signing_out(self) -> Iterator[str]:
        self._go("/accounts/logout/")
        self.visitor.context.clear_cookies(name="sallyport-csrf")
        with self.visitor.page.expect_navigation():
            self.visitor.page.locator("main form button").click()
        yield "too-old"

    def _with_conditions(self) -> Iterator[str]:
        """As somebody whose grants ask for more than a click, or do not let in at all."""
        host = self._host_of_every_kind()
        self._sign_in_as("careful")
        for name, path in {
            "hosts-that-ask": "/",
            "host-of-every-kind": f"/hosts/{host.pk}/",
            "access-of-every-kind": "/activity/access/",
        }.items():
            self._go(path)
            yield name
        self._go(f"/hosts/{host.pk}/")
        self._press("asks", reason="", ticket="nonsense")
        yield "host-with-errors"

    def _without_any_access(self) -> Iterator[str]:
        UserFactory(username="newcomer")
        self._sign_in_as("newcomer")
        for name, path in {
            "hosts-of-nobody": "/",
            "activity-of-nobody": "/activity/",
            "access-of-nobody": "/activity/access/",
        }.items():
            self._go(path)
            yield name

    def _sign_in_as(self, username: str) -> None:
        self.visitor.context.clear_cookies()
        self.visitor.sign_in(username)

    def _odd_host(self) -> Host:
        host: Host = HostFactory(
            instance=self._instance,
            name=LONG,
            address="2001:db8:85a3::8a2e:370:7334",
            owner="Reporting and regulatory compliance engineering",
            contact="https://acme.example/teams/reporting-and-regulatory-compliance-engineering/on-call",
            labels={"env": "prod", "data-classification": "strictly-confidential", "note": "x" * 190},
        )
        HostAccountFactory(host=host, name="ACME\\svc-" + "maintenance" * 15, is_privileged=True)
        return host

    def _host_of_every_kind(self) -> Host:
        host: Host = HostFactory(instance=self._instance, name="of-every-kind", labels={"env": "test"})
        person = UserFactory(username="careful")
        now = timezone.now()
        grants: dict[str, dict[str, Any]] = {
            "opens": {},
            "asks": {"is_reason_required": True, "ticket_pattern": "INC[0-9]{6}"},
            "ends-soon": {"valid_until": now + dt.timedelta(days=1), "is_reason_required": True},
            "later": {"not_yet": True},
            "over": {"expired": True},
            "revoked": {"revoked": True},
            "needs-a-second-factor": {"is_step_up_required": True},
            "disabled": {},
        }
        for name, grant in grants.items():
            HostAccountFactory(host=host, name=name, is_privileged=name == "opens", is_enabled=name != "disabled")
            GrantFactory(user=person, host=host, every_account=False, names=[name], **grant)
        return host

    @property
    def _instance(self) -> BastionInstance:
        return self.inventory.instances["bastion"]
