"""The document that is being made of a CIM document: values by term, where each was sent, and what is wrong.

Rules kept here: what is said twice is said alike; every fault points into the document that was sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fmar_node.cim import table as t
from fmar_node.cim.form import decimal, plain
from fmar_node.cim.sent import Sent
from fmar_node.composition import Reading
from fmar_node.errors import Fault, Severity, nearest
from fmar_node.vocabulary import TermKind, Vocabulary

ILL_FORMED = "literal-ill-formed"
"""Of a value that the shapes may have a better word for: theirs goes before it."""


@dataclass(slots=True)
class Draft:
    """`tree` is the document as an object of JSON, `places` are its pointers to those of the document that was sent."""

    vocabulary: Vocabulary
    reading: Reading
    tree: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    meant: set[str] = field(default_factory=set)
    """Terms that were said, but not in a form that could be kept."""

    def fault(self, code: str, message: str, pointer: str, name: str) -> None:
        self.reading.report(Fault(code, Severity.REJECT, message, pointer, t.local(name), constraint=code))

    def collect(self, term: str, raw: Any, pointer: str) -> None:
        """A value for a term; where there is one already, they are alike."""
        if term in self.tree and self._canonical(term, self.tree[term]) != self._canonical(term, raw):
            there = self.places[f"/{term}"] or "/"
            self.fault("cim-twice", f"{term} is said twice, and differently: also at {there}", pointer, term)
        self.tree.setdefault(term, raw)
        self.places.setdefault(f"/{term}", pointer)

    def _canonical(self, term: str, value: Any) -> Any:
        """A value as far as it has to be told from another."""
        kind = self.vocabulary.terms[term].kind if term in self.vocabulary.terms else None
        if kind is TermKind.DECIMAL and isinstance(value, str):
            number = decimal(value)
            return value if number is None else plain(number)
        return code_in(value) if kind in (TermKind.CODE, TermKind.RECORD) else value

    def unknown(self, name: str, sent: Sent, known: Iterable[str], belongs: str = "") -> str:
        """A property that a node says and that is not carried there; the one that was most likely meant."""
        shown = name if t.iri(name) != name else t.local(name)
        near = nearest(shown, map(t.local, known))
        hint = f"; did you mean {near}?" if near else f"; it belongs to the {belongs}" if belongs else "; the register has no place for it"
        self.fault("unknown-term", f"{shown[:80]!r} is not carried here{hint}", sent.place(name), shown[:80])
        return near


def code_in(raw: Any) -> str:
    """The code, or what else stands at the end of an IRI, that a value of our own is, however it was written."""
    text = next(iter(raw.values()), "") if isinstance(raw, dict) else raw
    return str(text).rsplit("#", 1)[-1]
