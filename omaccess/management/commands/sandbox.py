"""Runs the Huawei Cloud sandbox in the foreground."""

from __future__ import annotations

import os
import secrets
import signal
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from omaccess.sandbox.server import SandboxError, SandboxServer
from omaccess.sandbox.world import DEMO_WORLD, WorldError, load_world
from portal.env import env

_SHORTEST_TOKEN = 20
_ENDING = {signal.SIGTERM, signal.SIGINT}


class Command(BaseCommand):
    help = "Run the Huawei Cloud sandbox (IAM and CBH, simulated) on this machine until it is told to end."
    # It needs neither the database nor the portal's settings to be right.
    requires_system_checks = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", help="port on 127.0.0.1 (default: SANDBOX_PORT, else 8010)")
        parser.add_argument("--world", type=Path, default=DEMO_WORLD, help="world file (default: the demo's)")
        parser.add_argument(
            "--control-token-file",
            type=Path,
            help="switches the control interface on; the file holds its token, and is made with a random one "
            "when it does not exist",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        port = _port(options["port"]) if options["port"] is not None else _port(env.str("SANDBOX_PORT", "8010"))
        token_file: Path | None = options["control_token_file"]
        try:
            server = SandboxServer(load_world(options["world"]), port=port, control_token=_control_token(token_file))
        except WorldError as error:
            raise CommandError(str(error)) from error
        # Blocked before any thread starts, so that the signals reach only the wait below.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
        try:
            server.start()
            self.stdout.write(_("Huawei Cloud sandbox on {url}").format(url=server.url))
            self.stdout.flush()
            signal.sigwait(_ENDING)
        except SandboxError as error:
            raise CommandError(
                _("{problem} Choose another with --port or SANDBOX_PORT.").format(problem=error)
            ) from error
        finally:
            server.stop()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _port(given: str | int) -> int:
    """Raises: CommandError. A port as typed, or as a caller in Python gives it."""
    text = str(given)
    if not (text.isascii() and text.isdigit() and int(text) <= 65_535):
        raise CommandError(_("--port or SANDBOX_PORT must be a port number, not {text}.").format(text=repr(text)))
    return int(text)


def _control_token(path: Path | None) -> str | None:
    """The token in the file; a missing file is made, readable by its owner only."""
    if path is None:
        return None
    try:
        if not path.exists():
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(_("Cannot use the control token file {path}.").format(path=path)) from error
    if len(token) < _SHORTEST_TOKEN or not token.isascii() or not token.isprintable():
        raise CommandError(
            _("The control token in {path} must be at least {count} printable ASCII characters.").format(
                path=path, count=_SHORTEST_TOKEN
            )
        )
    return token
