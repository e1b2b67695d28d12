"""The reference window: what a caller may see, copied by `reveal` alone into a store that holds nothing else.

Saved queries are no part of it: they are how the register is asked, and stand in no graph.
It shares no code with the projector and with the choice of a dataset: the caller's own records are the store's default
graph, what everybody sees and the vocabulary are its named graphs; graphs that a query names are copied into a store of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import pyoxigraph as ox

from fmar_node.access.caller import ANONYMOUS, Caller
from fmar_node.access.reveal import Relation, relations, reveal
from fmar_node.query import Question, chosen
from fmar_node.representation import triples
from fmar_node.store.gate import admit
from fmar_node.store.pool import Query
from fmar_node.vocabulary import Document
from tests.market import BASE, Market, vocabulary
from tests.two_worlds.asking import LIMITED, Answered, evaluated, words
from tests.two_worlds.worlds import versions

FORMATS: dict[str, Any] = {
    "application/sparql-results+json": ox.QueryResultsFormat.JSON,
    "application/sparql-results+xml": ox.QueryResultsFormat.XML,
    "text/tab-separated-values": ox.QueryResultsFormat.TSV,
}


class Reference:
    """A store of one caller's window."""

    def __init__(self, market: Market, caller: Caller, folder: Path) -> None:
        self.store = ox.Store(folder)
        newest = {version.iri: version.document for version in versions(market) if version.kind != "queries"}
        own, public = list(_own(newest.values(), caller)), list(_shown(newest.values(), ANONYMOUS))
        self._add(ox.DefaultGraph(), own)
        self._add(ox.NamedNode(f"{BASE}/views/{caller.view}"), own)
        self._add(ox.NamedNode(f"{BASE}/views/public"), public)
        for name, found in words().items():
            self._add(ox.NamedNode(f"{BASE}/{name}"), found)

    def _add(self, graph: Any, found: Iterable[ox.Triple]) -> None:
        self.store.bulk_extend(ox.Quad(*triple, graph) for triple in found)

    def ask(self, question: Question) -> Answered:
        """The engine's answer over the whole store."""
        admitted = admit(question.text, LIMITED)
        query = Query(admitted.text, (), (), chosen(admitted.form, question.accept), 0, "", f"{BASE}/sparql")
        asked = (question.default_graphs, question.named_graphs)
        return evaluated(_Whole(self.store, asked if any(asked) else (admitted.default_graphs, admitted.named_graphs)), query)  # type: ignore[arg-type]


class _Whole:
    """The store asked without the dataset arguments of the node, but for the graphs that the protocol or the query itself names."""

    def __init__(self, store: ox.Store, asked: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
        self.store, self.asked = store, asked

    def query(self, text: str, base_iri: str, **_: Any) -> Any:
        if not any(self.asked):
            return self.store.query(text, base_iri=base_iri)
        graphs = set(self.store.named_graphs())  # the engine takes a graph that is named here for one that exists
        default, named = ([graph for name in set(names) if (graph := ox.NamedNode(urljoin(base_iri, name))) in graphs] for names in self.asked)
        merge = ox.Store()  # the engine would give twice what two graphs have
        merge.extend(quad for graph in named for quad in self.store.quads_for_pattern(None, None, None, graph))
        merge.extend(ox.Quad(*quad.triple) for graph in default for quad in self.store.quads_for_pattern(None, None, None, graph))
        return merge.query(text, base_iri=base_iri, default_graph=ox.DefaultGraph(), named_graphs=named)


def _own(documents: Iterable[Document], caller: Caller) -> Iterator[ox.Triple]:
    """What the caller sees as more than everybody; everything that everybody sees, for nobody in particular."""
    nearer = (document for document in documents if caller.is_anonymous or relations(document, caller) - {Relation.PUBLIC})
    return _shown(nearer, caller)


def _shown(documents: Iterable[Document], caller: Caller) -> Iterator[ox.Triple]:
    for document in documents:
        if shown := reveal(document, caller, vocabulary()):
            yield from triples(shown, vocabulary())


def rows(answered: Answered) -> Counter[Any]:
    """The rows or triples of an answer, in no order."""
    if answered.media_type in FORMATS:
        found: Any = ox.parse_query_results(answered.body, FORMATS[answered.media_type])
        if isinstance(found, ox.QueryBoolean):
            return Counter([bool(found)])
        return Counter(tuple(str(solution[name]) for name in found.variables) for solution in found)
    if answered.media_type in ("text/csv", "refusal"):
        return Counter(answered.body.splitlines())
    return Counter(str(quad) for quad in ox.parse(answered.body, ox.RdfFormat.from_media_type(answered.media_type)))
