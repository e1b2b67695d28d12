"""Step 1 of the write path: caps on bytes and nesting, before anything that could overflow has seen the input.

Measured thresholds of what crashes the engines' parsers stand in `docs/decisions/`; these caps lie far below.
All checks are linear in the input and use no recursion.
"""

from __future__ import annotations

import re

from fmar_node.errors import Malformed, TooLarge

STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""One that never ends counts too: if it could fail to match, trying again at each of its quotes would be quadratic."""
BRACKETS = re.compile(rb"[\[\]{}]")
XML_ASIDE = re.compile(rb"<!--.*?(?:-->|\Z)|<!\[CDATA\[.*?(?:\]\]>|\Z)|<\?.*?(?:\?>|\Z)", re.DOTALL)
XML_TAGS = re.compile(rb"<(/?)(?:[^<>\"'/]|/(?!>)|\"[^\"]*+\"|'[^']*+')*+(/?)>")
XML_DEPTH = 64


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
    """Malformed where an XML text declares a document type, and entities with it, nests deeper than `XML_DEPTH`, or has no end.

    Of the last the parser says nothing: half a document would be taken for a whole one.
    """
    text = XML_ASIDE.sub(b"", body)
    if b"<!" in text or b"\0" in text:
        raise Malformed("malformed-rdf", "a document type or entities are declared, or it is not UTF-8: write names and values out")
    depth = 0
    for tag in XML_TAGS.finditer(text):
        depth += -1 if tag[1] else 0 if tag[2] else 1
        if depth > XML_DEPTH:
            raise Malformed("nesting-too-deep", f"more than {XML_DEPTH} levels of nesting")
    if depth != 0:
        raise Malformed("malformed-rdf", "elements are left open at the end of the document")
