"""The image and the compose file, judged by their linters and against the rest of deploy/. No engine runs them here."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.deploy import tools

DOCKERFILE = tools.DEPLOY / "Dockerfile"
COMPOSE = tools.DEPLOY / "compose.yaml"
LONG_RUNNING = ("web-1", "web-2", "worker", "scheduler", "database", "redis", "nginx")
OURS = ("web-1", "web-2", "worker", "scheduler", "migrate")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return tools.documents(COMPOSE)[0]


# --- the image -------------------------------------------------------------------------------------------


def test_the_linter_has_nothing_to_say_about_the_image() -> None:
    linted = tools.run(tools.find("hadolint"), DOCKERFILE)

    assert linted.returncode == 0, linted.stdout


def test_the_image_takes_only_what_it_copies_and_every_room_of_the_portal() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    copied = {
        word for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text, flags=re.MULTILINE) for word in line.split()
    }
    ignored = (tools.ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()

    admitted = {line.removeprefix("!") for line in ignored if line.startswith("!")}

    assert "*" in ignored
    assert copied == admitted
    assert all((tools.ROOT / name).exists() for name in copied)
    assert {"portal", "accounts", "omaccess", "templates", "static", "manage.py"} <= copied


def test_the_image_runs_as_nobody_in_particular_with_checked_wheels() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")

    last = text.split("FROM ")[-1]
    assert re.search(r"^USER 10001:10001$", last, flags=re.MULTILINE)
    assert "--require-hashes --only-binary :all: -r requirements.txt" in text
    assert "STOPSIGNAL SIGTERM" in last
    assert re.search(r"^HEALTHCHECK ", last, flags=re.MULTILINE)
    assert 'CMD ["gunicorn", "-c", "deploy/gunicorn.conf.py", "portal.wsgi"]' in last


# --- compose -------------------------------------------------------------------------------------------------


def test_the_compose_file_is_one() -> None:
    checked = tools.run(tools.find("check-jsonschema"), "--builtin-schema", "vendor.compose-spec", COMPOSE)

    assert checked.returncode == 0, checked.stdout


def test_no_container_may_do_more_than_it_needs(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "privileged" not in service, name
        assert name == "nginx" or "cap_add" not in service, name
        assert name == "nginx" or service["user"] not in {"root", "0", "0:0"}, name


def test_the_portal_writes_into_memory_only(compose: dict[str, Any]) -> None:
    for name in OURS:
        service = compose["services"][name]

        assert {mount.split(":")[0] for mount in service["tmpfs"]} == {"/data", "/tmp"}, name  # noqa: S108 - a container's
        assert "volumes" not in service, name


def test_every_secret_comes_as_a_file(compose: dict[str, Any]) -> None:
    for name in OURS:
        service = compose["services"][name]
        named = {
            value.removeprefix("/run/secrets/")
            for variable, value in service["environment"].items()
            if variable.endswith("_FILE")
        }

        assert named == set(service["secrets"]), name
        assert not {"SECRET_KEY", "VAULT_KEYS", "DATABASE_URL", "METRICS_TOKEN"} & set(service["environment"]), name
    assert all(set(secret) == {"file"} for secret in compose["secrets"].values())


def test_only_the_migration_knows_the_owner(compose: dict[str, Any]) -> None:
    """And the database itself, which makes the role when it is new."""
    owners = {"migrate_database_url", "owner_password"}
    services = compose["services"].items()
    knowing = {name for name, service in services if owners & set(map(str, service.get("secrets", [])))}

    assert knowing == {"migrate", "roles", "database"}


def test_migrations_and_roles_come_before_everything_that_serves(compose: dict[str, Any]) -> None:
    services = compose["services"]

    assert services["roles"]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    for name in ("web-1", "web-2", "worker", "scheduler"):
        assert services[name]["depends_on"]["roles"] == {"condition": "service_completed_successfully"}, name


def test_every_container_that_stays_up_says_how_it_does(compose: dict[str, Any]) -> None:
    for name in LONG_RUNNING:
        is_web = name.startswith("web-")  # the image's own HEALTHCHECK

        assert is_web or "test" in compose["services"][name]["healthcheck"], name


def test_nginx_finds_the_web_containers_at_their_addresses(compose: dict[str, Any]) -> None:
    services = compose["services"]
    upstream = (tools.DEPLOY / "compose" / "upstream.conf").read_text(encoding="utf-8")

    given = {services[name]["networks"]["front"]["ipv4_address"] for name in ("web-1", "web-2")}

    assert set(re.findall(r"^server ([\d.]+):8000", upstream, flags=re.MULTILINE)) == given
    for name in OURS:
        proxy = services["nginx"]["networks"]["front"]["ipv4_address"]
        assert services[name]["environment"]["TRUSTED_PROXIES"] == proxy, name


def test_every_file_that_is_mounted_is_here(compose: dict[str, Any]) -> None:
    mounts = [mount for service in compose["services"].values() for mount in service.get("volumes", [])]
    files = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]

    assert files
    assert [name for name in files if not (tools.DEPLOY / name).is_file()] == []
