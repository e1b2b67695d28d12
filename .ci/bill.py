"""The bill of materials of a wheel: CycloneDX 1.6 in JSON, made from requirements.lock when the wheel is built (PEP 770).

Rules kept here: it names what is installed with the package, and nothing that is only there to develop it; versions and
hashes are those of the lock, for whichever file of a version an installer chooses; licences are those that the packages
declare where they are installed while building, and left out where nobody says; the same lock gives the same bill.

    python .ci/bill.py      prints it
"""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from lock import OWN, ROOT, Entry, Lock, read_lock, shipped

SPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://w3id.org/fmar/")
CLASSIFIER = "License :: OSI Approved :: "


def bill(lock: Lock, version: str) -> dict[str, Any]:
    """The bill of the package in `version`, from the lock that it is installed by."""
    parts = shipped(lock)
    files = [brought(file) for file in sorted(ROOT.glob("fmar_node/web/*/yasgui.json"))]
    own = purl(OWN, version)
    root = {"type": "application", "bom-ref": own, "name": OWN, "version": version, "purl": own, "licenses": [{"license": {"id": "Apache-2.0"}}]}
    made = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root, "lifecycles": [{"phase": "build"}]},
        "components": [*(component(entry) for entry in parts), *files],
        "dependencies": [
            dependency(OWN, own, parts, [each["bom-ref"] for each in files]),
            *({"ref": each["bom-ref"], "dependsOn": []} for each in files),
            *(dependency(each.name, purl(each.name, each.version), parts) for each in parts),
        ],
    }
    serial = uuid.uuid5(SPACE, json.dumps(made["components"]) + version)
    return {**made, "serialNumber": f"urn:uuid:{serial}"}


def dependency(name: str, reference: str, parts: Lock, more: Sequence[str] = ()) -> dict[str, Any]:
    return {"ref": reference, "dependsOn": [*more, *(purl(each.name, each.version) for each in parts if name in each.wanted_by)]}


def component(entry: Entry) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": "library",
        "bom-ref": purl(entry.name, entry.version),
        "name": entry.name,
        "version": entry.version,
        "purl": purl(entry.name, entry.version),
        "scope": "required",
        "hashes": [{"alg": "SHA-256", "content": each} for each in entry.hashes],
    }
    if licences := licences_of(entry):
        found["licenses"] = licences
    if entry.marker:
        found["properties"] = [{"name": "fmar:marker", "value": entry.marker}]
    return found


def brought(file: Path) -> dict[str, Any]:
    """Of a package for browsers that is in the wheel itself: its note beside its files says what it is."""
    told = json.loads(file.read_text("utf-8"))
    reference = f"pkg:npm/{told['name'].replace('@', '%40')}@{told['version']}"
    parts = [{"type": "file", "name": name, "hashes": [{"alg": "SHA-256", "content": digest}]} for name, digest in told["files"].items()]
    found = {"type": "library", "bom-ref": reference, "name": told["name"], "version": told["version"], "purl": reference, "scope": "required"}
    return {**found, "licenses": [{"license": {"id": told["licence"]}}], "components": parts}


def purl(name: str, version: str) -> str:
    """The package URL of a version on the Python package index."""
    return f"pkg:pypi/{name}@{version}"


def licences_of(entry: Entry) -> list[dict[str, Any]]:
    """What the package itself declares, where that very version is installed."""
    try:
        installed = distribution(entry.name)
    except PackageNotFoundError:
        return []
    return _declared(installed) if installed.version == entry.version else []


def _declared(installed: Distribution) -> list[dict[str, Any]]:
    """An SPDX expression (PEP 639), else the classifiers, else a short text."""
    if expression := installed.metadata.get("License-Expression"):
        return [{"expression": expression}]
    classified = [each.removeprefix(CLASSIFIER) for each in installed.metadata.get_all("Classifier") or () if each.startswith(CLASSIFIER)]
    text = (installed.metadata.get("License") or "").strip()
    named = classified or ([text] if 0 < len(text) < 80 and "\n" not in text else [])
    return [{"license": {"name": each}} for each in named]


def text(version: str) -> str:
    lock = read_lock((ROOT / "requirements.lock").read_text("utf-8"))
    return json.dumps(bill(lock, version), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from importlib.metadata import version as version_of

    print(text(version_of(OWN)), end="")
