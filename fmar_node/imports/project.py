"""Registers of projects, one machine a row, as asset documents: REPD and TEC, each described by a table of its own.

Rules kept here: a row has a key of its register, which becomes an alias and says what is the same asset in the next release; what
the register does not say, such as the licence area and the meter point, is never guessed: who knows the area of a file's rows
may say it; a project that has ended, or is not for this register, yields nothing, and the report says why; the customer's name goes
into `ownerName` and nowhere else.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from importlib import resources
from pathlib import Path
from typing import Any

from fmar_node.checks import mpan
from fmar_node.imports.cell import CellError, day, kilowatts
from fmar_node.imports.connection import commissioning_terms, place_terms, postcode_terms
from fmar_node.imports.ecr import CONTEXT, SKIPS
from fmar_node.imports.naming import asset_name
from fmar_node.imports.reading import Candidate, Cells, Document, RowReading, Skipped, Weight
from fmar_node.imports.spelling import EnergySource, Spellings, inverted, packaged, source_of, words
from fmar_node.imports.table import Row, read_table, squash
from fmar_node.imports.technology import DESCRIPTION_CHARS, UNKNOWN, Machine, capacity_terms, machine_terms

ONLY = 1
"""The number of a row's only technology."""
MEETING = {"GENERATION": "A21", "DEMAND": "A20", "STORAGE": "X01"}
"""The rule that asks for a reason where a machine has no meter point."""


@dataclass(frozen=True, slots=True)
class Skip:
    """Rows that are no asset: those in which a column says one of these."""

    code: str
    message: str
    column: str
    spellings: frozenset[str]


@dataclass(frozen=True, slots=True)
class Register:
    """A register of projects: how it calls things, and what it is called. `holder` is its name in a sentence."""

    scheme: str
    name: str
    holder: str
    spellings: Spellings
    skips: tuple[Skip, ...]

    def read_rows(self, path: Path) -> list[Row]:
        """The rows of a file. Malformed where it has no header of this register."""
        return list(read_table(path, self.spellings.columns))

    def read(self, rows: Sequence[Row], release: str = "", licence_area: str = "") -> list[RowReading]:
        """Every row, read. `release` is worked out where it is not given; `licence_area` is where all of them connect, as far as somebody knows."""
        release = release or self.release(rows)
        keys = Counter(row.cells.get("key", "").strip() for row in rows)
        return [self._reading(row, release, licence_area, is_unique=keys[row.cells.get("key", "").strip()] == 1) for row in rows]

    def release(self, rows: Iterable[Row]) -> str:
        """`REPD 2024-06`: the month by the newest change, where rows say when they were changed."""
        days = [found for row in rows if (found := _day(row.cells.get("last_updated", "")))]
        return f"{self.name} {max(days):%Y-%m}" if days else self.name

    def _reading(self, row: Row, release: str, licence_area: str, *, is_unique: bool) -> RowReading:
        cells = Cells(row, self.spellings)
        if (skipped := self._skipped(cells, is_unique=is_unique)) is not None:
            return RowReading(row.number, skipped=skipped)
        candidate = self._candidate(cells, release, licence_area)
        return RowReading(row.number, (candidate,), tuple(cells.notes))

    def _skipped(self, cells: Cells, *, is_unique: bool) -> Skipped | None:
        code = _reason(cells)
        if code is not None:
            return Skipped(code, SKIPS[code])
        for skip in self.skips:
            if words(cells.text(skip.column)) in skip.spellings:
                return Skipped(skip.code, skip.message)
        if not cells.text("key"):
            return Skipped("KEY-MISSING", f"the row has no key of {self.holder}")
        return None if is_unique else Skipped("KEY-TWICE", f"another row has the same key of {self.holder}")

    def _candidate(self, cells: Cells, release: str, licence_area: str) -> Candidate:
        status = self._status(cells)
        machine = self._machine(cells)
        key = cells.text("key")
        document: Document = {"@context": CONTEXT, "type": "Asset", "assetName": asset_name(cells, machine.label, f"{self.name} {key}"), "ownerKind": "ORGANISATION"}
        document |= self._owner(cells) | machine_terms(machine) | capacity_terms(machine, None)
        document |= {"connectionStatus": status} if status else {}
        document |= self._connection(cells, status, licence_area) | postcode_terms(cells) | place_terms(cells)
        document |= {"mpanUnknownReason": "NOT_YET_ALLOCATED" if status == "PENDING" else "WITHHELD_BY_SOURCE"}
        document["alias"] = self._aliases(cells)
        document["justification"] = self._justifications(release, machine, status)
        document["publishedSource"] = release
        document["publishedValue"] = cells.published_values()
        content = json.dumps([release, list(cells.row.text), licence_area], ensure_ascii=True)
        return Candidate(ONLY, document, f"{self.scheme.lower()}-{hashlib.sha256(content.encode()).hexdigest()[:40]}")

    def _status(self, cells: Cells) -> str | None:
        cells.keep("status")
        found = self.spellings.statuses.get(words(cells.text("status")))
        if found is None:
            cells.refuse("status", "connectionStatus", "STATUS-UNKNOWN", "the status is missing or not in the mapping table")
        return found

    def _owner(self, cells: Cells) -> Document:
        if customer := cells.text("customer_name"):
            return {"ownerName": customer}
        cells.refuse("customer_name", "ownerName", "OWNER-MISSING", "the register names nobody whose project it is")
        return {}

    def _connection(self, cells: Cells, status: str | None, licence_area: str) -> Document:
        """What is known of the connection; a firm one is the market's own default."""
        cells.warn("status", "connectionType", "FLEXIBLE-UNKNOWN", "whether the connection is flexible is not stated; it was taken for firm")
        terms: Document = {"connectionType": "FIRM"}
        if licence_area:
            terms |= {"dnoConnection": licence_area, "gspGroup": mpan.GSP_GROUPS[licence_area]}
        elif status == "CONNECTED":
            cells.refuse("status", "dnoConnection", "LICENCE-AREA-UNKNOWN", "the register does not say in whose licence area it is connected; give --licence-area")
        if site := cells.text("grid_supply_point"):
            terms["gridSupplyPoint"] = site
        return terms | commissioning_terms(cells, status)

    def _machine(self, cells: Cells) -> Machine:
        """What the row's technologies have in common; several that differ are one asset of no category, for their capacity is one."""
        cells.keep("technology")
        spelt = [each.strip() for each in cells.text("technology").split(";") if each.strip()]
        found = {self.spellings.sources.get(words(each), UNKNOWN) for each in spelt} or {UNKNOWN}
        source = found.pop() if len(found) == 1 else self._mixed(cells, found)
        if source == UNKNOWN:
            cells.warn("technology", "energySource", "SOURCE-UNKNOWN", "the technology is missing or not in the mapping table; it became OTHER with a description")
        if source.is_assumed_battery:
            cells.warn("technology", "assetCategory", "STORAGE-ASSUMED-BATTERY", "stored energy was taken for a battery; the register names no other kind of storage")
        is_chp = source.is_fuel and cells.flag("chp") is True
        category = "CHP" if is_chp else source.category
        description = "; ".join(spelt)[:DESCRIPTION_CHARS] if "OTHER" in (category, source.code) else ""
        return Machine(source, category, source.name, description, "", self._capacity(cells))

    def _mixed(self, cells: Cells, found: set[EnergySource]) -> EnergySource:
        cells.warn("technology", "assetCategory", "TECHNOLOGIES-JOINED", "several technologies have one capacity between them; they became one asset, OTHER with a description")
        kinds = {each.kind for each in found}
        return EnergySource("Hybrid", "OTHER", "OTHER", next(kind for kind in ("GENERATION", "STORAGE", "DEMAND") if kind in kinds))

    def _capacity(self, cells: Cells) -> Any:
        if not cells.text("capacity"):
            cells.refuse("capacity", "ratedCapacity", "CAPACITY-MISSING", "the register gives no capacity")
            return None
        value = cells.parsed("capacity", "ratedCapacity", partial(kilowatts, is_kilowatts="capacity" in cells.row.in_kilowatts), Weight.FIELD)
        if value == 0:
            cells.keep("capacity")
            cells.refuse("capacity", "ratedCapacity", "CAPACITY-ZERO", "the capacity is zero")
            return None
        return value

    def _aliases(self, cells: Cells) -> list[dict[str, str]]:
        """The key of the register first, by which the row is found again, then what it was called before."""
        keys = {"": cells.text("key"), " (old reference)": cells.text("old_key")}
        return [{"scheme": self.scheme, "value": value, "source": f"{self.name}{which}"} for which, value in keys.items() if value]

    def _justifications(self, release: str, machine: Machine, status: str | None) -> list[dict[str, str]]:
        owner = f"Migrated from the published register ({release}), which names the applicant but not a registered organisation."
        missing = "which is not connected yet" if status == "PENDING" else "and the register publishes no meter points"
        point = f"Migrated from the published register ({release}): a project of {self.holder}, {missing}."
        return [{"rule": "A03", "text": owner}, {"rule": MEETING[machine.source.kind], "text": point}]


def _reason(cells: Cells) -> str | None:
    """Why a row of any register is no asset, whatever its columns."""
    if cells.row.is_blank:
        return "ROW-EMPTY"
    if cells.row.is_too_wide:
        return "ROW-MISALIGNED"
    return "OWNER-INDIVIDUAL" if cells.spellings.is_individual(cells.written("customer_name")) else None


def _day(cell: str) -> Any:
    try:
        return day(cell)
    except CellError:
        return None


@cache
def register(name: str) -> Register:
    """The register that a packaged table describes: `repd` or `tec`."""
    return register_from(tomllib.loads(resources.files("fmar_node.imports").joinpath(f"{name}-mapping.toml").read_text("utf-8")))


def register_from(tables: Mapping[str, Any]) -> Register:
    """A register from its parsed table; what it does not say of spellings is as in the ECR's."""
    spellings = replace(
        packaged(),
        columns={squash(header): column for column, headers in tables["columns"].items() for header in headers},
        personal=frozenset(tables["personal"]),
        statuses=inverted(tables["status"]),
        sources={words(spelling): source_of(entry) for entry in tables["technology"] for spelling in entry["spellings"]},
    )
    skips = tuple(Skip(each["code"], each["message"], each["column"], frozenset(map(words, each["spellings"]))) for each in tables["skip"])
    return Register(tables["scheme"], tables["name"], tables["holder"], spellings, skips)
