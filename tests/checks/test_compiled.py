"""Compiled shapes say "conforms" only where pyshacl does, and what they don't support is always asked about."""

from __future__ import annotations

from collections.abc import Iterable

import pyoxigraph as ox
import pyshacl
import pytest
import rdflib
from rdflib.namespace import SH

from fmar_node.checks.compiled import Compiled, compile_shapes
from fmar_node.checks.shape import graph_of
from fmar_node.vocabulary import XSD

PREFIXES = """
@prefix ex: <https://example.org/> .
@prefix rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
@prefix sh: <http://www.w3.org/ns/shacl#> .
@prefix xsd: <http://www.w3.org/2001/XMLSchema#> .
"""
EX = "https://example.org/"


def compiled(turtle: str) -> Compiled:
    return compile_shapes(graph_of(triples(turtle)))


def triples(turtle: str) -> list[ox.Triple]:
    return [quad.triple for quad in ox.parse(PREFIXES + turtle, format=ox.RdfFormat.TURTLE)]


def suspects(shapes: str, data: str) -> list[str]:
    return [shape.removeprefix(EX) for shape in compiled(shapes).suspects(triples(data))]


def test_a_conforming_document_has_no_suspects():
    shapes = "ex:S a sh:NodeShape ; sh:targetClass ex:C ; sh:property [ sh:path ex:p ; sh:minCount 1 ] ."

    assert suspects(shapes, "ex:a a ex:C ; ex:p 1 .") == []
    assert suspects(shapes, "ex:a a ex:C .") == ["S"]


def test_a_nested_property_shape_reports_its_targeted_node_shape():
    shapes = "ex:S sh:targetClass ex:C ; sh:property ex:P . ex:P sh:path ex:p ; sh:datatype xsd:string ."

    assert suspects(shapes, "ex:a a ex:C ; ex:p 1 .") == ["S"]


def test_a_triple_that_is_said_twice_counts_once():
    shapes = "ex:S a sh:PropertyShape ; sh:targetClass ex:C ; sh:path ex:p ; sh:maxCount 1 ."
    data = triples("ex:a a ex:C ; ex:p 1 .")

    assert compiled(shapes).suspects([*data, *data]) == []
    assert suspects(shapes, "ex:a a ex:C ; ex:p 1, 2 .") == ["S"]


def test_a_shape_is_handed_what_it_looks_at_and_nothing_else():
    shapes = compiled("""
        ex:S sh:targetSubjectsOf ex:t ; sh:property [ sh:path ex:p ; sh:lessThan ex:q ] ; sh:not [ sh:and ( ex:N ) ] . ex:N sh:property ex:P . ex:P sh:path ex:n ; sh:minCount 1 .
        ex:Closed sh:targetClass ex:C ; sh:closed true .
        ex:Unsupported sh:targetClass ex:C ; sh:property [ sh:path ( ex:p ex:q ) ; sh:minCount 1 ] .""")
    data = triples("ex:a a ex:C ; ex:t 1 ; ex:p 2 ; ex:q 3 ; ex:n 4 ; ex:other 5 .")
    seen, *everything = (shapes.read_by([rdflib.URIRef(EX + name)], data) for name in ("S", "Closed", "Unsupported"))

    assert sorted(each.predicate.value.rpartition("/")[2].rpartition("#")[2] for each in seen) == ["n", "p", "q", "t", "type"]
    assert everything == [data, data]


@pytest.mark.parametrize("constraint", ["sh:minCount 1", "sh:hasValue 1", "sh:equals ex:q", "sh:not [ sh:path ex:q ; sh:minCount 1 ]"])
def test_a_property_that_is_absent_is_judged_where_its_absence_may_be_a_fault(constraint):
    shapes = f"ex:S sh:targetClass ex:C ; sh:path ex:p ; {constraint} ."

    assert suspects(shapes, "ex:a a ex:C ; ex:q 1 .") == ([] if "not" in constraint else ["S"])


def test_failures_name_the_focus_nodes():
    shapes = "ex:S a sh:PropertyShape ; sh:targetClass ex:C ; sh:path ex:p ; sh:minCount 1 ."
    data = triples("ex:a a ex:C ; ex:p 1 . ex:b a ex:D . ex:D rdfs:subClassOf ex:C .")

    assert [node.value for _, node in compiled(shapes).failures(data)] == [EX + "b"]


UNSUPPORTED = {
    "sh:property [ sh:path [ sh:inversePath ex:p ] ; sh:minCount 1 ]": "a property path that is not one IRI",
    "sh:not [ sh:property [ sh:path ( ex:p ex:q ) ] ]": "a property path that is not one IRI",
    "sh:property [ sh:path ex:p ; sh:qualifiedValueShape [ sh:class ex:D ] ; sh:qualifiedMinCount 1 ]": "sh:qualified",
    'sh:sparql [ sh:select "SELECT $this { }" ]': "sh:sparql",
    "sh:MinCount 1": "sh:MinCount",
    "sh:node ex:S": "recursion",
    "sh:property [ sh:path ex:p ; sh:node ex:S ]": "recursion",
    "sh:or ()": "an empty list of shapes",
    'sh:pattern "a" ; sh:flags "x"': "the flags x",
    "sh:datatype ex:colour": "the datatype https://example.org/colour",
    'sh:minInclusive "a"': "the bound a",
    'sh:maxInclusive "1e3"^^xsd:decimal': "the bound 1e3",
}


@pytest.mark.parametrize("constraint", UNSUPPORTED)
def test_a_construct_that_is_not_supported_makes_its_shape_a_suspect_for_every_document(constraint):
    both = compiled(f"ex:S a sh:NodeShape ; sh:targetClass ex:C ; {constraint} . ex:T sh:targetClass ex:C .")

    assert [shape.removeprefix(EX) for shape in both.suspects([])] == ["S"]
    assert next(iter(both.unsupported.values())).startswith(UNSUPPORTED[constraint])


def test_custom_components_make_every_shape_a_suspect():
    shapes = "ex:S a sh:NodeShape ; sh:targetClass ex:C ; ex:colour ex:red . ex:Colour a sh:ConstraintComponent ."

    assert suspects(shapes, "") == ["S"]


ILL_FORMED = (
    '"1.5E3"^^xsd:decimal', '" 5"^^xsd:decimal', '" 5"^^xsd:integer', '"1_000"^^xsd:integer', '"300"^^xsd:byte',
    '"2026-02-30"^^xsd:date', '"2026-01-01T00:00:00Z"^^xsd:date', '"2026-01-01 00:00:00"^^xsd:dateTime', '"TRUE"^^xsd:boolean',
)  # fmt: skip


@pytest.mark.parametrize("value", ILL_FORMED)
def test_doubt_is_never_turned_into_conforms_by_a_negation(value):
    datatype = value.split("^^")[1]
    shape = f"sh:property [ sh:path ex:p ; sh:datatype {datatype} ]"

    assert suspects(f"ex:S sh:targetClass ex:C ; {shape} .", f"ex:a a ex:C ; ex:p {value} .") == ["S"]
    assert suspects(f"ex:S sh:targetClass ex:C ; sh:not [ {shape} ] .", f"ex:a a ex:C ; ex:p {value} .") == ["S"]


TEXTS = (
    "", " ", "a", "true", "TRUE", "1", "0", "-1", "+1", "01", "1.", ".5", "1.50", " 5", "5 ", "5\n", "1e3", "1.5E3", "INF",
    "128", "-129", "99999999999999999999", "\u0663", "1_000", "2026-01-01", "2026-1-1", "2026-02-30", "2026-01-01Z",
    "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "2026-01-01T00:00:00+01:00", "2026-01-01T24:00:00",
    "2026-01-01T00:00:00.1234567Z", "0000-01-01", "12026-01-01",
)  # fmt: skip
TYPES = [XSD + name for name in ("boolean", "byte", "date", "dateTime", "decimal", "double", "integer", "string")]
BOUNDS = ("0", "100.5", '"2026-01-01"^^xsd:date', '"2026-01-01T00:00:00Z"^^xsd:dateTime', '"2026-01-01T00:00:00"^^xsd:dateTime')
ON_ONE_VALUE = (
    *(f"sh:datatype <{name}>" for name in TYPES),
    *(f"sh:{bound} {value}" for bound in ("minInclusive", "maxExclusive") for value in BOUNDS),
    "sh:minLength 2", "sh:maxLength 2", 'sh:pattern "^[0-9]+$"', 'sh:in ( 1 "a" 1.50 true )', "sh:hasValue 01", "sh:nodeKind sh:IRI",
)  # fmt: skip
ON_TWO_VALUES = ("sh:lessThan ex:q", "sh:lessThanOrEquals ex:q", "sh:equals ex:q", "sh:disjoint ex:q")
FAMILIES = (
    ("1", "1.0", "01", "1.50", "1e0", '"1"^^xsd:byte', '"-3"^^xsd:float', '"0.30"^^xsd:decimal'),
    ('"2026-01-01"^^xsd:date', '"2026-01-02"^^xsd:date', '"2026-01-01Z"^^xsd:date', '"2025-12-31T00:00:00Z"^^xsd:date'),
    ('"2026-01-01T00:00:00Z"^^xsd:dateTime', '"2026-01-01T01:00:00+01:00"^^xsd:dateTime', '"2026-01-01T00:30:00"^^xsd:dateTime'),
    ('"a"', '"b"', '"a"@en', '"A"', "ex:a"),
    ("true", "false", '"1"^^xsd:boolean'),
)


def with_one_value() -> str:
    """A node for every text as a literal of every type: ill-formed ones, and well-formed ones that rdflib can't read."""
    forms = (ox.Literal(text, datatype=ox.NamedNode(name)) for text in TEXTS for name in TYPES)
    return "\n".join(f"ex:n{number} ex:p {value} ." for number, value in enumerate([*forms, ox.NamedNode(EX + "2026")]))


def with_two_values() -> str:
    """A node for every pair of values of a family. Not across families: pyshacl raises TypeError there."""
    pairs = [(one, two) for family in FAMILIES for one in family for two in family]
    return "\n".join(f"ex:n{number} ex:p {one} ; ex:q {two} ." for number, (one, two) in enumerate(pairs))


def plain_and_negated(constraints: Iterable[str]) -> str:
    """A shape for the values of ex:p by each constraint, and one by its negation."""
    target = "sh:targetSubjectsOf ex:p"
    shapes = [(f"{target} ; sh:path ex:p ; {each}", f"{target} ; sh:not [ sh:path ex:p ; {each} ]") for each in constraints]
    return "\n".join(f"ex:plain{n} {plain} . ex:not{n} {negated} ." for n, (plain, negated) in enumerate(shapes))


def refused(shapes: str, data: str) -> set[tuple[str, str]]:
    """(shape, focus node) of every result of pyshacl."""
    rdflib.NORMALIZE_LITERALS = False
    lines = ox.serialize(triples(data), format=ox.RdfFormat.N_TRIPLES)
    graph = rdflib.Graph().parse(data=lines, format="nt")
    _, report, _ = pyshacl.validate(graph, shacl_graph=graph_of(triples(shapes)), inference="none")
    parts = (SH.sourceShape, SH.focusNode)
    return {tuple(str(report.value(each, part)) for part in parts) for each in report.objects(None, SH.result)}


@pytest.mark.filterwarnings("ignore:Parsing weird boolean")
@pytest.mark.parametrize(
    ("constraints", "data"), [(ON_ONE_VALUE, with_one_value()), (ON_TWO_VALUES, with_two_values())], ids=["one", "two"]
)
def test_nothing_is_certain_where_pyshacl_refuses(constraints, data):
    shapes = plain_and_negated(constraints)
    closures = compiled(shapes)

    uncertain = {(str(shape), node.value) for shape, node in closures.failures(triples(data))}
    wrong = refused(shapes, data)

    pairs = 2 * len(constraints) * len(data.splitlines())
    assert closures.unsupported == {}
    assert wrong - uncertain == set()
    assert len(wrong) > pairs / 4 > len(uncertain - wrong)
