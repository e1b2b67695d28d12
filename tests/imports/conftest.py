"""Made-up rows of the register, and a desk that judges documents by the published rules (domain section 3.1)."""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fmar_node.checks import mpan
from fmar_node.errors import Fault, Severity
from fmar_node.imports.ecr import candidates, read_rows
from fmar_node.imports.reading import RowReading
from fmar_node.imports.report import Outcome

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "data" / "ukpn-ecr-sample.csv"
RELEASE = "UKPN ECR 2025-08"

C = "Energy Source & Energy Conversion Technology {} - Registered Capacity (MW)"
SOLAR: dict[str, str] = {
    "Export MPAN / MSID": "1000000000003",
    "Import MPAN / MSID": "",
    "Customer Name": "Fennel Energy Ltd",
    "Customer Site": "Sandpiper Farm",
    "Town/ City": "Holt",
    "Postcode": "NR25 6AA",
    "Location (X-coordinate):_Eastings (where data is held)": "607000",
    "Location (y-coordinate):_Northings (where data is held)": "338000",
    "Grid Supply Point": "Norwich Main",
    "Bulk Supply Point": "-",
    "Primary": "Holt Primary 11kV",
    "Point of Connection (POC)_Voltage (kV)": "33.0",
    "Licence Area": "Eastern Power Networks (EPN)",
    "Energy Source 1": "Solar",
    "Energy Conversion Technology 1": "Photovoltaic",
    "CHP Cogeneration (Yes/No)": "",
    "Storage Capacity 1 (MWh)": "",
    "Storage Duration 1 (Hours)": "",
    C.format(1): "6.0",
    "Energy Source 2": "",
    "Energy Conversion Technology 2": "",
    "CHP Cogeneration 2 (Yes/No)": "",
    "Storage Capacity 2 (MWh)": "",
    C.format(2): "",
    "Flexible Connection (Yes/No)": "No",
    "Connection Status": "Connected",
    "Already connected Registered Capacity (MW)": "6.0",
    "Already Connected - Maximum Export Capacity (MW)": "5.5",
    "Already Connected - Maximum Export Capacity (MVA)": "5.789",
    "Already Connected - Maximum Import Capacity (MW)": "0.3",
    "Already Connected - Maximum Import Capacity (MVA)": "0.316",
    "Date Connected": "2016-10-01",
    "Accepted to Connect Registered Capacity (MW)": "",
    "Accepted to Connect - Change to Maximum Export Capacity (MW)": "",
    "Accepted to Connect - Change to Maximum Import Capacity (MW)": "",
    "Reference": "",
    "Last Updated": "2025-08-14",
}
ACCEPTED = {
    "Connection Status": "Accepted to Connect",
    "Already connected Registered Capacity (MW)": "",
    "Already Connected - Maximum Export Capacity (MW)": "",
    "Already Connected - Maximum Import Capacity (MW)": "",
    "Date Connected": "",
    "Accepted to Connect Registered Capacity (MW)": "6.0",
    "Accepted to Connect - Change to Maximum Export Capacity (MW)": "5.0",
    "Accepted to Connect - Change to Maximum Import Capacity (MW)": "0.2",
}
HYBRID = {
    "Energy Source 2": "Stored Energy (all stored energy irrespective of the original energy source)",
    "Energy Conversion Technology 2": "Storage - Electrochemical  (Batteries)",
    C.format(2): "4.25",
}


def table(*rows: dict[str, str]) -> str:
    """CSV text of rows: the solar row with changes; columns that it does not have are added."""
    header = list(dict.fromkeys([*SOLAR, *(column for row in rows for column in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, lineterminator="\r\n", restval="")
    writer.writeheader()
    writer.writerows({**SOLAR, **row} for row in rows)
    return text.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Callable[..., Path]:
    """Writes a register of made-up rows."""

    def write(*rows: dict[str, str]) -> Path:
        path = tmp_path / "ecr.csv"
        path.write_bytes(table(*rows).encode())
        return path

    return write


@pytest.fixture
def read(file: Callable[..., Path]) -> Callable[..., RowReading]:
    """Reads the solar row with changes."""

    def read_one(**changes: str) -> RowReading:
        (row,) = read_rows(file(changes))
        return candidates(row, RELEASE)

    return lambda changes=None: read_one(**(changes or {}))


def codes(reading: RowReading, severity: str = "") -> list[str]:
    return [note.code for note in reading.notes if severity in ("", note.severity.value)]


def published(document: dict[str, Any]) -> dict[str, str]:
    return {value["publishedField"]: value["publishedText"] for value in document["publishedValue"]}


class Desk:
    """A register by the published rules: judges, remembers keys, names what it accepts."""

    def __init__(self) -> None:
        self.accepted: dict[str, tuple[dict[str, Any], Outcome]] = {}

    def register(self, document: dict[str, Any], key: str) -> Outcome:
        if key in self.accepted:
            before, outcome = self.accepted[key]
            assert before == document, "one key, two documents"
            return outcome
        faults = judged(document)
        faults += self._twins(document)
        open_ones = [fault for fault in faults if fault.severity is not Severity.WARN]
        outcome = Outcome(not open_ones, "" if open_ones else f"assets/{len(self.accepted)}", tuple(faults))
        if outcome.is_accepted:
            self.accepted[key] = document, outcome
        return outcome

    def _twins(self, document: dict[str, Any]) -> list[Fault]:
        """Domain 5.1: probably the same where meter point, category and capacity (within 5 %) are."""
        ours = {document.get("importMPAN"), document.get("exportMPAN")} - {None}
        rated = Decimal(document.get("ratedCapacity", 0))
        near = [
            other
            for other, _ in list(self.accepted.values())
            if ours & {other.get("importMPAN"), other.get("exportMPAN")}
            and other["assetCategory"] == document["assetCategory"]
            and abs(Decimal(other["ratedCapacity"]) - rated) * 20 <= max(Decimal(other["ratedCapacity"]), rated)
        ]
        is_justified = "DUPLICATE_PROBABLE" in {each["rule"] for each in document["justification"]}
        return (
            [Fault("DUPLICATE_PROBABLE", Severity.JUSTIFY, "a near twin", field="ratedCapacity")]
            if near and not is_justified
            else []
        )


def judged(document: dict[str, Any]) -> list[Fault]:
    """The faults of a document that no justification of it covers."""
    covered = {each["rule"] for each in document["justification"]}
    plain = mpan.faults(document.get("importMPAN"), document.get("exportMPAN"), document.get("dnoConnection"))
    found = [*_required(document), *_capacities(document), *_meter_points(document), *plain]
    return [fault for fault in found if not (fault.severity is Severity.JUSTIFY and fault.code in covered)]


def _reject(code: str, field: str) -> Fault:
    return Fault(code, Severity.REJECT, f"{field} breaks {code}", f"/{field}", field)


def _required(document: dict[str, Any]) -> list[Fault]:
    needed = {
        "A02": "assetName",
        "A05": "assetCategory",
        "A08": "energySource",
        "A14": "connectionStatus",
        "A18": "connectionType",
    }
    found = [_reject(code, term) for code, term in needed.items() if not document.get(term)]
    if (
        not re.fullmatch(r"[^\W_]([\w \-/()]|[^\W_])*", document["assetName"].lstrip("("))
        or len(document["assetName"]) > 255
    ):
        found.append(_reject("A02", "assetName"))
    if "owner" not in document:
        found.append(
            Fault(
                "A03",
                Severity.JUSTIFY if "ownerName" in document else Severity.REJECT,
                "no registered owner",
                field="owner",
            )
        )
    if document.get("connectionStatus") == "CONNECTED" and "commissioningDate" not in document:
        found.append(_reject("A14", "commissioningDate"))
    if "dnoConnection" not in document:
        found.append(_reject("A19", "dnoConnection"))
    if "OTHER" in (document["assetCategory"], document.get("energySource"), document.get("demandTechType")):
        text = document.get("otherDescription", "")
        found += [] if 0 < len(text) <= 200 else [_reject("X02", "otherDescription")]
    if (document["assetCategory"] == "OTHER") != ("otherKind" in document):
        found.append(_reject("Asset.otherKind", "otherKind"))
    return found


def _capacities(document: dict[str, Any]) -> list[Fault]:
    terms = {"ratedCapacity": "A04", "genCapacity": "A15", "demandCapacity": "A16", "installedCapacity": "A17"}
    if missing := [term for term in terms if not re.fullmatch(r"[0-9]+(\.[0-9]{1,2})?", document.get(term, ""))]:
        return [_reject(terms[term], term) for term in missing]
    rated, generated, taken, installed = (Decimal(document[term]) for term in terms)
    is_right = 0 < rated <= 1_000_000 and max(generated, taken) <= min(rated, installed)
    return [] if is_right else [_reject("A04", "ratedCapacity")]


def _meter_points(document: dict[str, Any]) -> list[Fault]:
    importing, exporting = document.get("importMPAN"), document.get("exportMPAN")
    kind = document.get("otherKind") or {"BESS": "STORAGE"}.get(document["assetCategory"], "GENERATION")
    if kind == "STORAGE" and importing and importing == exporting:
        return [_reject("X01", "importMPAN")]
    rule, has_one = {
        "GENERATION": ("A21", bool(exporting)),
        "DEMAND": ("A20", bool(importing)),
        "STORAGE": ("X01", bool(importing or exporting)),
    }[kind]
    if has_one:
        return []
    severity = Severity.JUSTIFY if "mpanUnknownReason" in document else Severity.REJECT
    return [Fault(rule, severity, "the meter point is missing", field="exportMPAN")]


@pytest.fixture
def desk() -> Desk:
    return Desk()


def shared_register(name: str) -> Path:
    """A whole vintage of the public register, where the public data lies beside the project."""
    return shared_data(f"ukpn-ecr/{name}")


def shared_data(name: str) -> Path:
    """A file of public data, where that lies beside the project."""
    path = Path(os.environ.get("FMAR_DATA", ROOT.parent / "shared" / "data")) / name
    if not path.exists():
        pytest.skip("the public registers are not beside the project")
    return path
