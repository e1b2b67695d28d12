"""What XML 1.0 has no way to say of a graph or of rows: names for some predicates, and some characters.

Rules kept here: standard library only; what cannot be written is refused, never written wrong; a carriage return is written as
a reference, or whoever reads it would get a line feed (XML 1.0, section 2.11). Both writers of the engine escape `<`, `&`, `>` and quotes
themselves, and write no carriage return but those of values.
"""

from __future__ import annotations

import re

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
XMLNS = "http://www.w3.org/2000/xmlns/"
SYNTAX = (
    "RDF Description ID about parseType resource nodeID datatype li bagID aboutEach aboutEachPrefix annotation annotationNodeID version"
)
"""Names that RDF/XML has for itself (RDF 1.1 XML Syntax, section 5.1, and RDF 1.2), `li` for a predicate that it counts."""
RESERVED = frozenset(RDF + name for name in SYNTAX.split())

_FIRST = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff\u200c-\u200d\u2070-\u218f"
    "\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd\U00010000-\U000effff"
)
_LOCAL_NAME = re.compile(rf"[{_FIRST}][{_FIRST}.0-9\u00b7\u0300-\u036f\u203f-\u2040\-]*\Z")
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\r"))
_NO_CHARACTERS = "\ufffe".encode(), "\uffff".encode()


def may_be_predicate(iri: str) -> bool:
    """Whether RDF/XML can write a predicate: its end is the name of an element, and none that has a meaning of its own."""
    return bool(_LOCAL_NAME.search(iri)) and iri not in RESERVED and not iri.startswith(XMLNS)


class Characters:
    """The bytes of a document as they pass, however they are cut; a nanosecond for each, where a regular expression takes ten."""

    def __init__(self) -> None:
        self.end = b""

    def take(self, chunk: bytes) -> bytes:
        """What to write for them. ValueError for a character that no XML 1.0 document has (section 2.2)."""
        text = self.end + chunk
        if len(text.translate(None, _CONTROLS)) < len(text) or (not text.isascii() and any(each in text for each in _NO_CHARACTERS)):
            raise ValueError("a value has a character that XML cannot write")
        self.end = text[-2:]
        return chunk.replace(b"\r", b"&#xD;")
