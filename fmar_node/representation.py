"""Documents out: a record document as triples, JSON-LD, JSON, Turtle, N-Triples, N-Quads or RDF/XML.

Rules kept here: what goes out parses back to the same triples; keys and arrays stand in one order, so that
the same document is the same bytes; decimals are text in `ld+json` and numbers in `json`.
"""

from __future__ import annotations

import functools
import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

import pyoxigraph as ox

from fmar_node.expanded import with_types
from fmar_node.vocabulary import CODES, CONTEXT, FMAR, LABEL, RDF_TYPE, XSD, Document, Term, TermKind, Vocabulary

LD_JSON, JSON = "application/ld+json", "application/json"
RDF_FORMATS = {
    "text/turtle": ox.RdfFormat.TURTLE,
    "application/n-triples": ox.RdfFormat.N_TRIPLES,
    "application/n-quads": ox.RdfFormat.N_QUADS,
    "application/rdf+xml": ox.RdfFormat.RDF_XML,
}
FORMATS = (LD_JSON, JSON, *RDF_FORMATS)
PROFILES = "https://w3id.org/fmar/profile/"
PREFIXES = {
    "fmar": FMAR,
    "xsd": XSD,
    "skos": "http://www.w3.org/2004/02/skos/core#",
    "owl": "http://www.w3.org/2002/07/owl#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "sh": "http://www.w3.org/ns/shacl#",
    "qudt": "http://qudt.org/schema/qudt/",
    "unit": "http://qudt.org/vocab/unit/",
    "cim": "https://cim.ucaiug.io/ns#",
    "dcterms": "http://purl.org/dc/terms/",
    "dcat": "http://www.w3.org/ns/dcat#",
    "void": "http://rdfs.org/ns/void#",
    "sd": "http://www.w3.org/ns/sparql-service-description#",
}


@functools.lru_cache(4_096)
def node(iri: str) -> ox.NamedNode:
    """A node of the vocabulary: predicates, classes, datatypes and codes come again and again, records do not."""
    return ox.NamedNode(iri)


def triples(document: Document, vocabulary: Vocabulary) -> Iterator[ox.Triple]:
    """The triples of a document and its parts."""
    subject = ox.NamedNode(document["id"])
    yield ox.Triple(subject, node(RDF_TYPE), node(FMAR + document["type"]))
    yield from facts(subject, document, vocabulary)


def facts(subject: ox.NamedNode, document: Document, vocabulary: Vocabulary) -> Iterator[ox.Triple]:
    """What a document says of a subject by its terms."""
    for name, value in document.items():
        if name in ("id", "type", "@context"):
            continue
        term = vocabulary.terms[name]
        predicate = node(term.iri)
        for each in value if isinstance(value, list) else (value,):
            if term.kind is TermKind.PART:
                yield ox.Triple(subject, predicate, ox.NamedNode(each["id"]))
                yield from triples(each, vocabulary)
            else:
                yield ox.Triple(subject, predicate, object_of(term, each))


def object_of(term: Term, value: Any) -> ox.NamedNode | ox.Literal:
    """One value of a term that is no part."""
    if term.kind is TermKind.TEXT:
        return ox.Literal(value)
    if term.kind is TermKind.CODE:
        return node(value if ":" in value else f"{CODES}{term.scheme}#{value}")
    if term.kind is TermKind.RECORD:
        return ox.NamedNode(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return ox.Literal(text, datatype=node(term.range))


@dataclass(frozen=True, slots=True)
class Profile:
    """One way in which a record is told: as which triples, and as which JSON-LD object under which context.

    `decimals` are the keys whose values are decimals beside those of terms; `tag` begins the format in an entity tag, and
    `query` is what asks for it.
    """

    name: str
    iri: str
    context: Any
    triples: Callable[[Document, Vocabulary], Iterator[ox.Triple]]
    tree: Callable[[Document, Vocabulary], Document]
    decimals: frozenset[str]
    prefixes: Mapping[str, str]
    tag: str = ""
    query: str = ""
    formats: tuple[str, ...] = FORMATS


FLAT = Profile("fmar", f"{PROFILES}v1", CONTEXT, triples, lambda document, _: document, frozenset(), PREFIXES)
"""The record as it is."""


def labels(document: Document, vocabulary: Vocabulary) -> dict[str, str]:
    """What people call the terms and codes of a document, by their IRIs."""
    found = {}
    for name, value in document.items():
        if (term := vocabulary.terms.get(name)) is None:
            continue
        found[term.iri] = term.label
        for each in value if isinstance(value, list) else (value,):
            if term.kind is TermKind.PART:
                found |= labels(each, vocabulary)
            elif term.kind is TermKind.CODE and (code := vocabulary.schemes[term.scheme].codes.get(each)):
                found[code.iri] = code.label
    return dict(sorted(found.items()))


def labelled_triples(document: Document, vocabulary: Vocabulary) -> Iterator[ox.Triple]:
    """The triples of a document, and the label of each term and code in it."""
    yield from triples(document, vocabulary)
    for iri, label in labels(document, vocabulary).items():
        yield ox.Triple(node(iri), node(LABEL), ox.Literal(label))


def labelled_tree(document: Document, vocabulary: Vocabulary) -> Document:
    """The document, and beside it what it refers to, with labels."""
    return {**document, "@included": [{"id": iri, "label": label} for iri, label in labels(document, vocabulary).items()]}


LABELLED = Profile(
    "labelled", f"{PROFILES}labelled-v1", [CONTEXT, {"label": LABEL}], labelled_triples, labelled_tree, frozenset(), PREFIXES, "l-", "?profile=labelled"
)
"""The record with what people call its terms and codes."""


def serialise(document: Document, media_type: str, vocabulary: Vocabulary, profile: Profile = FLAT) -> bytes:
    """The document in one of `FORMATS`."""
    if media_type in (LD_JSON, JSON):
        return json_bytes({"@context": profile.context, **as_object(document, media_type, vocabulary, profile)})
    return serialise_triples(profile.triples(document, vocabulary), media_type, profile.prefixes)


def as_object(document: Document, media_type: str, vocabulary: Vocabulary, profile: Profile = FLAT) -> Document:
    """The document as an object of JSON-LD without its context; in plain JSON its decimals are numbers."""
    tree = profile.tree(document, vocabulary)
    return tree if media_type == LD_JSON else with_numbers(tree, vocabulary.decimals | profile.decimals)


def serialise_triples(found: Iterable[ox.Triple], media_type: str, prefixes: Mapping[str, str] = PREFIXES) -> bytes:
    """Triples in one of the RDF formats, or expanded JSON-LD."""
    format_ = RDF_FORMATS.get(media_type, ox.RdfFormat.JSON_LD)
    with_prefixes = dict(prefixes) if media_type in ("text/turtle", "application/rdf+xml") else None
    out = io.BytesIO()
    ox.serialize(found, out, format=format_, prefixes=with_prefixes)
    if format_ == ox.RdfFormat.JSON_LD:
        return with_types(out.getvalue())
    if format_ == ox.RdfFormat.RDF_XML:
        return out.getvalue().replace(b"\r", b"&#xD;")  # XML readers make a line feed of a plain one
    return out.getvalue()


def json_bytes(value: Any) -> bytes:
    """What `json.dumps` makes of it with an indent of 2, in half the time: with an indent, that is Python's alone."""
    return f"{_indented(value, chr(10))}\n".encode()


def _indented(value: Any, start: str) -> str:
    """`start` is the line break and the indent of the line that the value stands in."""
    if isinstance(value, str):
        return encode_basestring(value)
    inner = f"{start}  "
    if isinstance(value, dict) and value:
        return f"{{{inner}{f',{inner}'.join([f'{encode_basestring(name)}: {_indented(each, inner)}' for name, each in value.items()])}{start}}}"
    if isinstance(value, list | tuple) and value:
        return f"[{inner}{f',{inner}'.join([_indented(each, inner) for each in value])}{start}]"
    return json.dumps(value, ensure_ascii=False)


def with_numbers(document: Document, decimals: frozenset[str]) -> Document:
    """The same document with decimals as JSON numbers (two places are exact in a double up to 10^13)."""
    return {name: _numeric(name, value, decimals) for name, value in document.items()}


def _numeric(name: str, value: Any, decimals: frozenset[str]) -> Any:
    if isinstance(value, str):
        return float(value) if name in decimals else value
    if isinstance(value, list):
        return [_numeric(name, each, decimals) for each in value]
    return with_numbers(value, decimals) if isinstance(value, dict) else value


def fingerprint(document: Document) -> str:
    """16 hex digits that change when the document does; the part of an ETag that formats share."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
