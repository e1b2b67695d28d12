"""A whole file of the register: what its rows say only together.

Rules kept here: a meter point is no key, so that a machine is known by meter point, site, technology and capacity;
rows that share a meter point are reported, rows that agree in all four are ambiguous and left to the register to
refuse; twins of one key are numbered. The same rows give the same documents and keys, whenever they are read.
An unchanged row of a later release is recognised by its values, not by its text.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from fmar_node.imports.cell import CellError, day
from fmar_node.imports.connection import SUBSTATIONS
from fmar_node.imports.ecr import candidates, row_key
from fmar_node.imports.reading import Candidate, Document, Note, RowReading, Weight
from fmar_node.imports.spelling import Spellings, packaged, words
from fmar_node.imports.table import Row

NEAR = Decimal("0.05")
"""Two machines of one meter point and category within this part of the larger capacity look like one (domain 5.1)."""
NOT_COMPARED = frozenset({"@context", "type", "alias", "justification", "publishedSource", "publishedValue"})
NAMES = frozenset({*SUBSTATIONS, "assetName"})
DESCRIPTIONS = frozenset({"energyConversionType", "otherDescription"})
VOLTAGE = re.compile(r"\b[0-9]+(?:\.[0-9]+)?(?:\s*/\s*[0-9]+(?:\.[0-9]+)?)*\s*kv\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a candidate stands in the file, and what its row says of the site."""

    reading: int
    candidate: Candidate
    site: str

    @property
    def machine(self) -> tuple[Any, ...]:
        """What tells machines of one meter point apart."""
        document = self.candidate.document
        return (
            self.site,
            document.get("energySource"),
            document.get("energyConversionType"),
            document.get("ratedCapacity"),
        )


def read_register(rows: Iterable[Row], release: str = "", spellings: Spellings | None = None) -> list[RowReading]:
    """Every row of a file, read. `release` is worked out from the rows when it is not given."""
    tables = spellings or packaged()
    all_rows = list(rows)
    release = release or release_name(all_rows, tables)
    readings = [candidates(row, release, tables) for row in all_rows]
    sites = [words(row.cells.get("customer_site", "")) for row in all_rows]
    readings = _with_own_keys(readings, all_rows, release)
    return _with_shared_meter_points(readings, sites, release)


def aliases_of(readings: Iterable[RowReading]) -> frozenset[str]:
    """By what the rows of a file are known."""
    return frozenset(alias["value"] for reading in readings for document in reading.documents for alias in document["alias"])


def release_name(rows: Sequence[Row], spellings: Spellings | None = None) -> str:
    """`UKPN ECR 2025-08`: the publisher by its licence areas, the month by the newest Last Updated."""
    tables = spellings or packaged()
    areas = Counter(tables.licence_areas.get(words(row.cells.get("licence_area", "")), "") for row in rows)
    publishers = [area.split("_")[0] for area, _ in areas.most_common() if area]
    days = [found for row in rows if (found := _day(row.cells.get("last_updated", "")))]
    month = f"{max(days):%Y-%m}" if days else ""
    return " ".join(part for part in (*publishers[:1], "ECR", month) if part)


def changed_terms(document: Document, record: Mapping[str, Any], spellings: Spellings | None = None) -> tuple[str, ...]:
    """The terms in which a candidate differs from a registered record, by what they mean.

    Empty: the release brought nothing new and no new version is due. How it was published is not compared, nor
    what only the record has, unless the candidate could have had it; a substation is the same whatever voltage stands behind its name.
    """
    tables = spellings or packaged()
    could_have = document.keys() | ({"importMPAN", "exportMPAN", "commissioningDate"} & record.keys())
    compared = could_have - NOT_COMPARED
    return tuple(sorted(term for term in compared if _meaning(term, document.get(term), tables) != _meaning(term, record.get(term), tables)))


def _meaning(term: str, value: Any, tables: Spellings) -> Any:
    if isinstance(value, str) and term in NAMES:
        return _place_name(value, tables)
    if isinstance(value, str) and term in DESCRIPTIONS:
        return [_kind_of_machine(part, tables) for part in value.split(";")]
    return _normal(value)


def _place_name(text: str, tables: Spellings) -> str:
    """A name without voltages and what only says that it is a substation; all of it where nothing else would be left."""
    spoken = words(VOLTAGE.sub(" ", text))
    return " ".join(word for word in spoken.split() if word not in tables.substation_words) or words(text)


def _kind_of_machine(text: str, tables: Spellings) -> Any:
    """What a text says of a machine: an energy source or a technology, however it is spelt; its words where it is neither."""
    return tables.source(text) or tables.technologies.get(words(text)) or words(text)


def _day(cell: str) -> date | None:
    try:
        return day(cell)
    except CellError:
        return None


def _normal(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return value
    text = str(value).rsplit("#", 1)[-1]
    try:
        return Decimal(text).normalize()
    except InvalidOperation:
        return words(text)


def _with_own_keys(readings: list[RowReading], rows: list[Row], release: str) -> list[RowReading]:
    """Twins apart: equal rows get keys of their own, equal aliases a number."""
    seen_rows: Counter[tuple[str, ...]] = Counter()
    seen_aliases: Counter[str] = Counter()
    apart = []
    for reading, row in zip(readings, rows, strict=True):
        occurrence = seen_rows[row.text]
        seen_rows[row.text] += 1
        own = []
        for candidate in reading.candidates:
            alias = candidate.document["alias"][0]
            seen_aliases[alias["value"]] += 1
            number = seen_aliases[alias["value"]]
            document = candidate.document
            if number > 1:
                document = {**document, "alias": [{**alias, "value": f"{alias['value']}-{number}"}]}
            own.append(
                Candidate(candidate.technology, document, row_key(release, row, candidate.technology, occurrence))
            )
        apart.append(replace(reading, candidates=tuple(own)))
    return apart


def _with_shared_meter_points(readings: list[RowReading], sites: list[str], release: str) -> list[RowReading]:
    at = _by_meter_point(readings, sites)
    notes: dict[int, list[Note]] = defaultdict(list)
    apart: set[str] = set()
    for standings in at.values():
        if len({standing.reading for standing in standings}) > 1:
            _note_sharing(standings, notes)
        apart |= _keys_of_near_others(standings)
    return [
        replace(
            reading,
            notes=(*reading.notes, *notes[place]),
            candidates=tuple(_justified(each, release) if each.key in apart else each for each in reading.candidates),
        )
        for place, reading in enumerate(readings)
    ]


def _by_meter_point(readings: list[RowReading], sites: list[str]) -> dict[str, list[Standing]]:
    at: dict[str, list[Standing]] = defaultdict(list)
    for place, reading in enumerate(readings):
        for candidate in reading.candidates:
            for meter_point in {candidate.document.get("importMPAN"), candidate.document.get("exportMPAN")} - {None}:
                at[str(meter_point)].append(Standing(place, candidate, sites[place]))
    return at


def _note_sharing(standings: list[Standing], notes: dict[int, list[Note]]) -> None:
    """One note per row: ambiguous where another row has the same machine, else shared."""
    for standing in standings:
        others = [other for other in standings if other.reading != standing.reading]
        is_ambiguous = any(other.machine == standing.machine for other in others)
        code = "MPAN-AMBIGUOUS" if is_ambiguous else "MPAN-SHARED"
        message = (
            "another row has the same meter point, site, technology and capacity; it may be the same machine"
            if is_ambiguous
            else "this meter point stands on other rows too; it is no key"
        )
        note = Note("exportMPAN", Weight.WARN, code, message)
        if note not in notes[standing.reading]:
            notes[standing.reading].append(note)


def _keys_of_near_others(standings: list[Standing]) -> set[str]:
    """Candidates that the register would take for another one at their meter point, and that the file tells apart."""
    return {
        one.candidate.key
        for one in standings
        for other in standings
        if one is not other and _is_near(one.candidate.document, other.candidate.document) and not _is_same(one, other)
    }


def _is_near(one: Document, other: Document) -> bool:
    if one["assetCategory"] != other["assetCategory"] or "ratedCapacity" not in one or "ratedCapacity" not in other:
        return False
    ours, theirs = Decimal(one["ratedCapacity"]), Decimal(other["ratedCapacity"])
    return abs(ours - theirs) <= NEAR * max(ours, theirs)


def _is_same(one: Standing, other: Standing) -> bool:
    """Whether two rows say the same of a machine; two technologies of one row are never the same."""
    return one.reading != other.reading and one.machine == other.machine


def _justified(candidate: Candidate, release: str) -> Candidate:
    text = f"The published register ({release}) lists it apart from the other asset at this meter point."
    said = [*candidate.document["justification"], {"rule": "DUPLICATE_PROBABLE", "text": text}]
    return replace(candidate, document={**candidate.document, "justification": said})
