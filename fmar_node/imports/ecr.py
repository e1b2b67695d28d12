"""Rows of the Embedded Capacity Register as asset documents (domain section 7).

Rules kept here: a technology of a row is one asset, all of them on one connection; the customer's name goes into
`ownerName` and nowhere else, since it may be a person's; a row of a person, or of a customer whose name is held
back, yields nothing (an individual's asset needs consent); what the register does not say is justified in words
that say so, and never filled in. Rows are candidates: registering them is UC-02.02 like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

from fmar_node.imports.cell import plain
from fmar_node.imports.connection import Connection, connection_of
from fmar_node.imports.naming import asset_name
from fmar_node.imports.reading import Candidate, Cells, Document, RowReading, Skipped
from fmar_node.imports.spelling import TECHNOLOGIES, Spellings, packaged, words
from fmar_node.imports.table import Row, read_table
from fmar_node.imports.technology import Machine, capacity_terms, is_present, machine_of, machine_terms

CONTEXT = "https://w3id.org/fmar/context/v1"
SCHEME = "ECR"

SKIPS = {
    "ROW-EMPTY": "the row is empty",
    "ROW-MISALIGNED": "the row has more cells than the header; its values may stand in the wrong columns",
    "OWNER-WITHHELD": "the publisher holds the customer's name back; it may be a person, whose assets need consent",
    "OWNER-INDIVIDUAL": "the customer reads like a person, whose assets need consent",
    "TECHNOLOGY-MISSING": "the row names neither an energy source nor a conversion technology",
}


def read_rows(path: Path, spellings: Spellings | None = None) -> Iterator[Row]:
    """The rows of a register's CSV file; Malformed when it has no header of one."""
    return read_table(path, (spellings or packaged()).columns)


def candidates(row: Row, release: str, spellings: Spellings | None = None) -> RowReading:
    """What a row is: the asset documents of its technologies with notes, or the reason why there are none.

    `release` names the file, e.g. "UKPN ECR 2025-08". What only the whole file shows (meter points and machines
    that stand in it twice) is `fmar_node.imports.release`'s to add.
    """
    cells = Cells(row, spellings or packaged())
    present = [each for each in (Cells(row, cells.spellings, number) for number in TECHNOLOGIES) if is_present(each)]
    if (code := _reason_to_skip(cells, present)) is not None:
        return RowReading(row.number, skipped=Skipped(code, SKIPS[code]))
    connection = connection_of(cells)
    _warn_of_unnamed(cells, present)
    if not cells.text("customer_name"):
        cells.refuse("customer_name", "ownerName", "OWNER-MISSING", "the register names no customer")
    found = tuple(_candidate(row, release, connection, cells, each, is_only=len(present) == 1) for each in present)
    notes = [*cells.notes, *(note for each in present for note in each.notes)]
    return RowReading(row.number, found, tuple(notes))


def row_key(release: str, row: Row, technology: int, occurrence: int = 0) -> str:
    """The idempotency key of a row's document: the same for the same cells of the same release."""
    content = json.dumps([release, list(row.text), technology, occurrence], ensure_ascii=True)
    return f"ecr-{hashlib.sha256(content.encode()).hexdigest()[:40]}"


def _reason_to_skip(cells: Cells, present: list[Cells]) -> str | None:
    customer = cells.written("customer_name")
    if cells.row.is_blank:
        return "ROW-EMPTY"
    if cells.row.is_too_wide:
        return "ROW-MISALIGNED"
    if customer and words(customer) in cells.spellings.withheld:
        return "OWNER-WITHHELD"
    if cells.spellings.is_individual(customer):
        return "OWNER-INDIVIDUAL"
    return None if present else "TECHNOLOGY-MISSING"


def _warn_of_unnamed(cells: Cells, present: list[Cells]) -> None:
    """A capacity without a technology is no asset: it may be part of another's."""
    named_ones = {each.technology for each in present}
    for number in TECHNOLOGIES:
        column = f"capacity_{number}"
        if number not in named_ones and cells.text(column).strip("0."):
            cells.keep(column)
            cells.warn(
                column, "", "TECHNOLOGY-UNNAMED", f"technology {number} has a capacity but no name; it became no asset"
            )


def _candidate(
    row: Row, release: str, connection: Connection, shared: Cells, own: Cells, *, is_only: bool
) -> Candidate:
    machine = machine_of(own, connection.status, is_only=is_only)
    alias = _alias(shared, connection, machine, own.technology)
    document: Document = {"@context": CONTEXT, "type": "Asset"}
    document |= {"assetName": asset_name(shared, machine.label, alias["value"]), "ownerKind": "ORGANISATION"}
    if customer := shared.text("customer_name"):
        document["ownerName"] = customer
    document |= machine_terms(machine) | capacity_terms(machine, connection.agreed_import)
    document |= connection.terms | _meter_points(connection, machine)
    document["alias"] = [alias]
    document["justification"] = _justifications(release, document)
    document["publishedSource"] = release
    document["publishedValue"] = [*shared.published_values(), *own.published_values()]
    return Candidate(own.technology, document, row_key(release, row, own.technology))


def _meter_points(connection: Connection, machine: Machine) -> Document:
    """The MPANs that are published and hold, and the reason where the one that is needed is not published."""
    exporting, importing = connection.exporting, connection.importing
    terms: Document = {"exportMPAN": exporting.value} if exporting.value else {}
    if importing.value and not (machine.is_storage and importing.value == exporting.value):
        terms["importMPAN"] = importing.value
    if machine.is_storage:
        is_missing = not terms and not (exporting.is_refused or importing.is_refused)
    else:
        needed = importing if machine.is_demand else exporting
        is_missing = needed.value is None and not needed.is_refused
    return terms | ({"mpanUnknownReason": "WITHHELD_BY_SOURCE"} if is_missing else {})


def _alias(cells: Cells, connection: Connection, machine: Machine, technology: int) -> Document:
    """A key for a register without keys: the same in every release that gives site, machine and capacity alike."""
    capacity = plain(machine.capacity) if machine.capacity is not None else ""
    parts = [
        words(cells.text("customer_site")),
        connection.dno or "",
        machine.category,
        machine.source.code,
        capacity,
        str(technology),
    ]
    digest = hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]
    publisher = cells.spellings.publisher(connection.dno)
    return {"scheme": SCHEME, "value": f"ECR-{digest}-{technology}", "source": f"{publisher} ECR".strip()}


def _justifications(release: str, document: Document) -> list[dict[str, str]]:
    """Why the document lacks what the published rules want (J): said as it is."""
    owner = (
        f"Migrated from the published register ({release}), which names the customer but not a registered organisation."
    )
    said = [{"rule": "A03", "text": owner}]
    if "mpanUnknownReason" in document:
        kind = document.get("otherKind") or {"BESS": "STORAGE"}.get(document["assetCategory"], "GENERATION")
        rule = {"GENERATION": "A21", "DEMAND": "A20", "STORAGE": "X01"}[kind]
        text = f"Migrated from the published register ({release}), which withholds this connection's meter point."
        said.append({"rule": rule, "text": text})
    return said
