"""The catalogue of devices: what a maker's model is, for documents that name it and are silent about the rest (UC-02.02).

A table in CSV (UTF-8) with the columns `manufacturer`, `assetModel` and any of `FILLED`, named as the terms of an asset. Rules kept here: what a
document says stays as it is, and where the catalogue has it otherwise that is warned of (A11); what it does not say is filled, and
noted as filled; a catalogue that holds anything but well-formed values is refused whole, with its line.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from fmar_node import jsonld
from fmar_node.errors import Fault, FmarError, Malformed, Severity
from fmar_node.settings import Settings
from fmar_node.vocabulary import Document, TermKind, Vocabulary

FILLED = ("assetCategory", "otherKind", "energySource", "demandTechType", "energyConversionType", "ratedCapacity", "storageEnergyCapacity", "v2gCapable")
KEY = ("manufacturer", "assetModel")
MOST = 50_000
"""Models in a catalogue."""
ROW = "https://node.example/assets/00000000-0000-7000-8000-000000000000"
"""What a row is read as a document of."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Models by manufacturer and model, folded."""

    models: Mapping[tuple[str, ...], Document] = field(default_factory=dict)

    def filled(self, document: Document) -> Document:
        """What the catalogue has of a document's model that the document does not say."""
        return {term: value for term, value in self._model(document).items() if term not in document}

    def doubts(self, document: Document, vocabulary: Vocabulary) -> Iterator[Fault]:
        """Warnings of what the catalogue has otherwise."""
        for term, value in self._model(document).items():
            if term in document and not _is_same(document[term], value, vocabulary.terms[term].kind):
                message = f"the catalogue of devices has another {term} for this model: {value}"
                yield Fault("A11", Severity.WARN, message, f"/{term}", term, constraint="A11-catalogue")

    def _model(self, document: Document) -> Document:
        return self.models.get(_key(document), {}) if all(term in document for term in KEY) else {}


EMPTY = Catalogue()


def read_catalogue(path: Path, vocabulary: Vocabulary, settings: Settings) -> Catalogue:
    """The catalogue that a file holds. Malformed where it is none, with the line that is wrong."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file, strict=True)
            _check_header(table.fieldnames or (), path)
            return Catalogue(dict(_models(table, path, vocabulary, settings)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Malformed("malformed-request", f"device_catalogue: {path.name} cannot be read: {error}") from error


def _check_header(names: object, path: Path) -> None:
    found = set(names) if isinstance(names, list | tuple) else set()
    if not found >= set(KEY) or (unknown := found - {*KEY, *FILLED}):
        told = f"; not {sorted(map(str, unknown))[0]!r}" if found >= set(KEY) else ""
        raise Malformed("malformed-request", f"device_catalogue: the columns of {path.name} are {', '.join(KEY)} and any of {', '.join(FILLED)}{told}")


def _models(table: csv.DictReader[str], path: Path, vocabulary: Vocabulary, settings: Settings) -> Iterator[tuple[tuple[str, ...], Document]]:
    seen = set[tuple[str, ...]]()
    for row in table:
        where = f"device_catalogue: {path.name}, line {table.line_num}"
        document = _document(row, where, vocabulary, settings)
        key = _key(document)
        if not all(key) or key in seen:
            raise Malformed("malformed-request", f"{where}: each model stands once, with its manufacturer")
        seen.add(key)
        if len(seen) > MOST:
            raise Malformed("malformed-request", f"{where}: more than {MOST} models")
        yield key, {term: document[term] for term in FILLED if term in document}


def _document(row: Mapping[str | None, str | None], where: str, vocabulary: Vocabulary, settings: Settings) -> Document:
    """A row as a document reads it: exact decimals, active codes. Malformed otherwise."""
    given = {str(name): value.strip() for name, value in row.items() if name and isinstance(value, str) and value.strip()}
    if None in row:
        raise Malformed("malformed-request", f"{where}: more cells than columns")
    said = {name: value == "true" if vocabulary.terms[name].kind is TermKind.BOOLEAN and value in ("true", "false") else value for name, value in given.items()}
    try:
        reading = jsonld.read(json.dumps({"type": "Asset", **said}).encode(), "application/json", "Asset", ROW, vocabulary, settings)
    except FmarError as error:
        raise Malformed("malformed-request", f"{where}: {error.detail}") from error
    wrong = [fault.message for fault in reading.faults] + [f"{name} is no active code" for name in said if not _is_active(name, reading.document, vocabulary)]
    if wrong:
        raise Malformed("malformed-request", f"{where}: {wrong[0]}")
    return reading.document


def _is_active(name: str, document: Document, vocabulary: Vocabulary) -> bool:
    term = vocabulary.terms[name]
    if not term.scheme:
        return True
    code = vocabulary.schemes[term.scheme].codes.get(document.get(name, ""))
    return code is not None and code.is_active


def _is_same(given: object, known: object, kind: TermKind) -> bool:
    return Decimal(str(given)) == Decimal(str(known)) if kind is TermKind.DECIMAL else given == known


def _key(document: Mapping[str, object]) -> tuple[str, ...]:
    return tuple("".join(filter(str.isalnum, str(document.get(term, "")))).casefold() for term in KEY)
