"""The machines of a row: what each one is in the register's codes, and how large.

Rules kept here: the energy source says what a machine is, the conversion technology completes it and never
overrules it; an unknown source becomes OTHER with a description; engines, turbines, biomass and waste have no
category and become OTHER with otherKind; combined heat and power is CHP. A row's only technology has the
registered capacity of the row's connection status; several technologies have their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from fmar_node.imports.cell import CellError, kilowatts, plain
from fmar_node.imports.reading import Cells, Document, Weight
from fmar_node.imports.spelling import EnergySource, Technology, words

UNKNOWN = EnergySource("Generation", "OTHER", "OTHER", "GENERATION")
STATUS_CAPACITY = {"CONNECTED": "connected_capacity", "PENDING": "accepted_capacity"}
DESCRIPTION_CHARS = 200
CONVERSION_CHARS = 100


@dataclass(frozen=True, slots=True)
class Machine:
    """A technology of a row in codes. `capacity` is the registered one in kW, None where it was refused."""

    source: EnergySource
    category: str
    label: str
    description: str
    conversion: str
    capacity: Decimal | None = None
    energy: Decimal | None = None

    @property
    def is_storage(self) -> bool:
        return self.source.kind == "STORAGE"

    @property
    def is_demand(self) -> bool:
        return self.source.kind == "DEMAND"


def is_present(cells: Cells) -> bool:
    """Whether a row names this technology."""
    return bool(cells.text(_column(cells, "source")) or cells.text(_column(cells, "technology")))


def machine_of(cells: Cells, status: str | None, *, is_only: bool) -> Machine:
    """The machine that a technology's cells describe."""
    technology = _technology(cells)
    source = _completed(cells, _source(cells), technology)
    is_chp = source.is_fuel and (technology.is_chp or cells.flag(_column(cells, "chp")) is True)
    category = "CHP" if is_chp else source.category
    if source.is_assumed_battery:
        message = "stored energy was taken for a battery; the register names no other kind of storage"
        cells.warn(_column(cells, "source"), "assetCategory", "STORAGE-ASSUMED-BATTERY", message)
    needs_description = "OTHER" in (category, source.code)
    return Machine(
        source=source,
        category=category,
        label=f"{source.name} CHP" if is_chp else source.name,
        description=_description(cells) if needs_description else "",
        conversion=cells.text(_column(cells, "technology"))[:CONVERSION_CHARS],
        capacity=_capacity(cells, status, is_only=is_only),
        energy=_energy(cells) if source.kind == "STORAGE" else None,
    )


def machine_terms(machine: Machine) -> Document:
    """What a machine is, in the terms of an asset."""
    terms: Document = {"assetCategory": machine.category}
    if machine.category == "OTHER":
        terms["otherKind"] = machine.source.kind
    terms["energySource"] = machine.source.code
    if machine.is_demand:
        terms["demandTechType"] = machine.source.demand
    if machine.description:
        terms["otherDescription"] = machine.description
    if machine.conversion:
        terms["energyConversionType"] = machine.conversion
    return terms


def capacity_terms(machine: Machine, agreed_import: Decimal | None) -> Document:
    """The capacities of a machine in kW, as exact texts; nothing where its registered capacity is not known."""
    rated = machine.capacity
    if rated is None:
        return {}
    demand = Decimal(0)
    if machine.is_demand:
        demand = rated
    elif machine.is_storage and agreed_import is not None:
        demand = min(agreed_import, rated)
    terms = {
        "ratedCapacity": plain(rated),
        "installedCapacity": plain(rated),
        "genCapacity": plain(Decimal(0) if machine.is_demand else rated),
        "demandCapacity": plain(demand),
    }
    return terms | ({"storageEnergyCapacity": plain(machine.energy)} if machine.energy else {})


def _column(cells: Cells, name: str) -> str:
    return f"{name}_{cells.technology}"


def _source(cells: Cells) -> EnergySource | None:
    """The energy source that its own cell names."""
    column = _column(cells, "source")
    cells.keep(column)
    cell = cells.text(column)
    if (found := cells.spellings.source(cell)) is not None:
        return found
    if (found := cells.spellings.source_by_word(cell)) is not None:
        cells.warn(
            column,
            "energySource",
            "SOURCE-BY-WORD",
            "the energy source is spelt in a new way and was mapped by a word in it",
        )
    return found


def _technology(cells: Cells) -> Technology:
    """The conversion technology; one that is missing or unknown fits every source."""
    column = _column(cells, "technology")
    cells.keep(column)
    cell = cells.text(column)
    found = cells.spellings.technologies.get(words(cell))
    if cell and found is None:
        cells.warn(
            column,
            "energyConversionType",
            "TECHNOLOGY-UNKNOWN",
            "the conversion technology is not in the mapping table",
        )
    return found or Technology(is_generic=True)


def _completed(cells: Cells, source: EnergySource | None, technology: Technology) -> EnergySource:
    """The energy source with what the technology adds to it."""
    column = _column(cells, "source")
    if source is None:
        return _from_technology(cells, technology)
    implied = technology.source
    if source.is_assumed_battery and implied is not None and implied.kind == "STORAGE":
        return implied
    if technology.is_generic or technology.is_chp:
        return source
    fits = (
        (implied.code, implied.kind) == (source.code, source.kind)
        if implied
        else source.is_fuel or source.category == "OTHER"
    )
    if not fits:
        message = "energy source and conversion technology do not go together; the energy source was taken"
        cells.warn(column, "energySource", "SOURCE-DISAGREES", message)
    return source


def _from_technology(cells: Cells, technology: Technology) -> EnergySource:
    column = _column(cells, "source")
    if technology.source is not None:
        cells.warn(
            column,
            "energySource",
            "SOURCE-FROM-TECHNOLOGY",
            "the energy source was taken from the conversion technology",
        )
        return technology.source
    message = "the energy source is missing or not in the mapping table; it became OTHER with a description"
    cells.warn(column, "energySource", "SOURCE-UNKNOWN", message)
    return UNKNOWN


def _description(cells: Cells) -> str:
    """What the register calls it, for X02."""
    said = [cells.text(_column(cells, "source")), cells.text(_column(cells, "technology"))]
    return "; ".join(text for text in said if text)[:DESCRIPTION_CHARS].strip()


def _capacity(cells: Cells, status: str | None, *, is_only: bool) -> Decimal | None:
    column = _column(cells, "capacity")
    by_status = STATUS_CAPACITY.get(status or "", "")
    if is_only and cells.row.has(by_status):
        _warn_of_disagreement(cells, column, by_status)
        column = by_status
    return _registered(cells, column)


def _registered(cells: Cells, column: str) -> Decimal | None:
    """A registered capacity in kW above zero; refused otherwise."""
    if not cells.text(column):
        message = "the register gives no registered capacity for this technology at its connection status"
        cells.refuse(column, "ratedCapacity", "CAPACITY-MISSING", message)
        return None
    value = cells.parsed(
        column, "ratedCapacity", partial(kilowatts, is_kilowatts=column in cells.row.in_kilowatts), Weight.FIELD
    )
    if value == 0:
        cells.keep(column)
        cells.refuse(column, "ratedCapacity", "CAPACITY-ZERO", "the registered capacity is zero")
        return None
    return value


def _warn_of_disagreement(cells: Cells, own: str, by_status: str) -> None:
    """The technology's own column, where it says something else than the connection's."""
    if not (cells.text(own) and cells.text(by_status)) or _in_kilowatts(cells, own) == _in_kilowatts(cells, by_status):
        return
    cells.keep(own)
    message = "the capacity of the technology differs from that of the connection, which was taken"
    cells.warn(own, "ratedCapacity", "CAPACITY-DISAGREES", message)


def _in_kilowatts(cells: Cells, column: str) -> Decimal | None:
    try:
        return kilowatts(cells.text(column), is_kilowatts=column in cells.row.in_kilowatts)
    except CellError:
        return None


def _energy(cells: Cells) -> Decimal | None:
    """The storage's kWh; missing throughout some releases."""
    column = _column(cells, "storage_mwh")
    value = cells.parsed(column, "storageEnergyCapacity", kilowatts)
    if not value:
        message = "the register gives no energy capacity (MWh) for this storage"
        cells.warn(column, "storageEnergyCapacity", "STORAGE-ENERGY-MISSING", message)
        return None
    return value
