"""The table that assets are registered with: its columns, what their cells say, and the template to fill in.

Rules kept here: columns are found by their names, the terms of an asset, in any order; what has no such name is refused before any
row; the export (UC-02.05) is such a table, and changes nothing; a cell is never repaired: what a spreadsheet has done to a
meter point or a decimal is refused with what to do; a fault points to the column.
"""

from __future__ import annotations

import asyncio
import csv
import io
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from fmar_node import jsonld
from fmar_node.composition import escaped, unknown_term
from fmar_node.errors import Fault, FmarError, Invalid, Malformed, Severity, counted
from fmar_node.settings import Settings
from fmar_node.vocabulary import RELEASE, Document, Term, TermKind, Vocabulary
from fmar_node.web.exchange import Exchange
from fmar_node.web.records import encoded, exchange_of
from fmar_node.web.sheet import Splitter, cells_of, delimiter_of, is_above_header, plain, rows_of
from fmar_node.web.words import cached

CSV = "text/csv"
TITLE = "# FMAR assets"
VERSION = re.compile(rf"{TITLE} ([0-9]+)\.[0-9.]+.*")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet runs as a formula."""
GUARDED = (*FORMULA_STARTS, "'")
NUMBERED = re.compile(r"([A-Za-z]+)\.([1-9][0-9]?)\.([A-Za-z0-9]+)")
"""A member of one part: `justification.1.rule`."""
NUMERIC = frozenset({TermKind.DECIMAL, TermKind.INTEGER})
PLAIN_NUMBER = re.compile(r"[+-]?[0-9]*\.?[0-9]*")
SCIENTIFIC = re.compile(r"[+-]?[0-9]+([.,][0-9]*)?[eE][+-]?[0-9]+")
PART_COLUMNS = {"alias": ("scheme", "value"), "justification": ("rule", "text")}
"""Parts that the template has a numbered column for each member of; other parts are JSON in one column."""
KEEP_TEXT = "format the column as Text before anything is entered, or open the file with Data, From Text/CSV, and enter it again"


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a batch: a document as JSON, and where its terms stand in what was sent; or why it is none."""

    number: int
    body: bytes = b""
    places: Mapping[str, str] = field(default_factory=dict)
    refusal: FmarError | None = None


@dataclass(frozen=True, slots=True)
class Column:
    """A column: a term, or the member of a part of one. Of no term where it is the record's id."""

    name: str
    term: Term | None = None
    part: int = 0
    member: Term | None = None

    @property
    def form(self) -> Term | None:
        """The term that its cells are values of."""
        return self.member or self.term


# -- the template


def own_columns(vocabulary: Vocabulary) -> list[Column]:
    """The columns that a participant fills in, in the order of the terms."""
    found: list[Column] = []
    for term in in_order(vocabulary):
        if members := PART_COLUMNS.get(term.name):
            found += [column_of(f"{term.name}.1.{member}", vocabulary) for member in members]
        elif not term.server_set:
            found.append(Column(term.name, term))
    return found


def in_order(vocabulary: Vocabulary) -> list[Term]:
    return sorted(vocabulary.classes["Asset"], key=lambda term: (term.order, term.name))


def empty(vocabulary: Vocabulary) -> Iterator[Sequence[str]]:
    """The template itself: its version, and the header."""
    yield [f"{TITLE} {RELEASE}"]
    yield [column.name for column in own_columns(vocabulary)]


def described(vocabulary: Vocabulary) -> Iterator[Sequence[str]]:
    """What each column takes."""
    yield ("column", "form", "unit", "codes", "definition")
    for column in own_columns(vocabulary):
        assert column.form is not None
        form = "JSON list" if column.form.kind is TermKind.PART else column.form.kind.value
        yield (column.name, form, column.form.unit.rsplit("/", 1)[-1], column.form.scheme, column.form.definition)


def codes(vocabulary: Vocabulary) -> Iterator[Sequence[str]]:
    """The codes that the columns take which take any."""
    yield ("column", "code", "label", "definition")
    for column in own_columns(vocabulary):
        if column.form is not None and column.form.scheme:
            for code in vocabulary.schemes[column.form.scheme].codes.values():
                if code.is_active:
                    yield (column.name, code.notation, code.label, code.definition)


PARTS: dict[str, Callable[[Vocabulary], Iterator[Sequence[str]]]] = {"template": empty, "columns": described, "codes": codes}


async def template(request: Request) -> Response:
    """The table to register assets with, empty; with `part=columns` what each column takes, with `part=codes` the code lists."""
    part = request.query_params.get("part", "template")
    if part not in PARTS:
        raise Malformed("malformed-request", f"part is one of {', '.join(PARTS)}")
    text = "".join(map(line, PARTS[part](exchange_of(request).node.vocabulary)))
    response = cached(request, text.encode(), CSV)
    response.headers["Content-Disposition"] = f'attachment; filename="fmar-assets-{part}-{RELEASE}.csv"'
    return response


def line(cells: Iterable[str]) -> str:
    """A row of CSV."""
    out = io.StringIO()
    csv.writer(out).writerow(cells)
    return out.getvalue()


def guarded(text: str) -> str:
    """A text that no spreadsheet runs; `unguarded` gives it back."""
    return f"'{text}" if text.startswith(GUARDED) else text


def unguarded(cell: str) -> str:
    return cell[1:] if cell[:1] == "'" and cell[1:].startswith(GUARDED) else cell


# -- the header


async def rows_in(exchange: Exchange) -> AsyncIterator[Row]:
    """The rows of a table as they come in, once its header has been understood. Malformed, Invalid, TooLarge."""
    settings, splitter = exchange.node.settings, Splitter(exchange.node.settings.body_bytes)
    sheet = rows_of(exchange.request.stream(), splitter)
    try:
        async with asyncio.timeout(settings.body_seconds):
            table = await header_in(sheet, exchange.node.vocabulary, settings)
    except TimeoutError:
        raise Malformed("malformed-request", f"the header did not arrive within {settings.body_seconds:g} seconds") from None
    splitter.know(table.delimiter)
    return table.rows(sheet)


async def header_in(sheet: AsyncIterator[tuple[int, bytes]], vocabulary: Vocabulary, settings: Settings) -> Table:
    """The table that the first rows announce: its version may stand above the header."""
    async for number, row in sheet:
        row = plain(row) if number == 1 else row
        delimiter = delimiter_of(row)
        cells = [cell.strip() for cell in cells_of(row, delimiter)]
        if not is_above_header(cells):
            return Table(columns_of(cells, vocabulary), delimiter, settings)
        _check_version(cells[0] if cells else "")
    raise Malformed("malformed-request", "there is no header; GET /assets/template has one")


def _check_version(title: str) -> None:
    if (version := VERSION.fullmatch(title)) and version[1] != RELEASE.split(".", maxsplit=1)[0]:
        detail = f"{title[:60]!r} is a template that this node does not read; fill in that of GET /assets/template, {RELEASE}"
        raise Invalid("validation-failed", detail, (Fault("template-version", Severity.REJECT, detail),))


def columns_of(names: Sequence[str], vocabulary: Vocabulary) -> list[Column | None]:
    """The columns of a header, None for one without a name. Invalid with every fault of it."""
    columns = [column_of(name, vocabulary) if name else None for name in names]
    if faults := tuple(_header_faults([column for column in columns if column], vocabulary)):
        raise Invalid("validation-failed", f"{counted(len(faults), 'fault')} of the header; GET /assets/template has the columns that there are", faults)
    return columns


def _header_faults(columns: Sequence[Column], vocabulary: Vocabulary) -> Iterator[Fault]:
    for column in columns:
        if column.form is None and column.name != "id":
            yield unknown_term(column.name, "Asset", f"/{escaped(column.name)}", vocabulary, set())
    for name, count in Counter(column.name for column in columns).items():
        if count > 1:
            yield Fault("column-twice", Severity.REJECT, f"the column {name[:80]!r} stands {count} times", f"/{escaped(name)}")
    whole = {column.name for column in columns}
    for name in dict.fromkeys(column.term.name for column in columns if column.part and column.term):
        if name in whole:
            yield Fault("column-twice", Severity.REJECT, f"{name} stands in a column of its own and in numbered ones", f"/{name}", name)


def column_of(name: str, vocabulary: Vocabulary) -> Column:
    """The column of that name; without a term where there is none."""
    terms = {term.name: term for term in vocabulary.classes["Asset"]}
    if not (numbered := NUMBERED.fullmatch(name)):
        return Column(name, terms.get(name))
    term = terms.get(numbered[1])
    if term is None or term.kind is not TermKind.PART:
        return Column(name)
    member = next((each for each in vocabulary.classes[term.part_class] if each.name == numbered[3]), None)
    return Column(name, term, int(numbered[2]), member) if member else Column(name)


# -- the rows


@dataclass(frozen=True, slots=True)
class Table:
    """What is below a header."""

    columns: Sequence[Column | None]
    delimiter: str
    settings: Settings

    async def rows(self, sheet: AsyncIterator[tuple[int, bytes]]) -> AsyncIterator[Row]:
        """The rows as documents; one that is blank is left out."""
        async for number, row in sheet:
            if (read := self.row(number, row)) is not None:
                yield read

    def row(self, number: int, row: bytes) -> Row | None:
        try:
            cells = cells_of(row, self.delimiter)
            if not any(map(str.strip, cells)):
                return None
            body, places = self._document(cells)
        except FmarError as refusal:
            return Row(number, refusal=refusal)
        return Row(number, body, places)

    def _document(self, cells: list[str]) -> tuple[bytes, dict[str, str]]:
        """The document that the cells say, and where its terms stand. Malformed, Invalid."""
        if any(cell.strip() for cell in cells[len(self.columns) :]):
            raise Malformed("malformed-request", f"the row has more cells than the header has columns, which are {len(self.columns)}")
        document: Document = {"type": "Asset"}
        faults: list[Fault] = []
        parts: dict[str, dict[int, Document]] = {}
        for column, cell in zip(self.columns, cells, strict=False):
            if not cell.strip():
                continue
            if column is None:
                raise Malformed("malformed-request", "a cell stands in a column that has no name")
            try:
                value = value_of(column, unguarded(cell), self.settings)
            except ValueError as error:
                faults.append(_fault(column, str(error)))
                continue
            if column.part and column.term and column.member:
                parts.setdefault(column.term.name, {}).setdefault(column.part, {})[column.member.name] = value
            else:
                document[column.name] = value
        if faults:
            raise Invalid("validation-failed", f"{counted(len(faults), 'cell')} to mend", tuple(faults))
        document |= {name: list(numbered.values()) for name, numbered in parts.items()}
        return encoded(document).encode(), _places(parts)


def _fault(column: Column, message: str) -> Fault:
    code = column.form.code if column.form else "A01"
    return Fault(code, Severity.REJECT, message, f"/{column.name}", column.term.name if column.term else "id", constraint="cell")


def _places(parts: Mapping[str, Mapping[int, Document]]) -> dict[str, str]:
    """Where the members of numbered parts stand, by their pointers in the document."""
    found = {}
    for name, numbered in parts.items():
        for place, (number, part) in enumerate(numbered.items()):
            found[f"/{name}/{place}"] = f"/{name}.{number}"
            found |= {f"/{name}/{place}/{member}": f"/{name}.{number}.{member}" for member in part}
    return found


def value_of(column: Column, cell: str, settings: Settings) -> Any:
    """What a cell says, for JSON. ValueError with what to do where a spreadsheet has got in the way."""
    term = column.form
    if term is None:
        return cell.strip()
    if term.name.endswith("MPAN"):
        return _meter_point(cell)
    if term.kind is TermKind.PART or term.many:
        return _listed(cell, term, settings)
    if term.kind in NUMERIC:
        return _number(cell.strip(), term)
    if term.kind is TermKind.BOOLEAN:
        return cell.strip().lower()
    return cell if term.kind is TermKind.TEXT else cell.strip()


def _meter_point(cell: str) -> str:
    """The digits as they stand; the register checks them."""
    if SCIENTIFIC.fullmatch(cell.strip()):
        raise ValueError(f"a spreadsheet has made a number of this MPAN, and its last digits are lost; {KEEP_TEXT}")
    if re.search(r"[\s'\"=.,]", cell):
        raise ValueError(f"an MPAN is 13 digits without spaces, quotation marks or other signs; so that a spreadsheet keeps it, {KEEP_TEXT}")
    return cell


def _number(cell: str, term: Term) -> str:
    if "," in cell:
        raise ValueError(f"{term.name} has a comma; decimals are written with a point, and thousands are not set apart")
    if SCIENTIFIC.fullmatch(cell):
        raise ValueError(f"{term.name} is in scientific notation; write its digits")
    if not PLAIN_NUMBER.fullmatch(cell):
        raise ValueError(f"{term.name} is a number and nothing beside it, in the unit of its column")
    return cell


def _listed(cell: str, term: Term, settings: Settings) -> Any:
    try:
        return jsonld.read_value(cell.encode(), settings)
    except FmarError as error:
        beside = f", or columns such as {term.name}.1.{PART_COLUMNS[term.name][0]}" if term.name in PART_COLUMNS else ""
        raise ValueError(f"{term.name} is a list in JSON{beside}; this cell is none: {error.detail}") from error
