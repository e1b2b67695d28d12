"""Labels on request: the profile in which a record is told with what people call its terms and codes."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pyoxigraph as ox
import pytest
from pyld import jsonld as pyld

from fmar_node.vocabulary import packaged
from tests.live import Live


def test_labels_come_on_request_in_every_format(live: Live) -> None:
    """Of each term and code of what the caller sees; the record's own triples are the same."""
    made = live.register(alias=[{"scheme": "ECR", "value": "ECR-9-9"}])
    iri = made.headers["Location"]

    def read(short: str, **params: str) -> httpx.Response:
        return live.client("fsp-a").get(iri, params={"format": short, **params})

    plain, told = (set(ox.parse(read("ntriples", **params).content, format=ox.RdfFormat.N_TRIPLES)) for params in ({}, {"profile": "labelled"}))
    labels = {(quad.subject.value, quad.object.value) for quad in told - plain}
    document = read("jsonld", profile="labelled").json()

    assert plain < told and {quad.predicate.value for quad in told - plain} == {"http://www.w3.org/2000/01/rdf-schema#label"}
    assert {("https://w3id.org/fmar/codes/AssetCategory#BESS", "Battery Energy Storage System"), ("https://w3id.org/fmar/ns#ratedCapacity", "rated capacity")} <= labels
    assert any(subject == "https://w3id.org/fmar/codes/IdentifierScheme#ECR" for subject, _ in labels)
    assert {(each["id"], each["label"]) for each in document["@included"]} == labels
    assert set(by_pyld(document)) == {str(quad.triple) for quad in told}


def test_labels_tell_no_more_than_the_caller_sees(live: Live) -> None:
    iri = live.register(friendlyCode="LAB-2").headers["Location"]
    seen = live.client("fsp-b").get(iri, params={"profile": "labelled"})

    told = {each["id"].rpartition("#")[2] for each in seen.json()["@included"]} if seen.is_success else set()

    assert told.isdisjoint({"friendlyCode", "ownerName", "importMPAN"})
    assert told <= set(seen.json()) | {str(value) for value in seen.json().values()}


def test_labels_have_a_tag_of_their_own_and_their_address_is_told(live: Live) -> None:
    iri = live.register().headers["Location"]
    plain, told = (live.client("fsp-a").get(iri, params=params) for params in ({}, {"profile": "labelled"}))

    again = live.client("fsp-a").get(iri, params={"profile": "labelled"}, headers={"If-None-Match": told.headers["ETag"]})
    changed = live.client("fsp-a").patch(iri, content=b'{"friendlyCode": "LAB-1"}', headers={"Content-Type": "application/merge-patch+json", "If-Match": told.headers["ETag"]})

    assert told.headers["ETag"] != plain.headers["ETag"] and (again.status_code, changed.status_code) == (304, 200)
    assert f'<{iri}?profile=labelled>; rel="alternate"' in plain.headers["Link"] and told.headers["Content-Location"] == f"{iri}?profile=labelled"


@pytest.mark.parametrize("short", ["jsonld", "turtle"])
def test_a_document_with_labels_is_not_taken_back_and_that_is_one_fault(live: Live, short: str) -> None:
    client = live.client("fsp-a")
    told = client.get(live.register().headers["Location"], params={"profile": "labelled", "format": short})

    refused = client.put(told.headers["Content-Location"].partition("?")[0], content=told.content, headers={"Content-Type": told.headers["Content-Type"], "If-Match": told.headers["ETag"]})

    assert refused.status_code == 422 and len(refused.json().get("errors", ())) <= 1
    assert "a document with labels is not taken back" in refused.json()["detail"]


def by_pyld(document: dict[str, Any]) -> set[str]:
    context = json.loads((packaged("ontology") / "context-v1.jsonld").read_text("utf-8"))["@context"]
    lines = pyld.to_rdf({**document, "@context": [context, document["@context"][1]]}, {"format": "application/n-quads"})
    return {str(quad.triple) for quad in ox.parse(lines, format=ox.RdfFormat.N_QUADS)}
