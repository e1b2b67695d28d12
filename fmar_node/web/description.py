"""What this node offers to a caller, for machines: SPARQL service description, DCAT catalogue, VoID statistics.

Rules kept here: each caller is told of its own window and of no other; what is open has a licence, what is not says how it
is opened and how sensitive its fields may be (the tiers of the ontology).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pyoxigraph as ox

from fmar_node.access.caller import Caller
from fmar_node.query import SHARED_GRAPHS, window
from fmar_node.settings import Settings
from fmar_node.vocabulary import FMAR, RDF_TYPE, SHAPES, XSD, Tier

SD = "http://www.w3.org/ns/sparql-service-description#"
FORMAT = "http://www.w3.org/ns/formats/"
DCAT = "http://www.w3.org/ns/dcat#"
DCTERMS = "http://purl.org/dc/terms/"
VOID = "http://rdfs.org/ns/void#"
ACCESS = "http://publications.europa.eu/resource/authority/access-right/"
APACHE, CC_BY = "https://www.apache.org/licenses/LICENSE-2.0", "https://creativecommons.org/licenses/by/4.0/"
LICENCES = {"ontology": (APACHE, CC_BY), "codes": (APACHE, CC_BY), "shapes": (APACHE,)}
"""Names, definitions and codes that Elexon has published are under CC BY, the rest under the licence of the software."""
Fact = tuple[ox.NamedNode, str, ox.NamedNode | ox.Literal]
RESULTS = ("SPARQL_Results_JSON", "SPARQL_Results_XML", "SPARQL_Results_CSV", "SPARQL_Results_TSV")
GRAPHS = ("Turtle", "N-Triples", "JSON-LD", "RDF_XML")
TITLES = {
    "views/public": "What everybody sees of the register",
    "ontology": "The terms of records",
    "shapes": "The shapes that records are judged by",
    "codes": "The code lists",
}
COUNTS = """PREFIX rdf: <http://www.w3.org/1999/02/22-rdf-syntax-ns#>
SELECT ?property ?class (COUNT(*) AS ?triples) { ?s ?property ?o BIND(IF(?property = rdf:type, ?o, ?none) AS ?class) } GROUP BY ?property ?class"""
"""How often each property stands in the default graph, `rdf:type` by its class."""


def service_description(settings: Settings, caller: Caller) -> tuple[ox.Triple, ...]:
    """SPARQL 1.1 Service Description of /sparql, with the graphs that the caller may name."""
    base_url = settings.base_url
    own, named = window(caller, base_url)
    service, dataset = _iri(f"{base_url}/sparql#service"), _iri(f"{base_url}/sparql#dataset")
    default = _iri(f"{base_url}/sparql#default-graph")
    facts: list[Fact] = [
        (service, RDF_TYPE, _iri(SD + "Service")),
        (service, SD + "endpoint", _iri(f"{base_url}/sparql")),
        (service, SD + "supportedLanguage", _iri(SD + "SPARQL11Query")),
        (service, SD + "defaultDataset", dataset),
        (dataset, RDF_TYPE, _iri(SD + "Dataset")),
        (dataset, SD + "defaultGraph", default),
        (default, RDF_TYPE, _iri(SD + "Graph")),
        (default, DCTERMS + "description", ox.Literal("The records that the caller's credential opens.", language="en")),
        (default, DCTERMS + "source", _iri(own)),
    ]
    facts += [(service, SD + "resultFormat", _iri(FORMAT + name)) for name in RESULTS + GRAPHS]
    for graph in named:
        part = _iri(f"{base_url}/sparql#{graph.removeprefix(base_url + '/').replace('/', '-')}")
        facts += [
            (dataset, SD + "namedGraph", part),
            (part, RDF_TYPE, _iri(SD + "NamedGraph")),
            (part, SD + "name", _iri(graph)),
            (part, SD + "graph", _iri(graph)),
            (_iri(graph), RDF_TYPE, _iri(SD + "Graph")),
        ]
    return _triples(facts)


def catalogue(settings: Settings, caller: Caller) -> tuple[ox.Triple, ...]:
    """The node as a DCAT catalogue: the graphs of the caller's window as datasets, the SPARQL endpoint as their service."""
    base_url = settings.base_url
    node, service = _iri(f"{base_url}/"), _iri(f"{base_url}/sparql#service")
    facts: list[Fact] = [
        (node, RDF_TYPE, _iri(DCAT + "Catalog")),
        (node, DCTERMS + "title", ox.Literal(settings.node_name, language="en")),
        (node, DCAT + "service", service),
        (service, RDF_TYPE, _iri(DCAT + "DataService")),
        (service, DCTERMS + "title", ox.Literal("SPARQL", language="en")),
        (service, DCAT + "endpointURL", _iri(f"{base_url}/sparql")),
        (service, DCAT + "endpointDescription", _iri(f"{base_url}/openapi.json")),
    ]
    for graph in window(caller, base_url)[1]:
        facts += [(node, DCAT + "dataset", _iri(graph)), (service, DCAT + "servesDataset", _iri(graph)), *_dataset(_iri(graph), settings)]
    return _triples(facts) + service_description(settings, caller)


def statistics(settings: Settings, caller: Caller, counts: Iterable[Mapping[str, Any]]) -> tuple[ox.Triple, ...]:
    """VoID of the caller's own graph from the rows of `COUNTS` as SPARQL JSON."""
    own = _iri(window(caller, settings.base_url)[0])
    rows = [(row["property"]["value"], row.get("class", {}).get("value", ""), int(row["triples"]["value"])) for row in counts]
    properties: dict[str, int] = {}
    for name, _, number in rows:
        properties[name] = properties.get(name, 0) + number
    facts: list[Fact] = [
        (own, RDF_TYPE, _iri(VOID + "Dataset")),
        (own, VOID + "sparqlEndpoint", _iri(f"{settings.base_url}/sparql")),
        (own, VOID + "vocabulary", _iri(FMAR)),
        (own, VOID + "uriSpace", ox.Literal(f"{settings.base_url}/")),
        (own, VOID + "triples", _number(sum(properties.values()))),
        (own, VOID + "properties", _number(len(properties))),
    ]
    facts += _dataset(own, settings)
    partitions = [("property", name, "triples", number) for name, number in sorted(properties.items())]
    partitions += [("class", name, "entities", number) for _, name, number in sorted(row for row in rows if row[1])]
    for place, (kind, name, counted, number) in enumerate(partitions):
        part = _iri(f"{own.value}#partition-{place}")
        facts += [(own, f"{VOID}{kind}Partition", part), (part, VOID + kind, _iri(name)), (part, VOID + counted, _number(number))]
    return _triples(facts)


def _dataset(graph: ox.NamedNode, settings: Settings) -> list[Fact]:
    name = graph.value.removeprefix(f"{settings.base_url}/")
    is_own = name not in SHARED_GRAPHS
    licences = (settings.open_licence,) if name == "views/public" else LICENCES.get(name, ())
    tiers = tuple(Tier) if is_own else (Tier.OPEN,)
    facts: list[Fact] = [
        (graph, RDF_TYPE, _iri(DCAT + "Dataset")),
        (graph, DCTERMS + "title", ox.Literal("What your organisation sees of the register" if is_own else TITLES[name], language="en")),
        (graph, DCTERMS + "accessRights", _iri(ACCESS + ("RESTRICTED" if is_own else "PUBLIC"))),
        *((graph, FMAR + "disclosureTier", _iri(FMAR + tier.value)) for tier in tiers),
    ]
    if is_own:
        told = "By signed credential: what your roles, your own records and grants to you open. Not for passing on."
        facts.append((graph, DCTERMS + "rights", ox.Literal(told, language="en")))
    else:
        facts += [(graph, DCTERMS + "license", _iri(licence)) for licence in licences]
    if is_own or name == "views/public":
        facts += [(graph, DCTERMS + "conformsTo", _iri(SHAPES + kind)) for kind in ("asset", "organisation")]
    return facts


def _number(value: int) -> ox.Literal:
    return ox.Literal(str(value), datatype=ox.NamedNode(XSD + "integer"))


def _triples(facts: Iterable[Fact]) -> tuple[ox.Triple, ...]:
    return tuple(ox.Triple(subject, _iri(predicate), object_) for subject, predicate, object_ in facts)


def _iri(text: str) -> ox.NamedNode:
    return ox.NamedNode(text)
