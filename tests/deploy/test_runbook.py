"""RUNBOOK.md speaks of what exists: files, units, commands, variables; and every alarm has its entry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import yaml
from django.core.management import get_commands

from tests.deploy import tools
from tests.deploy.test_variables import explained
from tests.processes import ROOT, environment

RUNBOOK = (tools.DEPLOY / "RUNBOOK.md").read_text(encoding="utf-8")
CODE = "\n".join(re.findall(r"^ *```sh\n(.*?)^ *```", RUNBOOK, flags=re.MULTILINE | re.DOTALL))


def headings() -> set[str]:
    """Anchors, as GitHub makes them of headings."""
    return {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", RUNBOOK, flags=re.MULTILINE)
    }


def test_every_alarm_has_its_entry() -> None:
    rules = yaml.safe_load((tools.DEPLOY / "prometheus" / "rules.yaml").read_text(encoding="utf-8"))
    alarms = [rule["alert"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule]

    assert alarms
    assert [alarm for alarm in alarms if alarm.lower() not in headings()] == []


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)]+)\)", RUNBOOK)

    missing = [
        target
        for target in targets
        if not (target[1:] in headings() if target.startswith("#") else (tools.DEPLOY / target).exists())
    ]

    assert missing == []


def test_every_command_of_the_portal_exists() -> None:
    named = set(re.findall(r"\bmanage(?:\.py)? ([a-z_]+)", CODE))

    assert {"migrate", "create_admin", "doctor", "audit_verify"} <= named
    assert named <= set(get_commands())


def test_every_file_of_deploy_that_is_typed_exists() -> None:
    named = re.findall(r"(?<![\w/.])deploy/([\w./*-]+)", CODE)
    elsewhere = {"secrets", "web"}  # made by the reader; a Deployment of Kubernetes

    missing = [name for name in named if name not in elsewhere and not list(Path(tools.DEPLOY).glob(name))]

    assert named
    assert missing == []


def test_every_variable_that_is_set_exists() -> None:
    theirs = {"RELEASE", "REPOSITORY", "IMAGE", "PORTAL_NAME", "COMMIT", "ON_ERROR_STOP"}

    named = set(re.findall(r"\b([A-Z][A-Z]+_[A-Z_]+)=", CODE)) | set(re.findall(r"^([A-Z]+)=", CODE, flags=re.M))

    assert named - theirs - explained() == set()


def test_units_that_are_switched_on_are_files() -> None:
    lines = re.findall(r"systemctl (?:enable --now|restart|start|stop) ([^\n#]+)", CODE)
    named = {name for line in lines for name in line.split() if name.startswith("sallyport")}

    files = {path.name for path in (tools.DEPLOY / "systemd").iterdir()}

    assert {name if "." in name else f"{name}.service" for name in named} <= files


def test_each_release_keeps_its_own_static_files(tmp_path: Path) -> None:
    """STATIC_ROOT as the RUNBOOK has it, in a process that was started through `current`: it stays with its release."""
    root = re.search(r"`STATIC_ROOT=(\w+)`", RUNBOOK)
    (tmp_path / "releases" / "1").mkdir(parents=True)
    (tmp_path / "current").symlink_to("releases/1")
    asks = "import django; django.setup(); from django.contrib.staticfiles.storage import staticfiles_storage as one; "
    assert root is not None

    said = subprocess.run(
        [sys.executable, "-c", f"{asks}print(one.location)"],
        cwd=tmp_path / "current",
        env={**environment(STATIC_ROOT=root[1]), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    assert said == str(tmp_path / "releases" / "1" / root[1])
    assert CODE.count("manage.py collectstatic --no-input") == 2
    assert "manage collectstatic" not in CODE  # the portal's user cannot write into a release


def test_no_password_stands_in_a_command_line() -> None:
    """Every user of the machine can read those; the address beside them is without it."""
    address = re.search(r"export MIGRATE_DATABASE_URL='([^']+)'", CODE)

    assert address is not None
    assert urlsplit(address[1]).password is None
    assert "read -rs PGPASSWORD" in CODE
    for file in ("compose.yaml", "kubernetes/migrate/job.yaml"):
        assert 'psql "$(cat' not in (tools.DEPLOY / file).read_text().replace("$$", "$")


def test_heads_from_after_the_back_up_are_put_aside_before_the_portal_starts() -> None:
    restore = RUNBOOK.split("**Restore.**")[1].split("## Rotate keys")[0]

    assert 0 < restore.index(".before-restore") < restore.index("systemctl start")
