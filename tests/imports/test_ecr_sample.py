"""The packaged sample of real rows, and both vintages of the public register where they lie beside the project."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from fmar_node.imports.connection import SUBSTATIONS
from fmar_node.imports.ecr import read_rows
from fmar_node.imports.reading import RowReading
from fmar_node.imports.release import read_register
from fmar_node.imports.report import Report, Verdict, json_lines
from fmar_node.imports.run import run_import
from fmar_node.imports.spelling import words

from .conftest import SAMPLE, Desk, shared_register

VINTAGES = ("ukpn-embedded-capacity-register-2022-02.csv", "ukpn-embedded-capacity-register-2025-08.csv")


@pytest.fixture(scope="module")
def readings() -> list[RowReading]:
    return read_register(read_rows(SAMPLE))


@pytest.fixture(scope="module")
def report(readings: list[RowReading]) -> Report:
    return run_import(readings, Desk().register)


def test_the_sample_is_the_publishers_bytes() -> None:
    raw = SAMPLE.read_bytes()

    assert raw.startswith(b"\xef\xbb\xbfExport MPAN / MSID,")
    assert raw.count(b"\r\n") == raw.count(b"\n") >= 561


def test_the_sample_registers_at_least_520_assets(report: Report) -> None:
    registered = [document for document in report.documents if document.verdict is not Verdict.REFUSED]

    assert len(report.rows) >= 560
    assert len(registered) >= 520


@pytest.mark.parametrize(
    "verdict", [Verdict.ACCEPTED, Verdict.WARNED, Verdict.JUSTIFIED, Verdict.REFUSED, Verdict.SKIPPED]
)
def test_every_outcome_occurs_in_the_sample(report: Report, verdict: Verdict) -> None:
    assert report.count(verdict) > 0


def test_the_sample_has_hybrids_and_gaps(readings: list[RowReading]) -> None:
    technologies = Counter(len(reading.candidates) for reading in readings)

    assert technologies[2] > 0 and technologies[3] > 0
    assert any("mpanUnknownReason" in document for reading in readings for document in reading.documents)


def test_capacities_add_up_exactly(readings: list[RowReading]) -> None:
    rows = list(read_rows(SAMPLE))
    total_kw, published_mw = Decimal(0), Decimal(0)

    for row, reading in zip(rows, readings, strict=True):
        if len(reading.candidates) == 1 and (rated := reading.documents[0].get("ratedCapacity")):
            column = "connected_capacity" if row.cells["status"] == "Connected" else "accepted_capacity"
            total_kw += Decimal(rated)
            published_mw += Decimal(row.cells[column])

    assert total_kw == published_mw * 1000 > 1_000_000


def test_no_document_names_the_customer_outside_owner_name(readings: list[RowReading]) -> None:
    """Substations apart: the network has named some of them after a place that a customer is named after too."""
    documents = [document for reading in readings for document in reading.documents]
    assert len(documents) >= 560

    named_twice = [document for document in documents if f" {words(document['ownerName'])} " in f" {_said(document)} "]

    assert named_twice == []


def _said(document: dict[str, Any]) -> str:
    return words(
        json.dumps(
            {term: value for term, value in document.items() if term not in ("ownerName", *SUBSTATIONS)},
            ensure_ascii=False,
        )
    )


def test_keys_are_unique_and_stable(readings: list[RowReading]) -> None:
    keys = [candidate.key for reading in readings for candidate in reading.candidates]
    again = [candidate.key for reading in read_register(read_rows(SAMPLE)) for candidate in reading.candidates]

    assert len(set(keys)) == len(keys)
    assert keys == again


def test_aliases_are_unique(readings: list[RowReading]) -> None:
    aliases = [document["alias"][0]["value"] for reading in readings for document in reading.documents]

    assert len(set(aliases)) == len(aliases)


def test_the_sample_names_its_release(readings: list[RowReading]) -> None:
    assert {document["publishedSource"] for reading in readings for document in reading.documents} == {
        "UKPN ECR 2025-08"
    }


@pytest.mark.parametrize("name", VINTAGES)
def test_a_whole_vintage_is_reported_row_by_row(name: str) -> None:
    path: Path = shared_register(name)
    readings = read_register(read_rows(path))

    report = run_import(readings, Desk().register)

    assert [row.number for row in report.rows] == [row.number for row in read_rows(path)]
    assert len(list(json_lines(report))) == len(report.rows) + 1
    assert all(row.reasons for row in report.rows)
    registered = sum(document.verdict is not Verdict.REFUSED for document in report.documents)
    assert registered > 0.9 * len(report.documents)
