"""Step 1 of the write path: caps on bytes and nesting, before anything that could overflow has seen the input.

Measured thresholds of what crashes the engines' parsers stand in `docs/decisions/`; these caps lie far below.
All checks are linear in the input and use no recursion.
"""

from __future__ import annotations

import re
from xml.parsers import expat

from fmar_node.errors import Malformed, TooLarge

STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""One that never ends counts too: if it could fail to match, trying again at each of its quotes would be quadratic."""
BRACKETS = re.compile(rb"[\[\]{}]")
XML_DEPTH = 64
MOST_VALUES = 1_000
"""Values of one term: more are a mistake, or a load."""


def check_size(body: bytes, most: int) -> None:
    """TooLarge when `body` has more than `most` bytes."""
    if len(body) > most:
        raise TooLarge("body-too-large", f"{len(body)} bytes; this node accepts {most}")


def check_json_nesting(body: bytes, most: int) -> None:
    """Malformed when arrays and objects in a JSON text nest deeper than `most` levels."""
    depth = 0
    for bracket in BRACKETS.finditer(STRINGS.sub(b"", body)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > most:
            raise Malformed("nesting-too-deep", f"more than {most} levels of nesting")


def check_xml(body: bytes) -> None:
    """Malformed where it is no well-formed XML in UTF-8, declares a document type, and entities with it, or nests deeper than `XML_DEPTH`.

    Expat reads it first, whole: the RDF parser takes half a document, entities, and what is no XML, without a word.
    """
    depth = 0

    def begun(*_: object) -> None:
        nonlocal depth
        depth += 1
        if depth > XML_DEPTH:
            raise Malformed("nesting-too-deep", f"more than {XML_DEPTH} levels of nesting")

    def ended(_: str) -> None:
        nonlocal depth
        depth -= 1

    def refused(*_: object) -> None:
        raise Malformed("malformed-rdf", "a document type or entities are declared: write names and values out")

    def declared(_: str, encoding: str | None, __: int) -> None:
        if encoding and encoding.lower() != "utf-8":
            raise Malformed("malformed-rdf", "XML is sent in UTF-8")

    parser = expat.ParserCreate("utf-8")
    parser.StartElementHandler, parser.EndElementHandler = begun, ended
    parser.StartDoctypeDeclHandler, parser.XmlDeclHandler = refused, declared
    try:
        body.decode("utf-8")
        parser.Parse(body, True)
    except (expat.ExpatError, UnicodeError) as error:
        raise Malformed("malformed-rdf", f"this is no XML in UTF-8: {error}"[:300]) from error


def check_lengths(tree: object) -> None:
    """Malformed where an array in a JSON document has more than `MOST_VALUES` elements."""
    waiting = [tree]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            if len(value) > MOST_VALUES:
                raise Malformed("malformed-request", f"an array of {len(value)} values; at most {MOST_VALUES} are taken")
            waiting += value
        elif isinstance(value, dict):
            waiting += value.values()
