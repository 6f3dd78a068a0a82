"""Fills an empty database with the demo's people, inventory and grants."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from omaccess import demo_inventory
from omaccess.clients import endpoint_rules
from omaccess.cloud.errors import EndpointNotAllowed
from omaccess.demo_inventory import NotADemo
from omaccess.sandbox.world import load_world
from portal.env import env

DEFAULT_PASSWORD = "sallyport-demo"  # noqa: S105 - printed on the screen, opens nothing but the demo


class Command(BaseCommand):
    help = (
        "Fill an empty database with invented people, hosts and grants that match the sandbox. "
        "Refuses anything but CLOUD=sandbox and an empty database, or one that it filled itself; there it only "
        "follows the sandbox to a new address."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--sandbox-url",
            help="where the sandbox answers (default: 127.0.0.1 and SANDBOX_PORT)",
        )
        parser.add_argument(
            "--set-passwords",
            action="store_true",
            help="give the demo's people the password in DEMO_PASSWORD, also when they exist already",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.IS_SANDBOX:
            raise CommandError(_("Demo data belongs to the sandbox. CLOUD is huawei here, so nothing was written."))
        try:
            default = f"http://127.0.0.1:{env.str('SANDBOX_PORT', '8010')}"
            url = endpoint_rules().check(options["sandbox_url"] or default)
        except EndpointNotAllowed as error:
            raise CommandError(_("The sandbox's address cannot be used. {why}").format(why=error)) from None
        password = env.str("DEMO_PASSWORD", "") or DEFAULT_PASSWORD
        try:
            self._load(url, password, set_passwords=options["set_passwords"])
        except NotADemo as error:
            raise CommandError(str(error)) from None

    def _load(self, url: str, password: str, *, set_passwords: bool) -> None:
        marker = demo_inventory.loaded()
        if marker is None:
            counts = demo_inventory.load(load_world(), url=url, password=password, now=timezone.now())
            made = ", ".join(f"{number} {what}" for what, number in counts.items())
            self.stdout.write(_("Demo data made: {made}.").format(made=made))
            return
        if marker.facts["sandbox_url"] != url:
            demo_inventory.follow(old_url=marker.facts["sandbox_url"], url=url)
            self.stdout.write(_("Demo data now point at the sandbox on {url}.").format(url=url))
        if set_passwords:
            demo_inventory.set_passwords(password, url=url)
            self.stdout.write(_("The demo's people have the password in DEMO_PASSWORD."))
        if marker.facts["sandbox_url"] == url and not set_passwords:
            self.stdout.write(_("The demo data are there already; nothing was changed."))
