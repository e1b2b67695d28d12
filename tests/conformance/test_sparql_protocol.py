"""W3C SPARQL 1.1 Protocol and Service Description, asked at the endpoint of a real node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_plus

import httpx
import pyoxigraph as ox
import pytest
import rdflib
from rdflib.collection import Collection
from rdflib.namespace import RDF, RDFS, Namespace

from tests.conformance.suite import MF, ROOT, UT, entries, is_here, manifest, scratch, triples_of

pytestmark = is_here
HT, CNT = Namespace("http://www.w3.org/2011/http#"), Namespace("http://www.w3.org/2011/content#")
SD = "http://www.w3.org/ns/sparql-service-description#"
FORMATS = {
    "boolean": {"application/sparql-results+json", "application/sparql-results+xml"},
    "tabular": {"application/sparql-results+json", "application/sparql-results+xml", "text/csv", "text/tab-separated-values"},
    "RDF": {"text/turtle", "application/n-triples", "application/rdf+xml", "application/ld+json"},
}


@dataclass(frozen=True)
class Asked:
    """A request of a case, and what it has to be answered with."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    statuses: frozenset[str]
    boolean: bool | None = None
    kind: str = ""


@dataclass
class Told:
    name: str
    requests: list[Asked] = field(default_factory=list)
    data: dict[str, str] = field(default_factory=dict)

    @property
    def is_update(self) -> bool:
        return "update" in self.name


def read() -> list[Told]:
    if not ROOT.exists():
        return []
    graph = manifest("protocol")
    return [_case(graph, entry) for entry in entries(graph)]


def _case(graph: rdflib.Graph, entry: Any) -> Told:
    made = Told(str(entry).rsplit("#", 1)[-1])
    made.data = {str(graph.value(each, RDFS.label)): str(graph.value(each, UT.graph)) for each in graph.objects(entry, UT.graphData)}
    requests = graph.value(graph.value(entry, MF.action), HT.requests)
    made.requests = [_request(graph, each) for each in Collection(graph, requests)]
    return made


def _request(graph: rdflib.Graph, node: Any) -> Asked:
    headers = {str(graph.value(each, HT.fieldName)): str(graph.value(each, HT.fieldValue)) for each in Collection(graph, graph.value(node, HT.headers) or RDF.nil)}
    body, answer = graph.value(node, HT.body), graph.value(node, HT.resp)
    text = str(graph.value(body, CNT.chars) or "").encode(str(graph.value(body, CNT.characterEncoding) or "utf-8"))
    boolean, kind = graph.value(answer, MF.expectedBoolean), graph.value(answer, MF.expectedFormat)
    statuses = frozenset(str(each).rsplit("StatusCode", 1)[-1][0] for each in graph.objects(answer, MF.expectedStatus))
    path = str(graph.value(node, HT.absolutePath)).replace("/sparql/", "/sparql", 1)
    return Asked(str(graph.value(node, HT.methodName)), path, headers, text, statuses, None if boolean is None else boolean.toPython(), str(kind or ""))


CASES = read()
READING = [case for case in CASES if not case.is_update]
UPDATING = [case for case in CASES if case.is_update]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    data = {name: file for case in CASES for name, file in case.data.items()}
    empty = {f"http://kasei.us/2009/09/sparql/data/data{number}.rdf": [] for number in range(4)}
    with scratch(tmp_path_factory.mktemp("protocol") / "data", {**empty, **{name: list(triples_of(file)) for name, file in data.items()}}) as client:
        yield client


def send(endpoint: httpx.Client, asked: Asked) -> httpx.Response:
    return endpoint.request(asked.method, asked.path, headers=asked.headers, content=asked.body or None)


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in READING])
def test_a_query_is_answered_as_the_protocol_says(endpoint: httpx.Client, case: Told) -> None:
    assert case.requests
    for asked in case.requests:
        response = send(endpoint, asked)
        media_type = response.headers["Content-Type"].split(";")[0]

        assert str(response.status_code)[0] in asked.statuses, f"{asked}\n{response.text}"
        assert not asked.kind or media_type in FORMATS[asked.kind]
        if asked.boolean is not None:
            assert response.json()["boolean"] is asked.boolean
        if response.is_client_error:
            assert media_type == "application/problem+json" and response.json()["code"]


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in UPDATING])
def test_no_update_is_carried_out(endpoint: httpx.Client, case: Told) -> None:
    """The endpoint answers queries: cases of updates are refused, and whatever they ask afterwards finds nothing."""
    for asked in case.requests:
        is_query = b"query=" in asked.body or "query=" in unquote_plus(asked.path) or asked.headers.get("content-type") == "application/sparql-query"
        response = send(endpoint, asked)

        assert response.is_success if is_query else 400 <= response.status_code < 500, response.text
        if is_query:
            assert response.json()["boolean"] is False


def described(endpoint: httpx.Client) -> set[tuple[Any, str, Any]]:
    response = endpoint.get("/sparql", headers={"Accept": "text/turtle, application/rdf+xml"})
    assert response.status_code == 200
    return {(quad.subject, quad.predicate.value, quad.object) for quad in ox.parse(response.content, format=ox.RdfFormat.TURTLE)}


def test_returns_rdf(endpoint: httpx.Client) -> None:
    assert described(endpoint)


def test_has_endpoint_triple(endpoint: httpx.Client) -> None:
    found = described(endpoint)

    services = [subject for subject, predicate, object_ in found if predicate.endswith("#type") and object_ == ox.NamedNode(f"{SD}Service")]
    assert len(services) == 1
    assert [object_.value for subject, predicate, object_ in found if (subject, predicate) == (services[0], f"{SD}endpoint")] == [f"{endpoint.base_url}/sparql".replace("//sparql", "/sparql")]


def test_conforms_to_schema(endpoint: httpx.Client) -> None:
    """Ranges of the terms that the description uses."""
    ranges = {
        "endpoint": None, "supportedLanguage": "Language", "resultFormat": None, "defaultDataset": "Dataset", "defaultGraph": "Graph",
        "namedGraph": "NamedGraph", "name": None, "graph": "Graph",
    }  # fmt: skip
    found = described(endpoint)
    types = {(subject, object_.value) for subject, predicate, object_ in found if predicate.endswith("#type")}
    own = {predicate.removeprefix(SD) for _, predicate, _ in found if predicate.startswith(SD)}

    assert own <= set(ranges)
    for _, predicate, object_ in found:
        if predicate.startswith(SD):
            wanted = ranges[predicate.removeprefix(SD)]
            assert isinstance(object_, ox.NamedNode)
            assert wanted in (None, "Language") or (object_, SD + wanted) in types
