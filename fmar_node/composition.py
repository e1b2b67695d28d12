"""Triples to record documents: the triples decide what a submission says, whatever its syntax was.

Rules kept here: every typed literal is well-formed, in one canonical form, or a fault on its field; a predicate that
the class does not have, a second value, a foreign subject are faults; keys and arrays stand in one order.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

import pyoxigraph as ox

from fmar_node.clock import parse_stamp
from fmar_node.errors import Fault, Invalid, Severity, with_article
from fmar_node.vocabulary import CODES, FMAR, RDF_TYPE, XSD, Document, Term, TermKind, Tier, Vocabulary

CODE_TEXT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
"""What a code is written with, and the name of a part behind the record's `#`."""
DECIMAL = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)")
INTEGER = re.compile(r"[+-]?[0-9]+")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
CIM_NAME = re.compile(r"(?:cim:|nc:)?[A-Z]\w*\.\w+")
"""So CIM writes its properties, and no term of ours is written so."""
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
LINE_BREAK = re.compile("[\t\n\r\x85\u2028\u2029]")
MULTILINE = frozenset({"text", "publishedText", "queryText", "releaseDescription", "fileText"})
WHOLE_FILES = frozenset({"fileText"})
"""Texts that are as long as a body lets them be."""
"""The only texts that may have lines: elsewhere a line break would slip past a pattern's end."""
MOST_DIGITS = 15
"""Decimals of so many digits are exact in a double too, and so in `application/json`."""
MOST_FAULTS = 100
"""A document with more faults than this is not read to its end."""
TWO_PLACES = Decimal("0.01")
Facts = Mapping[str, Mapping[str, list[Any]]]


@dataclass(slots=True)
class Reading:
    """What a submission says, and what is wrong with how it says it.

    `pointers` maps the IRI of the record and of each part to the JSON pointer of its object;
    `meant` holds the terms that misspelt keys most likely meant.
    """

    document: Document = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    pointers: dict[str, str] = field(default_factory=dict)
    meant: set[str] = field(default_factory=set)

    def report(self, fault: Fault) -> None:
        """Notes a fault; Invalid with all so far when there are too many to go on."""
        self.faults.append(fault)
        if len(self.faults) >= MOST_FAULTS:
            raise Invalid("validation-failed", f"{MOST_FAULTS} faults or more; the first are listed", tuple(self.faults))


FORMS = {
    TermKind.TEXT: "text in quotes, not empty, of printable characters",
    TermKind.DECIMAL: f"a decimal number such as 7.5 or \"7.50\", of at most {MOST_DIGITS} digits",
    TermKind.INTEGER: f"a whole number of at most {MOST_DIGITS} digits",
    TermKind.BOOLEAN: "true or false",
    TermKind.DATE: "a date such as 2026-11-22",
    TermKind.INSTANT: "a time with a zone such as 2026-11-22T09:30:00Z",
    TermKind.RECORD: "the IRI of a record",
    TermKind.PART: "an object",
}


def wanted(term: Term) -> str:
    """What a value of a term has to be."""
    return f"a code of the list at /codes/{term.scheme}" if term.kind is TermKind.CODE else FORMS[term.kind]


def unknown_term(key: str, class_name: str, pointer: str, vocabulary: Vocabulary, meant: set[str]) -> Fault:
    """The fault for a key that the class does not have, with the term that was most likely meant."""
    suggestion = vocabulary.suggestion(key.rsplit("#", 1)[-1].removeprefix("fmar:"), class_name)
    if suggestion:
        meant.add(suggestion)
    hint = f"; did you mean {suggestion}?" if suggestion else "; the terms are listed at /context/v1"
    if CIM_NAME.fullmatch(key):
        hint = "; names of CIM are understood in a whole document (POST, PUT) with ?profile=cim or an @context of CIM; PATCH takes terms of the register"
    message = f"{key[:80]!r} is not a term of {class_name}{hint}"
    return Fault("unknown-term", Severity.REJECT, message, pointer, key[:80])


def escaped(key: str) -> str:
    """A key as a step of a JSON pointer (RFC 6901), cut to a length that is safe to repeat."""
    return key[:80].replace("~", "~0").replace("/", "~1")


def moved(pointer: str, places: Mapping[str, str]) -> str:
    """A pointer with the longest known beginning replaced by where that stands in another document."""
    head, rest = pointer, ""
    while head and head not in places:
        head, _, step = head.rpartition("/")
        rest = f"/{step}{rest}"
    return places.get(head, "") + rest


class Composer:
    """Builds the record document from triples: the triples decide, whatever the syntax was."""

    def __init__(self, vocabulary: Vocabulary, longest: int, iri: str, reading: Reading) -> None:
        self.vocabulary, self.longest, self.iri, self.reading = vocabulary, longest, iri, reading
        self.seen: set[str] = set()

    def record(self, triples: Iterable[ox.Triple], class_name: str) -> Document:
        facts: dict[str, dict[str, list[Any]]] = defaultdict(lambda: defaultdict(list))
        for triple in dict.fromkeys(triples):
            subject = triple.subject.value if isinstance(triple.subject, ox.NamedNode) else "_"
            facts[subject][triple.predicate.value].append(triple.object)
        document = self._object(facts, self.iri, class_name)
        for foreign in [subject for subject in facts if subject not in self.seen]:
            message = f"a document describes one record and its parts, not {foreign[:200]}"
            self.reading.report(Fault("foreign-subject", Severity.REJECT, message, "", "id"))
        return document

    def _object(self, facts: Facts, subject: str, class_name: str) -> Document:
        self.seen.add(subject)
        pointer = self.reading.pointers.setdefault(subject, "")
        values: dict[str, Any] = {}
        for predicate, objects in facts.get(subject, {}).items():
            if predicate == RDF_TYPE:
                self._check_type(objects, class_name, pointer)
                continue
            term = self.vocabulary.by_iri.get(predicate)
            if term is None or class_name not in term.domains:
                name = predicate.removeprefix(FMAR)
                where = f"{pointer}/{escaped(name)}"
                self.reading.report(
                    unknown_term(name, class_name, where, self.vocabulary, self.reading.meant)
                )
                continue
            made = [self._value(term, each, facts, f"{pointer}/{term.name}") for each in objects]
            kept = [each for each in made if each is not None]
            if kept:
                values[term.name] = self._arranged(term, kept, pointer)
        return {"id": subject, "type": class_name, **in_order(values, self.vocabulary)}

    def _check_type(self, objects: list[Any], class_name: str, pointer: str) -> None:
        if any(getattr(each, "value", "") != FMAR + class_name for each in objects):
            message = f"this is read as {with_article(class_name)} and nothing else"
            self.reading.report(Fault("type-mismatch", Severity.REJECT, message, f"{pointer}/type", "type"))

    def _arranged(self, term: Term, values: list[Any], pointer: str) -> Any:
        if term.many:
            return sorted(values, key=_natural)
        if len(values) > 1:
            message = f"{term.name} takes one value, not {len(values)}"
            self.reading.report(Fault(term.code, Severity.REJECT, message, f"{pointer}/{term.name}", term.name))
        return values[0]

    def _value(self, term: Term, value: Any, facts: Facts, pointer: str) -> Any:
        if term.kind is TermKind.PART:
            if isinstance(value, ox.NamedNode) and self._is_fresh_part(value.value):
                return self._object(facts, value.value, term.part_class)
            made = None
        elif term.kind in (TermKind.CODE, TermKind.RECORD):
            made = self._reference(term, value)
        else:
            made = literal(term, value, self.longest)
        if made is None:
            self._ill_formed(term, value, pointer)
        return made

    def _is_fresh_part(self, iri: str) -> bool:
        stem, _, name = iri.partition("#")
        return stem == self.iri and CODE_TEXT.fullmatch(name) is not None and iri not in self.seen

    def _reference(self, term: Term, value: Any) -> str | None:
        if not isinstance(value, ox.NamedNode):
            return None
        if term.kind is TermKind.CODE:
            return value.value.removeprefix(f"{CODES}{term.scheme}#")
        return value.value

    def _ill_formed(self, term: Term, value: Any, pointer: str) -> None:
        shown = None if term.tier is Tier.PERSONAL else str(getattr(value, "value", ""))[:80]
        is_long = term.kind is TermKind.TEXT and len(getattr(value, "value", "")) > self.longest
        message = f"{term.name} is longer than {self.longest} characters" if is_long else f"{term.name} must be {wanted(term)}"
        fault = Fault(term.code, Severity.REJECT, message, pointer, term.name, shown, "literal-ill-formed")
        self.reading.report(fault)


def literal(term: Term, value: Any, longest: int) -> Any:
    """The document value of an RDF literal in its canonical form, or None when it is ill-formed for the term."""
    if not isinstance(value, ox.Literal):
        return None
    text, datatype = value.value, value.datatype.value
    if datatype not in (term.range, XSD + "string") and (term.kind, datatype) != (TermKind.DECIMAL, XSD + "integer"):
        return None
    if (len(text) > longest and term.name not in WHOLE_FILES) or UNPRINTABLE.search(text) or (LINE_BREAK.search(text) and term.name not in MULTILINE):
        return None
    return LITERALS[term.kind](text, term)


def _decimal(text: str, term: Term) -> str | None:
    if not DECIMAL.fullmatch(text) or len(text) > MOST_DIGITS + 10:  # a context of 28 digits rounds none of them
        return None
    number = Decimal(text).normalize() + 0  # no minus before a zero
    if len(number.as_tuple().digits) > MOST_DIGITS or number.adjusted() > MOST_DIGITS:
        return None
    if number == number.quantize(TWO_PLACES) and term.unit:
        return format(number.quantize(TWO_PLACES), "f")
    return format(number, "f")


def _date(text: str, _: Term) -> str | None:
    try:
        return date.fromisoformat(text).isoformat() if DATE.fullmatch(text) else None
    except ValueError:
        return None


def _instant(text: str, _: Term) -> str | None:
    try:
        return text if len(text) > 10 and parse_stamp(text) else None
    except ValueError:
        return None


LITERALS = {
    TermKind.TEXT: lambda text, _: text if text.strip() else None,
    TermKind.DECIMAL: _decimal,
    TermKind.INTEGER: lambda text, _: int(text) if INTEGER.fullmatch(text) and len(text) <= MOST_DIGITS else None,
    TermKind.BOOLEAN: lambda text, _: {"true": True, "1": True, "false": False, "0": False}.get(text),
    TermKind.DATE: _date,
    TermKind.INSTANT: _instant,
}


def in_order(values: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Keys in the ontology's order: a record prints the same bytes from read to read."""
    terms = vocabulary.terms
    return {name: values[name] for name in sorted(values, key=lambda name: (terms[name].order, name))}


def _natural(value: Any) -> tuple[str, int, str]:
    text = value["id"] if isinstance(value, dict) else str(value)
    stem, _, number = text.rpartition("-")
    return (stem, int(number), text) if number.isascii() and number.isdigit() and len(number) < 9 else (text, 0, text)
