"""A document as the facts that compiled shapes look into, without its triples: a value is made a term where a shape asks for it.

Rules kept here: what is found is what the triples of the document say (`representation.triples`), each once.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping

import pyoxigraph as ox

from fmar_node.representation import node, object_of
from fmar_node.vocabulary import FMAR, RDF_TYPE, Document, TermKind, Vocabulary

Term = ox.NamedNode | ox.BlankNode | ox.Literal
NO_LINKS = frozenset({"id", "type", "@context"})
"""What is in a document and is no property of its record."""


def facts_in(document: Document, vocabulary: Vocabulary) -> Mapping[Term, Mapping[str, Collection[Term]]]:
    """What a document says of its record and of each part: subject, IRI of a property, terms."""
    found: dict[str, list[Document]] = defaultdict(list)
    waiting = [document]
    while waiting:
        each = waiting.pop()
        found[each["id"]].append(each)
        for value in each.values():
            if isinstance(value, dict):
                waiting.append(value)
            elif isinstance(value, list) and value and isinstance(value[0], dict):
                waiting += value
    return {ox.NamedNode(subject): _Properties(documents, vocabulary) for subject, documents in found.items()}


class _Properties(Mapping[str, Collection[Term]]):
    """The properties of one subject, of which a document may tell in several places."""

    __slots__ = ("documents", "made", "vocabulary")

    def __init__(self, documents: list[Document], vocabulary: Vocabulary) -> None:
        self.documents, self.vocabulary = documents, vocabulary
        self.made: dict[str, Collection[Term]] = {}

    def get(self, iri: str, default: Collection[Term] = ()) -> Collection[Term]:  # type: ignore[override]
        if (found := self.made.get(iri)) is None:
            found = self.made[iri] = dict.fromkeys([term for each in self.documents for term in self._terms(each, iri)])
        return found or default

    def _terms(self, document: Document, iri: str) -> list[Term]:
        if iri == RDF_TYPE:
            return [node(FMAR + document["type"])]
        if (term := self.vocabulary.by_iri.get(iri)) is None or (value := document.get(term.name)) is None:
            return []
        values = value if isinstance(value, list) else [value]
        return [ox.NamedNode(each["id"]) if term.kind is TermKind.PART else object_of(term, each) for each in values]

    def __getitem__(self, iri: str) -> Collection[Term]:
        if found := self.get(iri):
            return found
        raise KeyError(iri)

    def __iter__(self) -> Iterator[str]:
        names = dict.fromkeys(name for each in self.documents for name in each if name not in NO_LINKS)
        return iter([iri for iri in (RDF_TYPE, *(self.vocabulary.terms[name].iri for name in names)) if self.get(iri)])

    def __len__(self) -> int:
        return len(list(iter(self)))
