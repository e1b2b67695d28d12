"""The vocabulary over HTTP: context, ontology, shapes and code lists, for tools and for people."""

from __future__ import annotations

from functools import cache

import pyoxigraph as ox
import pytest
from pyld import jsonld as pyld

from fmar_node.vocabulary import Vocabulary, packaged
from tests.live import Live

RDF = {
    "text/turtle": ("turtle", ox.RdfFormat.TURTLE),
    "application/ld+json": ("jsonld", ox.RdfFormat.JSON_LD),
    "application/n-triples": ("ntriples", ox.RdfFormat.N_TRIPLES),
    "application/n-quads": ("nquads", ox.RdfFormat.N_QUADS),
    "application/rdf+xml": ("rdfxml", ox.RdfFormat.RDF_XML),
}
FMAR = "https://w3id.org/fmar/ns#"
SKOS = "http://www.w3.org/2004/02/skos/core#"
PATHS = ("/ontology", "/shapes", "/shapes/asset", "/codes", "/codes/AssetCategory")


@cache
def schemes() -> tuple[str, ...]:
    return tuple(sorted(Vocabulary.load().schemes))


def named(data: bytes, format_: ox.RdfFormat) -> set[str]:
    """The triples between names and literals: blank nodes have no name to compare."""
    parts = ((quad.subject, quad.triple, quad.object) for quad in ox.parse(data, format=format_))
    return {str(triple) for subject, triple, object_ in parts if not isinstance(subject, ox.BlankNode) and not isinstance(object_, ox.BlankNode)}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("media_type", RDF)
def test_every_format_says_the_same(live: Live, path: str, media_type: str) -> None:
    short, format_ = RDF[media_type]

    accepted = live.client().get(path, headers={"Accept": media_type})
    asked = live.client().get(path, params={"format": short})

    reference = live.client().get(path, headers={"Accept": "application/n-triples"}).content
    assert accepted.headers["Content-Type"].split(";")[0] == media_type
    assert named(accepted.content, format_) == named(reference, ox.RdfFormat.N_TRIPLES) != set()
    assert asked.content == accepted.content


@pytest.mark.parametrize("path", [*PATHS, "/context/v1", "/frames/asset"])
def test_what_is_known_is_304(live: Live, path: str) -> None:
    first = live.client().get(path)

    again = live.client().get(path, headers={"If-None-Match": f'"x", {first.headers["ETag"]}'})
    other = live.client().get(path, headers={"If-None-Match": '"x"'})

    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", first.headers["ETag"])
    assert (other.status_code, "max-age=" in first.headers["Cache-Control"]) == (200, True)


def test_formats_have_tags_of_their_own(live: Live) -> None:
    tags = {live.client().get("/ontology", headers={"Accept": media_type}).headers["ETag"] for media_type in RDF}

    assert len(tags) == len(RDF)


def test_the_context_is_the_packaged_one(live: Live) -> None:
    response = live.client().get("/context/v1")

    assert response.content == (packaged("ontology") / "context-v1.jsonld").read_bytes()
    assert response.headers["Content-Type"] == "application/ld+json"
    assert response.json()["@context"]["@vocab"] == FMAR


def test_every_term_of_a_record_is_defined_in_the_ontology(live: Live) -> None:
    graph = named(live.client().get("/ontology", params={"format": "ntriples"}).content, ox.RdfFormat.N_TRIPLES)
    record = live.register().json()

    missing = [name for name in record if name not in ("@context", "id", "type") and not any(fact.startswith(f"<{FMAR}{name}> <{SKOS}definition>") for fact in graph)]

    assert missing == []


def test_the_shapes_of_a_kind_are_those_that_reports_name(live: Live) -> None:
    graph = live.client().get("/shapes/asset", params={"format": "ntriples"}).text
    problem = live.client("fsp-a").post("/assets", json={"type": "Asset"}, headers={"Content-Type": "application/ld+json"}).json()

    named_shapes = [result["sh:sourceShape"] for result in problem["report"]["sh:result"] if "sh:sourceShape" in result]

    assert named_shapes and all(f"<{shape}>" in graph for shape in named_shapes)


@pytest.mark.parametrize("scheme", schemes())
def test_every_code_list_is_there_for_tools_and_people(live: Live, scheme: str) -> None:
    listed = live.client().get(f"/codes/{scheme}", headers={"Accept": "application/json"}).json()
    page = live.client().get(f"/codes/{scheme}", headers={"Accept": "text/html"})

    codes = Vocabulary.load().schemes[scheme].codes
    assert [row["code"] for row in listed["codes"]] == list(codes)
    assert all(row["label"] for row in listed["codes"])
    assert page.headers["Content-Type"].startswith("text/html") and all(f"<code>{code}</code>" in page.text for code in codes)


def test_a_list_of_codes_is_itself_and_not_its_neighbours(live: Live) -> None:
    subjects = {quad.subject.value for quad in ox.parse(live.client().get("/codes/OwnerKind", params={"format": "ntriples"}).content, format=ox.RdfFormat.N_TRIPLES)}

    base = "https://w3id.org/fmar/codes/OwnerKind"
    assert subjects == {base, f"{base}#ORGANISATION", f"{base}#INDIVIDUAL"}


@pytest.mark.parametrize(("path", "told"), [("/codes/Nothing", "AssetCategory"), ("/shapes/nothing", "organisation"), ("/problems/nothing", "code")])
def test_what_there_is_not_is_404_and_says_what_there_is(live: Live, path: str, told: str) -> None:
    response = live.client().get(path)

    assert (response.status_code, told in response.json()["detail"]) == (404, True)


@pytest.mark.parametrize("path", PATHS)
def test_a_format_that_there_is_not_is_406(live: Live, path: str) -> None:
    assert live.client().get(path, headers={"Accept": "image/png"}).status_code == 406
    assert live.client().get(path, params={"format": "docx"}).status_code == 406


def test_a_graph_becomes_the_record_again_by_its_frame(live: Live) -> None:
    """What a query constructs of a record, framed, is the document that the record itself is read as."""
    made = live.register(alias=[{"scheme": "ECR", "value": "ECR-1-1"}, {"scheme": "EVSE", "value": "9"}])
    iri, index = made.headers["Location"], int(made.headers["Fmar-Journal-Index"])
    query = f"CONSTRUCT {{ ?s ?p ?o }} {{ ?s ?p ?o FILTER(?s = <{iri}> || STRSTARTS(STR(?s), '{iri}#')) }}"
    graph = live.ask("fsp-a", query, index, Accept="application/ld+json").json()
    context = live.client().get("/context/v1").json()

    framed = pyld.frame(graph, {**live.client().get("/frames/asset").json(), **context})

    shown = live.client("fsp-a").get(iri).json()
    assert plain({**framed, "@context": ""}) == plain({**shown, "@context": ""})


def plain(value: object) -> object:
    """Without the order of lists, and numbers by value: the graph keeps neither; a frame fills lists that are not there with nothing."""
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items() if each != []}
    if isinstance(value, list):
        return sorted((plain(each) for each in value), key=str)
    return str(value).removesuffix(".00")


def test_a_frame_of_no_kind_is_404(live: Live) -> None:
    assert live.client().get("/frames/nothing").status_code == 404
