"""Whatever the register has accepted comes back the same from CIM, in every format, and others read the same in it."""

from __future__ import annotations

import json

import pyoxigraph as ox
import pytest
import rdflib
from hypothesis import assume, given
from hypothesis import strategies as st
from pyld import jsonld as pyld

from fmar_node.cim import table as t
from fmar_node.cim.projection import CIM, CIM_100, triples
from fmar_node.imports.ecr import read_rows
from fmar_node.imports.release import read_register
from fmar_node.representation import FORMATS, LD_JSON, RDF_FORMATS, serialise
from fmar_node.vocabulary import Document, packaged
from tests.cim.documents import IRI, OF_CATEGORY, accepted, full_organisation, in_cim, judged, of_category, wrong
from tests.market import BASE, shapes, vocabulary
from tests.test_representation import FEW, RDF_NAMES, by_rdflib, documents, full, parsed

READ_BACK = (LD_JSON, "application/json", "text/turtle", "application/n-triples", "application/rdf+xml")
SET_BY_NODE = {
    "assetId": "0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11", "registrationStatus": "QUERY", "validationStatus": "QUERY", "standing": "LIVE",
    "managedBy": f"{BASE}/organisations/x", "registeredAt": "2026-11-22T09:30:00.000Z", "recordedAt": "2026-11-22T09:30:00.000Z",
    "recordedBy": f"{BASE}/organisations/x", "version": 3, "shapesVersion": "1.0.0", "defaulted": ["effectiveDate"],
    "warning": [{"id": f"{IRI}#warning-1", "type": "Warning", "rule": "A02", "text": "assetName is missing"}],
}  # fmt: skip


def by_pyld(data: bytes) -> set[ox.Triple]:
    """The triples that PyLD reads, with the packaged context in place of its IRI."""
    tree = json.loads(data)
    assert tree.pop("@context") == t.CONTEXT
    context = json.loads((packaged("ontology") / "context-cim-v1.jsonld").read_text("utf-8"))["@context"]
    lines = pyld.to_rdf({"@context": context, **tree}, {"format": "application/n-quads"})
    return parsed(lines.encode(), ox.RdfFormat.N_QUADS)


@pytest.mark.parametrize("media_type", READ_BACK)
@pytest.mark.parametrize("profile", [CIM, CIM_100], ids=["canonical", "CIM100"])
def test_an_asset_with_something_of_everything_comes_back(media_type: str, profile: object) -> None:
    document = full()
    if media_type not in profile.formats:  # type: ignore[attr-defined]
        pytest.skip("JSON-LD has one namespace")

    back = judged(serialise(document, media_type, vocabulary(), profile), media_type)  # type: ignore[arg-type]

    assert (wrong(back), json.dumps(back.document)) == ([], json.dumps(document))


@pytest.mark.parametrize(("category", "kind"), OF_CATEGORY)
@pytest.mark.parametrize("media_type", READ_BACK)
def test_an_asset_of_any_category_comes_back(category: str, kind: str, media_type: str) -> None:
    document = accepted(of_category(category, kind, connectionVoltage="33", agreedExportCapacity="450.5", agreedImportCapacity=0))

    back = judged(serialise(document, media_type, vocabulary(), CIM), media_type)

    assert (wrong(back), json.dumps(back.document)) == ([], json.dumps(document))
    assert shapes().faults(triples(document, vocabulary()), "cim/asset", {}) == []


@pytest.mark.parametrize("media_type", READ_BACK)
def test_an_organisation_comes_back(media_type: str) -> None:
    document = accepted(full_organisation(), "organisations")

    back = judged(serialise(document, media_type, vocabulary(), CIM), media_type, "organisations")

    assert (wrong(back), json.dumps(back.document)) == ([], json.dumps(document))
    assert shapes().faults(triples(document, vocabulary()), "cim/organisation", {}) == []


@pytest.mark.parametrize("media_type", READ_BACK)
def test_what_the_node_has_set_may_be_sent_back(media_type: str) -> None:
    document = {**full(), **SET_BY_NODE}

    back = judged(serialise(document, media_type, vocabulary(), CIM), media_type, previous=document)

    assert wrong(back) == []
    assert {**SET_BY_NODE, **back.document} == {**document, **{name: SET_BY_NODE[name] for name in SET_BY_NODE}}


@FEW
@given(documents(), st.sampled_from(READ_BACK))
def test_any_accepted_asset_comes_back(sent: Document, media_type: str) -> None:
    document = accepted(sent)

    back = judged(serialise(document, media_type, vocabulary(), CIM), media_type)

    assert (wrong(back), json.dumps(back.document)) == ([], json.dumps(document))


@FEW
@given(st.sets(st.sampled_from(sorted(full_organisation().keys() - {"type", "organisationLegalName", "organisationRoles"}))), st.lists(st.sampled_from(sorted(vocabulary().schemes["OrganisationRole"].codes)), min_size=1, unique=True), st.sampled_from(READ_BACK))
def test_any_accepted_organisation_comes_back(left_out: set[str], roles: list[str], media_type: str) -> None:
    sent = {name: value for name, value in full_organisation().items() if name not in left_out} | {"organisationRoles": roles}
    judgement = judged(sent, kind="organisations")
    assume(not wrong(judgement))

    back = judged(serialise(judgement.document, media_type, vocabulary(), CIM), media_type, "organisations")

    assert (wrong(back), json.dumps(back.document)) == ([], json.dumps(judgement.document))
    assert shapes().faults(triples(judgement.document, vocabulary()), "cim/organisation", {}) == []


@FEW
@given(documents())
def test_any_accepted_asset_conforms_on_its_way_out(sent: Document) -> None:
    assert shapes().faults(triples(accepted(sent), vocabulary()), "cim/asset", {}) == []


@FEW
@given(documents())
def test_every_format_says_the_same_to_others(sent: Document) -> None:
    rdflib.NORMALIZE_LITERALS = False  # which a test by pyshacl may have switched on
    document = accepted(sent)
    expected = set(triples(document, vocabulary()))

    assert by_pyld(serialise(document, LD_JSON, vocabulary(), CIM)) == expected
    for media_type, format_ in RDF_FORMATS.items():
        data = serialise(document, media_type, vocabulary(), CIM)
        assert parsed(data, format_) == by_rdflib(data, RDF_NAMES[media_type]) == expected


def test_published_rows_come_back() -> None:
    """Real assets: the sample of a published register."""
    rows = read_register(read_rows(packaged("examples") / "data" / "ukpn-ecr-sample.csv"))
    found = [each.document for row in rows for each in row.candidates][::20]

    documents = [judged(each).document for each in found]
    back = [judged(in_cim(each)).document for each in documents]

    assert len(documents) > 20
    assert back == documents


@pytest.mark.parametrize("media_type", FORMATS)
def test_the_same_document_is_the_same_bytes(media_type: str) -> None:
    assert serialise(full(), media_type, vocabulary(), CIM) == serialise(full(), media_type, vocabulary(), CIM)


def test_parts_that_are_called_like_nodes_stay_themselves() -> None:
    document = accepted({**full(), "device": [{"id": "#unit", "deviceType": "a"}, {"id": "#unit-2", "deviceType": "b"}], "alias": [{"id": "#MPAN", "scheme": "ECR", "value": "x"}]})

    back = judged(in_cim(document))

    assert (wrong(back), back.document) == ([], document)
    assert len({triple.subject for triple in triples(document, vocabulary()) if "#unit" in triple.subject.value}) == 3
