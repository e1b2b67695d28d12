"""An import: the documents of read rows, handed to a register, and the report on what it answered.

Rules kept here: the register is a callable, so that this module knows no network; rows are independent, one
refusal leaves the others alone; the report is in the order of the file, whatever the order of the answers; rows
that share a meter point are registered one after the other, in the order of the file, so that a second import
finds the same twin refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fmar_node.errors import FmarError
from fmar_node.imports.reading import Candidate, RowReading
from fmar_node.imports.report import DocumentReport, Outcome, Report, RowReport, document_report

Register = Callable[[dict[str, Any], str], Outcome]
"""Registers a document under an idempotency key. A FmarError counts as its refusal; any other error ends the import."""


def run_import(
    rows: Iterable[RowReading],
    register: Register,
    concurrency: int = 8,
    on_row: Callable[[RowReport], None] | None = None,
) -> Report:
    """Register every candidate of `rows` with up to `concurrency` at once. `on_row` hears of each row when it is done.

    `on_row` is called from the threads that register, in no order.
    """
    readings = list(rows)

    def work(places: list[int]) -> list[tuple[int, RowReport]]:
        done = []
        for place in places:
            report = _row_report(readings[place], register)
            if on_row is not None:
                on_row(report)
            done.append((place, report))
        return done

    with ThreadPoolExecutor(max_workers=concurrency, thread_name_prefix="import") as pool:
        reports = dict(pair for group in pool.map(work, _groups(readings)) for pair in group)
    return Report(tuple(reports[place] for place in range(len(readings))))


def _row_report(reading: RowReading, register: Register) -> RowReport:
    if reading.skipped is not None:
        return RowReport(reading.number, skipped=reading.skipped)
    return RowReport(
        reading.number, tuple(_registered(reading, candidate, register) for candidate in reading.candidates)
    )


def _registered(reading: RowReading, candidate: Candidate, register: Register) -> DocumentReport:
    try:
        outcome = register(candidate.document, candidate.key)
    except FmarError as error:
        outcome = Outcome(is_accepted=False, faults=error.faults, detail=str(error))
    return document_report(candidate, reading.notes_on(candidate.technology), outcome)


def _groups(readings: list[RowReading]) -> list[list[int]]:
    """Places of rows that must follow each other: those of one meter point; every other row by itself."""
    groups: dict[str, list[int]] = {}
    for place, reading in enumerate(readings):
        groups.setdefault(_meter_point(reading) or f"row {place}", []).append(place)
    return list(groups.values())


def _meter_point(reading: RowReading) -> str:
    points = (candidate.document.get(term) for candidate in reading.candidates for term in ("exportMPAN", "importMPAN"))
    return next((point for point in points if point), "")
