"""What this node is, for machines: SPARQL service description and a DCAT catalogue entry."""

from __future__ import annotations

import pyoxigraph as ox

from fmar_node.query import SHARED_GRAPHS
from fmar_node.vocabulary import RDF_TYPE, SHAPES

SD = "http://www.w3.org/ns/sparql-service-description#"
FORMAT = "http://www.w3.org/ns/formats/"
DCAT = "http://www.w3.org/ns/dcat#"
DCTERMS = "http://purl.org/dc/terms/"
Fact = tuple[ox.NamedNode, str, ox.NamedNode | ox.Literal]
RESULTS = ("SPARQL_Results_JSON", "SPARQL_Results_XML", "SPARQL_Results_CSV", "SPARQL_Results_TSV")
GRAPHS = ("Turtle", "N-Triples", "JSON-LD", "RDF_XML")


def service_description(base_url: str) -> tuple[ox.Triple, ...]:
    """SPARQL 1.1 Service Description of /sparql, with the named graphs that everybody may name."""
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
    ]
    facts += [(service, SD + "resultFormat", _iri(FORMAT + name)) for name in RESULTS + GRAPHS]
    for name in SHARED_GRAPHS:
        named, graph = _iri(f"{base_url}/sparql#{name.replace('/', '-')}"), _iri(f"{base_url}/{name}")
        facts += [
            (dataset, SD + "namedGraph", named),
            (named, RDF_TYPE, _iri(SD + "NamedGraph")),
            (named, SD + "name", graph),
            (named, SD + "graph", graph),
            (graph, RDF_TYPE, _iri(SD + "Graph")),
        ]
    return tuple(ox.Triple(subject, _iri(predicate), object_) for subject, predicate, object_ in facts)


def catalogue(base_url: str, name: str) -> tuple[ox.Triple, ...]:
    """The node as a DCAT catalogue: its register as a dataset, the SPARQL endpoint as its data service."""
    node, register, service = _iri(f"{base_url}/"), _iri(f"{base_url}/#register"), _iri(f"{base_url}/sparql#service")
    facts: list[Fact] = [
        (node, RDF_TYPE, _iri(DCAT + "Catalog")),
        (node, DCTERMS + "title", ox.Literal(name, language="en")),
        (node, DCAT + "dataset", register),
        (node, DCAT + "service", service),
        (register, RDF_TYPE, _iri(DCAT + "Dataset")),
        (register, DCTERMS + "title", ox.Literal("Register of flexible assets and organisations", language="en")),
        (register, DCTERMS + "conformsTo", _iri(SHAPES + "asset")),
        (register, DCTERMS + "conformsTo", _iri(SHAPES + "organisation")),
        (register, DCTERMS + "accessRights", ox.Literal("By signed credential; open fields of public records need none.", language="en")),
        (service, RDF_TYPE, _iri(DCAT + "DataService")),
        (service, DCAT + "endpointURL", _iri(f"{base_url}/sparql")),
        (service, DCAT + "endpointDescription", _iri(f"{base_url}/openapi.json")),
        (service, DCAT + "servesDataset", register),
    ]
    described = tuple(ox.Triple(subject, _iri(predicate), object_) for subject, predicate, object_ in facts)
    return described + service_description(base_url)


def _iri(text: str) -> ox.NamedNode:
    return ox.NamedNode(text)
