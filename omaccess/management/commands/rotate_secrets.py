"""`manage.py rotate_secrets`: seal the stored secrets with the first key of VAULT_KEYS."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from omaccess import vault
from omaccess.actions import credentials
from omaccess.meta import Meta


class Command(BaseCommand):
    help = (
        "Encrypts every stored IAM secret with the first key of VAULT_KEYS. Put the new key first, keep the old one "
        "behind it, restart, run this, then take the old key out. Safe to run twice."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        result = credentials.rotate(meta=Meta.system("rotate_secrets"))
        self.stdout.write(
            f"With the key {vault.primary_key_id()}: {result.rotated} encrypted anew, "
            f"{result.current} already so, {result.unreadable} unreadable."
        )
        if result.unreadable:
            raise CommandError(
                f"{result.unreadable} of the secrets open with none of the keys in VAULT_KEYS. Put the missing key "
                "back, or enter those secrets again in the admin. The log names the credentials."
            )
