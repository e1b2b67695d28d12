"""The words of the register, read from `ontology/`: terms, code lists, disclosure tiers, the context.

Rules kept here: nothing about a term is written in Python that the ontology says; a term's local name
is its JSON-LD key; every term has exactly one disclosure tier.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import pyoxigraph as ox

from fmar_node.errors import nearest

FMAR = "https://w3id.org/fmar/ns#"
CODES = "https://w3id.org/fmar/codes/"
SHAPES = "https://w3id.org/fmar/shapes/"
CONTEXT = "https://w3id.org/fmar/context/v1"
RELEASE = "1.0.0"
"""The version of the vocabulary and shapes in the package: release 1 of every node."""

XSD = "http://www.w3.org/2001/XMLSchema#"
LABEL = "http://www.w3.org/2000/01/rdf-schema#label"
RDF_TYPE = "http://www.w3.org/1999/02/22-rdf-syntax-ns#type"
RDFS = "http://www.w3.org/2000/01/rdf-schema#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
QUDT_UNIT = "http://qudt.org/schema/qudt/hasUnit"
SCHEMA_DOMAIN = "https://schema.org/domainIncludes"

Document = dict[str, Any]
"""A record in compact JSON-LD without @context: keys are terms, IRIs absolute, decimals text, codes their notation."""


class Tier(StrEnum):
    """How far a property may be disclosed; `fmar_node.access.reveal` says to whom."""

    OPEN = "open"
    OPERATIONAL = "operational"
    COMMERCIAL = "commercial"
    PERSONAL = "personal"


class TermKind(StrEnum):
    TEXT = "text"
    DECIMAL = "decimal"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    DATE = "date"
    INSTANT = "dateTime"
    CODE = "code"
    RECORD = "record"
    PART = "part"


DATATYPES = {
    XSD + "string": TermKind.TEXT,
    XSD + "decimal": TermKind.DECIMAL,
    XSD + "integer": TermKind.INTEGER,
    XSD + "boolean": TermKind.BOOLEAN,
    XSD + "date": TermKind.DATE,
    XSD + "dateTime": TermKind.INSTANT,
}


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of a code list; `notation` is what documents write."""

    notation: str
    iri: str
    label: str
    definition: str
    is_active: bool


@dataclass(frozen=True, slots=True)
class Scheme:
    """A code list: codes by notation, and whether documents may write a label instead."""

    name: str
    iri: str
    codes: Mapping[str, Code]
    labels_accepted: bool

    def notation_of(self, text: str) -> str:
        """The notation for a published label where the list accepts labels, otherwise the text itself."""
        if self.labels_accepted and text not in self.codes:
            return next((code.notation for code in self.codes.values() if code.label == text), text)
        return text


@dataclass(frozen=True, slots=True)
class Term:
    """One property of a record; see the annotation properties in `ontology/core.ttl`."""

    name: str
    iri: str
    kind: TermKind
    range: str
    tier: Tier
    order: int
    label: str
    definition: str
    domains: frozenset[str]
    scheme: str = ""
    many: bool = False
    server_set: bool = False
    rule: str = ""
    published: str = ""
    unit: str = ""

    @property
    def code(self) -> str:
        """The rule that a fault of this term's form is reported under."""
        return self.rule or "literal-ill-formed"

    @property
    def part_class(self) -> str:
        return self.range.removeprefix(FMAR)


@dataclass(frozen=True)
class Vocabulary:
    """Everything that `ontology/` says, ready for look-up."""

    terms: Mapping[str, Term]
    schemes: Mapping[str, Scheme]
    classes: Mapping[str, tuple[Term, ...]]
    context: Mapping[str, Any]
    ontology: tuple[ox.Triple, ...]
    codes: tuple[ox.Triple, ...]
    release: str = RELEASE
    """Its version, as records name it that were judged by it."""
    files: Mapping[str, str] = field(default_factory=dict)
    """What stands in the place of packaged files, by their names (`codes/AssetCategory.ttl`, `shapes/asset.ttl`)."""

    @classmethod
    def load(cls, folder: Path | None = None) -> Vocabulary:
        """The modules and code lists in `folder`; by default the packaged ones, which a process reads once."""
        return cls.read(folder) if folder else _packaged()

    @classmethod
    def read(cls, folder: Path) -> Vocabulary:
        ontology = _read(sorted(folder.glob("*.ttl")))
        codes = _read(sorted((folder / "codes").glob("*.ttl")))
        terms = {term.name: term for term in sorted(_terms(ontology), key=lambda term: (term.order, term.name))}
        classes: dict[str, list[Term]] = defaultdict(list)
        for term in terms.values():
            for domain in term.domains:
                classes[domain].append(term)
        context = json.loads((folder / "context-v1.jsonld").read_text("utf-8"))["@context"]
        frozen = {name: tuple(of_class) for name, of_class in classes.items()}
        return cls(terms, _schemes(codes), frozen, context, ontology, codes)

    def released(self, release: str, files: Mapping[str, str]) -> Vocabulary:
        """The vocabulary with these files in the place of packaged ones. SyntaxError where one is not Turtle."""
        names = (f"codes/{file.name}" for file in sorted((packaged("ontology") / "codes").glob("*.ttl")))
        codes = tuple(triple for name in names for triple in turtle(files.get(name) or packaged_text(name)))
        return replace(self, schemes=_schemes(codes), codes=codes, release=release, files=files)

    def text(self, name: str) -> str:
        """A file of code lists or shapes, as it is in force. FileNotFoundError where there is none of that name."""
        return self.files.get(name) or packaged_text(name)

    @cached_property
    def shapes(self) -> dict[str, tuple[ox.Triple, ...]]:
        """The shapes by kind (`asset`, `cim/asset`); read once, since blank nodes get other names with each reading."""
        return {name: tuple(turtle(self.text(f"shapes/{name}.ttl"))) for name in shape_names()}

    @cached_property
    def by_iri(self) -> dict[str, Term]:
        return {term.iri: term for term in self.terms.values()}

    @cached_property
    def decimals(self) -> frozenset[str]:
        """The names of the terms whose values are decimals."""
        return frozenset(term.name for term in self.terms.values() if term.kind is TermKind.DECIMAL)

    def named(self, key: str) -> Term | None:
        """The term that a key of a document means, by its name, its IRI or with our prefix."""
        return self.terms.get(key.removeprefix(FMAR).removeprefix("fmar:"))

    def suggestion(self, wrong: str, class_name: str) -> str | None:
        """The term of that class that a misspelt key most likely meant."""
        return nearest(wrong, (term.name for term in self.classes.get(class_name, ()))) or None

    def code_hint(self, scheme: str, wrong: str) -> str:
        """What to do about a text that is no active code of a list: the code that was most likely meant, by its notation or label, and where they are."""
        active = [code for code in self.schemes[scheme].codes.values() if code.is_active]
        known = {name.lower(): code.notation for code in active for name in (code.label, code.notation)}
        text = wrong.rsplit("#", 1)[-1].lower()
        near = nearest(text, known) or next((name for name in known if len(text) > 2 and text in name.split()), "")
        return f"; did you mean {known[near]}? Codes are listed at /codes/{scheme}" if near else f"; codes are listed at /codes/{scheme}"


@cache
def _packaged() -> Vocabulary:
    return Vocabulary.read(packaged("ontology"))


def packaged(name: str) -> Path:
    """Where `ontology`, `shapes` or `examples` stand: in the wheel, or at the top of a checkout."""
    here = Path(__file__).parent
    inside = here / "packaged" / name
    return inside if inside.exists() else here.parent / name


def packaged_text(name: str) -> str:
    """A packaged file of code lists or shapes. FileNotFoundError where there is none of that name."""
    room = packaged("ontology") if name.startswith("codes/") else packaged("shapes").parent
    return (room / name).read_text("utf-8")


def shape_names() -> list[str]:
    """The kinds that there are shapes for: first our own, then those in a profile."""
    folder = packaged("shapes")
    return [file.relative_to(folder).with_suffix("").as_posix() for file in (*sorted(folder.glob("*.ttl")), *sorted(folder.glob("*/*.ttl")))]


def turtle(text: str) -> Iterable[ox.Triple]:
    """The triples of a Turtle text; blank nodes are of this reading alone. SyntaxError."""
    return (quad.triple for quad in ox.parse(text.encode(), format=ox.RdfFormat.TURTLE, rename_blank_nodes=True))


def _read(files: Iterable[Path]) -> tuple[ox.Triple, ...]:
    return tuple(quad.triple for file in files for quad in ox.parse(path=str(file), format=ox.RdfFormat.TURTLE))


def _described(triples: Iterable[ox.Triple]) -> dict[str, dict[str, list[str]]]:
    """subject -> predicate -> values, all as text; blank nodes left out."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for triple in triples:
        if isinstance(triple.subject, ox.NamedNode) and not isinstance(triple.object, ox.BlankNode | ox.Triple):
            found[triple.subject.value][triple.predicate.value].append(triple.object.value)
    return found


def _first(facts: Mapping[str, list[str]], predicate: str, otherwise: str = "") -> str:
    return facts[predicate][0] if facts.get(predicate) else otherwise


def _terms(triples: Iterable[ox.Triple]) -> Iterable[Term]:
    described = _described(triples)
    part_classes = {iri for iri, facts in described.items() if FMAR + "Part" in facts.get(RDFS + "subClassOf", ())}
    for iri, facts in described.items():
        if not (iri.startswith(FMAR) and facts.get(FMAR + "disclosureTier")):
            continue
        range_ = _first(facts, RDFS + "range")
        domains = facts.get(RDFS + "domain", []) + facts.get(SCHEMA_DOMAIN, [])
        yield Term(
            name=iri.removeprefix(FMAR),
            iri=iri,
            kind=_kind(range_, part_classes),
            range=range_,
            tier=Tier(_first(facts, FMAR + "disclosureTier").removeprefix(FMAR)),
            order=int(_first(facts, FMAR + "termOrder", "9999")),
            label=_first(facts, RDFS + "label"),
            definition=_first(facts, SKOS + "definition"),
            domains=frozenset(domain.removeprefix(FMAR) for domain in domains),
            scheme=_first(facts, FMAR + "codeScheme").removeprefix(CODES),
            many=_first(facts, FMAR + "many") == "true",
            server_set=_first(facts, FMAR + "serverSet") == "true",
            rule=_first(facts, FMAR + "ruleKey"),
            published=_first(facts, FMAR + "publishedName"),
            unit=_first(facts, QUDT_UNIT),
        )


def _kind(range_: str, part_classes: set[str]) -> TermKind:
    if range_ in DATATYPES:
        return DATATYPES[range_]
    if range_ == SKOS + "Concept":
        return TermKind.CODE
    return TermKind.PART if range_ in part_classes else TermKind.RECORD


def _schemes(triples: Iterable[ox.Triple]) -> dict[str, Scheme]:
    described = _described(triples)
    codes: dict[str, dict[str, Code]] = defaultdict(dict)
    for iri, facts in described.items():
        if notation := _first(facts, SKOS + "notation"):
            name = _first(facts, SKOS + "inScheme").removeprefix(CODES)
            active = _first(facts, FMAR + "active", "true") == "true"
            label, definition = _first(facts, SKOS + "prefLabel"), _first(facts, SKOS + "definition")
            codes[name][notation] = Code(notation, iri, label, definition, active)
    return {
        name: Scheme(name, CODES + name, members, _first(described[CODES + name], FMAR + "labelsAccepted") == "true")
        for name, members in codes.items()
    }
