"""The last question before a process serves: may this installation run like this?

Web processes ask through deploy/gunicorn.conf.py. The worker and the scheduler ask because they are started with
`celery -A portal.startup worker` and `celery -A portal.startup beat`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import django
from celery.signals import beat_init, worker_init, worker_ready
from django.conf import settings
from django.core.checks import ERROR, CheckMessage, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import DEFAULT_DB_ALIAS, connections

from portal import tracing
from portal.celery import app
from portal.env import env

__all__ = ["StartRefused", "app", "verify"]


class StartRefused(Exception):
    """Django's checks found errors; the text lists them, one per line."""


def verify() -> None:
    """Run all of Django's checks, those of the database included.

    Raises: StartRefused when one of them is an error.
    """
    django.setup()
    try:
        found = run_checks(databases=[DEFAULT_DB_ALIAS])
    finally:
        connections.close_all()
    errors = [message for message in found if message.level >= ERROR and not message.is_silenced()]
    if errors:
        raise StartRefused("This installation may not start:\n" + "\n".join(_line(error) for error in errors))


def _line(message: CheckMessage) -> str:
    hint = f" {message.hint}" if message.hint else ""
    return f"  {message.id}: {message.msg}{hint}"


def _verify_or_exit(**_kwargs: Any) -> None:
    """Celery logs what a signal's receiver raises and goes on; only leaving stops it."""
    try:
        verify()
    except StartRefused as error:
        raise SystemExit(str(error)) from None


def _note_jobs(**_kwargs: Any) -> None:
    # Only here, for it needs the models: Django is set up by now.
    from omaccess import jobs

    jobs.connect()


def _check_tracing(**_kwargs: Any) -> None:
    """The scheduler traces nothing, and yet should not be the one process that runs with a wrong address."""
    try:
        if settings.TRACING_ENDPOINT:
            tracing.check(settings.TRACING_ENDPOINT)
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None


def _trace(**_kwargs: Any) -> None:
    try:
        tracing.start("sallyport-worker")
    except ImproperlyConfigured as error:
        raise SystemExit(str(error)) from None


def _announce(**_kwargs: Any) -> None:
    """Touch the file that READY_PATH names, for whoever waits for this process to be up."""
    path = env.str("READY_PATH", "")
    if path:
        Path(path).touch()


# Not weak: nothing else holds on to these functions' identity, and the order is the order of connecting.
worker_init.connect(_verify_or_exit, weak=False)
worker_init.connect(_note_jobs, weak=False)
worker_init.connect(_trace, weak=False)
worker_ready.connect(_announce, weak=False)
beat_init.connect(_verify_or_exit, weak=False)
beat_init.connect(_note_jobs, weak=False)
beat_init.connect(_check_tracing, weak=False)
beat_init.connect(_announce, weak=False)
