"""What one row of a published register was read as: documents, notes, or a reason why there is nothing.

Rules kept here: every defect becomes a note with a code; a note is either a warning (W: the row goes on) or a
refused field (R-field: the document goes without it, and the register judges what is left); what was mapped with
loss, or refused, is kept as published. Notes print without the cell where the column is personal (C7).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from fmar_node.imports.cell import CellError, printable, tidy
from fmar_node.imports.spelling import Spellings, words
from fmar_node.imports.table import Row

T = TypeVar("T")
Document = dict[str, Any]


class Weight(StrEnum):
    """How much a note weighs."""

    WARN = "W"
    FIELD = "R-field"


@dataclass(frozen=True, slots=True)
class Note:
    """One defect of a row. `field` is the document's term (empty: the column has none), `published` the cell.

    `technology` is the one that it is about, 0 for the whole row.
    """

    field: str
    severity: Weight
    code: str
    message: str
    published: str = ""
    is_personal: bool = False
    technology: int = 0

    def as_json(self) -> dict[str, str]:
        """For a report: without the cell where it is personal."""
        shown = {"field": self.field, "severity": self.severity.value, "code": self.code, "message": self.message}
        return shown if self.is_personal or not self.published else {**shown, "published": self.published}


@dataclass(frozen=True, slots=True)
class Candidate:
    """One asset document of a row. `key` stays the same when the same row is imported again (Idempotency-Key)."""

    technology: int
    document: Document
    key: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """Why a row yields no document."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RowReading:
    """A row, read: its candidates (one per technology), the notes on it, or why it was skipped."""

    number: int
    candidates: tuple[Candidate, ...] = ()
    notes: tuple[Note, ...] = ()
    skipped: Skipped | None = None

    @property
    def documents(self) -> list[Document]:
        return [candidate.document for candidate in self.candidates]

    def notes_on(self, technology: int) -> list[Note]:
        """The notes that concern a technology: its own and those of the whole row."""
        return [note for note in self.notes if note.technology in (0, technology)]


@dataclass(slots=True)
class Cells:
    """The cells of a row while it is read: notes and originals gather here. `technology` is 0 for the whole row."""

    row: Row
    spellings: Spellings
    technology: int = 0
    notes: list[Note] = field(default_factory=list)
    kept: dict[str, str] = field(default_factory=dict)

    def written(self, column: str) -> str:
        """The cell as published, on one line."""
        return tidy(self.row.cells.get(column, ""))

    def text(self, column: str) -> str:
        """The cell, or nothing where it says that there is no value."""
        cell = self.written(column)
        return "" if self.spellings.is_missing(cell) else cell

    def keep(self, column: str) -> None:
        """Keep the original of a column, letter by letter as far as letters can be printed."""
        if self.written(column):
            self.kept[self.row.headers[column]] = printable(self.row.cells[column])

    def warn(self, column: str, term: str, code: str, message: str) -> None:
        self._note(Weight.WARN, column, term, code, message)

    def refuse(self, column: str, term: str, code: str, message: str) -> None:
        """Refuse the field: the document goes without it."""
        self._note(Weight.FIELD, column, term, code, message)

    def parsed(self, column: str, term: str, parse: Callable[[str], T], weight: Weight = Weight.WARN) -> T | None:
        """The value of a filled cell; None, a note and the original where it has no certain meaning."""
        cell = self.text(column)
        if not cell:
            return None
        try:
            return parse(cell)
        except CellError as error:
            self.keep(column)
            self._note(weight, column, term, error.code, f"{self.row.headers[column]} {error}")
            return None

    def flag(self, column: str) -> bool | None:
        """Yes or no; None where the cell says neither."""
        return self.spellings.flags.get(words(self.text(column)))

    def published_values(self) -> list[dict[str, str]]:
        return [{"publishedField": header, "publishedText": cell} for header, cell in self.kept.items()]

    def _note(self, weight: Weight, column: str, term: str, code: str, message: str) -> None:
        is_personal = column in self.spellings.personal
        self.notes.append(Note(term, weight, code, message, self.written(column), is_personal, self.technology))
