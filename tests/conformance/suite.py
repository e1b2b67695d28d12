"""The public SPARQL 1.1 suites, and a real node that holds their data: every data file is a named graph of it.

Rules kept here: the node is a whole one over HTTP on loopback; what differs is the caller's window, which holds all graphs
of the suites, so that a case chooses its own by the protocol's parameters. Results are compared by value, solutions as
multisets up to the names of blank nodes.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pyoxigraph as ox
import pytest
import rdflib
import uvicorn
from rdflib.collection import Collection
from rdflib.namespace import RDF, Namespace

from fmar_node import query
from fmar_node.folder import Folder
from fmar_node.foundation import make_node
from fmar_node.node import Node
from fmar_node.settings import Settings
from fmar_node.store.gate import admit
from fmar_node.store.graph import Graph
from fmar_node.web.app import create_app
from tests.killing import wait_until
from tests.live import free_port
from tests.market import organisation

SUITES = Path(os.environ.get("FMAR_SUITES", Path(__file__).parents[2].parent / "shared" / "suites"))
ROOT = SUITES / "w3c-rdf-tests" / "sparql" / "sparql11"
BASE = "http://suite.example/"
NOTHING = f"{BASE}nothing"
"""A graph of the window that has no triples."""
MF = Namespace("http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#")
QT = Namespace("http://www.w3.org/2001/sw/DataAccess/tests/test-query#")
UT = Namespace("http://www.w3.org/2009/sparql/tests/test-update#")
RDF_OF = {".ttl": ox.RdfFormat.TURTLE, ".nt": ox.RdfFormat.N_TRIPLES, ".rdf": ox.RdfFormat.RDF_XML}
RESULTS_OF = {".srx": ox.QueryResultsFormat.XML, ".srj": ox.QueryResultsFormat.JSON, ".tsv": ox.QueryResultsFormat.TSV, ".csv": ox.QueryResultsFormat.CSV}
is_here = pytest.mark.skipif(not ROOT.exists(), reason="the SPARQL 1.1 suites are not here (FMAR_SUITES)")


@dataclass(frozen=True)
class Case:
    """A case of a query suite; files by their IRIs."""

    folder: str
    name: str
    kind: str
    query: str
    default: tuple[str, ...] = ()
    named: tuple[str, ...] = ()
    result: str = ""

    @property
    def id(self) -> str:
        return f"{self.folder}/{self.name}"

    @property
    def text(self) -> str:
        """The query, its relative IRIs against its own file."""
        return f"BASE <{self.query}>\n{file_of(self.query).read_text('utf-8')}"


    @property
    def form(self) -> str:
        return admit(self.text, Settings()).form

    @property
    def is_graph(self) -> bool:
        return self.form in ("CONSTRUCT", "DESCRIBE")

    @property
    def names_its_own(self) -> bool:
        """Whether it has FROM, and leaves the dataset to that."""
        return not self.default and re.search(r"^FROM ", self.text, re.MULTILINE) is not None


def file_of(iri: str) -> Path:
    return ROOT / iri.removeprefix(BASE)


def manifest(folder: str) -> rdflib.Graph:
    return rdflib.Graph().parse(ROOT / folder / "manifest.ttl", publicID=f"{BASE}{folder}/manifest.ttl")


def entries(graph: rdflib.Graph) -> Collection:
    return Collection(graph, graph.value(graph.value(None, RDF.type, MF.Manifest), MF.entries))


@cache
def cases(folder: str) -> tuple[Case, ...]:
    if not ROOT.exists():
        return ()
    graph = manifest(folder)
    return tuple(_case(graph, folder, entry) for entry in entries(graph) if (entry, RDF.type, None) in graph)


def _case(graph: rdflib.Graph, folder: str, entry: Any) -> Case:
    name, kind = str(entry).rsplit("#", 1)[-1], str(graph.value(entry, RDF.type)).rsplit("#", 1)[-1]
    action, result = graph.value(entry, MF.action), graph.value(entry, MF.result)
    if (asked := graph.value(action, QT.query)) is None:
        return Case(folder, name, kind, str(action))
    default, named = (tuple(sorted(str(each) for each in graph.objects(action, role))) for role in (QT.data, QT.graphData))
    return Case(folder, name, kind, str(asked), default, named, str(result or ""))


def triples_of(iri: str) -> Iterator[ox.Triple]:
    file = file_of(iri)
    for quad in ox.parse(path=str(file), format=RDF_OF[file.suffix], base_iri=iri, rename_blank_nodes=True):
        yield quad.triple


@contextmanager
def scratch(folder: Path, graphs: dict[str, list[ox.Triple]]) -> Iterator[httpx.Client]:
    """A node that holds these graphs, and shows all of them to everybody."""
    url = f"http://127.0.0.1:{free_port()}"
    make_node(folder, url, organisation("Operator", ["FMAR_OPERATOR"]))
    store = Graph(Folder(folder).graph)
    for name, triples in graphs.items():
        store.load(name, triples)
    store.close()
    settings = Settings(base_url=url, judges=1, anonymous_requests=0, query_budget=0)
    node = Node(Folder(folder), settings)
    server = uvicorn.Server(uvicorn.Config(create_app(node), port=int(url.rsplit(":", 1)[1]), log_config=None, ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    with pytest.MonkeyPatch.context() as patched, httpx.Client(base_url=url, timeout=30) as client:
        patched.setattr(query, "window", lambda caller, base_url: (NOTHING, [NOTHING, *graphs]))
        thread.start()
        try:
            wait_until(lambda: server.started and client.get("/readyz").is_success, "the node did not start")
            yield client
        finally:
            server.should_exit = True
            thread.join()


# -- results, compared


Row = tuple[tuple[str, Any], ...]
Results = tuple[list[str], list[Row]] | bool
RS = Namespace("http://www.w3.org/2001/sw/DataAccess/tests/result-set#")


def as_stored(terms: set[Any]) -> dict[Any, Any]:
    """Literals as the engine writes them: what is equal by value is equal."""
    place, links = ox.NamedNode(NOTHING), {}
    for number, term in enumerate(terms):
        store = ox.Store()
        store.add(ox.Quad(place, ox.NamedNode(f"{NOTHING}/{number}"), term))
        (quad,) = store
        links[term] = quad.object
    return links


def rows_of(data: bytes, format_: ox.QueryResultsFormat) -> Results:
    return _rows(ox.parse_query_results(data, format=format_))


def alone(case: Case) -> Results:
    """What the engine answers without a node around it."""
    store = ox.Store()
    for iri in case.default:
        store.extend(ox.Quad(each.subject, each.predicate, each.object) for each in triples_of(iri))
    for iri in case.named:
        store.extend(ox.Quad(each.subject, each.predicate, each.object, ox.NamedNode(iri)) for each in triples_of(iri))
    return _rows(store.query(case.text))


def expected(case: Case) -> Results:
    """What the suite says: a results document, or a graph that describes one."""
    file = file_of(case.result)
    if file.suffix in RESULTS_OF:
        return rows_of(file.read_bytes(), RESULTS_OF[file.suffix])
    graph = rdflib.Graph().parse(file, publicID=case.result)
    told = next(graph.subjects(RDF.type, RS.ResultSet))
    solutions = []
    for solution in graph.objects(told, RS.solution):
        bound = ((graph.value(each, RS.variable), graph.value(each, RS.value)) for each in graph.objects(solution, RS.binding))
        solutions.append({str(name): _term(value) for name, value in bound})
    return _normal([str(name) for name in graph.objects(told, RS.resultVariable)], solutions)


def _term(value: Any) -> Any:
    return next(iter(ox.parse(f"<{NOTHING}> <{NOTHING}> {value.n3()} .".encode(), format=ox.RdfFormat.N_TRIPLES))).object


def _rows(found: Any) -> Results:
    if isinstance(found, ox.QueryBoolean):
        return bool(found)
    names = [variable.value for variable in found.variables]
    return _normal(names, [{name: solution[name] for name in names if solution[name] is not None} for solution in found])


def _normal(names: list[str], solutions: list[dict[str, Any]]) -> Results:
    stored = as_stored({term for row in solutions for term in row.values() if isinstance(term, ox.Literal)})
    return sorted(names), [tuple(sorted((name, stored.get(term, term)) for name, term in row.items())) for row in solutions]


def are_same(found: Results, wanted: Results) -> bool:
    """The same answer, or the same variables and the same multiset of solutions up to the names of blank nodes."""
    if isinstance(found, bool) or isinstance(wanted, bool):
        return found is wanted
    return found[0] == wanted[0] and len(found[1]) == len(wanted[1]) and _match(found[1], wanted[1], {}, {})


def _match(found: list[Row], wanted: list[Row], there: dict[Any, Any], back: dict[Any, Any]) -> bool:
    if not found:
        return True
    row, *rest = sorted(found, key=lambda each: sum(isinstance(term, ox.BlankNode) for _, term in each))
    for place, other in enumerate(wanted):
        links = _links(row, other, there, back)
        if links is not None:
            left = wanted[:place] + wanted[place + 1 :]
            if _match(rest, left, {**there, **links}, {**back, **{value: key for key, value in links.items()}}):
                return True
            if not links:
                return False
    return False


def _links(row: Row, other: Row, there: dict[Any, Any], back: dict[Any, Any]) -> dict[Any, Any] | None:
    """The blank nodes that have to be the same for two rows to be."""
    if len(row) != len(other):
        return None
    links: dict[Any, Any] = {}
    for (name, term), (name_, term_) in zip(row, other, strict=True):
        blank = isinstance(term, ox.BlankNode)
        if name != name_ or blank != isinstance(term_, ox.BlankNode) or (not blank and term != term_):
            return None
        if blank:
            if links.get(term, there.get(term, term_)) != term_ or back.get(term_, term) != term:
                return None
            links[term] = term_
    return links if len(set(links.values())) == len(links) else None


def canonical(triples: Any) -> Any:
    stored = ox.Store()
    stored.extend(ox.Quad(triple.subject, triple.predicate, triple.object) for triple in triples)
    made = ox.Dataset(stored)
    made.canonicalize(ox.CanonicalizationAlgorithm.UNSTABLE)
    return made
