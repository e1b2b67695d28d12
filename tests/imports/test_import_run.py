"""Running an import and reporting on it."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from fmar_node.errors import Fault, Invalid, Severity
from fmar_node.imports.ecr import read_rows
from fmar_node.imports.reading import RowReading
from fmar_node.imports.release import read_register
from fmar_node.imports.render import render
from fmar_node.imports.report import Outcome, Report, Verdict, json_lines
from fmar_node.imports.run import run_import

from .conftest import HYBRID, C, Desk

ROWS = [
    {},
    {"Last Updated": "201-06-14", "Export MPAN / MSID": "1000000000040"},
    {"Customer Site": "Godwit Farm", "Export MPAN / MSID": "-"},
    {"Customer Site": "Avocet Farm", "Export MPAN / MSID": "2012345678906", "Date Connected": ""},
    {"Customer Name": "Redacted"},
    {"Customer Site": "Heron Farm", "Export MPAN / MSID": "1000000000012", **HYBRID, C.format(2): ""},
]


@pytest.fixture
def readings(file: Callable[..., Path]) -> list[RowReading]:
    return read_register(read_rows(file(*ROWS)))


def shown(report: Report, most: int = 20) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(render(report, most))
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_every_row_gets_the_gravest_verdict_of_its_documents(readings: list[RowReading], desk: Desk) -> None:
    report = run_import(readings, desk.register)

    assert [(row.number, row.verdict.value) for row in report.rows] == [
        (2, "accepted"),
        (3, "warned"),
        (4, "justified"),
        (5, "refused"),
        (6, "skipped"),
        (7, "refused"),
    ]
    assert [document.verdict.value for document in report.rows[5].documents] == ["accepted", "refused"]
    assert len(desk.accepted) == 4


def test_a_refusal_says_what_the_row_and_what_the_register_said(readings: list[RowReading], desk: Desk) -> None:
    row = run_import(readings, desk.register).rows[3]

    assert [(reason.source, reason.code) for reason in row.reasons] == [
        ("row", "DATE-MISSING"),
        ("row", "A03"),
        ("register", "A14"),
    ]


def test_the_report_keeps_the_order_of_the_file(readings: list[RowReading]) -> None:
    def slow_first(document: dict[str, Any], key: str) -> Outcome:
        time.sleep(0.05 if document["exportMPAN"] == "1000000000003" else 0) if "exportMPAN" in document else None
        return Outcome(is_accepted=True)

    report = run_import(readings, slow_first, concurrency=4)

    assert [row.number for row in report.rows] == [2, 3, 4, 5, 6, 7]


def test_a_repeated_import_changes_nothing(readings: list[RowReading], desk: Desk) -> None:
    first = run_import(readings, desk.register)
    before = dict(desk.accepted)

    second = run_import(readings, desk.register)

    assert desk.accepted == before
    assert first == second


def test_rows_of_one_meter_point_follow_each_other(file: Callable[..., Path]) -> None:
    readings = read_register(read_rows(file(*[{"Last Updated": f"2025-01-{day:02}"} for day in range(1, 13)])))
    order: list[str] = []

    def register(document: dict[str, Any], key: str) -> Outcome:
        order.append(document["alias"][0]["value"])
        return Outcome(is_accepted=True)

    run_import(readings, register)

    assert order == [reading.documents[0]["alias"][0]["value"] for reading in readings]


def test_rows_are_registered_side_by_side(file: Callable[..., Path]) -> None:
    readings = read_register(read_rows(file({"Export MPAN / MSID": "-"}, {"Export MPAN / MSID": "-"})))
    together = threading.Barrier(2, timeout=5)

    def register(document: dict[str, Any], key: str) -> Outcome:
        together.wait()
        return Outcome(is_accepted=True)

    assert run_import(readings, register, concurrency=2).count(Verdict.JUSTIFIED) == 2


def test_one_refusal_by_the_node_leaves_the_others_alone(readings: list[RowReading]) -> None:
    def register(document: dict[str, Any], key: str) -> Outcome:
        if "exportMPAN" not in document:
            return Outcome(is_accepted=True, asset="a")
        raise Invalid(
            "validation-failed", "no", (Fault("A04", Severity.REJECT, "too large", "/ratedCapacity", "ratedCapacity"),)
        )

    report = run_import(readings, register)

    assert [row.verdict.value for row in report.rows] == [
        "refused",
        "refused",
        "justified",
        "refused",
        "skipped",
        "refused",
    ]
    assert ("register", "A04") in [(reason.source, reason.code) for reason in report.rows[0].reasons]


def test_a_refusal_without_faults_still_has_a_reason(readings: list[RowReading]) -> None:
    report = run_import(readings[:1], lambda document, key: Outcome(is_accepted=False, detail="closed"))

    assert [(reason.code, reason.message) for reason in report.rows[0].reasons][-1] == ("REFUSED", "closed")


def test_of_ambiguous_rows_the_first_is_registered_and_the_second_says_why(
    file: Callable[..., Path], desk: Desk
) -> None:
    report = run_import(read_register(read_rows(file({}, {"Last Updated": "2025-01-01"}))), desk.register)

    assert [row.verdict.value for row in report.rows] == ["warned", "refused"]
    assert "DUPLICATE_PROBABLE (ratedCapacity): a near twin" in shown(report)


def test_an_answer_that_nothing_is_new_is_unchanged(readings: list[RowReading]) -> None:
    report = run_import(readings[:1], lambda document, key: Outcome(is_accepted=True, is_unchanged=True))

    assert report.count(Verdict.UNCHANGED) == 1


def test_an_error_that_is_no_refusal_ends_the_import(readings: list[RowReading]) -> None:
    def register(document: dict[str, Any], key: str) -> Outcome:
        raise ConnectionError("the node is gone")

    with pytest.raises(ConnectionError):
        run_import(readings, register)


def test_progress_is_told_once_per_row(readings: list[RowReading], desk: Desk) -> None:
    seen: list[int] = []

    run_import(readings, desk.register, on_row=lambda row: seen.append(row.number))

    assert sorted(seen) == [2, 3, 4, 5, 6, 7]


def test_machines_get_one_line_per_row_and_a_summary(readings: list[RowReading], desk: Desk) -> None:
    *rows, summary = [json.loads(line) for line in json_lines(run_import(readings, desk.register))]

    assert [row["row"] for row in rows] == [2, 3, 4, 5, 6, 7]
    assert rows[0]["documents"][0]["asset"].startswith("assets/")
    assert rows[3]["documents"][0]["reasons"][0] == {
        "source": "row",
        "code": "DATE-MISSING",
        "severity": "R-field",
        "field": "commissioningDate",
        "message": "connected, but the day of connection is missing",
    }
    assert summary["summary"]["outcomes"] == {
        "unchanged": 0, "accepted": 1, "warned": 1, "justified": 1, "refused": 2, "skipped": 1,
    }  # fmt: skip
    assert (summary["summary"]["documents"], summary["summary"]["registered"]) == (6, 4)


def test_people_get_outcomes_reasons_and_the_first_refused_rows(readings: list[RowReading], desk: Desk) -> None:
    report = run_import(readings, desk.register)

    text = shown(report, most=2)

    assert "6 rows, 6 documents" in text
    assert "DATE-MISSING (commissioningDate): connected, but the day of connection is missing" in text
    assert "Rows with something that was not registered: 3, the first 2" in text
    assert "OWNER-WITHHELD:" in text
    assert "CAPACITY-MISSING (ratedCapacity)" not in text


def test_no_report_repeats_what_is_personal(file: Callable[..., Path], desk: Desk) -> None:
    row = {
        "Export MPAN / MSID": "1200010257778",
        "Reference": "1200036481236",
        "Postcode": "C012 5NB",
        "Customer Site": "Sandpiper, Farm",
    }
    report = run_import(read_register(read_rows(file(row))), desk.register)

    text = shown(report) + "\n".join(json_lines(report))

    for value in ("1200010257778", "1200036481236", "C012", "Fennel", "Sandpiper"):
        assert value not in text
