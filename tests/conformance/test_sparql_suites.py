"""W3C SPARQL 1.1: query evaluation, result formats and syntax, asked at the endpoint of a real node."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import httpx
import pyoxigraph as ox
import pytest

from tests.conformance.suite import (
    NOTHING,
    Case,
    alone,
    are_same,
    canonical,
    cases,
    expected,
    file_of,
    is_here,
    rows_of,
    scratch,
    triples_of,
)

pytestmark = is_here
FOLDERS = (
    "aggregates", "bind", "bindings", "cast", "construct", "csv-tsv-res", "exists", "functions", "grouping", "json-res", "negation",
    "project-expression", "property-path", "service", "subquery", "syntax-fed", "syntax-query",
)  # fmt: skip
TYPES = {
    "application/sparql-results+json": ox.QueryResultsFormat.JSON,
    "application/sparql-results+xml": ox.QueryResultsFormat.XML,
    "text/tab-separated-values": ox.QueryResultsFormat.TSV,
}
GRAPH_TYPES = {"text/turtle": ox.RdfFormat.TURTLE, "application/n-triples": ox.RdfFormat.N_TRIPLES, "application/rdf+xml": ox.RdfFormat.RDF_XML}
ALL = [case for folder in FOLDERS for case in cases(folder)]
EVALUATED = [case for case in ALL if case.kind in ("QueryEvaluationTest", "CSVResultFormatTest") and case.folder != "service"]
GOOD = [case for case in ALL if case.kind.startswith("PositiveSyntax") and case.folder != "syntax-fed"]
BAD = [case for case in ALL if case.kind.startswith("NegativeSyntax")]
FEDERATED = [case for case in ALL if case.folder in ("service", "syntax-fed") and not case.kind.startswith("Negative")]
PATHS = "the engine gives a path of no step no solution where its end is no term of the graph"
GRAPHS = "the engine evaluates what stands in GRAPH ?g once, not once for each graph"
KNOWN = {
    "aggregates/agg-empty-group-count-graph": GRAPHS,
    "bindings/graph": GRAPHS,
    "csv-tsv-res/csv03": "the engine's store keeps numbers by value, and writes 1.0E6 as 1000000",
    "aggregates/agg-groupconcat-04": "the engine's GROUP_CONCAT over what is no string",
    "aggregates/agg-groupconcat-06": "the engine's GROUP_CONCAT over what is no string",
    "functions/bnode01": "the engine's BNODE(text) is one node for all solutions",
    "negation/graph-minus": "the engine takes the variable of GRAPH into account where it compares the sides of MINUS",
    "property-path/zero_or_more_set_end": PATHS,
    "property-path/zero_or_more_set_start": PATHS,
    "property-path/zero_or_one_set_end": PATHS,
    "property-path/zero_or_one_set_start": PATHS,
    "syntax-query/test_4": "the engine has no function of that name",
}
"""Cases that are left out, and why."""


def marked(found: list[Case]) -> list[object]:
    """Each case by its name; those that are known to fail have to."""
    return [pytest.param(case, id=case.id, marks=[pytest.mark.xfail(reason=KNOWN[case.id], strict=True)] if case.id in KNOWN else []) for case in found]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    files = {iri for case in EVALUATED for iri in (*case.default, *case.named)}
    with scratch(tmp_path_factory.mktemp("suites") / "data", {iri: list(triples_of(iri)) for iri in files}) as client:
        yield client


def ask(endpoint: httpx.Client, case: Case, accept: str) -> httpx.Response:
    graphs = {} if case.names_its_own else {"default-graph-uri": list(case.default) or [NOTHING], "named-graph-uri": list(case.named)}
    return endpoint.post("/sparql", data={"query": case.text, **graphs}, headers={"Accept": accept})


def turn(case: Case, types: dict[str, object]) -> str:
    """One of the media types, another for the next case."""
    return list(types)[sum(case.id.encode()) % len(types)]


@pytest.mark.parametrize("case", marked(EVALUATED))
def test_a_query_has_the_solutions_that_the_suite_says(endpoint: httpx.Client, case: Case) -> None:
    wanted = file_of(case.result)
    if case.is_graph:
        media_type = turn(case, GRAPH_TYPES)
        response = ask(endpoint, case, media_type)
        assert response.status_code == 200, response.text
        found = ox.parse(response.content, format=GRAPH_TYPES[media_type])
        assert canonical(quad.triple for quad in found) == canonical(triples_of(case.result))
    elif wanted.suffix == ".csv":
        response = ask(endpoint, case, "text/csv")
        assert table(response.text) == table(wanted.read_text("utf-8"))
    else:
        media_type = turn(case, TYPES) if case.form == "SELECT" else "application/sparql-results+json"
        response = ask(endpoint, case, media_type)
        assert response.status_code == 200, response.text
        assert are_same(rows_of(response.content, TYPES[media_type]), expected(case))


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in EVALUATED if case.id in KNOWN and not case.result.endswith(".csv")])
def test_what_is_known_to_fail_fails_in_the_engine_itself(case: Case) -> None:
    assert not are_same(alone(case), expected(case))


def table(text: str) -> list[tuple[tuple[str, str], ...]]:
    """The rows of a CSV, without the names of blank nodes; the order of columns under SELECT * is anybody's."""
    rows = csv.DictReader(io.StringIO(text, newline=""))
    return sorted(tuple(sorted((name, "_:" if value.startswith("_:") else value) for name, value in row.items())) for row in rows)


@pytest.mark.parametrize("case", marked(GOOD))
def test_a_query_is_taken(endpoint: httpx.Client, case: Case) -> None:
    assert ask(endpoint, case, "*/*").status_code == 200


@pytest.mark.parametrize("case", marked(BAD))
def test_a_text_that_is_no_query_is_400(endpoint: httpx.Client, case: Case) -> None:
    response = ask(endpoint, case, "*/*")

    assert (response.status_code, response.json()["code"]) == (400, "query-malformed")


@pytest.mark.parametrize("case", [pytest.param(case, id=case.id) for case in FEDERATED])
def test_a_query_that_would_ask_elsewhere_is_refused(endpoint: httpx.Client, case: Case) -> None:
    response = ask(endpoint, case, "*/*")

    assert response.is_client_error and response.json()["code"] == "query-refused"
