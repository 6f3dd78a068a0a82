"""The software bill of materials: the packages of a lock as CycloneDX, the same bytes for the same lock.

cyclonedx-bom reads the lock; what it leaves out is added here: licences, who needs whom, and names of the entries that
stay when the lock's lines move.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_OID, uuid5

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component
from cyclonedx.model.license import LicenseAcknowledgement
from cyclonedx.output import make_outputter
from cyclonedx.schema import OutputFormat, SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.dependencies import ROOT, Locked, normal, read_lock

VERSION = SchemaVersion.V1_6


def build(lock: Path, licences: Mapping[str, str]) -> str:
    """The bill of `lock` as JSON, validated against the schema that the library carries.

    Raises: ValueError when the result is no valid CycloneDX, or is not exactly the lock.
    """
    text = compose(lock, licences)
    if problem := JsonStrictValidator(VERSION).validate_str(text):
        raise ValueError(f"The bill of materials is not valid: {problem}")
    return text


def compose(lock: Path, licences: Mapping[str, str]) -> str:
    """`build` before the validation, which takes by far the longest."""
    text_of_lock = lock.read_text(encoding="utf-8")
    packages = {package.name: package for package in read_lock(text_of_lock)}
    # Its decorator adds the method, which types cannot see.
    bom: Bom = Bom.from_json(_read_by_cyclonedx(lock))  # type: ignore[attr-defined]
    # Reading made up both: the time is left out, and the number says which lock it is.
    bom.metadata.timestamp = None  # type: ignore[assignment]
    bom.serial_number = uuid5(NAMESPACE_OID, text_of_lock)
    root = bom.metadata.component
    components = {normal(component.name): component for component in bom.components}
    if root is None or components.keys() != packages.keys():
        raise ValueError(f"cyclonedx-bom read other packages than {lock.name} holds.")
    for name, component in components.items():
        _complete(component, packages[name], licences[name])
    # Both anew: they are sorted by what was just changed.
    bom.components, bom.dependencies = components.values(), ()
    every = {**components, normal(root.name): root}
    for name, needing in every.items():
        needed = [every[other.name] for other in packages.values() if name in other.needed_by]
        bom.register_dependency(needing, needed)
    return make_outputter(bom, OutputFormat.JSON, VERSION).output_as_string(indent=2) + "\n"


def _read_by_cyclonedx(lock: Path) -> dict[str, Any]:
    command = (sys.executable, "-m", "cyclonedx_py", "requirements", str(lock), "--pyproject", "pyproject.toml")
    options = ("--output-reproducible", "--sv", VERSION.to_version(), "--no-validate")
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=True)
    read: dict[str, Any] = json.loads(done.stdout)
    return read


def _complete(component: Component, package: Locked, licence: str) -> None:
    component.bom_ref.value = str(component.purl)
    component.description = None
    make = LicenseFactory().make_from_string
    for part in licence.split(";"):
        component.licenses.add(make(part.strip(), license_acknowledgement=LicenseAcknowledgement.DECLARED))
    if package.marker:
        component.properties.add(Property(name="sallyport:installed-where", value=package.marker))
