"""W3C data-shapes: the compiled shapes on the core suite, and pyshacl itself on all of it, as a gate on upgrades."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pyoxigraph as ox
import pyshacl
import pytest
import rdflib
from pyshacl.errors import ValidationFailure
from rdflib.namespace import SH, Namespace

from fmar_node.checks.compiled import Compiled, compile_shapes

SUITES = Path(os.environ.get("FMAR_SUITES", Path(__file__).parents[2].parent / "shared" / "suites"))
ROOT = SUITES / "w3c-data-shapes" / "data-shapes-test-suite" / "tests"
MF = Namespace("http://www.w3.org/2001/sw/DataAccess/tests/test-manifest#")
SHT = Namespace("http://www.w3.org/ns/shacl-test#")

PATH = "a property path that is not one IRI"
NOT_COMPILED = {
    "core/complex/personexample": PATH,
    "core/complex/shacl-shacl": PATH,
    "core/node/qualified-001": "sh:qualified",
    "core/path/path-alternative-001": PATH,
    "core/path/path-complex-001": PATH,
    "core/path/path-complex-002": PATH,
    "core/path/path-inverse-001": PATH,
    "core/path/path-oneOrMore-001": PATH,
    "core/path/path-sequence-001": PATH,
    "core/path/path-sequence-002": PATH,
    "core/path/path-sequence-duplicate-001": PATH,
    "core/path/path-strange-001": PATH,
    "core/path/path-strange-002": PATH,
    "core/path/path-zeroOrMore-001": PATH,
    "core/path/path-zeroOrOne-001": PATH,
    "core/property/or-datatypes-001": "the datatype http://www.w3.org/1999/02/22-rdf-syntax-ns#HTML",
    "core/property/qualifiedMinCountDisjoint-001": "sh:qualified",
    "core/property/qualifiedValueShape-001": "sh:qualified",
    "core/property/qualifiedValueShapesDisjoint-001": "sh:qualified",
    "core/property/uniqueLang-002": "sh:uniqueLang 1",
}
NOT_LISTED = "sparql/component/nodeValidator-001"  # a file that no manifest of the suite includes
ABOUT_NESTED_NODES = {"core/property/property-001", "core/validation-reports/shared"}
PYSHACL_FAILS = {
    "core/property/uniqueLang-002": 'takes "1"^^xsd:boolean for true',
    "sparql/pre-binding/shapesGraph-001": "has no $shapesGraph",
}

pytestmark = [
    pytest.mark.skipif(not ROOT.exists(), reason="the W3C data-shapes suite is not here (FMAR_SUITES)"),
    pytest.mark.filterwarnings("ignore:Parsing weird boolean"),
    pytest.mark.xdist_group("shacl-suite"),
]


@dataclass(frozen=True)
class Case:
    manifest: rdflib.Graph
    data: Path
    shapes: Path
    result: rdflib.term.Node

    @property
    def is_conforming(self) -> bool:
        return str(self.manifest.value(self.result, SH.conforms)) == "true"

    def triples(self) -> list[ox.Triple]:
        return [quad.triple for quad in ox.parse(path=str(self.data), base_iri=self.data.as_uri())]

    def compiled(self) -> Compiled:
        return compile_shapes(parsed(self.shapes))


def parsed(path: Path) -> rdflib.Graph:
    return rdflib.Graph().parse(path, publicID=path.as_uri())


def entries(manifest: Path) -> Iterator[tuple[str, Case]]:
    graph = parsed(manifest)
    for included in sorted(graph.objects(None, MF.include)):
        yield from entries(local(included))
    for listed in graph.objects(None, MF.entries):
        for entry in graph.items(listed):
            action = graph.value(entry, MF.action)
            data, shapes = (local(graph.value(action, what)) for what in (SHT.dataGraph, SHT.shapesGraph))
            name = manifest.relative_to(ROOT).with_suffix("").as_posix()
            yield name, Case(graph, data, shapes, graph.value(entry, MF.result))


def local(iri: rdflib.term.Node) -> Path:
    return Path(str(iri).removeprefix("file://"))


@cache
def cases() -> dict[str, Case]:
    rdflib.NORMALIZE_LITERALS = False
    return {name: case for part in ("core", "sparql") for name, case in entries(ROOT / part / "manifest.ttl")}


NAMES = sorted(path.relative_to(ROOT).with_suffix("").as_posix() for path in ROOT.rglob("*.ttl"))
NAMES = [name for name in NAMES if not name.endswith(("manifest", "-data", "-shapes")) and name != NOT_LISTED]
CORE = [name for name in NAMES if name.startswith("core/")]


def test_every_case_of_the_suite_is_run():
    assert sorted(cases()) == NAMES
    assert (len(CORE), len(NAMES)) == (98, 120)
    assert {*NOT_COMPILED, *ABOUT_NESTED_NODES, *PYSHACL_FAILS} <= set(NAMES)


@pytest.mark.parametrize("name", [name for name in CORE if name not in NOT_COMPILED])
def test_the_compiled_verdict_is_the_expected_one(name):
    case = cases()[name]
    compiled = case.compiled()

    assert compiled.unsupported == {}
    assert compiled.shapes != []
    assert (compiled.suspects(case.triples()) == []) is case.is_conforming


@pytest.mark.parametrize("name", [name for name in CORE if name not in {*NOT_COMPILED, *ABOUT_NESTED_NODES}])
def test_the_compiled_shapes_fail_for_the_expected_focus_nodes_only(name):
    case = cases()[name]
    results = case.manifest.objects(case.result, SH.result)

    failing = {shown(node) for _, node in case.compiled().failures(case.triples())}

    assert failing == {shown(case.manifest.value(result, SH.focusNode)) for result in results}


def shown(node: object) -> str:
    if isinstance(node, ox.BlankNode | rdflib.BNode):
        return "a blank node"
    return node.value if isinstance(node, ox.NamedNode | ox.Literal) else str(node)


@pytest.mark.parametrize("name", sorted(NOT_COMPILED))
def test_what_is_not_compiled_is_always_asked_about(name):
    compiled = cases()[name].compiled()

    assert all(reason.startswith(NOT_COMPILED[name]) for reason in compiled.unsupported.values())
    assert set(compiled.suspects([])) >= set(compiled.unsupported) != set()


@pytest.mark.parametrize("name", NAMES)
def test_pyshacl_passes_all_but_the_known_cases(name):
    case = cases()[name]

    is_right = passes(case)

    assert is_right is (name not in PYSHACL_FAILS)


def passes(case: Case) -> bool:
    """Whether pyshacl reports what is expected: the same results, blank nodes not compared; or a failure."""
    rdflib.NORMALIZE_LITERALS = False
    try:
        conforms, report, _ = pyshacl.validate(parsed(case.data), shacl_graph=parsed(case.shapes), inference="none")
    except NotImplementedError:
        return False
    if case.result == SHT.Failure:
        return isinstance(report, ValidationFailure)
    (node,) = report.subjects(rdflib.RDF.type, SH.ValidationReport)
    return conforms is case.is_conforming and results(report, node) == results(case.manifest, case.result)


def results(graph: rdflib.Graph, report: rdflib.term.Node) -> list[list[str]]:
    parts = (SH.focusNode, SH.value, SH.resultPath, SH.resultSeverity, SH.sourceConstraintComponent, SH.sourceShape)
    found = graph.objects(report, SH.result)
    return sorted([shown(graph.value(result, part)) for part in parts] for result in found)
