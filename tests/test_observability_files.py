"""Dashboard and alert rules: they ask only for what a real scrape holds, and say what they should."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.test import Client
from django.utils import timezone

from omaccess import jobs
from omaccess.models import JobRun
from omaccess.sandbox.server import SandboxServer
from portal.metrics import shared
from tests import services
from tests.inventory import Inventory
from tests.launching import MetaOf, open_account
from tests.portal.scraping import TOKEN, Scrape
from tests.processes import ROOT

DASHBOARD = ROOT / "deploy" / "grafana" / "sallyport.json"
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
EXAMPLE = ROOT / "deploy" / "prometheus" / "prometheus.yaml"
RUNBOOK = ROOT / "deploy" / "RUNBOOK.md"

_METRIC = re.compile(r"\b(?:sallyport|process)_[a-z_]+\b(?:\{([^}]*)\})?")
_OF_PROMETHEUS = {"job", "instance", "le"}


def panels() -> list[dict[str, Any]]:
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(RULES.read_text())["groups"]
    return list(group["rules"])


def expressions() -> Iterator[tuple[str, str]]:
    """What it is called, and what it asks."""
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for alert in alerts():
        yield alert["alert"], alert["expr"]


@pytest.fixture
def scrape(inventory: Inventory, sandbox: SandboxServer, meta_of: MetaOf, settings: Any) -> Iterator[Scrape]:
    """Of a portal in which everything has happened once."""
    settings.METRICS_TOKEN = TOKEN
    open_account(inventory.root, inventory.staff, meta_of(inventory.staff))
    now = timezone.now()
    for name in jobs.intervals():
        JobRun.objects.create(
            name=name, started_at=now, succeeded_at=now, failed_at=now, queue_seconds=1, run_seconds=1,
            result={"position": 1, "problems": 0, "failed": 0},
        )  # fmt: skip
    client = Client()
    client.get("/accounts/login/")
    shared.forget()
    yield Scrape.of(client)
    shared.forget()


def test_everything_asked_for_is_in_a_real_scrape(scrape: Scrape) -> None:
    missing = set()
    for title, expression in expressions():
        for match in _METRIC.finditer(expression):
            name = match[0].partition("{")[0]
            labels = set(re.findall(r"(\w+)\s*=", match[1] or "")) - _OF_PROMETHEUS
            series = scrape.labels(name)
            if not series or any(not labels <= set(one) for one in series):
                missing.add(f"{title}: {match[0]}")

    assert missing == set()


def test_what_is_grouped_by_is_a_label_of_something(scrape: Scrape) -> None:
    known = _OF_PROMETHEUS.union(*(set(labels) for name in scrape.names for labels in scrape.labels(name)))

    asked = {
        word.strip()
        for _title, expression in expressions()
        for words in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression)
        for word in words.split(",")
    }

    assert asked <= known


def test_a_name_that_is_not_there_would_be_found(scrape: Scrape) -> None:
    assert not scrape.labels("sallyport_launches_count")
    assert [match[0] for match in _METRIC.finditer('rate(sallyport_launches_count{state="x"}[5m])')] == [
        'sallyport_launches_count{state="x"}'
    ]


def test_every_job_that_is_named_is_scheduled() -> None:
    named = {name for _title, expression in expressions() for name in re.findall(r'\bname="([^"]+)"', expression)}

    assert named
    assert named <= set(jobs.intervals())


def test_nothing_that_is_counted_is_left_without_a_place(scrape: Scrape) -> None:
    """A number that neither dashboard nor rules show is one that nobody sees."""
    asked = {match[0].partition("{")[0] for _title, text in expressions() for match in _METRIC.finditer(text)}
    shown = {re.sub(r"_(bucket|count|sum)$", "", name) for name in asked}

    ours = {re.sub(r"_(bucket|count|sum)$", "", name) for name in scrape.names if name.startswith("sallyport_")}

    assert ours == {name for name in shown if name.startswith("sallyport_")}


# --- the rules ----------------------------------------------------------------------------------------


def test_every_alert_says_what_it_means_and_what_to_do() -> None:
    names = [alert["alert"] for alert in alerts()]
    assert len(set(names)) == len(names) >= 15
    for alert in alerts():
        notes = alert["annotations"]
        assert alert["labels"]["severity"] in {"critical", "warning"}
        assert len(notes["summary"]) > 15
        assert len(notes["description"]) > 80
        assert notes["runbook"] == f"deploy/RUNBOOK.md#{alert['alert'].lower()}"


def test_the_runbook_has_an_entry_for_each_alert() -> None:
    headings = set(re.findall(r"^#+ (\w+)$", RUNBOOK.read_text(), re.MULTILINE))

    assert {alert["alert"] for alert in alerts()} <= headings


def promtool(*arguments: str) -> str:
    ran = subprocess.run([services.promtool().at, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.mark.promtool
def test_prometheus_accepts_the_rules_and_the_example() -> None:
    assert "SUCCESS" in promtool("check", "rules", str(RULES))
    assert "SUCCESS" in promtool("check", "config", "--syntax-only", str(EXAMPLE))


@pytest.mark.promtool
def test_the_rules_wake_people_when_they_should_and_not_otherwise() -> None:
    assert "SUCCESS" in promtool("test", "rules", "tests/rules_test.yaml")


def test_each_alert_is_tried_both_ways() -> None:
    tried = (ROOT / "tests" / "rules_test.yaml").read_text()
    for alert in alerts():
        assert f"alertname: {alert['alert']} }}" in tried
        assert f'alertname="{alert["alert"]}"' in tried


@pytest.mark.promtool
def test_prometheus_understands_what_the_dashboard_asks(tmp_path: Path) -> None:
    texts = [target["expr"].replace("$__rate_interval", "5m") for panel in panels() for target in panel["targets"]]
    rules = [{"record": f"panel:{number}", "expr": text} for number, text in enumerate(texts)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))

    assert f"{len(texts)} rules found" in promtool("check", "rules", str(file))


def test_the_dashboard_belongs_to_no_installation() -> None:
    """No data source, host or folder of somebody's own; panels do not overlap."""
    board = json.loads(DASHBOARD.read_text())
    taken: set[tuple[int, int]] = set()
    assert board["uid"] == "sallyport"
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    for panel in board["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
