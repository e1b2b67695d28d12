"""Documents in: JSON-LD (or Turtle, N-Triples, RDF/XML) to a record document, with every fault of form on its pointer.

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
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import pyoxigraph as ox

from fmar_node.composition import CODE_TEXT, MOST_DIGITS, Composer, Reading, escaped, unknown_term, wanted
from fmar_node.errors import Fault, FmarError, Invalid, Malformed, Severity, TooLarge, with_article
from fmar_node.limits import MOST_VALUES, STRINGS, check_json_nesting, check_lengths, check_size, check_xml
from fmar_node.settings import Settings
from fmar_node.vocabulary import CODES, CONTEXT, FMAR, LABEL, RDF_TYPE, XSD, Term, TermKind, Vocabulary

JSON_TYPES = frozenset({"application/ld+json", "application/json"})
RDF_XML = "application/rdf+xml"
RDF_TYPES = {
    "text/turtle": ox.RdfFormat.TURTLE,
    "application/n-triples": ox.RdfFormat.N_TRIPLES,
    RDF_XML: ox.RdfFormat.RDF_XML,
}
MEDIA_TYPES = (*sorted(JSON_TYPES, reverse=True), *(name for name in RDF_TYPES if name != RDF_XML))
"""What every document may come in. RDF/XML is for documents that may be CIM."""

BYTE_ORDER_MARK, BLANK = b"\xef\xbb\xbf", b" \t\r\n"
OPENING, CLOSING = (b"[", b"{"), (b"]", b"}")
MARKS = re.compile(STRINGS.pattern + rb"|[\[\]{},]", re.DOTALL)
"""What the elements of an array are told apart by: strings whole, brackets and commas."""

LABELS_STAY = "a document with labels is not taken back: send what the record says without ?profile=labelled"

NUMERAL = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
IRI_TEXT = re.compile(r"[^\x00-\x20<>\"{}|\\^`]{1,512}")


class Number(str):
    """The text of a JSON number, kept apart from JSON strings."""

    __slots__ = ()


def read(body: bytes, media_type: str, class_name: str, iri: str, vocabulary: Vocabulary, settings: Settings) -> Reading:
    """Reads a document about the record `iri`. Malformed, TooLarge, Invalid; faults of form are in the reading."""
    check_size(body, settings.body_bytes)
    if media_type in JSON_TYPES:
        tree = read_json(body, settings)
        if "@included" in tree:
            raise Invalid("keyword-not-supported", f"@included: {LABELS_STAY}")
        _check_context(tree)
        return read_tree(tree, class_name, iri, vocabulary, settings)
    reading = Reading(pointers={iri: ""})
    given = parse_rdf(body, RDF_TYPES[media_type], iri)
    if any(triple.predicate.value == LABEL and _is_word(triple.subject) for triple in given):
        raise Invalid("validation-failed", LABELS_STAY, (Fault("foreign-subject", Severity.REJECT, LABELS_STAY, "", "id"),))
    triples = _named(given, class_name, iri, vocabulary, settings.parts)
    reading.document = Composer(vocabulary, settings.literal_chars, iri, reading).record(triples, class_name)
    return reading


def _is_word(subject: Any) -> bool:
    """Whether a subject is a term or a code."""
    return isinstance(subject, ox.NamedNode) and subject.value.startswith((FMAR, CODES))


def read_tree(tree: Mapping[str, Any], class_name: str, iri: str, vocabulary: Vocabulary, settings: Settings) -> Reading:
    """Reads a document that is an object of JSON already, with `Number` for numbers. Invalid."""
    reading = Reading(pointers={iri: ""})
    keys = _Keys(vocabulary, settings, iri, reading)
    linked = keys.record(tree, class_name)
    context = {name: meant for name, meant in vocabulary.context.items() if isinstance(meant, str) or name in keys.used}
    triples = _parse_linked({"@context": context, **linked}, settings.base_url)
    reading.document = Composer(vocabulary, settings.literal_chars, iri, reading).record(triples, class_name)
    return reading


def read_json(body: bytes, settings: Settings) -> dict[str, Any]:
    """One JSON object; numbers as `Number` texts. Malformed for anything else."""
    tree = read_value(body, settings)
    if not isinstance(tree, dict):
        raise Malformed("malformed-json", "expected one JSON object")
    check_lengths(tree)
    return tree


def elements(body: bytes, settings: Settings) -> Iterator[bytes]:
    """The elements of a JSON array one after another, none of them read yet, so that a large one holds nobody up.

    Malformed at once where it is no array, TooLarge for an element that is longer than a document may be.
    """
    text = body.removeprefix(BYTE_ORDER_MARK).strip(BLANK)
    if len(text) < 2 or (text[:1], text[-1:]) != (b"[", b"]"):
        raise Malformed("malformed-json", "expected a JSON array of documents")
    return _elements(text, settings)


def _elements(text: bytes, settings: Settings) -> Iterator[bytes]:
    begin, end, depth = 1, len(text) - 1, 0
    if not text[begin:end].strip(BLANK):
        return
    for mark in MARKS.finditer(text, begin, end):
        _check_element(mark.end() - begin, settings)
        if mark[0] == b"," and depth == 0:
            yield text[begin : mark.start()]
            begin = mark.end()
        elif mark[0] in OPENING:
            depth += 1
        elif mark[0] in CLOSING:
            depth -= 1
    _check_element(end - begin, settings)
    yield text[begin:end]


def _check_element(size: int, settings: Settings) -> None:
    if size > settings.body_bytes:
        raise TooLarge("body-too-large", f"an element of the array has more than {settings.body_bytes} bytes")


def read_value(body: bytes, settings: Settings) -> Any:
    """Any JSON value; numbers as `Number` texts. Malformed for what is no JSON."""
    check_json_nesting(body, settings.json_depth)
    try:
        tree = json.loads(
            body.decode("utf-8-sig"),
            parse_float=Number,
            parse_int=Number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
        if b"\\u" in body:
            json.dumps(tree, ensure_ascii=False).encode()  # half a surrogate pair can be escaped, but not encoded
    except (ValueError, RecursionError) as error:
        raise Malformed("malformed-json", str(error)[:300]) from error
    return tree


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {twice[:60]!r} stands twice in one object")
    return found


def _check_context(tree: Mapping[str, Any]) -> None:
    given = tree.get("@context")
    if given not in (None, CONTEXT, [CONTEXT]):
        raise Invalid("context-not-supported", f"@context may be absent or {CONTEXT}; in CIM, the CIM context or prefixes of its namespaces")


def _parse_linked(linked: Mapping[str, Any], base_url: str) -> list[ox.Triple]:
    data = json.dumps(linked).encode()
    return [quad.triple for quad in ox.parse(data, format=ox.RdfFormat.JSON_LD, base_iri=base_url + "/")]


def parse_rdf(body: bytes, format_: ox.RdfFormat, iri: str) -> list[ox.Triple]:
    """The triples of a text in an RDF format; relative IRIs are below `iri`. Malformed."""
    if format_ == ox.RdfFormat.RDF_XML:
        check_xml(body)
    try:
        found = [quad.triple for quad in ox.parse(body, format=format_, base_iri=iri)]
    except (SyntaxError, ValueError, UnicodeError) as error:
        raise Malformed("malformed-rdf", str(error)[:300]) from error
    counts = Counter((str(triple.subject), triple.predicate) for triple in found)
    if counts and counts.most_common(1)[0][1] > MOST_VALUES:
        raise Malformed("malformed-request", f"one property has more than {MOST_VALUES} values")
    return found


def exact(text: str) -> str | None:
    """A JSON number as plain decimal text ("1e3" -> "1000"), or None when it is beyond all use."""
    if not NUMERAL.fullmatch(text):
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > MOST_DIGITS or len(text) > 2 * MOST_DIGITS:
        return None
    return format(number, "f")


class _Keys:
    """Walks the keys of a JSON document: what JSON-LD would silently drop or bend is reported here."""

    def __init__(self, vocabulary: Vocabulary, settings: Settings, iri: str, reading: Reading) -> None:
        self.vocabulary, self.settings, self.iri, self.reading = vocabulary, settings, iri, reading
        self.parts: dict[str, int] = defaultdict(int)
        self.taken: set[str] = set()
        self.given: set[str] = set()
        self.used: set[str] = set()
        """The terms that were met: to read the rest of the context for each document takes longer than everything else."""

    def record(self, tree: Mapping[str, Any], class_name: str) -> dict[str, Any]:
        """The whole document; parts that have no id yet get none that another one has."""
        parts = [part for value in tree.values() for part in (value if isinstance(value, list) else [value])]
        ids = [part.get("id", part.get("@id")) for part in parts if isinstance(part, dict)]
        self.given = {self._absolute(each, self.iri) for each in ids if isinstance(each, str)}
        return self.linked(tree, class_name, self.iri, "")

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
                    self.used.add(term.name)
                    linked[term.name] = linked.get(term.name, []) + values
        return linked

    def _check_keyword(self, key: str, value: Any, class_name: str, subject: str, here: str) -> None:
        if key in ("id", "@id"):
            if value is not None and (not isinstance(value, str) or self._absolute(value, subject) != subject):
                self._report("A01" if subject == self.iri else "part-id", here, "id", "identifiers are issued by the node")
        elif key in ("type", "@type"):
            names = value if isinstance(value, list) else [value]
            if any(name not in (class_name, FMAR + class_name, f"fmar:{class_name}") for name in names):
                self._report("type-mismatch", here, "type", f"this is read as {with_article(class_name)}, not as {str(value)[:60]}")
        elif subject != self.iri:
            self._report("unknown-term", here, key, "a part has no @context of its own")

    def _term(self, key: str, class_name: str, here: str) -> Term | None:
        if key.startswith("@"):
            raise Invalid("keyword-not-supported", f"{key[:60]} at {here[:200]}")
        term = self.vocabulary.named(key)
        if term is not None and class_name in term.domains:
            return term
        self.reading.report(unknown_term(key, class_name, here, self.vocabulary, self.reading.meant))
        return None

    def _values(self, term: Term, value: Any, here: str) -> list[Any]:
        given = value if isinstance(value, list) else [value]
        if not term.many and len(given) != 1:
            self._report(term.code, here, term.name, f"{term.name} takes one value, not {len(given)}")
            return []
        is_listed = term.many and isinstance(value, list)
        pointers = [f"{here}/{place}" if is_listed else here for place in range(len(given))]
        made = [self._value(term, each, there) for each, there in zip(given, pointers, strict=True) if each is not None]
        return [each for each in made if each is not None]

    def _value(self, term: Term, value: Any, here: str) -> Any:
        if term.kind is TermKind.PART:
            return self._part(term, value, here)
        if isinstance(value, dict):
            value = self._only_member(term, value)
        if isinstance(value, bool):
            value = "true" if value else "false"
            if term.kind is not TermKind.BOOLEAN:
                value = None
        elif isinstance(value, Number):
            value = self._number(term, value)
        elif not isinstance(value, str):
            value = None
        if value is not None and term.kind in (TermKind.CODE, TermKind.RECORD):
            value = self._reference(term, value)
        if value is None:
            self._report(term.code, here, term.name, f"{term.name} must be {wanted(term)}")
        return value

    def _only_member(self, term: Term, value: Mapping[str, Any]) -> Any:
        """What `{"id": ...}` or `{"@value": ...}` stands for; None where it says anything else."""
        is_reference = term.kind in (TermKind.CODE, TermKind.RECORD)
        names = ("id", "@id") if is_reference else ("@value",)
        is_typed = not is_reference and value.get("@type") in (term.range, term.range.replace(XSD, "xsd:"))
        members = [name for name in value if not (is_typed and name == "@type")]
        return value[members[0]] if len(members) == 1 and members[0] in names else None

    def _number(self, term: Term, value: Number) -> str | None:
        return exact(value) if term.kind in (TermKind.DECIMAL, TermKind.INTEGER) else None

    def _reference(self, term: Term, text: str) -> str | None:
        """The IRI that a code or a record is referred to by; None where JSON-LD would drop it without a word."""
        if term.kind is TermKind.CODE:
            stem = f"{CODES}{term.scheme}#"
            notation = self.vocabulary.schemes[term.scheme].notation_of(text).removeprefix(stem)
            return stem + notation if CODE_TEXT.fullmatch(notation) else None
        try:
            return ox.NamedNode(self._absolute(text, self.iri)).value if IRI_TEXT.fullmatch(text) else None
        except ValueError:
            return None

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
            if subject not in self.taken | self.given:
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
    given = {node.value for t in found for node in (t.subject, t.object) if isinstance(node, ox.NamedNode)}
    for triple in found:
        term = vocabulary.by_iri.get(triple.predicate.value)
        for node in (triple.object, triple.subject):
            if isinstance(node, ox.BlankNode) and node not in names:
                names[node] = _part_name(f"{iri}#{term.name if term else 'part'}", len(names) + 1, given)
        if len(names) > most:
            raise Invalid("validation-failed", f"more than {most} parts in one document")
    return [ox.Triple(names.get(t.subject, t.subject), t.predicate, names.get(t.object, t.object)) for t in found]


def _part_name(stem: str, number: int, given: set[str]) -> ox.NamedNode:
    """A name that no other part has; it is added to `given`."""
    while f"{stem}-{number}" in given:
        number += 1
    given.add(f"{stem}-{number}")
    return ox.NamedNode(f"{stem}-{number}")


def fault_of(error: FmarError) -> list[Fault]:
    """The faults of a refusal, or one that stands for it."""
    return list(error.faults) or [Fault(error.code, Severity.REJECT, error.detail)]
