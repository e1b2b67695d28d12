"""A published table, read as it is: rows by canonical column, whatever the encoding and the order of columns.

Rules kept here: columns are found by their header, never by position; headers are compared by letters and digits
alone; unknown columns are kept in the row's text and otherwise left alone, missing ones are blank; a cell is
handed on as it was written. The row number is the one that a spreadsheet shows: the header of a plain file is 1.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fmar_node.errors import Malformed

HEADER_ROWS = 20
"""How far down a header is looked for: some publishers put a title above it."""
HEADER_CELLS = 4
"""How many known columns make a header."""
NOT_TEXT = re.compile(r"[^0-9a-z]+")


@dataclass(frozen=True, slots=True)
class Row:
    """One row. `number` is its place in the file; `cells` are the published texts by canonical column.

    `headers` has each canonical column as the file writes it; a column that the file does not have is in neither.
    `in_kilowatts` are the columns whose header says kW where the register's layout says MW. `text` is the whole
    row, cell by cell; `is_too_wide` says that there are more filled cells than columns.
    """

    number: int
    cells: Mapping[str, str]
    headers: Mapping[str, str]
    text: tuple[str, ...]
    in_kilowatts: frozenset[str] = frozenset()
    is_too_wide: bool = False

    def has(self, column: str) -> bool:
        return column in self.headers

    @property
    def is_blank(self) -> bool:
        return not any(cell.strip() for cell in self.text)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a file keeps each canonical column."""

    headers: Mapping[str, str]
    places: Mapping[str, tuple[int, ...]]
    in_kilowatts: frozenset[str]
    width: int


def squash(header: str) -> str:
    """A header by its letters and digits: `Town/ City` and `town_city` are both `towncity`."""
    return NOT_TEXT.sub("", unicodedata.normalize("NFKC", header).casefold())


def decode(raw: bytes) -> str:
    """Text of a published file: by its byte-order mark, else UTF-8 where it is that, else Windows-1252."""
    if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return raw.decode("utf-16", errors="replace")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        return raw.decode("cp1252", errors="replace")


def read_table(path: Path, columns: Mapping[str, str]) -> Iterator[Row]:
    """The rows of a CSV file below its header. `columns` is squashed header -> canonical column.

    Malformed when there is no header among the first rows, or the quoting is beyond repair.
    """
    text = decode(path.read_bytes())
    layout: Layout | None = None
    try:
        for number, cells in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text)), 1):
            if layout is None:
                layout = layout_of(cells, columns)
                if layout is None and number >= HEADER_ROWS:
                    break
            elif cells:
                yield _row(number, cells, layout)
    except csv.Error as error:
        raise Malformed("malformed-request", f"{path.name} is not a CSV file: {error}") from error
    if layout is None:
        raise Malformed(
            "malformed-request", f"{path.name} has no header of a known register in its first {HEADER_ROWS} rows"
        )


def layout_of(cells: Sequence[str], columns: Mapping[str, str]) -> Layout | None:
    """The layout that a header row describes; None when it is no header."""
    headers: dict[str, str] = {}
    places: dict[str, tuple[int, ...]] = {}
    in_kilowatts: set[str] = set()
    for place, header in enumerate(cells):
        column, kilowatts = _column(squash(header), columns)
        if column is None:
            continue
        if column in headers and kilowatts != (column in in_kilowatts):
            continue
        headers.setdefault(column, header.strip())
        places[column] = (*places.get(column, ()), place)
        if kilowatts:
            in_kilowatts.add(column)
    if len(headers) < HEADER_CELLS:
        return None
    return Layout(headers, places, frozenset(in_kilowatts), len(cells))


def _column(squashed: str, columns: Mapping[str, str]) -> tuple[str | None, bool]:
    if squashed in columns:
        return columns[squashed], False
    if squashed.endswith("kw"):
        return columns.get(squashed.removesuffix("kw") + "mw"), True
    return None, False


def _row(number: int, cells: list[str], layout: Layout) -> Row:
    return Row(
        number=number,
        cells={column: _first(cells, places) for column, places in layout.places.items()},
        headers=layout.headers,
        text=tuple(cells),
        in_kilowatts=layout.in_kilowatts,
        is_too_wide=any(cell.strip() for cell in cells[layout.width :]),
    )


def _first(cells: list[str], places: tuple[int, ...]) -> str:
    """The first filled cell of a column that a file has more than once."""
    written = [cells[place] for place in places if place < len(cells)]
    return next((cell for cell in written if cell.strip()), "")


def _delimiter(text: str) -> str:
    beginning = text[:8192]
    return max((",", ";", "\t"), key=beginning.count)
