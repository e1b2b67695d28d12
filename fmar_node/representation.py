"""Documents out: a record document as triples, JSON-LD, JSON, Turtle, N-Triples, N-Quads or RDF/XML.

Rules kept here: what goes out parses back to the same triples; keys and arrays stand in one order, so that
the same document is the same bytes; decimals are text in `ld+json` and numbers in `json`.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from typing import Any

import pyoxigraph as ox

from fmar_node.vocabulary import CODES, CONTEXT, FMAR, RDF_TYPE, XSD, Document, Term, TermKind, Vocabulary

LD_JSON, JSON = "application/ld+json", "application/json"
RDF_FORMATS = {
    "text/turtle": ox.RdfFormat.TURTLE,
    "application/n-triples": ox.RdfFormat.N_TRIPLES,
    "application/n-quads": ox.RdfFormat.N_QUADS,
    "application/rdf+xml": ox.RdfFormat.RDF_XML,
}
FORMATS = (LD_JSON, JSON, *RDF_FORMATS)
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
}


def triples(document: Document, vocabulary: Vocabulary) -> Iterator[ox.Triple]:
    """The triples of a document and its parts."""
    subject = ox.NamedNode(document["id"])
    yield ox.Triple(subject, ox.NamedNode(RDF_TYPE), ox.NamedNode(FMAR + document["type"]))
    for name, value in document.items():
        if name in ("id", "type", "@context"):
            continue
        term = vocabulary.terms[name]
        for each in value if isinstance(value, list) else [value]:
            if term.kind is TermKind.PART:
                yield ox.Triple(subject, ox.NamedNode(term.iri), ox.NamedNode(each["id"]))
                yield from triples(each, vocabulary)
            else:
                yield ox.Triple(subject, ox.NamedNode(term.iri), _object(term, each))


def _object(term: Term, value: Any) -> ox.NamedNode | ox.Literal:
    if term.kind is TermKind.RECORD:
        return ox.NamedNode(value)
    if term.kind is TermKind.CODE:
        return ox.NamedNode(value if ":" in value else f"{CODES}{term.scheme}#{value}")
    if term.kind is TermKind.TEXT:
        return ox.Literal(value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return ox.Literal(text, datatype=ox.NamedNode(term.range))


def serialise(document: Document, media_type: str, vocabulary: Vocabulary) -> bytes:
    """The document in one of `FORMATS`."""
    if media_type == LD_JSON:
        return json_bytes({"@context": CONTEXT, **document})
    if media_type == JSON:
        return json_bytes({"@context": CONTEXT, **with_numbers(document, vocabulary)})
    return serialise_triples(triples(document, vocabulary), media_type)


def serialise_triples(found: Iterable[ox.Triple], media_type: str) -> bytes:
    """Triples in one of the RDF formats, or expanded JSON-LD."""
    format_ = RDF_FORMATS.get(media_type, ox.RdfFormat.JSON_LD)
    with_prefixes = PREFIXES if media_type in ("text/turtle", "application/rdf+xml") else None
    out = io.BytesIO()
    ox.serialize(found, out, format=format_, prefixes=with_prefixes)
    if format_ == ox.RdfFormat.RDF_XML:
        return out.getvalue().replace(b"\r", b"&#xD;")  # XML readers make a line feed of a plain one
    return out.getvalue()


def json_bytes(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"


def with_numbers(document: Document, vocabulary: Vocabulary) -> Document:
    """The same document with decimals as JSON numbers (two places are exact in a double up to 10^13)."""
    return {name: _numeric(name, value, vocabulary) for name, value in document.items()}


def _numeric(name: str, value: Any, vocabulary: Vocabulary) -> Any:
    if isinstance(value, list):
        return [_numeric(name, each, vocabulary) for each in value]
    if isinstance(value, dict):
        return with_numbers(value, vocabulary)
    term = vocabulary.terms.get(name)
    return float(value) if term and term.kind is TermKind.DECIMAL else value


def fingerprint(document: Document) -> str:
    """16 hex digits that change when the document does; the part of an ETag that formats share."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
