"""Judgement by shapes: SHACL Core over a document's triples, every result a fault on its field.

Rules kept here:
- pyshacl on an rdflib graph is the judge and its report the only source of faults; the compiled shapes only say
  which shapes it has to be asked about;
- a constraint's code is the local name of its shape up to the first hyphen; a result that has no path is put on the
  term that the shape names with `fmar:onProperty`;
- rdflib must not rewrite lexical forms, and tells `"a"` from `"a"^^xsd:string`: text goes in plain, on both sides.

Not through `pyshacl.validate`: it switches the rewriting on again for the whole process, and with `use_shapes` it
leaves out the named shapes that the chosen ones refer to (`sh:node`, `sh:not`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyoxigraph as ox
import rdflib
from rdflib.collection import Collection
from rdflib.namespace import RDF, SH

from fmar_node.checks.compiled import Compiled, compile_shapes
from fmar_node.cim.table import named
from fmar_node.errors import Fault, Severity
from fmar_node.vocabulary import FMAR, SHAPES, XSD, Tier, Vocabulary, packaged, turtle

if TYPE_CHECKING:
    from pyshacl.shapes_graph import ShapesGraph

rdflib.NORMALIZE_LITERALS = False
ON_PROPERTY = rdflib.URIRef(FMAR + "onProperty")
SEVERITIES = {
    SH.Violation: Severity.REJECT,
    rdflib.URIRef(FMAR + "Justify"): Severity.JUSTIFY,
    SH.Warning: Severity.WARN,
}
TARGETS = (SH.targetClass, SH.targetNode, SH.targetSubjectsOf, SH.targetObjectsOf)


Place = Callable[[str, str], str]
"""Node and property (empty for the node itself) -> pointer."""


@dataclass(frozen=True)
class Prepared:
    """The shapes of one kind, ready for every document: apart (see `apart`), compiled, and as pyshacl keeps them."""

    graph: Any
    compiled: Compiled

    @cached_property
    def judge(self) -> ShapesGraph:
        """pyshacl takes 0.1 s to import and to read them: it is not there until the first document with a suspect is."""
        from pyshacl.shapes_graph import ShapesGraph

        judge = ShapesGraph(self.graph)
        _ = judge.shapes  # read here, and only here; without it, pyshacl would read the chosen shapes alone
        return judge

    def report(self, triples: Iterable[ox.Triple], shapes: list[Any]) -> rdflib.Graph:
        """pyshacl's report on the triples, by these targeted shapes and no others; it is handed what they look at."""
        from pyshacl.graph_abstraction import DataGraph
        from pyshacl.validator import Validator

        data = DataGraph.from_rdflib(graph_of(self.compiled.read_by(shapes, triples)))
        validator: Any = Validator(data, shacl_graph=self.graph, options={"inplace": True, "use_shapes": shapes})
        validator.shacl_graph = self.judge
        report: rdflib.Graph = validator.run()[1]
        return report


class Shapes:
    """The shapes of every kind, those of the vocabulary's release or in a folder; those of a kind, or of a kind in a profile, are
    prepared when the first document of it is judged."""

    def __init__(self, vocabulary: Vocabulary, folder: Path | None = None) -> None:
        self.vocabulary, self.folder = vocabulary, folder
        self.prepared: dict[str, Prepared] = {}

    def has(self, kind: str) -> bool:
        return ((self.folder or packaged("shapes")) / f"{kind}.ttl").exists()

    def of(self, kind: str) -> Prepared:
        """The shapes of a kind ("asset"), or of a kind in a profile ("cim/asset"), those of the release where the folder has none.

        ValueError or re.error where they cannot be prepared.
        """
        if kind not in self.prepared:
            own = read_shapes(self.folder / f"{kind}.ttl") if self.folder and self.has(kind) else None
            self.prepared[kind] = named_throughout(prepare(own)) if own else prepared(self.vocabulary.text(f"shapes/{kind}.ttl"))
        return self.prepared[kind]

    def faults(self, triples: Iterable[ox.Triple], kind: str, place: Mapping[str, str] | Place) -> list[Fault]:
        """All results for the document of a kind, in the order of their pointers.

        `place` is the pointer of each node, where terms are keys, or says where a property of a node stands.
        """
        prepared, document = self.of(kind), list(triples)
        if not (suspects := prepared.compiled.suspects(document)):
            return []
        report, where = prepared.report(document, suspects), place if callable(place) else _by_terms(place)
        found = [self._fault(report, result, prepared.graph, where) for result in report.objects(None, SH.result)]
        return sorted(found, key=lambda fault: (fault.pointer, fault.constraint))

    def _fault(self, report: Any, result: Any, shapes: Any, place: Place) -> Fault:
        shape = report.value(result, SH.sourceShape)
        path = report.value(result, SH.resultPath) or shapes.value(shape, ON_PROPERTY)
        name = named(str(path).removeprefix(FMAR)) if isinstance(path, rdflib.URIRef) else ""
        nameless = "unnamed" if isinstance(shape, rdflib.BNode) else "closed"
        constraint = str(shape).rsplit("#", 1)[-1] if str(shape).startswith(SHAPES) else nameless
        focus, value = report.value(result, SH.focusNode), report.value(result, SH.value)
        term = self.vocabulary.terms.get(name)
        is_hidden = value in (None, focus) or term is None or term.tier is Tier.PERSONAL
        shown = None if is_hidden else str(value)[:80]
        return Fault(
            code=constraint.split("-", 1)[0],
            severity=SEVERITIES.get(report.value(result, SH.resultSeverity), Severity.REJECT),
            message=str(report.value(result, SH.resultMessage)),
            pointer=place(str(focus), str(path) if name else ""),
            field=name,
            value=shown,
            constraint=constraint,
        )


def _by_terms(pointers: Mapping[str, str]) -> Place:
    return lambda focus, path: f"{pointers.get(focus, '')}/{path.removeprefix(FMAR)}" if path else pointers.get(focus, "")


def read_shapes(file: Path) -> list[ox.Triple]:
    """The triples of a file of shapes. SyntaxError."""
    return [quad.triple for quad in ox.parse(path=str(file), base_iri=file.resolve().as_uri())]


@lru_cache(maxsize=32)
def prepared(text: str) -> Prepared:
    """The shapes of a release's file; most releases have most of their files in common."""
    return prepare(turtle(text))


def prepare(triples: Iterable[ox.Triple]) -> Prepared:
    """Prepares a shapes graph. ValueError where a targeted shape has no IRI: every constraint has a name."""
    graph = apart(graph_of(triples))
    compiled = compile_shapes(graph)
    if unnamed := [shape for shape in compiled.shapes if not isinstance(shape, rdflib.URIRef)]:
        raise ValueError(f"{len(unnamed)} targeted shapes have no IRI")
    return Prepared(graph, compiled)


def named_throughout(prepared: Prepared) -> Prepared:
    """The same. ValueError where a property shape that judges has no IRI: its faults would have no code. A release that is in force is taken as it is."""
    judging = {each for shape in prepared.compiled.shapes for each in prepared.graph.transitive_objects(shape, SH.property)}
    if paths := sorted(str(prepared.graph.value(each, SH.path)).removeprefix(FMAR) for each in judging if not isinstance(each, rdflib.URIRef)):
        raise ValueError(f"a constraint without a name: the property shape of {', '.join(paths)} has no IRI")
    return prepared


def apart(graph: Any) -> Any:
    """Gives the named property shapes of each targeted node shape its targets (in place): each can be asked alone.

    Results stay the same: their source is the property shape either way, and what is left of a closed node shape
    ignores the paths that it listed. A shape that something else refers to, or that is a class, stays as it is.
    """
    for node in set(graph.subjects(SH.property)):
        targets = [(how, what) for how in TARGETS for what in graph.objects(node, how)]
        if targets and _stands_alone(graph, node, 0):
            moved = [shape for shape in graph.objects(node, SH.property) if _can_move(graph, shape)]
            _ignore_paths(graph, node, moved)
            for shape in moved:
                graph.remove((node, SH.property, shape))
                for how, what in targets:
                    graph.add((shape, how, what))
    return graph


def _can_move(graph: Any, shape: Any) -> bool:
    has_targets = any((shape, how, None) in graph for how in TARGETS)
    has_name = isinstance(shape, rdflib.URIRef) and isinstance(graph.value(shape, SH.path), rdflib.URIRef)
    return has_name and not has_targets and _stands_alone(graph, shape, 1)


def _stands_alone(graph: Any, shape: Any, references: int) -> bool:
    is_plain = set(graph.objects(shape, RDF.type)) <= {SH.NodeShape, SH.PropertyShape}
    is_active = (shape, SH.deactivated, None) not in graph
    return is_plain and is_active and len(list(graph.triples((None, None, shape)))) == references


def _ignore_paths(graph: Any, node: Any, shapes: list[Any]) -> None:
    if (node, SH.closed, None) in graph:
        ignored = {item for listed in graph.objects(node, SH.ignoredProperties) for item in graph.items(listed)}
        ignored |= {graph.value(shape, SH.path) for shape in shapes}
        head = Collection(graph, rdflib.BNode(), sorted(ignored)).uri
        graph.set((node, SH.ignoredProperties, head))


def graph_of(triples: Iterable[ox.Triple]) -> rdflib.Graph:
    """The triples for rdflib, lexical forms untouched."""
    graph = rdflib.Graph(bind_namespaces="none")
    for triple in triples:
        graph.add((_term(triple.subject), _term(triple.predicate), _term(triple.object)))
    return graph


def _term(term: Any) -> Any:
    if isinstance(term, ox.NamedNode):
        return rdflib.URIRef(term.value)
    if isinstance(term, ox.BlankNode):
        return rdflib.BNode(term.value)
    if term.language:
        return rdflib.Literal(term.value, lang=term.language, normalize=False)
    datatype = None if term.datatype.value == XSD + "string" else rdflib.URIRef(term.datatype.value)
    return rdflib.Literal(term.value, datatype=datatype, normalize=False)
