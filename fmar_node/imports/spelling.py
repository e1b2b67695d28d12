"""How publishers spell things: `ecr-mapping.toml`, looked up by words.

Rules kept here: two texts are one spelling when their words are the same, whatever the case, the punctuation and
the spaces; a spelling that is not in the tables is unknown, never guessed; a word table may settle an unknown
energy source only when everything that it finds agrees.
"""

from __future__ import annotations

import re
import tomllib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from fmar_node.imports.table import squash

TECHNOLOGIES = (1, 2, 3)
"""A row of the register has room for this many technologies."""
NOT_A_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class EnergySource:
    """What an energy source is in the register's codes. `name` labels the asset for people."""

    name: str
    code: str
    category: str
    kind: str
    is_fuel: bool = False
    is_assumed_battery: bool = False
    demand: str = "OTHER"
    """The code of DemandTechType, of demand."""


@dataclass(frozen=True, slots=True)
class Technology:
    """What a conversion technology says about the energy source: which one it cannot be without, or any."""

    source: EnergySource | None = None
    is_generic: bool = False
    is_chp: bool = False


@dataclass(frozen=True, slots=True)
class Spellings:
    """The tables of `ecr-mapping.toml`, keyed by `words` of a spelling."""

    columns: Mapping[str, str]
    personal: frozenset[str]
    placeholders: frozenset[str]
    withheld: frozenset[str]
    no_dates: frozenset[str]
    flags: Mapping[str, bool]
    statuses: Mapping[str, str]
    voltages: Mapping[str, str]
    licence_areas: Mapping[str, str]
    publishers: Mapping[str, str]
    sources: Mapping[str, EnergySource]
    source_words: Mapping[str, EnergySource]
    technologies: Mapping[str, Technology]
    honorifics: frozenset[str]
    legal_forms: frozenset[str]
    organisation_words: tuple[str, ...]
    substation_words: frozenset[str] = frozenset()

    def is_missing(self, cell: str) -> bool:
        """Whether a cell says that there is no value."""
        return words(cell) in self.placeholders

    def publisher(self, dno_code: str | None) -> str:
        """Who publishes the register of a licence area; empty when it is not known."""
        return next((name for prefix, name in self.publishers.items() if (dno_code or "").startswith(prefix)), "")

    def source(self, cell: str) -> EnergySource | None:
        """The energy source of a spelling."""
        return self.sources.get(words(cell))

    def source_by_word(self, cell: str) -> EnergySource | None:
        """The energy source that the words of an unknown spelling agree on."""
        found = [self.source_words[word] for word in words(cell).split() if word in self.source_words]
        agree = len({(source.code, source.category) for source in found}) == 1
        return found[0] if agree else None

    def is_individual(self, name: str) -> bool:
        """Whether a name can only be a person's: an honorific or initials, and no word of an organisation."""
        parts = words(name).split()
        if len(parts) < 2 or self._names_an_organisation(parts):
            return False
        before, last = parts[:-1], parts[-1]
        return parts[0] in self.honorifics or (
            len(last) > 1 and last.isalpha() and all(_is_initial(part) for part in before)
        )

    def _names_an_organisation(self, parts: list[str]) -> bool:
        padded = f" {' '.join(parts)} "
        return any(part in self.legal_forms for part in parts) or any(
            f" {word} " in padded for word in self.organisation_words
        )


def words(text: str) -> str:
    """A spelling by its words: lower case, letters and digits, one space between."""
    folded = unicodedata.normalize("NFKD", text).casefold()
    return NOT_A_WORD.sub(" ", "".join(char for char in folded if not unicodedata.combining(char))).strip()


@cache
def packaged() -> Spellings:
    """The tables that the package ships."""
    text = resources.files("fmar_node.imports").joinpath("ecr-mapping.toml").read_text("utf-8")
    return spellings_from(tomllib.loads(text))


def spellings_from(tables: Mapping[str, Any]) -> Spellings:
    """Spellings from the parsed TOML; KeyError when a technology names a source that has no such spelling."""
    sources = {words(spelling): source_of(entry) for entry in tables["energy_source"] for spelling in entry["spellings"]}
    return Spellings(
        columns=_columns(tables),
        personal=frozenset(tables["personal"]),
        placeholders=_set(tables["placeholders"]),
        withheld=_set(tables["withheld"]),
        no_dates=frozenset(tables["no_dates"]),
        flags={word: True for word in tables["yes"]} | {word: False for word in tables["no"]},
        statuses=inverted(tables["status"]),
        voltages=inverted(tables["voltages"]),
        licence_areas=inverted(tables["licence_area"]),
        publishers=dict(tables["publisher"]),
        sources=sources,
        source_words={word: source_of(entry) for entry in tables["energy_source"] for word in entry.get("words", ())},
        technologies={
            words(spelling): _technology(entry, sources)
            for entry in tables["technology"]
            for spelling in entry["spellings"]
        },
        honorifics=frozenset(tables["honorifics"]),
        legal_forms=frozenset(tables["legal_forms"]),
        organisation_words=tuple(tables["organisation_words"]),
        substation_words=_set(tables["substation_words"]),
    )


def _columns(tables: Mapping[str, Any]) -> dict[str, str]:
    """Squashed header -> canonical column; those of the technologies end in their number."""
    found = {squash(header): column for column, headers in tables["columns"].items() for header in headers}
    for number in TECHNOLOGIES:
        for column, headers in tables["technology_columns"].items():
            found |= {squash(header.format(n=number)): f"{column}_{number}" for header in headers}
    for column, headers in tables["first_technology_columns"].items():
        found |= {squash(header): f"{column}_1" for header in headers}
    return found


def source_of(entry: Mapping[str, Any]) -> EnergySource:
    """An entry of a table of energy sources."""
    return EnergySource(
        entry["name"],
        entry["code"],
        entry["category"],
        entry["kind"],
        entry.get("fuel", False),
        entry.get("assumed_battery", False),
        entry.get("demand", "OTHER"),
    )


def _technology(entry: Mapping[str, Any], sources: Mapping[str, EnergySource]) -> Technology:
    source = sources[words(entry["source"])] if "source" in entry else None
    return Technology(source, entry.get("generic", False), entry.get("chp", False))


def inverted(table: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Code by spelling, of spellings by code."""
    return {words(spelling): code for code, spellings in table.items() for spelling in spellings}


def _set(spellings: Iterable[str]) -> frozenset[str]:
    return frozenset(words(spelling) for spelling in spellings)


def _is_initial(part: str) -> bool:
    return len(part) == 1 or part == "and"
