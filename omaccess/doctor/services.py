"""What the portal speaks to besides its database and the cloud: cache, broker, mail server, collector of traces."""

from __future__ import annotations

import smtplib
import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import redis
from django.conf import settings
from django.core.cache import caches
from django.core.exceptions import ImproperlyConfigured
from django.core.mail import get_connection
from django.core.mail.backends.smtp import EmailBackend
from django.db import DatabaseError
from django.utils.translation import gettext as _
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError

from omaccess.doctor.findings import Finding, Findings, note
from portal.celery import app
from portal.tracing import check as check_endpoint

_ANSWER_SECONDS = 3.0
_MESSAGE_IS_LATE_SECONDS = 120
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def cache() -> Findings:
    """Launches work without it, only slower: each asks for a token of its own."""
    probe = f"doctor-{time.time_ns()}"
    try:
        tokens = caches["tokens"]
        tokens.set(probe, probe, timeout=10)
        answers = tokens.get(probe) == probe
        tokens.delete(probe)
        if settings.CACHE_URL:
            yield from _redis(settings.CACHE_URL, "CACHE_URL")
    except DatabaseError as error:
        text = _("The cache is a table of the database, and that does not answer ({kind}). See Database.")
        yield Finding(text.format(kind=type(error).__name__))
        return
    except (RedisError, OSError, ValueError) as error:
        yield Finding(_("The cache does not answer ({kind}). Check CACHE_URL.").format(kind=type(error).__name__))
        return
    if not answers:
        yield Finding(_("The cache forgets at once what it is given. Check CACHE_URL."))


def broker(*, worker_seconds: float) -> Findings:
    """The way to the worker is open, and a worker is there."""
    is_redis = settings.BROKER_URL.startswith("redis")
    try:
        if is_redis:
            yield from _redis(settings.BROKER_URL, "BROKER_URL", holds_messages=True)
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=2)
        workers = app.control.broadcast("ping", reply=True, timeout=worker_seconds, limit=1)
    except (BrokerError, RedisError, OSError) as error:
        yield Finding(_("The broker does not answer ({kind}). Check BROKER_URL.").format(kind=type(error).__name__))
        return
    if not workers:
        yield Finding(_("No worker answers. Start one: celery -A portal.startup worker"))
    if settings.BROKER_URL.startswith("filesystem"):
        yield from late_messages(Path(settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"]))


def _redis(url: str, variable: str, *, holds_messages: bool = False) -> Findings:
    """It can be written to, and keeps what it should. Raises: RedisError."""
    with redis.Redis.from_url(
        url, socket_connect_timeout=_ANSWER_SECONDS, socket_timeout=_ANSWER_SECONDS, retry=None
    ) as client:
        told = client.info("memory") | client.info("persistence")
    policy, limit = str(told.get("maxmemory_policy", "")), int(told.get("maxmemory", 0))
    if told.get("rdb_last_bgsave_status") == "err":
        text = _("Redis ({variable}) cannot save to its disk and may refuse to be written. Look at its log and disk.")
        yield Finding(text.format(variable=variable))
    if limit and holds_messages and policy.startswith("allkeys"):
        text = _("Redis ({variable}) throws messages away when full ({policy}). Set: maxmemory-policy volatile-lru")
        yield Finding(text.format(variable=variable, policy=policy))
    if limit and not holds_messages and policy == "noeviction":
        text = _("Redis ({variable}) refuses new tokens when it is full. Set: maxmemory-policy volatile-lru")
        yield note(text.format(variable=variable))


def late_messages(queue: Path) -> Findings:
    """Messages of the embedded mode's queue that nobody took."""
    now = time.time()
    late = [path for path in queue.glob("*.msg") if now - _modified(path, now) > _MESSAGE_IS_LATE_SECONDS]
    if late:
        text = _("{number} messages have waited for more than two minutes; the worker does not take them. Restart it.")
        yield Finding(text.format(number=len(late)))


def _modified(path: Path, now: float) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return now  # taken while we looked


def mail() -> Findings:
    """The server lets the portal in. Nothing is sent."""
    if not settings.EMAIL_URL:
        if settings.ALARM_MAIL_TO:
            yield Finding(_("ALARM_MAIL_TO names people, and EMAIL_URL no mail server: no alarm reaches them. Set it."))
        return
    if not settings.ALARM_MAIL_TO:
        yield note(_("EMAIL_URL is set and ALARM_MAIL_TO is empty, so alarms are mailed to nobody."))
    server = get_connection(timeout=_ANSWER_SECONDS)
    if not isinstance(server, EmailBackend):
        yield note(_("EMAIL_URL names no server, so mails reach nobody."))
        return
    is_plain = not server.use_tls and not server.use_ssl
    if is_plain and server.username and server.host not in _LOOPBACK:
        yield Finding(_("The mail password travels in the clear. Use submission:// or ?ssl=True in EMAIL_URL."))
    try:
        _knock(server)
    except smtplib.SMTPAuthenticationError:
        yield Finding(_("The mail server refuses the user or password in EMAIL_URL. Correct them."))
    except (smtplib.SMTPException, OSError) as error:
        text = _("The mail server does not answer as it should ({kind}). Check EMAIL_URL and the firewall.")
        yield Finding(text.format(kind=type(error).__name__))
    else:
        yield note(_("The mail server answers. To see a mail arrive: manage.py sendtestemail ADDRESS"))


def _knock(server: EmailBackend) -> None:
    """Say hello, sign in, leave. Raises: SMTPException, OSError."""
    try:
        server.open()
        if server.connection is not None:
            server.connection.noop()
    finally:
        server.close()


def tracing() -> Findings:
    """The address is one that web and worker start with, and somebody listens there."""
    if not settings.TRACING_ENDPOINT:
        return
    try:
        check_endpoint(settings.TRACING_ENDPOINT)
    except ImproperlyConfigured as error:
        yield Finding(str(error))
        return
    parts = urlsplit(settings.TRACING_ENDPOINT)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname or "", port), timeout=_ANSWER_SECONDS).close()
    except OSError as error:
        text = _("Nothing answers at {host}:{port} ({kind}). Check OTEL_EXPORTER_OTLP_ENDPOINT and the collector.")
        yield Finding(text.format(host=parts.hostname, port=port, kind=type(error).__name__))
