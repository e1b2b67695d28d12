"""The connection of a row: what all of its technologies share.

Rules kept here: a meter point is never repaired and never made up; a missing one is WITHHELD_BY_SOURCE; a
refused one gets no such reason, so that the register refuses what needs it. Accepted to Connect is PENDING with
the capacities of the accepted columns, Flexible Connection Yes is NON_FIRM. MVA columns are derived from MW and
carry nothing of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from functools import partial

from fmar_node.checks import mpan
from fmar_node.imports.cell import CellError, day, kilovolts, kilowatts, meter_point, place, plain, postcode
from fmar_node.imports.reading import Cells, Document, Weight
from fmar_node.imports.spelling import words

SUBSTATIONS = {
    "gridSupplyPoint": "grid_supply_point",
    "bulkSupplyPoint": "bulk_supply_point",
    "primarySubstation": "primary",
}


@dataclass(frozen=True, slots=True)
class MeterPoint:
    """One of the two MPAN columns: its value, or whether something stood there and was refused."""

    value: str | None = None
    is_refused: bool = False


@dataclass(frozen=True, slots=True)
class Connection:
    """What a row says of the connection. `terms` go into every document as they are; capacities are kW."""

    status: str | None
    dno: str | None
    importing: MeterPoint
    exporting: MeterPoint
    agreed_import: Decimal | None
    terms: Document


def connection_of(cells: Cells) -> Connection:
    """The connection of a row; defects go into the notes of `cells`."""
    status = _status(cells)
    importing, exporting = (
        _meter_point(cells, "import_mpan", "importMPAN"),
        _meter_point(cells, "export_mpan", "exportMPAN"),
    )
    if importing.value and importing.value == exporting.value:
        cells.warn(
            "import_mpan",
            "importMPAN",
            "MPAN-EQUAL",
            "import and export MPAN are the same; one of them is probably wrong",
        )
    _reference(cells)
    dno = _licence_area(cells, exporting.value or importing.value)
    side = "accepted" if status == "PENDING" else "connected"
    exported = _agreed(cells, f"{side}_export", "agreedExportCapacity")
    imported = _agreed(cells, f"{side}_import", "agreedImportCapacity")
    terms: Document = {"connectionStatus": status} if status else {}
    terms |= _flexibility(cells)
    if dno:
        terms |= {"dnoConnection": dno, "gspGroup": mpan.GSP_GROUPS[dno]}
    terms |= {term: cells.text(column) for term, column in SUBSTATIONS.items() if cells.text(column)}
    terms |= _voltage(cells) | postcode_terms(cells) | place_terms(cells)
    terms |= {"agreedExportCapacity": plain(exported)} if exported is not None else {}
    terms |= {"agreedImportCapacity": plain(imported)} if imported is not None else {}
    terms |= commissioning_terms(cells, status)
    cells.parsed("last_updated", "", day)
    return Connection(status, dno, importing, exporting, imported, terms)


def _status(cells: Cells) -> str | None:
    cells.keep("status")
    found = cells.spellings.statuses.get(words(cells.text("status")))
    if found is None:
        cells.refuse(
            "status",
            "connectionStatus",
            "STATUS-UNKNOWN",
            "the connection status is missing or not in the mapping table",
        )
    return found


def _meter_point(cells: Cells, column: str, term: str) -> MeterPoint:
    cell = cells.text(column)
    if not cell or (set(cell) <= {"0", "."} and len(cell) < 13):
        return MeterPoint()
    value = cells.parsed(column, term, meter_point, Weight.FIELD)
    if value is not None and value != cell:
        cells.keep(column)
    return MeterPoint(value, is_refused=value is None)


def _reference(cells: Cells) -> None:
    """A reference is kept as published, which is personal: it may be a meter point (C7)."""
    cell = cells.text("reference")
    if not cell:
        return
    cells.keep("reference")
    if mpan.CORE.fullmatch(cell):
        message = "Reference holds a meter point number; it was treated as one and used for nothing"
        cells.warn("reference", "", "REFERENCE-IS-MPAN", message)


def _licence_area(cells: Cells, meter_point: str | None) -> str | None:
    cell = cells.text("licence_area")
    cells.keep("licence_area")
    if found := cells.spellings.licence_areas.get(words(cell)):
        return found
    distributor = mpan.distributor(meter_point) if meter_point else None
    if not cell and distributor is not None and distributor.is_area_fixed:
        message = "the licence area is missing and was taken from the distributor id of the meter point"
        cells.warn("licence_area", "dnoConnection", "LICENCE-AREA-FROM-MPAN", message)
        return distributor.dno_code
    message = "the licence area is missing or not in the mapping table"
    cells.refuse("licence_area", "dnoConnection", "LICENCE-AREA-UNKNOWN", message)
    return None


def _agreed(cells: Cells, column: str, term: str) -> Decimal | None:
    """An agreed capacity of the connection in kW; MVA alone is not turned into kW."""
    if not cells.text(column) and cells.text(f"{column}_mva").strip("0."):
        cells.keep(f"{column}_mva")
        message = "only MVA is given, which the register derives from MW; it was not turned into kW"
        cells.warn(f"{column}_mva", term, "CAPACITY-MVA-ONLY", message)
    return cells.parsed(column, term, partial(kilowatts, is_kilowatts=column in cells.row.in_kilowatts))


def _flexibility(cells: Cells) -> Document:
    flexible = cells.flag("flexible")
    if flexible is None:
        cells.keep("flexible")
        message = "whether the connection is flexible is not stated; it was taken for firm"
        cells.warn("flexible", "connectionType", "FLEXIBLE-UNKNOWN", message)
        return {"connectionType": "FIRM"}
    return {"connectionType": "NON_FIRM" if flexible else "FIRM", "flexibleConnection": flexible}


def _voltage(cells: Cells) -> Document:
    word = cells.spellings.voltages.get(words(cells.text("voltage")))
    if word is not None:
        cells.keep("voltage")
        cells.warn(
            "voltage", "connectionVoltage", "VOLTAGE-WORD", f"a word stands for the voltage; {word} kV was taken"
        )
        return {"connectionVoltage": word}
    value = cells.parsed("voltage", "connectionVoltage", kilovolts)
    return {"connectionVoltage": plain(value)} if value is not None else {}


def postcode_terms(cells: Cells) -> Document:
    """The postcode; one that is not whole stays as written."""
    cell = cells.text("postcode")
    if not cell:
        return {}
    value = cells.parsed("postcode", "postcode", postcode)
    if value not in (None, cell):
        cells.keep("postcode")
    return {"postcode": value or cell}


def place_terms(cells: Cells) -> Document:
    """Easting and northing, both or neither."""
    if not (cells.text("easting") and cells.text("northing")):
        return {}
    try:
        east, north = place(cells.text("easting"), cells.text("northing"))
    except CellError as error:
        if error.code != "COORDINATES-ZERO":
            cells.keep("easting")
            cells.keep("northing")
        cells.warn("easting", "easting", error.code, f"the location {error}")
        return {}
    return {"easting": plain(east), "northing": plain(north)}


def commissioning_terms(cells: Cells, status: str | None) -> Document:
    """The day of connection of what is connected (A14 needs it)."""
    column = "date_connected"
    cell = cells.text(column)
    if cell in cells.spellings.no_dates:
        cell = ""
    if status == "PENDING":
        if cell:
            cells.keep(column)
            cells.warn(
                column,
                "commissioningDate",
                "DATE-NOT-EXPECTED",
                "a connection that is only accepted has a day of connection",
            )
        return {}
    if not cell:
        if status == "CONNECTED":
            cells.refuse(column, "commissioningDate", "DATE-MISSING", "connected, but the day of connection is missing")
        return {}
    value: date | None = cells.parsed(column, "commissioningDate", day, Weight.FIELD)
    return {"commissioningDate": value.isoformat()} if value else {}
