"""What the importer makes, before the judge that the node uses: accepted as justified, or refused for a reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from fmar_node.checks.shape import Shapes
from fmar_node.errors import Fault, Severity
from fmar_node.imports.ecr import read_rows
from fmar_node.imports.release import read_register
from fmar_node.judge import Paper, judge
from fmar_node.settings import Settings
from fmar_node.vocabulary import Vocabulary

from .conftest import ACCEPTED, HYBRID, C, judged

ASSET = "http://127.0.0.1:8080/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
ENGINE = "Engine (combustion / reciprocating)"
GOOD = {
    "solar": {},
    "hybrid": HYBRID,
    "accepted": ACCEPTED,
    "withheld": {"Export MPAN / MSID": "Data not available"},
    "battery": {"Energy Source 1": "Storage", "Energy Conversion Technology 1": "Battery", "Export MPAN / MSID": "-"},
    "flywheel": {
        "Energy Source 1": "Stored Energy",
        "Energy Conversion Technology 1": "Storage - Mechanical - Flywheel",
    },
    "chp": {"Energy Source 1": "Waste", "Energy Conversion Technology 1": ENGINE, "CHP Cogeneration (Yes/No)": "Yes"},
    "engine": {"Energy Source 1": "Fosil gas", "Energy Conversion Technology 1": ENGINE},
    "demand": {"Energy Source 1": "Demand", "Energy Conversion Technology 1": "Other"},
    "odd name": {"Customer Site": "Boiler {Room)\tN°1, Café–Ost", "Postcode": "C012 5NB", "Reference": "1200036481236"},
}
REFUSED = {
    "A04": {"Already connected Registered Capacity (MW)": "0"},
    "A14": {"Date Connected": ""},
    "A21": {"Export MPAN / MSID": "1200010257778"},
    "A19": {"Licence Area": "Atlantis"},
    "A03": {"Customer Name": "-"},
}


@pytest.fixture(scope="module")
def judged_by_shapes() -> Callable[[dict[str, Any]], list[Fault]]:
    vocabulary = Vocabulary.load()
    shapes = Shapes(vocabulary)

    def faults(document: dict[str, Any]) -> list[Fault]:
        body = json.dumps(document).encode()
        paper = Paper("assets", "register", ASSET, "application/ld+json", body, date(2026, 11, 22))
        covered = {each["rule"] for each in document["justification"]}
        found = judge(paper, vocabulary, shapes, Settings()).faults
        return [
            each
            for each in found
            if each.severity is Severity.REJECT or (each.severity is Severity.JUSTIFY and each.code not in covered)
        ]

    return faults


def documents_of(path: Path) -> list[dict[str, Any]]:
    return [document for reading in read_register(read_rows(path)) for document in reading.documents]


@pytest.mark.parametrize("name", GOOD)
def test_the_nodes_judge_accepts_what_is_whole(file: Callable[..., Path], judged_by_shapes: Any, name: str) -> None:
    documents = documents_of(file(GOOD[name]))

    assert documents
    assert [judged_by_shapes(document) for document in documents] == [[]] * len(documents)


@pytest.mark.parametrize("rule", REFUSED)
def test_the_nodes_judge_refuses_what_goes_to_query(
    file: Callable[..., Path], judged_by_shapes: Any, rule: str
) -> None:
    (document,) = documents_of(file(REFUSED[rule]))

    assert {fault.code for fault in judged_by_shapes(document)} == {rule}


@pytest.mark.parametrize("changes", [*GOOD.values(), *REFUSED.values(), {**HYBRID, C.format(2): ""}])
def test_the_desk_of_these_tests_says_what_the_judge_says(
    file: Callable[..., Path], judged_by_shapes: Any, changes: dict[str, str]
) -> None:
    for document in documents_of(file(changes)):
        ours = {fault.code for fault in judged(document) if fault.severity is not Severity.WARN}
        assert bool(ours) == bool(judged_by_shapes(document))
