"""The catalogue of devices: it fills what a document does not say, overwrites nothing, and is refused where it is wrong."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fmar_node.checks.catalogue import EMPTY, Catalogue, read_catalogue
from fmar_node.errors import Malformed, Severity
from fmar_node.identity import new_record_id
from fmar_node.judge import Judgement, Paper, judge
from fmar_node.vocabulary import Document
from tests.live import LD_JSON, Live
from tests.market import BASE, SETTINGS, battery, shapes, vocabulary

SAMPLE = Path(__file__).parents[2] / "examples" / "tables" / "device-catalogue.csv"
SILENT = {"assetCategory": None, "energySource": None, "ratedCapacity": None, "storageEnergyCapacity": None}


def catalogue(path: Path = SAMPLE) -> Catalogue:
    return read_catalogue(path, vocabulary(), SETTINGS)


def judged(document: Document, known: Catalogue, previous: Document | None = None) -> Judgement:
    paper = Paper("assets", "update" if previous else "register", f"{BASE}/assets/{new_record_id()}", "application/ld+json", json.dumps(document).encode(), date(2026, 11, 22), previous)
    return judge(paper, vocabulary(), shapes(), SETTINGS, known)


def test_what_a_document_does_not_say_is_filled_and_noted() -> None:
    judgement = judged(battery(**SILENT), catalogue())

    filled = {fault.field for fault in judgement.faults if fault.severity is Severity.FILLED}
    assert judgement.document.items() >= {"assetCategory": "BESS", "energySource": "GRID", "ratedCapacity": "500.00", "storageEnergyCapacity": "1000.00"}.items()
    assert filled >= {"assetCategory", "energySource", "ratedCapacity", "storageEnergyCapacity"}
    assert not [fault for fault in judgement.faults if fault.severity is Severity.REJECT]
    assert {"assetCategory", "ratedCapacity"} <= {fault.field for fault in judged(battery(**SILENT), EMPTY).faults if fault.severity is Severity.REJECT}


def test_what_a_document_says_stays_and_is_warned_of() -> None:
    judgement = judged(battery(manufacturer="ACME STORAGE", assetModel="as 500", ratedCapacity="501.00", installedCapacity="501.00", storageEnergyCapacity="1000"), catalogue())

    doubts = [(fault.field, fault.code, fault.severity) for fault in judgement.faults if fault.constraint == "A11-catalogue"]
    assert judgement.document["ratedCapacity"] == "501.00" and doubts == [("ratedCapacity", "A11", Severity.WARN)]


@pytest.mark.parametrize("changes", [{"assetModel": "AS-501"}, {"assetModel": None}, {"manufacturer": "Another"}])
def test_a_model_that_is_not_in_it_is_filled_nothing(changes: dict[str, Any]) -> None:
    assert catalogue().filled(battery(**SILENT, **changes)) == {}


def test_a_value_that_was_filled_before_stays_when_the_catalogue_has_changed() -> None:
    first = judged(battery(**SILENT), catalogue()).document
    other = Catalogue({key: {**model, "storageEnergyCapacity": "999.00"} for key, model in catalogue().models.items()})

    assert judged(battery(**SILENT), other, first).document["storageEnergyCapacity"] == "1000.00"


@pytest.mark.parametrize(("content", "word"), [
    ("manufacturer,ratedCapacity\nA,5\n", "assetModel"), ("manufacturer,assetModel,serialNumber\nA,B,C\n", "serialNumber"),
    ("manufacturer,assetModel,ratedCapacity\nA,B,5 kW\n", "line 2"), ("manufacturer,assetModel,assetCategory\nA,B,BATTERY\n", "assetCategory"),
    ("manufacturer,assetModel\nA,B\na,b\n", "line 3"), ("manufacturer,assetModel\n,B\n", "line 2"), ("manufacturer,assetModel\nA,B,C\n", "line 2"), ("", "columns"),
])  # fmt: skip
def test_a_catalogue_that_is_wrong_is_refused_with_its_place(tmp_path: Path, content: str, word: str) -> None:
    path = tmp_path / "devices.csv"
    path.write_text(content, "utf-8")

    with pytest.raises(Malformed, match=word):
        catalogue(path)


def test_a_catalogue_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        catalogue(tmp_path / "devices.csv")


def test_a_node_fills_what_an_installer_leaves_out(tmp_path: Path) -> None:
    with Live(tmp_path, {"installer": {"roles": ["INSTALLER"]}}, FMAR_DEVICE_CATALOGUE=str(SAMPLE)) as live:
        document = battery("C-1", **SILENT)
        answer = live.client("installer").post("/assets", json=document, headers=LD_JSON)

    assert answer.status_code == 201, answer.text
    assert {"assetCategory", "ratedCapacity", "storageEnergyCapacity"} <= set(answer.json()["defaulted"])
