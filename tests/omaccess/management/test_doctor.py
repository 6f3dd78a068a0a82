"""`manage.py doctor` names what is missing, in words, and what to do."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import io
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings as django_settings
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.db.models import JSONField, Value
from django.utils import timezone
from pytest_django.fixtures import Settings

from accounts.models import ADMINS
from omaccess import jobs as job_rows
from omaccess import vault
from omaccess.admin.job_health import job_troubles
from omaccess.doctor import configuration, database, inventory, jobs, network, services, web
from omaccess.doctor.findings import Finding, Findings, Underway
from omaccess.models import Grant, HostAccount, IamCredential, JobRun, Launch, LaunchState
from omaccess.shared_metrics import SharedMetrics
from tests import inventory as inventory_rows
from tests.factories import BastionInstanceFactory, IamCredentialFactory, UserFactory
from tests.omaccess.audit.log import append, head
from tests.processes import free_port

pytestmark = [pytest.mark.django_db, pytest.mark.database]

COMMAND = "omaccess.management.commands.doctor"


@pytest.fixture(autouse=True)
def _as_the_suite_runs(db: None, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PostgreSQL the suite runs as the owner of its tables; what that means is tests/database's subject.

    The tables may be older than the first jobs' time, which depends on how long the suite has run.
    """
    settings.REQUIRE_AUDIT_ROLE = False
    MigrationRecorder.Migration.objects.update(applied=timezone.now())
    monkeypatch.setattr(f"{COMMAND}._WORKER_ANSWERS_SECONDS", 0.1)


def wrong(findings: Findings) -> list[str]:
    return [finding.text for finding in findings if finding.is_wrong]


def notes(findings: Findings) -> list[str]:
    return [finding.text for finding in findings if not finding.is_wrong]


def run(*arguments: str) -> str:
    out = io.StringIO()
    with pytest.raises(SystemExit) as end:
        call_command("doctor", *arguments, stdout=out)
    assert end.value.code == 1
    return out.getvalue()


# --- as a whole ------------------------------------------------------------------------------------------------------


def test_an_empty_installation_is_told_what_comes_next_and_the_exit_code_is_1() -> None:
    said = run()

    assert "ok     Database" in said
    assert "WRONG  People and grants" in said
    assert "Nobody is in the group admins. Run: manage.py create_admin" in said
    assert "There is no enabled bastion instance" in said
    assert "No grant is in force" in said
    assert "No worker answers." in said
    assert "No web server answers at" in said
    assert "Web server" not in run("--no-web")


def test_a_complete_installation_has_nothing_to_complain_about(inventory: inventory_rows.Inventory) -> None:
    UserFactory(groups=[Group.objects.get(name=ADMINS)])

    for examine in EVERYTHING_BUT_PROCESSES:
        assert wrong(examine()) == []


EVERYTHING_BUT_PROCESSES: list[Callable[[], Findings]] = [
    configuration.variables,
    configuration.addresses,
    configuration.files,
    configuration.static_files,
    database.database,
    database.audit,
    services.cache,
    services.mail,
    services.tracing,
    jobs.scheduled_jobs,
    jobs.sweep,
    inventory.credentials,
    inventory.instances,
    inventory.people,
    lambda: network.cloud(inventory.endpoints(), connect=True),
]


def test_everything_dead_is_said_within_ten_seconds(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and never answers is the slowest of all."""
    monkeypatch.setattr(f"{COMMAND}._WORKER_ANSWERS_SECONDS", 5.0)
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        settings.CACHE_URL = settings.BROKER_URL = f"redis://{address}/0"
        settings.EMAIL_URL, settings.EMAIL_BACKEND = "smtp://set", "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = silent.getsockname()
        monkeypatch.setenv("BIND", address)
        began = time.monotonic()

        said = run()

    assert time.monotonic() - began < 10
    for subject in ("Cache", "Background work", "Mail", "Web server"):
        assert f"WRONG  {subject}" in said


def test_an_examination_that_hangs_is_given_up_and_what_it_found_is_kept() -> None:
    released = threading.Event()

    def examine() -> Findings:
        yield Finding("the first")
        released.wait(timeout=30)

    found = wrong(Underway(examine, seconds=0.2).findings())
    released.set()

    assert found[0] == "the first"
    assert found[1].startswith("It did not answer within")


def test_an_examination_that_fails_is_not_taken_for_one_that_found_nothing() -> None:
    def examine() -> Findings:
        yield Finding("the first")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(Underway(examine, seconds=5).findings())


# --- variables, files ------------------------------------------------------------------------------------------------


def test_malformed_keys_are_a_sentence_not_a_crash(settings: Settings) -> None:
    settings.VAULT_KEYS = "k1:short"

    assert any("VAULT_KEYS" in text for text in wrong(configuration.variables()))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"HTTPS": False}, "HTTPS is off"),
        ({"ALLOWED_HOSTS": ["*"]}, "ALLOWED_HOSTS lets any name in"),
        ({"ALLOWED_HOSTS": ["localhost"]}, "ALLOWED_HOSTS has no name"),
        ({"TRUSTED_PROXIES": []}, "TRUSTED_PROXIES is empty"),
        ({"CSRF_TRUSTED_ORIGINS": ["http://portal.example.com"]}, "CSRF_TRUSTED_ORIGINS trusts"),
    ],
)
def test_an_implausible_address_is_named(settings: Settings, values: dict[str, object], words: str) -> None:
    sound = {
        "IS_SANDBOX": False,
        "HTTPS": True,
        "ALLOWED_HOSTS": ["portal.example.com"],
        "TRUSTED_PROXIES": ["10.0.0.5"],
        "SECURE_HSTS_SECONDS": 31_536_000,
    }
    for name, value in sound.items():
        setattr(settings, name, value)
    assert list(configuration.addresses()) == []
    for name, value in values.items():
        setattr(settings, name, value)

    (found,) = wrong(configuration.addresses())

    assert found.startswith(words)


@contextlib.contextmanager
def open_folder() -> Iterator[Path]:
    """A folder into which everybody may go, which pytest's are not."""
    with tempfile.TemporaryDirectory(prefix="sallyport-doctor-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def test_a_secret_that_everybody_can_read_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with open_folder() as folder:
        secret = folder / "keys"
        secret.write_text("the secret itself")
        monkeypatch.setenv("VAULT_KEYS_FILE", str(secret))
        secret.chmod(0o640)
        assert wrong(configuration.files()) == []
        secret.chmod(0o644)

        (found,) = wrong(configuration.files())

        folder.chmod(0o700)
        assert wrong(configuration.files()) == []
    assert f"chmod o-rwx {secret}" in found
    assert "the secret itself" not in found


def test_a_disk_that_is_full_is_said_before_nothing_can_be_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(configuration, "_NO_SPACE", 1 << 62)
    monkeypatch.setattr(configuration, "_LITTLE_SPACE", 1 << 62)

    assert any("MB are free in DATA_DIR" in text for text in wrong(configuration.files()))


def test_static_files_of_another_release_are_named(settings: Settings, tmp_path: Path) -> None:
    settings.STATIC_ROOT = tmp_path
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
    }
    settings.STATICFILES_FINDERS = ["django.contrib.staticfiles.finders.FileSystemFinder"]
    assert "Run: manage.py collectstatic" in wrong(configuration.static_files())[0]
    call_command("collectstatic", interactive=False, verbosity=0)
    assert wrong(configuration.static_files()) == []
    stale = next(path for path in (tmp_path / "css").glob("*.css") if path.stem.count(".") == 0)
    stale.write_text("/* of the last release */")

    (found,) = wrong(configuration.static_files())

    assert f"css/{stale.name}" in found


# --- the database and the audit --------------------------------------------------------------------------------------


def test_a_clock_that_differs_from_the_databases_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has this machine's clock")
    now = time.time()
    monkeypatch.setattr("omaccess.doctor.database.time.time", lambda: now + 90)

    assert any("clock differs from the database's by 90 s" in text for text in wrong(database.database()))


def test_the_database_says_which_it_is_and_a_role_that_is_not_judged() -> None:
    said = notes(database.database())

    assert (connection.vendor == "postgresql") == any(text.startswith("PostgreSQL 1") for text in said)
    assert (connection.vendor == "postgresql") == any("REQUIRE_AUDIT_ROLE is off" in text for text in said)


def test_the_last_noted_head_is_compared_with_the_chain(settings: Settings, tmp_path: Path) -> None:
    settings.AUDIT_HEAD_FILE = str(tmp_path / "heads")
    append()
    position, digest = head()
    now = timezone.now().isoformat()
    assert notes(database.audit())[0].startswith("AUDIT_HEAD_FILE")
    (tmp_path / "heads").write_text(f"{now} 0:{'0' * 64}\n{now} {position}:{digest}\n")
    append()
    assert list(database.audit()) == []

    (tmp_path / "heads").write_text(f"{now} {position}:{'1' * 64}\n")
    (altered,) = wrong(database.audit())
    (tmp_path / "heads").write_text(f"{now} {position + 9}:{digest}\n")
    (gone,) = wrong(database.audit())
    (tmp_path / "heads").write_text(f"2020-01-01T00:00:00+00:00 {position}:{digest}\n")
    (old,) = wrong(database.audit())
    (tmp_path / "heads").write_text("rubbish\n")
    (rubbish,) = wrong(database.audit())

    assert f"audit_verify --head {position}:{'1' * 64}" in altered
    assert f"Event {position + 9} is not the one" in gone
    assert "Do the scheduler and a worker run?" in old
    assert "cannot be read (ValueError)" in rubbish


@pytest.mark.parametrize("folder", ["absent", "/proc/absent"])
def test_a_file_of_heads_that_no_worker_could_make_is_wrong(settings: Settings, tmp_path: Path, folder: str) -> None:
    settings.AUDIT_HEAD_FILE = str(tmp_path / folder / "heads")

    (found,) = wrong(database.audit())

    assert found.startswith(f"AUDIT_HEAD_FILE: the folder {tmp_path / folder} is missing")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("host=127.0.0.1 port={port}", "nothing listens"),
        ("host=nowhere.invalid", "does not resolve"),
        ("host=127.0.0.1 port={silent}", "nobody answered in time"),
    ],
)
def test_why_there_is_no_connection_is_said_in_our_words(address: str, words: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(psycopg.OperationalError) as refused:
        psycopg.connect(
            address.format(port=free_port(), silent=silent.getsockname()[1]),
            dbname="d", user="sallyport_web", connect_timeout=2,
        )  # fmt: skip

    assert words in database.reason(refused.value)
    assert "sallyport_web" not in database.reason(refused.value)


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ('FATAL:  password authentication failed for user "sallyport_web"', "the user or the password"),
        ('FATAL:  database "sallyport" does not exist', "no database of this name"),
        ('root certificate file "/absent" does not exist', "the file of authorities"),
        ("something else", ""),
    ],
)
def test_what_the_server_refuses_is_said_in_our_words(theirs: str, words: str) -> None:
    assert words in database.reason(psycopg.OperationalError(theirs))
    assert bool(words) == bool(database.reason(psycopg.OperationalError(theirs)))


# --- cache, mail, traces, web ----------------------------------------------------------------------------------------


def test_messages_that_nobody_takes_betray_the_worker() -> None:
    queue = Path(django_settings.CELERY_BROKER_TRANSPORT_OPTIONS["data_folder_in"])
    message = queue / "1_waiting.celery.msg"
    message.touch()
    os.utime(message, (0, 0))

    try:
        found = wrong(services.late_messages(queue))
    finally:
        message.unlink()

    assert len(found) == 1
    assert "1 messages have waited" in found[0]


class MailServer:
    """Speaks as much SMTP as the doctor needs, and remembers which commands came."""

    def __init__(self, *, lets_in: bool = True) -> None:
        self._lets_in, self.commands = lets_in, []  # type: bool, list[str]
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> MailServer:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._thread.join(timeout=10)
        self._socket.close()

    def _serve(self) -> None:
        client, _address = self._socket.accept()
        with client, client.makefile("rwb") as wire:
            wire.write(b"220 ready\r\n")
            wire.flush()
            for line in wire:
                command = line.split()[0].decode().upper()
                self.commands.append(command)
                answers = {"EHLO": b"250-here\r\n250 AUTH PLAIN\r\n", "QUIT": b"221 bye\r\n"}
                if command == "AUTH":
                    answers["AUTH"] = b"235 welcome\r\n" if self._lets_in else b"535 no\r\n"
                wire.write(answers.get(command, b"250 well\r\n"))
                wire.flush()
                if command == "QUIT":
                    return


def use_mail(settings: Settings, port: int) -> None:
    settings.EMAIL_URL, settings.EMAIL_BACKEND = "smtp://set", "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port
    settings.EMAIL_HOST_USER, settings.EMAIL_HOST_PASSWORD = "portal", "the mail password"
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
    settings.ALARM_MAIL_TO = ["security@example.com"]


def test_a_mail_server_that_lets_the_portal_in_is_sent_nothing(settings: Settings) -> None:
    with MailServer() as server:
        use_mail(settings, server.port)
        found = list(services.mail())

    assert [finding.is_wrong for finding in found] == [False]
    assert "manage.py sendtestemail ADDRESS" in found[0].text
    assert server.commands == ["EHLO", "AUTH", "NOOP", "QUIT"]


def test_a_mail_server_that_refuses_the_password_is_said_without_it(settings: Settings) -> None:
    with MailServer(lets_in=False) as server:
        use_mail(settings, server.port)
        (found,) = wrong(services.mail())

    assert found == "The mail server refuses the user or password in EMAIL_URL. Correct them."


def test_a_mail_server_that_is_not_there_and_alarms_for_nobody_are_said(settings: Settings) -> None:
    settings.ALARM_MAIL_TO = ["security@example.com"]
    assert "EMAIL_URL no mail server" in wrong(services.mail())[0]

    use_mail(settings, free_port())
    assert "does not answer as it should (ConnectionRefusedError)" in wrong(services.mail())[0]


def test_traces_that_go_nowhere_are_said(settings: Settings) -> None:
    port = free_port()
    settings.TRACING_ENDPOINT = f"http://127.0.0.1:{port}"

    (found,) = wrong(services.tracing())

    assert f"Nothing answers at 127.0.0.1:{port}" in found


def test_an_endpoint_that_no_process_would_start_with_is_said_although_somebody_listens(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.TRACING_ENDPOINT = f"http://user:the-password@127.0.0.1:{silent.getsockname()[1]}"

        (found,) = wrong(services.tracing())

    assert "OTEL_EXPORTER_OTLP_ENDPOINT is no address" in found
    assert "the-password" not in found


class Dead:
    """A cache whose database is not there."""

    def set(self, *_args: object, **_options: object) -> None:
        raise DatabaseError("no such table")


def test_a_cache_in_the_database_is_not_blamed_on_a_variable_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "caches", {"tokens": Dead()})

    (found,) = wrong(services.cache())

    assert "CACHE_URL" not in found
    assert "See Database" in found


class Answering(http.server.BaseHTTPRequestHandler):
    """A web server that lives and is not ready."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, *_args: object) -> None:
        pass


def test_the_web_servers_of_bind_are_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        monkeypatch.setenv("BIND", f"0.0.0.0:{server.server_port},unix:/run/sallyport,127.0.0.1:{free_port()}")

        found = list(web.web_server())

        server.shutdown()
        thread.join(timeout=10)

    assert [finding.is_wrong for finding in found] == [True, False, True]
    assert "is not ready (status 503)" in found[0].text
    assert "unix:/run/sallyport, which cannot be asked from here" in found[1].text
    assert "No web server answers at 127.0.0.1:" in found[2].text


# --- jobs ------------------------------------------------------------------------------------------------------------


def ran(name: str, ago: dt.timedelta = dt.timedelta(), **values: Any) -> None:
    at = timezone.now() - ago
    JobRun.objects.create(name=name, **{"started_at": at, "succeeded_at": at, **values})


@pytest.fixture
def all_jobs_ran() -> None:
    for name in job_rows.intervals():
        ran(name)


def test_jobs_that_all_ran_are_well_and_each_that_is_late_is_named(all_jobs_ran: None) -> None:
    assert list(jobs.scheduled_jobs()) == []

    for name, seconds in job_rows.intervals().items():
        at = timezone.now() - dt.timedelta(seconds=seconds * 2 + 200)
        JobRun.objects.filter(name=name).update(started_at=at)

        (found,) = wrong(jobs.scheduled_jobs())

        assert found.startswith(f"The job {name} last ran ")
        JobRun.objects.filter(name=name).update(started_at=timezone.now())


def test_a_new_installation_has_time_until_its_first_jobs() -> None:
    assert list(jobs.scheduled_jobs()) == []

    MigrationRecorder.Migration.objects.update(applied=timezone.now() - dt.timedelta(minutes=10))
    found = wrong(jobs.scheduled_jobs())

    assert [text.split()[2] for text in found] == ["close_abandoned_launches", "refresh_tokens"]
    assert "has never run" in found[0]


def test_a_job_that_failed_and_has_not_succeeded_since_is_named(all_jobs_ran: None) -> None:
    later = timezone.now() + dt.timedelta(seconds=1)
    JobRun.objects.filter(name="refresh_tokens").update(failed_at=later, error="OperationalError")

    (found,) = wrong(jobs.scheduled_jobs())

    assert found.startswith("The job refresh_tokens failed the last time (OperationalError)")


def test_an_audit_that_the_scheduled_verification_found_altered_is_the_alarm(all_jobs_ran: None) -> None:
    JobRun.objects.filter(name="verify_audit").update(result={"position": 9, "problems": 2})

    (found,) = wrong(jobs.scheduled_jobs())

    assert found.startswith("The audit was altered: 2 problems.")


@pytest.mark.parametrize("result", [[1], "text", {"problems": "x", "position": [1]}, {"problems": 10**400}, None])
def test_a_row_that_somebody_filled_with_rubbish_breaks_nothing(all_jobs_ran: None, result: object) -> None:
    """The role that the portal runs as could; the alarms and the admin's first page must go on."""
    JobRun.objects.filter(name="verify_audit").update(result=Value(result, JSONField()))

    assert wrong(jobs.scheduled_jobs()) == []
    assert job_troubles() == []
    assert len(list(SharedMetrics().collect())) > 8


def test_a_second_scheduler_on_this_machine_is_said(tmp_path: Path) -> None:
    commands = {"10": "python -m celery -A portal.startup beat", "11": "celery -A portal.startup worker", "12": "sh"}
    for number, command in commands.items():
        (tmp_path / number).mkdir()
        (tmp_path / number / "cmdline").write_text(command.replace(" ", "\0"))
    assert list(jobs.schedulers(tmp_path)) == []

    (tmp_path / "12" / "cmdline").write_text(commands["10"].replace(" ", "\0"))

    assert notes(jobs.schedulers(tmp_path))[0].startswith("2 schedulers run on this machine.")


def test_a_launch_that_nobody_swept_betrays_the_scheduler(inventory: inventory_rows.Inventory) -> None:
    account: HostAccount = inventory.root
    Launch.objects.create(
        user=inventory.staff,
        account=account,
        state=LaunchState.PENDING,
        attempted_at=timezone.now() - dt.timedelta(hours=1),
    )

    assert len(wrong(jobs.sweep())) == 1


# --- the inventory and the cloud -------------------------------------------------------------------------------------


def test_a_credential_without_a_secret_is_named() -> None:
    IamCredentialFactory(name="hangzhou")

    assert wrong(inventory.credentials()) == ["hangzhou has no secret. Enter it in the admin."]


def test_a_secret_that_does_not_open_is_named_and_not_shown() -> None:
    copied = IamCredentialFactory(name="hangzhou", secret="the password")
    IamCredential.objects.filter(pk=copied.pk).update(
        secret_ciphertext=vault.encrypt("the password", table="iamcredential", row="another", field="secret")
    )

    (found,) = wrong(inventory.credentials())

    assert found.startswith("hangzhou: the ciphertext does not open: wrong key, altered, or moved from another row.")
    assert "enter the secret again in the admin" in found


def test_an_endpoint_that_may_not_be_called_is_named() -> None:
    BastionInstanceFactory(
        name="bastion", endpoint="https://cbh.example", credential__iam_endpoint="https://iam.example"
    )

    assert any("https://cbh.example" in text for text in wrong(inventory.instances()))
    assert any("https://iam.example" in text for text in wrong(inventory.credentials()))


def test_an_instance_without_a_login_address_is_named() -> None:
    BastionInstanceFactory(name="bastion")

    (found,) = wrong(inventory.instances())

    assert found.startswith("bastion has no login address of the kind link, so every link is refused.")


def test_grants_that_are_all_over_count_as_none(inventory: inventory_rows.Inventory) -> None:
    from omaccess.doctor.inventory import people

    Grant.objects.update(valid_until=timezone.now() - dt.timedelta(minutes=1))

    assert any(text.startswith("No grant is in force") for text in wrong(people()))


def test_a_name_that_does_not_exist_and_an_endpoint_that_is_dead_are_said() -> None:
    nobody = "x" * 64 + ".example"  # too long for a name, so that no name server is asked
    dead = f"http://127.0.0.1:{free_port()}"

    by_name = wrong(network.cloud([f"https://{nobody}"], connect=False))
    by_connection = wrong(network.cloud([dead], connect=True))

    assert by_name[0].startswith(f"The name {nobody} is not found.")
    assert by_connection == [
        f"{dead} cannot be reached (CloudConnectionFailed). Check the firewall, CLOUD_PROXY and CLOUD_CA_BUNDLE."
    ]
