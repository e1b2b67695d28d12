"""What the node offers, told to each caller of its own window: service description, DCAT catalogue, VoID statistics."""

from __future__ import annotations

import pyoxigraph as ox
import pytest

from fmar_node.vocabulary import FMAR
from tests.live import Live

DCAT, DCTERMS, VOID = "http://www.w3.org/ns/dcat#", "http://purl.org/dc/terms/", "http://rdfs.org/ns/void#"
SD = "http://www.w3.org/ns/sparql-service-description#"
PLACES = ("/", "/sparql", "/.well-known/void")


def facts(live: Live, name: str, path: str, **headers: str) -> set[tuple[str, str, str]]:
    response = live.client(name).get(path, headers={"Accept": "application/n-triples", **headers})
    assert response.status_code == 200, response.text
    return {(quad.subject.value, quad.predicate.value, quad.object.value) for quad in ox.parse(response.content, format=ox.RdfFormat.N_TRIPLES)}


def view_of(live: Live, name: str) -> str:
    return f"{live.url}/views/{live.profiles[name].organisation.rsplit('/', 1)[1]}" if name else f"{live.url}/views/public"


@pytest.mark.parametrize("path", PLACES)
@pytest.mark.parametrize("name", ["", "fsp-a", "dso-east"])
def test_a_caller_is_told_of_its_own_window_and_of_no_other(live: Live, name: str, path: str) -> None:
    told = facts(live, name, path)

    views = {text for fact in told for text in fact if text.startswith(f"{live.url}/views/") and "#" not in text}
    assert view_of(live, name) in views <= {view_of(live, name), f"{live.url}/views/public"}


@pytest.mark.parametrize("name", ["", "fsp-a"])
def test_every_dataset_has_its_access_its_tiers_and_its_terms(live: Live, name: str) -> None:
    told = facts(live, name, "/")

    datasets = {subject for subject, predicate, object_ in told if object_ == f"{DCAT}Dataset"}
    assert len(datasets) == (5 if name else 4)
    for dataset in datasets:
        said = {predicate: object_ for subject, predicate, object_ in told if subject == dataset}
        assert said[f"{DCTERMS}accessRights"].endswith("/RESTRICTED" if dataset == view_of(live, name) and name else "/PUBLIC")
        assert f"{DCTERMS}license" in said or f"{DCTERMS}rights" in said
        assert said[f"{FMAR}disclosureTier"].startswith(FMAR)
    assert {object_ for subject, predicate, object_ in told if subject == view_of(live, "") and predicate == f"{FMAR}disclosureTier"} == {f"{FMAR}open"}


def test_the_statistics_are_those_of_the_callers_graph(live: Live) -> None:
    index = live.register("fsp-a").headers["Fmar-Journal-Index"]
    rows = live.rows("fsp-a", "SELECT (COUNT(*) AS ?all) (COUNT(DISTINCT ?p) AS ?properties) { ?s ?p ?o }", after=int(index))[0]
    assets = live.rows("fsp-a", f"SELECT (COUNT(*) AS ?all) {{ ?s a <{FMAR}Asset> }}")[0]["all"]

    told = facts(live, "fsp-a", "/.well-known/void", **{"Fmar-Min-Journal-Index": index})

    said = {predicate: object_ for subject, predicate, object_ in told if subject == view_of(live, "fsp-a")}
    assert (said[f"{VOID}triples"], said[f"{VOID}properties"]) == (rows["all"], rows["properties"])
    (part,) = {subject for subject, predicate, object_ in told if (predicate, object_) == (f"{VOID}class", f"{FMAR}Asset")}
    assert (part, f"{VOID}entities", assets) in told
    assert (view_of(live, "fsp-a"), f"{VOID}classPartition", part) in told
