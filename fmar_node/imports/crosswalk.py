"""What one register calls a thing that another one has a name for too: rows that add aliases to assets, and register none.

Rules kept here: an asset is known by an alias that it has already; what a row adds are further aliases, with their source; a row
without a name by which an asset may be known, or without anything to add, is skipped; cells may hold several ids.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fmar_node.errors import Malformed
from fmar_node.imports.project import ONLY
from fmar_node.imports.reading import Candidate, RowReading, Skipped
from fmar_node.imports.table import Row, decode, read_table, squash

NO_KEY = Skipped("KEY-MISSING", "the row has no name by which an asset could be known")
NOTHING = Skipped("NOTHING-TO-ADD", "the row has no further name")


@dataclass(frozen=True, slots=True)
class Crosswalk:
    """A published list of names. `known` are the columns by which an asset is found, with their schemes; `added` those that it gets."""

    name: str
    headers: Mapping[str, str]
    known: Mapping[str, str]
    added: Mapping[str, str]

    def read_rows(self, path: Path) -> list[Row]:
        """The rows of a file in CSV, or of an array in JSON. Malformed where it is neither."""
        if path.suffix.lower() != ".json":
            return list(read_table(path, {squash(header): column for header, column in self.headers.items()}))
        return list(self._objects(path))

    def _objects(self, path: Path) -> Iterator[Row]:
        try:
            found = json.loads(decode(path.read_bytes()))
        except (ValueError, RecursionError) as error:
            raise Malformed("malformed-request", f"{path.name} is not JSON: {error}"[:300]) from error
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise Malformed("malformed-request", f"{path.name} is not an array of objects")
        headers = {column: header for header, column in self.headers.items()}
        for number, each in enumerate(found, 1):
            cells = {column: str(each[header]) for column, header in headers.items() if each.get(header) not in (None, "")}
            yield Row(number, cells, {column: headers[column] for column in cells}, tuple(map(str, each.values())))

    def read(self, rows: list[Row]) -> list[RowReading]:
        return [self._reading(row) for row in rows]

    def _reading(self, row: Row) -> RowReading:
        known, added = self._aliases(row, self.known), self._aliases(row, self.added)
        names = {(each["scheme"], each["value"]) for each in (*known, *added)}
        if not known or len(names) < 2:
            return RowReading(row.number, skipped=NOTHING if known else NO_KEY)
        content = json.dumps([self.name, known, added])
        key = f"crosswalk-{hashlib.sha256(content.encode()).hexdigest()[:40]}"
        document: dict[str, Any] = {"knownBy": known, "alias": added, "justification": []}
        return RowReading(row.number, (Candidate(ONLY, document, key),))

    def _aliases(self, row: Row, columns: Mapping[str, str]) -> list[dict[str, str]]:
        cells = ((column, scheme, row.cells.get(column, "")) for column, scheme in columns.items())
        found = [{"scheme": scheme, "value": value.strip(), "source": self.name} for _, scheme, cell in cells for value in cell.split(",") if value.strip()]
        return list({(each["scheme"], each["value"]): each for each in found}.values())


POWER_STATIONS = Crosswalk(
    "OSUKED Power Station Dictionary",
    {"sett_bmu_id": "bmu", "ngc_bmu_id": "grid_bmu", "eic_id": "eic", "old_repd_id": "old_repd", "new_repd_id": "repd", "name": "name", "dictionary_id": "key"},
    {"repd": "REPD", "old_repd": "REPD", "bmu": "BMU"},
    {"bmu": "BMU", "eic": "EIC", "repd": "REPD"},
)
BM_UNITS = Crosswalk(
    "Elexon BM units",
    {
        "elexonBmUnit": "bmu", "nationalGridBmUnit": "grid_bmu", "eic": "eic", "leadPartyId": "party", "leadPartyName": "party_name",
    },
    {"bmu": "BMU", "eic": "EIC"},
    {"bmu": "BMU", "eic": "EIC", "party": "BSC_PARTY"},
)  # fmt: skip
BM_UNITS_2022 = Crosswalk(
    "Elexon BM units",
    {"BM Unit ID": "bmu", "NGC BMU Name": "grid_bmu", "Party ID": "party", "Party Name": "party_name", "GSP Group Id": "gsp_group"},
    {"bmu": "BMU"},
    {"bmu": "BMU", "party": "BSC_PARTY"},
)
"""The same list as the Central Registration Agency writes it, in CSV."""
