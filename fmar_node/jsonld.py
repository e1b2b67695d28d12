"""Documents in: JSON-LD (or Turtle, N-Triples) to a record document, with every fault of form on its pointer.

Rules kept here (step 3 of the write path):
- contexts come from the package, never from the network or the document;
- numbers become exact decimal text before an RDF parser sees them ("7.4" would become "7.4E0"^^xsd:decimal);
- a typed literal that is not well-formed is a fault of its own;
- nothing vanishes: an unknown key, a foreign subject, a value of the wrong form is reported;
- no blank node remains: parts get hash IRIs below the record.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import pyoxigraph as ox

from fmar_node.composition import FORMS, MOST_DIGITS, Composer, Reading, escaped, unknown_term
from fmar_node.errors import Fault, FmarError, Invalid, Malformed, Severity
from fmar_node.limits import check_json_nesting, check_size
from fmar_node.settings import Settings
from fmar_node.vocabulary import CODES, CONTEXT, FMAR, RDF_TYPE, Term, TermKind, Vocabulary

JSON_TYPES = frozenset({"application/ld+json", "application/json"})
RDF_TYPES = {"text/turtle": ox.RdfFormat.TURTLE, "application/n-triples": ox.RdfFormat.N_TRIPLES}
MEDIA_TYPES = (*sorted(JSON_TYPES, reverse=True), *RDF_TYPES)

CODE_TEXT = re.compile(r"[A-Za-z0-9_.-]{1,64}")
IRI_TEXT = re.compile(r"[^\x00-\x20<>\"{}|\\^`]{1,512}")


class Number(str):
    """The text of a JSON number, kept apart from JSON strings."""

    __slots__ = ()


def read(body: bytes, media_type: str, class_name: str, iri: str, vocabulary: Vocabulary, settings: Settings) -> Reading:
    """Reads a document about the record `iri`. Malformed, TooLarge, Invalid; faults of form are in the reading."""
    check_size(body, settings.body_bytes)
    reading = Reading(pointers={iri: ""})
    if media_type in JSON_TYPES:
        tree = read_json(body, settings)
        _check_context(tree)
        linked = _Keys(vocabulary, settings, iri, reading).linked(tree, class_name, iri, "")
        triples = _parse_linked({"@context": dict(vocabulary.context), **linked}, settings.base_url)
    else:
        triples = _parse_rdf(body, RDF_TYPES[media_type], iri)
        triples = _named(triples, class_name, iri, vocabulary, settings.parts)
    reading.document = Composer(vocabulary, settings.literal_chars, iri, reading).record(triples, class_name)
    return reading


def read_json(body: bytes, settings: Settings) -> dict[str, Any]:
    """One JSON object; numbers as `Number` texts. Malformed for anything else."""
    tree = _read_tree(body, settings)
    if not isinstance(tree, dict):
        raise Malformed("malformed-json", "expected one JSON object")
    return tree


def read_array(body: bytes, settings: Settings) -> list[Any]:
    """A JSON array of documents; numbers as `Number` texts."""
    tree = _read_tree(body, settings)
    if not isinstance(tree, list):
        raise Malformed("malformed-json", "expected a JSON array of documents")
    return tree


def _read_tree(body: bytes, settings: Settings) -> Any:
    check_json_nesting(body, settings.json_depth)
    try:
        return json.loads(
            body.decode("utf-8-sig"),
            parse_float=Number,
            parse_int=Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except (ValueError, RecursionError) as error:
        raise Malformed("malformed-json", str(error)) from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return found


def _check_context(tree: Mapping[str, Any]) -> None:
    given = tree.get("@context")
    if given not in (None, CONTEXT, [CONTEXT]):
        raise Invalid("context-not-supported", f"@context may be absent or {CONTEXT}")


def _parse_linked(linked: Mapping[str, Any], base_url: str) -> list[ox.Triple]:
    data = json.dumps(linked).encode()
    return [quad.triple for quad in ox.parse(data, format=ox.RdfFormat.JSON_LD, base_iri=base_url + "/")]


def _parse_rdf(body: bytes, format_: ox.RdfFormat, iri: str) -> list[ox.Triple]:
    try:
        return [quad.triple for quad in ox.parse(body, format=format_, base_iri=iri)]
    except (SyntaxError, ValueError, UnicodeError) as error:
        raise Malformed("malformed-rdf", str(error)[:300]) from error


def exact(text: str) -> str | None:
    """A JSON number as plain decimal text ("1e3" -> "1000"), or None when it is beyond all use."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > MOST_DIGITS or len(number.as_tuple().digits) > MOST_DIGITS:
        return None
    return format(number, "f")


class _Keys:
    """Walks the keys of a JSON document: what JSON-LD would silently drop or bend is reported here."""

    def __init__(self, vocabulary: Vocabulary, settings: Settings, iri: str, reading: Reading) -> None:
        self.vocabulary, self.settings, self.iri, self.reading = vocabulary, settings, iri, reading
        self.parts: dict[str, int] = defaultdict(int)
        self.taken: set[str] = set()

    def linked(self, tree: Mapping[str, Any], class_name: str, subject: str, pointer: str) -> dict[str, Any]:
        """The same object with identifiers, exact texts and known terms only."""
        linked: dict[str, Any] = {"@id": subject, "@type": FMAR + class_name}
        for key, value in tree.items():
            here = f"{pointer}/{escaped(key)}"
            if key in ("id", "@id", "type", "@type", "@context"):
                self._check_keyword(key, value, class_name, subject, here)
            elif (term := self._term(key, class_name, here)) is not None and value is not None:
                values = self._values(term, value, here)
                if values:
                    linked[term.name] = linked.get(term.name, []) + values
        return linked

    def _check_keyword(self, key: str, value: Any, class_name: str, subject: str, here: str) -> None:
        if key in ("id", "@id"):
            if value is not None and (not isinstance(value, str) or self._absolute(value, subject) != subject):
                self._report("A01" if subject == self.iri else "part-id", here, "id", "identifiers are issued by the node")
        elif key in ("type", "@type"):
            names = value if isinstance(value, list) else [value]
            if any(name not in (class_name, FMAR + class_name, f"fmar:{class_name}") for name in names):
                self._report("type-mismatch", here, "type", f"this is read as a {class_name}, not as {str(value)[:60]}")
        elif subject != self.iri:
            self._report("unknown-term", here, key, "a part has no @context of its own")

    def _term(self, key: str, class_name: str, here: str) -> Term | None:
        if key.startswith("@"):
            raise Invalid("keyword-not-supported", f"{key[:60]} at {here[:200]}")
        name = key.removeprefix(FMAR).removeprefix("fmar:")
        term = self.vocabulary.terms.get(name)
        if term is not None and class_name in term.domains:
            return term
        self.reading.report(unknown_term(key, class_name, here, self.vocabulary, self.reading.meant))
        return None

    def _values(self, term: Term, value: Any, here: str) -> list[Any]:
        if not isinstance(value, list):
            return [made for made in [self._value(term, value, here)] if made is not None]
        if not term.many and len(value) != 1:
            self._report(term.code, here, term.name, f"{term.name} takes one value, not {len(value)}")
            return []
        made = [self._value(term, each, f"{here}/{place}") for place, each in enumerate(value) if each is not None]
        return [each for each in made if each is not None]

    def _value(self, term: Term, value: Any, here: str) -> Any:
        if term.kind is TermKind.PART:
            return self._part(term, value, here)
        if isinstance(value, dict):
            value = value.get("id", value.get("@id", value.get("@value", value)))
        if isinstance(value, bool):
            value = "true" if value else "false"
            if term.kind is not TermKind.BOOLEAN:
                value = None
        elif isinstance(value, Number):
            value = self._number(term, value)
        elif not isinstance(value, str):
            value = None
        if value is None or (term.kind in (TermKind.CODE, TermKind.RECORD) and not self._may_be_iri(term, value)):
            self._report(term.code, here, term.name, f"{term.name} must be {FORMS[term.kind]}")
            return None
        if term.kind is TermKind.CODE:
            value = self.vocabulary.schemes[term.scheme].notation_of(value)
        return value

    def _number(self, term: Term, value: Number) -> str | None:
        return exact(value) if term.kind in (TermKind.DECIMAL, TermKind.INTEGER) else None

    def _may_be_iri(self, term: Term, value: str) -> bool:
        if term.kind is TermKind.RECORD:
            return IRI_TEXT.fullmatch(value) is not None
        notation = self.vocabulary.schemes[term.scheme].notation_of(value)
        return CODE_TEXT.fullmatch(notation.removeprefix(CODES + term.scheme + "#")) is not None

    def _part(self, term: Term, value: Any, here: str) -> Any:
        if not isinstance(value, dict):
            self._report(term.code, here, term.name, f"{term.name} must be an object")
            return None
        if len(self.reading.pointers) > self.settings.parts:
            raise Invalid("validation-failed", f"more than {self.settings.parts} parts in one document")
        subject = self._part_iri(term, value)
        self.reading.pointers[subject] = here
        return self.linked(value, term.part_class, subject, here)

    def _part_iri(self, term: Term, value: Mapping[str, Any]) -> str:
        given = value.get("id", value.get("@id"))
        if isinstance(given, str):
            absolute = self._absolute(given, self.iri)
            below = absolute.startswith(self.iri + "#") and CODE_TEXT.fullmatch(absolute.removeprefix(self.iri + "#"))
            if below and absolute not in self.taken:
                self.taken.add(absolute)
                return absolute
        while True:
            self.parts[term.name] += 1
            subject = f"{self.iri}#{term.name}-{self.parts[term.name]}"
            if subject not in self.taken:
                self.taken.add(subject)
                return subject

    def _absolute(self, text: str, subject: str) -> str:
        if text.startswith("#"):
            return subject.split("#", maxsplit=1)[0] + text
        return text if ":" in text.split("/", maxsplit=1)[0] else f"{self.settings.base_url}/{text.lstrip('/')}"

    def _report(self, code: str, pointer: str, name: str, message: str) -> None:
        constraint = "literal-ill-formed" if name in self.vocabulary.terms else code
        self.reading.report(Fault(code, Severity.REJECT, message, pointer, name, constraint=constraint))


def _named(triples: Iterable[ox.Triple], class_name: str, iri: str, vocabulary: Vocabulary, most: int) -> list[ox.Triple]:
    """RDF input without blank nodes: the first one that is a `class_name` becomes the record, the others its parts."""
    found = list(triples)
    root_type = (ox.NamedNode(RDF_TYPE), ox.NamedNode(FMAR + class_name))
    roots = [t.subject for t in found if (t.predicate, t.object) == root_type and isinstance(t.subject, ox.BlankNode)]
    names: dict[Any, ox.NamedNode] = {roots[0]: ox.NamedNode(iri)} if roots else {}
    for triple in found:
        term = vocabulary.by_iri.get(triple.predicate.value)
        for node in (triple.object, triple.subject):
            if isinstance(node, ox.BlankNode) and node not in names:
                names[node] = ox.NamedNode(f"{iri}#{term.name if term else 'part'}-{len(names) + 1}")
        if len(names) > most:
            raise Invalid("validation-failed", f"more than {most} parts in one document")
    return [ox.Triple(names.get(t.subject, t.subject), t.predicate, names.get(t.object, t.object)) for t in found]


def fault_of(error: FmarError) -> list[Fault]:
    """The faults of a refusal, or one that stands for it."""
    return list(error.faults) or [Fault(error.code, Severity.REJECT, error.detail)]
