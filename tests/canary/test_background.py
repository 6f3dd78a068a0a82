"""What leaves the web process: messages to workers, logs of real processes, their command lines; the sandbox's log."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from django.conf import settings as django_settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.core.cache import caches
from django.utils import timezone

from accounts.models import User
from omaccess import vault
from omaccess.models import IamUserLease, Launch
from omaccess.sandbox.control_client import SandboxControl
from omaccess.sandbox.server import SandboxServer
from portal.celery import app
from tests.canary.issued import Issued
from tests.canary.sinks import Sinks, add_database, add_decoded, add_files, add_redis
from tests.inventory import Inventory
from tests.launching import open_account
from tests.processes import ROOT, Browser, environment, free_port, kill, wait_until


def tasks() -> list[str]:
    """The names of all of ours."""
    app.autodiscover_tasks(force=True)
    return sorted(name for name in app.tasks if name.startswith(("omaccess.", "portal.", "accounts.")))


def add_messages(sinks: Sinks, folder: Path) -> int:
    """Messages of the filesystem transport: JSON, whose body is base64 of JSON."""
    paths = sorted(folder.rglob("*"))
    files = [path for path in paths if path.is_file()]
    add_files(sinks, "message", files)
    for path in files:
        for body in re.findall(rb'"body": "([^"]*)"', path.read_bytes()):
            add_decoded(sinks, "message", body.decode())
    return len(files)


@pytest.mark.database
def test_messages_to_workers_are_names_only(
    inventory: Inventory, meta_of: Any, issued: Issued, sinks: Sinks, tmp_path: Path
) -> None:
    """Also while tokens and links are about: a launch happens first, in the same process."""
    open_account(inventory.root, inventory.staff, meta_of(inventory.staff))
    queue = tmp_path / "queue"
    queue.mkdir()
    folders = {"data_folder_in": str(queue), "data_folder_out": str(queue), "control_folder": str(tmp_path)}

    with app.connection_for_write("filesystem://localhost") as connection:
        connection.transport_options = folders
        for name in tasks():
            app.send_task(name, connection=connection)
    number = add_messages(sinks, queue)

    assert number == len(tasks()) >= 4
    bodies = [line for line in sinks.found["message, decoded"] if line.startswith("[[")]
    assert bodies
    for body in bodies:
        arguments, named, _callbacks = json.loads(body)
        assert arguments == []
        assert named == {}
    assert issued.tickets
    assert sinks.leaks(issued) == []


@pytest.mark.redis
@pytest.mark.database
def test_messages_in_redis_are_names_only(
    inventory: Inventory, meta_of: Any, issued: Issued, sinks: Sinks, redis_url: str, redis_prefix: str
) -> None:
    open_account(inventory.root, inventory.staff, meta_of(inventory.staff))

    with app.connection_for_write(redis_url) as connection:
        connection.transport_options = {"global_keyprefix": redis_prefix}
        for name in tasks():
            app.send_task(name, connection=connection)
    number = add_redis(sinks, redis_url, redis_prefix)

    assert number >= 1
    assert sinks.holds("redis", "omaccess.tasks.refresh_tokens")
    assert sinks.leaks(issued) == []


def test_a_secret_in_a_message_would_be_found(tmp_path: Path, sinks: Sinks) -> None:
    issued = Issued()
    issued.add_token("MIIF" + "Ab-9+x/Q" * 20)
    folders = {"data_folder_in": str(tmp_path), "data_folder_out": str(tmp_path), "control_folder": str(tmp_path)}

    with app.connection_for_write("filesystem://localhost") as connection:
        connection.transport_options = folders
        app.send_task("omaccess.tasks.refresh_tokens", args=[issued.last_token], connection=connection)
    add_messages(sinks, tmp_path)

    assert any("message, decoded" in leak for leak in sinks.leaks(issued))


def test_tasks_keep_no_results() -> None:
    conf: Any = app.conf

    assert conf.task_ignore_result
    assert conf.result_backend is None
    assert conf.beat_schedule
    for entry in conf.beat_schedule.values():
        assert not entry.get("args")
        assert not entry.get("kwargs")


def test_no_secret_is_in_the_logs_or_the_command_lines_of_real_processes(
    committed: Inventory, sandbox: SandboxServer, issued: Issued, sinks: Sinks, tmp_path: Path
) -> None:
    """gunicorn and a worker at LOG_LEVEL=DEBUG: launches, a refused credential, a token refreshed ahead of expiry."""
    port, ready = free_port(), tmp_path / "ready"
    variables = environment(
        SECRET_KEY=django_settings.SECRET_KEY,
        VAULT_KEYS=django_settings.VAULT_KEYS,
        LOG_LEVEL="DEBUG",
        LOG_FORMAT="json",
        DATA_DIR=str(tmp_path / "data"),
        READY_PATH=str(ready),
        BIND=f"127.0.0.1:{port}",
    )
    log = tmp_path / "log"
    commands = (
        ("gunicorn", "-c", "deploy/gunicorn.conf.py", "portal.wsgi"),
        ("celery", "-A", "portal.startup", "worker", "--pool", "solo", "-l", "DEBUG", "--without-gossip"),
    )
    with log.open("wb") as output:
        running = [
            subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=variables,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
            for command in commands
        ]
    try:
        key = session_of(committed.staff)
        person = Browser(f"http://127.0.0.1:{port}", committed.staff, key)
        wait_until(lambda: _answers(person) and ready.exists())
        add_command_lines(sinks, running)
        assert person.open(committed.root).headers["Location"].startswith(sandbox.url)
        assert person.open(committed.account("ghost")).headers["Location"].startswith("/launches/")
        age_tokens(committed)
        before = len(issued.tokens)
        send_refresh(tmp_path / "data" / "celery" / "queue")
        wait_until(lambda: len(issued.tokens) > before)
        for process in running:
            os.killpg(process.pid, signal.SIGTERM)
        for process in running:
            process.wait(timeout=30)
    finally:
        for process in running:
            kill(process)
    add_files(sinks, "log of processes", [log])
    add_database(sinks)

    for text in ("launch_opened", "refresh_tokens"):
        assert sinks.holds("log of processes", text), log.read_text()[-3000:]
    assert Launch.objects.filter(state="opened").count() == 1
    assert sinks.leaks(issued) == []


def session_of(user: User) -> str:
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return session.session_key or ""


def _answers(person: Browser) -> bool:
    try:
        return person.get("/healthz").status_code == 200
    except OSError:  # not listening yet
        return False


def add_command_lines(sinks: Sinks, running: list[subprocess.Popen[str]]) -> None:
    """What every user of the machine may read of our processes and their children."""
    groups = {process.pid for process in running}
    number = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if os.getpgid(int(folder.name)) in groups:
                sinks.add("command line", (folder / "cmdline").read_bytes())
                sinks.add("title", (folder / "comm").read_bytes())
                number += 1
        except (ProcessLookupError, FileNotFoundError):
            continue  # ended while we looked
    assert number >= 3


def age_tokens(inventory: Inventory) -> None:
    """As if the token had been received long ago: due for its refresh, and still good."""
    lease = IamUserLease.objects.get(user_name="portal")
    place = {"table": "token", "row": lease.token_key, "field": "value"}
    facts = json.loads(vault.decrypt(lease.token_ciphertext, **place))
    facts["received_at"] = (timezone.now() - dt.timedelta(hours=23)).isoformat()
    facts["expires_at"] = (timezone.now() + dt.timedelta(minutes=30)).isoformat()
    lease.token_ciphertext = vault.encrypt(json.dumps(facts), **place)
    lease.save()
    caches["tokens"].clear()


def send_refresh(queue: Path) -> None:
    folders = {"data_folder_in": str(queue), "data_folder_out": str(queue), "control_folder": str(queue.parent)}
    with app.connection_for_write("filesystem://localhost") as connection:
        connection.transport_options = folders
        app.send_task("omaccess.tasks.refresh_tokens", connection=connection)


def test_the_sandbox_tells_its_secrets_to_nobody_but_its_callers(
    db: None, issued: Issued, sinks: Sinks, tmp_path: Path
) -> None:
    """It is part of the product: people look at its log while they evaluate the portal."""
    token_file, log = tmp_path / "control-token", tmp_path / "log"
    issued.add("control token", "control-" + secrets.token_urlsafe(24))
    token_file.write_text(next(iter(issued.known["control token"])))
    port = free_port()
    command = [sys.executable, "manage.py", "sandbox", "--port", str(port), "--world", "tests/world.toml"]
    with log.open("wb") as output:
        running = subprocess.Popen(
            [*command, "--control-token-file", str(token_file)],
            cwd=ROOT,
            env=environment(LOG_LEVEL="DEBUG"),
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    try:
        wait_until(lambda: f":{port}".encode() in log.read_bytes())
        control = SandboxControl(f"http://127.0.0.1:{port}", token_file.read_text())
        _use(f"http://127.0.0.1:{port}", issued)
        control.add_fault("cbh.om_url", drop="mid_body")
        sinks.add("control interface", json.dumps([control.counters(), control.calls()]))
        sinks.add("command line", Path(f"/proc/{running.pid}/cmdline").read_bytes())
    finally:
        kill(running)
    add_files(sinks, "sandbox's log", [log])

    assert sinks.holds("sandbox's log", str(port))
    assert sinks.leaks(issued) == []


def _use(url: str, issued: Issued) -> None:
    """Exchange a password, get a link and follow it, as the portal and a browser do."""
    world_password = next(password for password in issued.known["IAM password"] if password.endswith("portal"))
    user = {"name": "portal", "password": world_password, "domain": {"name": "acme"}}
    identity = {"methods": ["password"], "password": {"user": user}}
    scope = {"project": {"name": "cn-north-4"}}
    with requests.Session() as http:
        http.trust_env = False
        answer = http.post(f"{url}/v3/auth/tokens", json={"auth": {"identity": identity, "scope": scope}}, timeout=10)
        issued.add_token(answer.headers["X-Subject-Token"])
        project = answer.json()["token"]["project"]["id"]
        query = {
            "server_id": "5c9a2f7e-1f7b-4a59-8c0e-0f6a4f0b8a11",
            "ip_address": "10.0.0.11",
            "host_account_name": "root",
        }
        link = http.get(
            f"{url}/v2/{project}/cbs/instance/get-om-url",
            params=query,
            headers={"X-Auth-Token": issued.last_token},
            timeout=10,
        ).json()["login_url"]
        issued.add("link", link.partition("?")[2])
        for _time in range(2):
            http.get(link, timeout=10)
