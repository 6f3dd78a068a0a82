"""The manifests: valid as Kubernetes defines them, locked in, and in agreement with gunicorn's own patience."""

from __future__ import annotations

import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy import tools

FOLDER = tools.DEPLOY / "kubernetes"
NO_MANIFESTS = {"kustomization.yaml"}
PATCHES = {FOLDER / "example" / "settings.yaml", FOLDER / "example" / "network.yaml"}
KUSTOMIZATIONS = ("base", "migrate", "example", "example/migrate")


def manifests() -> list[dict[str, Any]]:
    files = sorted(path for path in FOLDER.rglob("*.yaml") if path.name not in NO_MANIFESTS and path not in PATCHES)
    return [document for path in files for document in tools.documents(path)]


def named(kind: str, name: str) -> dict[str, Any]:
    return next(one for one in manifests() if one["kind"] == kind and one["metadata"]["name"] == name)


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for manifest in manifests():
        if manifest["kind"] in {"Deployment", "Job"}:
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def containers() -> Iterator[tuple[str, dict[str, Any]]]:
    for _name, pod in pods():
        for container in [*pod.get("initContainers", []), *pod["containers"]]:
            yield container["name"], container


# --- valid -------------------------------------------------------------------------------------------------


def test_every_manifest_is_valid_and_says_nothing_that_kubernetes_would_ignore() -> None:
    found = manifests()

    for manifest in found:
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)

    assert {"Deployment", "Job", "Service", "Ingress", "NetworkPolicy", "PodDisruptionBudget", "ConfigMap"} <= {
        manifest["kind"] for manifest in found
    }


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not here, and Debian's is too old for these")
@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_every_kustomization_builds_and_is_valid(name: str) -> None:
    built = tools.run("kubectl", "kustomize", FOLDER / name)

    assert built.returncode == 0, built.stderr
    for manifest in yaml.safe_load_all(built.stdout):
        kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)
        assert manifest["metadata"].get("namespace", manifest["metadata"]["name"]) == "sallyport"


@pytest.mark.parametrize("name", KUSTOMIZATIONS)
def test_a_kustomization_names_files_that_exist(name: str) -> None:
    folder = FOLDER / name
    kustomization = tools.documents(folder / "kustomization.yaml")[0]

    named_files = kustomization["resources"] + [patch["path"] for patch in kustomization.get("patches", [])]

    assert [file for file in named_files if not (folder / file).exists()] == []


# --- locked in -----------------------------------------------------------------------------------------------


def test_every_pod_keeps_to_the_strictest_profile() -> None:
    for name, pod in pods():
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert pod["automountServiceAccountToken"] is False, name
    for name, container in containers():
        confined = container["securityContext"]
        assert confined["readOnlyRootFilesystem"] is True, name
        assert confined["allowPrivilegeEscalation"] is False, name
        assert confined["capabilities"] == {"drop": ["ALL"]}, name
        assert "memory" in container["resources"]["limits"], name


def test_secrets_come_as_files_and_only_the_migration_has_the_owners() -> None:
    for name, container in containers():
        for variable in container.get("env", []):
            assert "valueFrom" not in variable, name
        assert all("secretRef" not in source for source in container.get("envFrom", [])), name
    having = {
        name
        for name, pod in pods()
        for volume in pod["volumes"]
        if volume.get("secret", {}).get("secretName") == "sallyport-owner"
    }

    assert having == {"migrate"}


def test_nobody_talks_to_anybody_unless_a_policy_says_so() -> None:
    nobody = named("NetworkPolicy", "nobody")["spec"]

    assert nobody == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


# --- as the processes need it -----------------------------------------------------------------------------------


def test_a_launch_under_way_may_finish_before_a_pod_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ENV_FILE", raising=False)
    monkeypatch.setenv("ATTEMPT_SECONDS", "60")
    patience = runpy.run_path(str(tools.DEPLOY / "gunicorn.conf.py"))["graceful_timeout"]
    pod = named("Deployment", "web")["spec"]["template"]["spec"]

    waits = int(pod["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])

    assert pod["terminationGracePeriodSeconds"] > patience + waits


def test_probes_ask_the_right_pages() -> None:
    web = named("Deployment", "web")["spec"]["template"]["spec"]["containers"][0]

    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert web["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert web["startupProbe"]["httpGet"]["path"] == "/healthz"
    port = web["ports"][0]
    assert {probe["httpGet"]["port"] for key, probe in web.items() if key.endswith("Probe")} == {port["name"]}
    assert f"BIND=0.0.0.0:{port['containerPort']}" in (tools.DEPLOY / "Dockerfile").read_text()


def test_a_new_web_pod_serves_before_an_old_one_goes_and_schedulers_never_overlap() -> None:
    web, scheduler = named("Deployment", "web")["spec"], named("Deployment", "scheduler")["spec"]

    assert web["replicas"] >= 2
    assert web["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    assert scheduler["replicas"] == 1
    assert scheduler["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("name", ["worker", "scheduler"])
def test_every_way_of_running_starts_the_same_commands(name: str) -> None:
    container = named("Deployment", name)["spec"]["template"]["spec"]["containers"][0]
    compose = tools.documents(tools.DEPLOY / "compose.yaml")[0]["services"][name]
    unit = (tools.DEPLOY / "systemd" / f"sallyport-{name}.service").read_text()

    assert container["command"] == compose["command"]
    assert " ".join(container["command"][:4]) in unit.replace("/srv/sallyport/current/.venv/bin/", "")


def test_the_settings_name_files_that_the_secret_is_mounted_at() -> None:
    settings = named("ConfigMap", "settings")["data"]
    mounted = {Path(value).parent.as_posix() for variable, value in settings.items() if variable.endswith("_FILE")}

    assert mounted == {"/run/secrets/sallyport"}


def test_the_ingress_takes_the_longest_link_from_the_controller_that_the_policies_let_in() -> None:
    """Annotations of another controller are ignored without a word; its own buffer is 4 KB."""
    base = tools.DEPLOY / "kubernetes"
    (ingress,) = tools.documents(base / "example" / "ingress.yaml")
    annotations = ingress["metadata"]["annotations"]

    assert "kubernetes.io/metadata.name: ingress-nginx" in (base / "base" / "network.yaml").read_text()
    assert annotations["nginx.ingress.kubernetes.io/proxy-buffer-size"] == "16k"
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) >= 60
    assert all(name.startswith("nginx.ingress.kubernetes.io/") for name in annotations)
