"""CIM in: what is understood, whatever shape and namespace it comes in; what is refused, and that the fault points at where it stands."""

from __future__ import annotations

import copy
import json
import random
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pyoxigraph as ox
import pytest

from fmar_node.cim import table as t
from fmar_node.cim.projection import CIM
from fmar_node.errors import FmarError, Invalid, Malformed
from fmar_node.limits import check_xml
from fmar_node.representation import LD_JSON, serialise
from fmar_node.vocabulary import CONTEXT, FMAR
from tests.cim.documents import (
    CIMXML,
    IRI,
    JSON,
    ORGANISATION,
    OTHER_ASSET,
    RDF_XML,
    TURTLE,
    accepted,
    asset,
    full_organisation,
    in_cim,
    judged,
    name,
    of_category,
    resource,
    unit,
    usage_point,
    wrong,
)
from tests.market import mpan, named, vocabulary
from tests.test_representation import full

UNIT, RESOURCE = "/Asset.PowerSystemResources/0", "/Asset.PowerSystemResources/1"
POINT = f"{UNIT}/Equipment.UsagePoints/0"
def as_graph(tree: dict[str, Any]) -> dict[str, Any]:
    """The same document as a list of nodes that refer to each other by id."""
    nodes: list[dict[str, Any]] = []

    def flat(value: Any) -> Any:
        if isinstance(value, list):
            return [flat(each) for each in value]
        if not isinstance(value, dict):
            return value
        node = {"@id": f"#n{len(nodes)}"}
        nodes.append(node)
        node |= {key.replace("type", "@type") if key == "type" else key: flat(each) for key, each in value.items() if key not in ("id", "@context")}
        return {"@id": node["@id"]}

    flat(tree)
    return {"@context": tree["@context"], "@graph": nodes}


def at(tree: Any, pointer: str) -> Any:
    """What a JSON pointer points at; the last step may be missing."""
    *steps, last = [step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:]]
    for step in steps:
        tree = tree[int(step)] if isinstance(tree, list) else tree[step]
    return tree[int(last)] if isinstance(tree, list) else tree.get(last, "missing")


def without_ids(document: Any) -> Any:
    """A document without the ids of its parts, which a graph gives names of its own."""
    return {name: [{**each, "id": ""} if isinstance(each, dict) else each for each in value] if isinstance(value, list) else value for name, value in document.items()}


# -- what is understood


def test_a_battery_as_somebody_writes_it_in_cim_is_a_record() -> None:
    judgement = judged(asset())

    document = judgement.document
    assert wrong(judgement) == []
    assert (document["assetCategory"], document["ratedCapacity"], document["genCapacity"], document["demandCapacity"]) == ("BESS", "500.00", "500.00", "480.00")
    assert (document["storageEnergyCapacity"], document["importMPAN"], document["commissioningDate"]) == ("1000.00", mpan(5), "2024-03-01")
    assert (document["manufacturer"], document["assetModel"], document["ownerName"]) == ("Northlight", "NL-500", "Green Park Estates Ltd")


def test_nodes_that_refer_to_each_other_are_the_same_document() -> None:
    shuffled = as_graph(asset())
    random.Random(3).shuffle(shuffled["@graph"])

    documents = [judged(each).document for each in (asset(), as_graph(asset()), shuffled)]

    assert without_ids(documents[0]) == without_ids(documents[1]) == without_ids(documents[2])
    assert (documents[0]["justification"][0]["id"], documents[1]["justification"][0]["id"]) == (f"{IRI}#justification-1", f"{IRI}#n11")


@pytest.mark.parametrize("space", [space for space, known in t.ALIASES.items() if known == t.CIM])
def test_every_namespace_of_cim_is_understood(space: str) -> None:
    text = json.dumps(asset()).replace('"IdentifiedObject.', '"c:IdentifiedObject.').replace('"BatteryUnit', '"c:BatteryUnit').replace('"type": "Asset"', '"type": "c:Asset"')
    tree = {**json.loads(text), "@context": [t.CONTEXT, {"c": space}]}

    assert wrong(judged(tree)) == []
    assert judged(tree).document == judged(asset()).document


@pytest.mark.parametrize("context", [
    {"cim": t.CIM, "fmar": FMAR}, {"cim": t.CIM100, "fmar": FMAR, "id": "@id", "type": "@type", "@version": 1.1},
    [{"cim": "http://cim.ucaiug.io/ns#"}, {"fmar": FMAR}], {"cim": t.CIM, "fmar": FMAR, "Unit": "cim:BatteryUnit", "xsd": "http://www.w3.org/2001/XMLSchema#"},
])  # fmt: skip
def test_a_context_may_declare_prefixes_and_nothing_else(context: Any) -> None:
    document = {
        "@context": context, "@type": "cim:Asset", "cim:IdentifiedObject.name": "A", "cim:Asset.serialNumber": "A-1",
        "fmar:ownerKind": "ORGANISATION", "cim:Asset.PowerSystemResources": {"@type": ["cim:BatteryUnit"], "cim:PowerElectronicsUnit.maxP": {"@value": "0.1", "@type": "xsd:decimal"}},
    }  # fmt: skip

    found = judged(document).document

    assert (found["assetName"], found["serialNumber"], found["ownerKind"], found["assetCategory"], found["genCapacity"]) == ("A", "A-1", "ORGANISATION", "BESS", "100.00")


@pytest.mark.parametrize("context", [
    "https://cim.ucaiug.io/context", "https://w3id.org/fmar/context/cim-v2", [t.CONTEXT, CONTEXT], [CONTEXT, {"cim": t.CIM}], {"fmar": FMAR}, {},
    {"cim": "https://example.org/ns#"}, {"cim": t.CIM, "x": "https://example.org/#"}, {"cim": t.CIM, "@base": "https://example.org/"},
    {"cim": t.CIM, "name": {"@id": "cim:IdentifiedObject.name"}}, {"cim": t.CIM, "x": "y:z"}, {"cim": t.CIM, "@vocab": "https://example.org/"},
    {"cim": t.CIM, "@import": t.CONTEXT}, {"cim": t.CIM, "@propagate": False}, {"cim": t.CIM, "type": "cim:Asset"} | {"id": 7}, [[t.CONTEXT]], 7, True, [t.CONTEXT, None],
    {"cim": t.CIM, "@vocab": ["x"]}, {"cim": {"@id": t.CIM}}, [{"cim": t.CIM}, {"cim": t.NC}], [t.CONTEXT, {"cim": t.NC}], [t.CONTEXT, {"cim": t.CIM100}],
    [t.CONTEXT, {"Asset": "https://cim.ucaiug.io/ns#EndDevice"}], [t.CONTEXT, {"@vocab": t.CIM}], {"fmar": t.CIM, "@base": FMAR},
])  # fmt: skip
def test_any_other_context_is_not_supported(context: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        judged({**asset(), "@context": context})

    assert refusal.value.code == "context-not-supported"


@pytest.mark.parametrize("space", ["http://iec.ch/TC57/CIM200#", "https://cim.ucaiug.io/CIM102#"])
def test_a_namespace_of_cim_that_is_not_understood_is_told_with_those_that_are(space: str) -> None:
    with pytest.raises(Invalid) as in_xml:
        judged(re.sub(r'xmlns:cim="[^"]+"', f'xmlns:cim="{space}"', CIMXML), RDF_XML)
    with pytest.raises(Invalid) as in_json:
        judged({"@context": {"cim": space}, "@type": "cim:Asset"})

    assert ([fault.code for fault in in_xml.value.faults], in_json.value.code) == (["unknown-term"], "context-not-supported")
    for refusal in (in_xml, in_json):
        assert refusal.value.detail.startswith(f"the namespace {space} is not understood; of CIM these are: ") and t.CIM100 in refusal.value.detail


def test_a_direction_that_is_none_is_one_fault() -> None:
    point = {**usage_point("IMPORT", mpan(5)), "direction": "IN"}

    faults = wrong(judged(with_unit(**{POINTS: [point]})))

    assert faults == [("UsagePoint.direction-code", f"{UNIT}/{POINTS}/0/direction")]


def test_cim_without_a_context_is_told_how_it_is_read() -> None:
    tree = {key: value for key, value in asset().items() if key != "@context"}

    messages = [fault.message for fault in judged(tree).faults if fault.code == "unknown-term"]

    assert messages and all(message.endswith("(POST, PUT) with ?profile=cim or an @context of CIM; PATCH takes terms of the register") for message in messages)


def test_cimxml_is_understood_without_types_and_from_the_other_end_of_each_association() -> None:
    judgement = judged(CIMXML, RDF_XML)

    document = judgement.document
    assert wrong(judgement) == []
    assert (document["id"], document["ratedCapacity"], document["demandCapacity"], document["importMPAN"]) == (IRI, "500.00", "480.00", "1000000000059")
    assert document["owner"] == ORGANISATION


def test_turtle_with_blank_nodes_is_understood() -> None:
    turtle = """@prefix cim: <https://cim.ucaiug.io/ns#> . @prefix fmar: <https://w3id.org/fmar/ns#> .
        [] a cim:Asset ; cim:Asset.PowerSystemResources [ a cim:PhotoVoltaicUnit ; cim:PowerElectronicsUnit.maxP 1.25 ] ."""

    found = judged(turtle, TURTLE).document

    assert (found["id"], found["assetCategory"], found["genCapacity"]) == (IRI, "SOLAR_PV", "1250.00")


def test_faults_of_rdf_name_the_node_by_its_fragment_or_by_its_class_and_number() -> None:
    turtle = """@prefix cim: <https://cim.ucaiug.io/ns#> .
        [] a cim:Asset ; cim:IdentifiedObject.Names [ a cim:Name ; cim:Name.name "a" ] , [ a cim:Name ; cim:Name.name "b" ] ;
           cim:Asset.PowerSystemResources <#u> . <#u> a cim:BatteryUnit ; cim:Foo.bar 1 ."""

    assert {"/Name/Name.NameType", "/Name-2/Name.NameType", "/#u/Foo.bar", "/Asset/ownerKind"} <= {pointer for _, pointer in wrong(judged(turtle, TURTLE))}


def test_turtle_of_our_own_is_read_as_ever() -> None:
    turtle = f'<> a <{FMAR}Asset> ; <{FMAR}assetName> "after cim.ucaiug.io" .'

    assert judged(turtle, TURTLE).document["assetName"] == "after cim.ucaiug.io"
    assert judged(turtle, f"{TURTLE};profile=cim").document["assetName"] == "after cim.ucaiug.io"
    assert judged({"type": "Asset", "assetName": "iec.ch"}).document["assetName"] == "iec.ch"


@pytest.mark.parametrize("form", [
    0.5, "0.5", "0.500000", "+.5", 5e-1, {"@value": 0.5}, {"@value": "0.5", "@type": "xsd:float"}, {"@value": "5.0E-1", "@type": "http://www.w3.org/2001/XMLSchema#double"}, [0.5],
])  # fmt: skip
def test_a_power_is_typed_before_the_shapes_judge_it(form: Any) -> None:
    judgement = judged(asset(**{"Asset.PowerSystemResources": [unit(**{"PowerElectronicsUnit.maxP": form}), resource()]}))

    assert (judgement.document["genCapacity"], wrong(judgement)) == ("500.00", [])


@pytest.mark.parametrize("form", ["2024-03-01", "2024-03-01T00:00:00Z", "2024-03-01T00:00:00.000+00:00", {"@value": "2024-03-01", "@type": "xsd:date"}])
def test_a_day_is_a_day_or_its_midnight(form: Any) -> None:
    judgement = judged(asset(**{"Asset.PowerSystemResources": [unit(), resource(**{"RegisteredResource.commercialOpDate": form})]}))

    assert (judgement.document["commissioningDate"], wrong(judgement)) == ("2024-03-01", [])


@pytest.mark.parametrize(("property_", "term", "value"), [("IdentifiedObject.aliasName", "friendlyCode", "GP-1"), ("IdentifiedObject.name", "assetName", "Green Park")])
def test_other_ways_of_saying_it_are_understood(property_: str, term: str, value: str) -> None:
    assert judged(asset(**{property_: value})).document[term] == value


def test_an_old_value_of_a_limit_is_understood() -> None:
    limits = {"type": "OperationalLimitSet", "OperationalLimitSet.OperationalLimitValue": [{"type": "ActivePowerLimit", "direction": "EXPORT", "ActivePowerLimit.value": 0.45}]}

    found = judged(asset(**{"Asset.PowerSystemResources": [unit(**{"Equipment.OperationalLimitSet": [limits]}), resource()]})).document

    assert found["agreedExportCapacity"] == "450.00"


def test_our_own_terms_may_stand_for_a_term_of_cim_or_beside_it_alike() -> None:
    plain = asset(**{"Asset.PowerSystemResources": [unit()]}, ratedCapacity="500.00", commissioningDate="2024-03-01")
    both = asset(ratedCapacity=500, assetCategory="BESS")

    assert judged(plain).document == judged(both).document == judged(asset()).document


@pytest.mark.parametrize("media_type", [LD_JSON, JSON])
def test_a_document_without_context_is_cim_where_that_is_said(media_type: str) -> None:
    plain = {key: value for key, value in asset().items() if key != "@context"}

    assert judged(plain, f"{media_type};profile=cim").document == judged(asset()).document
    assert "unknown-term" in {fault.code for fault in judged(plain, media_type).faults}


def test_a_context_of_our_own_says_more_than_the_profile_that_is_asked_for() -> None:
    sent = {"@context": CONTEXT, **of_category("BESS", "")}

    assert judged(sent, f"{LD_JSON};profile=cim").document == judged(sent).document


def test_an_alias_keeps_its_id_and_other_nodes_have_none_of_their_own() -> None:
    alias = {**name("ECR", "EPN-1"), "id": "#ecr"}
    nodes = asset(**{"IdentifiedObject.Names": [alias], "Asset.PowerSystemResources": [{**unit(), "id": "urn:uuid:4d0b6c55-2d5e-4e1c-8f0a-3d8b3c1f0a11"}, resource()]})

    judgement = judged(nodes)

    assert wrong(judgement) == []
    assert judgement.document["alias"] == [{"id": f"{IRI}#ecr", "type": "Alias", "scheme": "ECR", "value": "EPN-1"}]
    assert "4d0b6c55" not in json.dumps(judgement.document)


@pytest.mark.parametrize("roles", [None, ["FSP", "DNO"]])
def test_roles_are_said_by_nodes_or_by_codes(roles: Any) -> None:
    document = {
        "@context": t.CONTEXT, "type": "Organisation", "IdentifiedObject.name": "Org",
        "Organisation.Roles": [{"type": "MarketRole", "MarketRole.type": "cim:MarketRoleKind.SystemOperator"}, {"type": "TransmissionSystemOperator"}],
    }  # fmt: skip
    if roles:
        document |= {"organisationRoles": roles, "Organisation.Roles": [{"type": "MarketRole", "MarketRole.type": "cim:MarketRoleKind.ResourceProvider"}, {"type": "DistributionSystemOperator"}]}

    found = judged(document, kind="organisations").document

    assert sorted(found["organisationRoles"]) == sorted(roles or ["SYSTEM_OPERATOR", "TO"])


# -- what is refused, and where


def broken(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    tree = asset()
    change(tree)
    return tree


def with_unit(**changes: Any) -> dict[str, Any]:
    return asset(**{"Asset.PowerSystemResources": [unit(**changes), resource()]})


def with_name(made: Any) -> dict[str, Any]:
    return asset(**{"IdentifiedObject.Names": made if isinstance(made, list) else [made]})


LIMIT = {"type": "ActivePowerLimit", "direction": "EXPORT", "ActivePowerLimit.normalValue": 0.1}
PLACE = {"type": "Location", "Location.PositionPoints": [{"type": "PositionPoint", "PositionPoint.xPosition": "530000", "PositionPoint.yPosition": "180000"}]}
POINTS = "Equipment.UsagePoints"
FAULTY: dict[str, tuple[dict[str, Any], list[tuple[str, str]]]] = {
    "six decimals": (with_unit(**{"PowerElectronicsUnit.maxP": "0.500001"}), [("PowerElectronicsUnit.maxP-decimals", f"{UNIT}/PowerElectronicsUnit.maxP")]),
    "the wrong sign": (with_unit(**{"PowerElectronicsUnit.minP": 0.48}), [("PowerElectronicsUnit.minP-sign", f"{UNIT}/PowerElectronicsUnit.minP")]),
    "no number": (with_unit(**{"PowerElectronicsUnit.maxP": "500 kW"}), [("PowerElectronicsUnit.maxP-form", f"{UNIT}/PowerElectronicsUnit.maxP")]),
    "two values": (with_unit(**{"PowerElectronicsUnit.maxP": [0.5, 0.4]}), [("PowerElectronicsUnit.maxP-form", f"{UNIT}/PowerElectronicsUnit.maxP"), ("cim-twice", f"{UNIT}/PowerElectronicsUnit.maxP/1")]),
    "more than a record holds": (with_unit(**{"PowerElectronicsUnit.maxP": "9" * 14}), [("literal-ill-formed", f"{UNIT}/PowerElectronicsUnit.maxP")]),
    "no connection": (with_unit(**{"PowerElectronicsUnit.PowerElectronicsConnection": None}), [("PowerElectronicsUnit.PowerElectronicsConnection-required", f"{UNIT}/PowerElectronicsUnit.PowerElectronicsConnection")]),
    "a misspelt property": (with_unit(**{"PowerElectronicsUnit.maxp": 0.5}), [("unknown-term", f"{UNIT}/PowerElectronicsUnit.maxp")]),
    "a property of another class": (with_unit(**{"ResourceCapacity.maximumCapacity": 0.5}), [("unknown-term", f"{UNIT}/ResourceCapacity.maximumCapacity")]),
    "a property that there is no place for": (with_unit(**{"BatteryUnit.storedE": 0.5}), [("unknown-term", f"{UNIT}/BatteryUnit.storedE")]),
    "a node that there is no place for": (with_unit(**{"Equipment.Faults": {"type": "Fault", "Fault.kind": "x"}}), [("unknown-term", f"{UNIT}/Equipment.Faults")]),
    "an identifier of a node": (with_unit(**{"IdentifiedObject.mRID": "4d0b6c55"}), [("unknown-term", f"{UNIT}/IdentifiedObject.mRID")]),
    "a term of ours on another node": (with_unit(postcode="IP1 2AB"), [("unknown-term", f"{UNIT}/postcode")]),
    "the class of another category": (asset(assetCategory="SOLAR_PV", energySource="SOLAR", exportMPAN=mpan(9)), [("cim-unit", f"{UNIT}/type")]),
    "an unknown class": (broken(lambda tree: tree["Asset.PowerSystemResources"].append({"type": "SynchronousMachine"})), [("cim-class", "/Asset.PowerSystemResources/2/type")]),
    "a second class": (with_unit(type=["BatteryUnit", "SynchronousMachine"]), [("cim-class", f"{UNIT}/type")]),
    "a second unit": (broken(lambda tree: tree["Asset.PowerSystemResources"].append(unit(**{POINTS: None}))), [("cim-twice", "/Asset.PowerSystemResources/2")]),
    "a second meter point of a direction": (with_unit(**{POINTS: [usage_point("IMPORT", mpan(5)), usage_point("IMPORT", mpan(6))]}), [("cim-twice", f"{UNIT}/{POINTS}/1")]),
    "a meter point of no direction": (with_unit(**{POINTS: [usage_point("IMPORT", mpan(5)), {"type": "UsagePoint", "IdentifiedObject.Names": [name("MPAN", mpan(6))]}]}), [("cim-direction", f"{UNIT}/{POINTS}/1/direction")]),
    "a meter point of another direction": (with_unit(**{POINTS: [usage_point("IMPORT", mpan(5)), usage_point("SIDEWAYS", mpan(6))]}), [("UsagePoint.direction-code", f"{UNIT}/{POINTS}/1/direction")]),
    "a check digit": (with_unit(**{POINTS: [usage_point("IMPORT", "1000000000058")]}), [("A20-check-digit", f"{POINT}/IdentifiedObject.Names/0/Name.name")]),
    "a meter point as a number": (with_unit(**{POINTS: [usage_point("IMPORT", 1000000000059)]}), [("Name.name-form", f"{POINT}/IdentifiedObject.Names/0/Name.name")]),
    "an alias of a meter point": (with_unit(**{POINTS: [{**usage_point("IMPORT", mpan(5)), "IdentifiedObject.Names": [name("MPAN", mpan(5)), name("ECR", "x")]}]}), [("cim-name-type", f"{POINT}/IdentifiedObject.Names/1/Name.NameType/NameType.name")]),
    "a meter point of the asset itself": (with_name(name("MPAN", mpan(6))), [("cim-name-type", "/IdentifiedObject.Names/0/Name.NameType/NameType.name")]),
    "a type of name that there is not": (with_name(name("NICKNAME", "x")), [("cim-name-type", "/IdentifiedObject.Names/0/Name.NameType/NameType.name")]),
    "a name of no type": (with_name({"type": "Name", "Name.name": "x"}), [("cim-name-type", "/IdentifiedObject.Names/0/Name.NameType")]),
    "a name of another authority": (with_name(name("MCS", "x", "Somebody")), [("cim-authority", "/IdentifiedObject.Names/0/Name.NameType/NameType.NameTypeAuthority")]),
    "a name of an authority that there is not": (with_name(name("OEM", "x", "Somebody")), [("cim-authority", "/IdentifiedObject.Names/0/Name.NameType/NameType.NameTypeAuthority")]),
    "an alias that is too long": (with_name(name("ECR", "x" * 65)), [("Alias.value-length", "/IdentifiedObject.Names/0/Name.name")]),
    "an unknown term of an alias": (with_name({**name("ECR", "x"), "validUntil": "2027-01-01"}), [("unknown-term", "/IdentifiedObject.Names/0/validUntil")]),
    "two friendly codes": (with_name([name("FRIENDLY_CODE", "a"), name("FRIENDLY_CODE", "b")]), [("cim-twice", "/IdentifiedObject.Names/1/Name.name")]),
    "the same twice, and differently": (asset(ratedCapacity=600), [("cim-twice", f"{RESOURCE}/RegisteredResource.ResourceCapacity/0/ResourceCapacity.maximumCapacity")]),
    "a time of day": (asset(**{"Asset.PowerSystemResources": [unit(), resource(**{"RegisteredResource.commercialOpDate": "2024-03-01T09:30:00Z"})]}), [("RegisteredResource.commercialOpDate-form", f"{RESOURCE}/RegisteredResource.commercialOpDate")]),
    "the state": (asset(**{"Asset.PowerSystemResources": [unit(), resource(**{t.STATE: "cim:ResourceRegistrationStatus.Active"})]}), [("server-set", f"{RESOURCE}/{t.STATE}")]),
    "the identifier": (asset(**{"IdentifiedObject.mRID": "x"}), [("server-set", "/IdentifiedObject.mRID")]),
    "the provider": (asset(**{"Asset.PowerSystemResources": [unit(), resource(**{"RegisteredResource.MarketParticipant": ORGANISATION})]}), [("server-set", f"{RESOURCE}/RegisteredResource.MarketParticipant")]),
    "an id of its own": (asset(id="urn:uuid:4d0b6c55-2d5e-4e1c-8f0a-3d8b3c1f0a11"), [("A01", "/id")]),
    "the id of another record": (asset(id=OTHER_ASSET), [("A01", "/id")]),
    "the coordinate system of the world": (asset(**{"Asset.Location": {**PLACE, "Location.CoordinateSystem": {"type": "CoordinateSystem", "CoordinateSystem.crsUrn": "urn:ogc:def:crs:EPSG::4326"}}}), [("cim-fixed", "/Asset.Location/Location.CoordinateSystem/CoordinateSystem.crsUrn")]),
    "no coordinate system": (asset(**{"Asset.Location": PLACE}), [("Location.CoordinateSystem-required", "/Asset.Location/Location.CoordinateSystem")]),
    "a limit of no value": (with_unit(**{"Equipment.OperationalLimitSet": [{"type": "OperationalLimitSet", "OperationalLimitSet.OperationalLimitValue": [{"type": "ActivePowerLimit", "direction": "IMPORT"}]}]}), [("ActivePowerLimit.value-required", f"{UNIT}/Equipment.OperationalLimitSet/0/OperationalLimitSet.OperationalLimitValue/0/ActivePowerLimit.normalValue")]),
    "a node that is not there": (with_unit(**{"PowerSystemResource.PSRType": "#nowhere"}), [("cim-node", f"{UNIT}/PowerSystemResource.PSRType")]),
    "a capacity that is missing": (asset(**{"Asset.PowerSystemResources": [unit(), {**resource(), "RegisteredResource.ResourceCapacity": []}]}), [("A04-required", f"{RESOURCE}/RegisteredResource.ResourceCapacity")]),
    "a rule about two terms": (with_unit(**{"PowerElectronicsUnit.maxP": 0.6}), [("A15-rated", f"{UNIT}/PowerElectronicsUnit.maxP")]),
    "a serial number": (asset(**{"Asset.serialNumber": "!"}), [("A12-pattern", "/Asset.serialNumber")]),
    "a part of ours": (asset(device=[{"type": "Device", "deviceTyp": "cell"}]), [("unknown-term", "/device/0/deviceTyp")]),
    "a term of ours misspelt": (asset(conectionType="FIRM", connectionType=None), [("unknown-term", "/conectionType")]),
    "a property of cim misspelt": (asset(**{"Asset.serialNumbr": "x"}), [("unknown-term", "/Asset.serialNumbr")]),
}  # fmt: skip


@pytest.mark.parametrize("defect", FAULTY)
def test_a_fault_points_at_where_it_stands(defect: str) -> None:
    tree, expected = FAULTY[defect]

    judgement = judged(tree)

    assert sorted(wrong(judgement)) == sorted(expected)
    for _, pointer in expected:
        at(tree, pointer)


@pytest.mark.parametrize("defect", FAULTY)
def test_the_same_fault_is_found_among_nodes_of_a_graph(defect: str) -> None:
    tree, expected = FAULTY[defect]
    if "id" in tree:
        pytest.skip("there every node has an id of the graph's own")
    graph = as_graph(tree)

    found = wrong(judged(graph))

    assert sorted(constraint for constraint, _ in found) == sorted(constraint for constraint, _ in expected)
    for _, pointer in found:
        at(graph, pointer)


@pytest.mark.parametrize(("wrong_word", "meant"), [
    ("PowerElectronicsUnit.maxPP", "PowerElectronicsUnit.maxP"), ("BatteryUnit.rateE", "BatteryUnit.ratedE"), ("Equipment.UsagePoint", "Equipment.UsagePoints"),
])  # fmt: skip
def test_a_fault_suggests_what_was_meant(wrong_word: str, meant: str) -> None:
    (fault,) = [fault for fault in judged(with_unit(**{wrong_word: "x"})).faults if fault.code == "unknown-term"]

    assert f"did you mean {meant}?" in fault.message


def test_a_class_is_suggested_and_what_hangs_on_it_not_reported_as_well() -> None:
    judgement = judged(with_unit(type="BateryUnit"))

    assert [fault.message for fault in judgement.faults if fault.code == "cim-class"] == ["a node of class BateryUnit is not carried here; did you mean BatteryUnit?"]
    assert not any(fault.code == "cim-node" for fault in judgement.faults)


@pytest.mark.parametrize(("document", "pointer"), [
    ({"@context": t.CONTEXT, "type": "BatteryUnit"}, ""), ({"@context": t.CONTEXT, "type": "Organisation"}, ""), ({"@context": t.CONTEXT}, ""), ({"@context": t.CONTEXT, "@graph": []}, ""),
    ({"@context": t.CONTEXT, "@graph": [{"type": "Asset"}, {"type": "Asset"}]}, "/@graph/1"),
    (asset(**{"Asset.PowerSystemResources": [{"type": "Asset"}]}), "/Asset.PowerSystemResources/0"),
])  # fmt: skip
def test_a_document_describes_one_asset(document: Any, pointer: str) -> None:
    with pytest.raises(Invalid) as refusal:
        judged(document)

    assert [(named(fault), fault.pointer) for fault in refusal.value.faults] == [("type-mismatch", pointer)]


@pytest.mark.parametrize("added", [
    {"@graph": [], "id": "urn:name"}, {"@graph": {}}, {"@graph": [7]}, {"@graph": [{"@context": t.CONTEXT}]}, {"@reverse": {}}, {"@included": []}, {"@nest": {}}, {"@index": "x"}, {"@language": "en"},
])  # fmt: skip
def test_what_json_ld_has_beyond_that_is_refused(added: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as refusal:
        judged({"@context": t.CONTEXT, "type": "Asset", **added} if "@graph" not in added else {"@context": t.CONTEXT, **added})

    assert refusal.value.code == "keyword-not-supported"


# -- hostile


def test_triples_about_another_record_are_refused_wherever_they_hide() -> None:
    others = [
        asset(**{"Asset.PowerSystemResources": [{**unit(), "id": OTHER_ASSET}, resource()]}),
        as_graph(asset()) | {"@graph": [*as_graph(asset())["@graph"], {"@id": OTHER_ASSET, "@type": "PSRType", "IdentifiedObject.name": "x"}]},
        asset(**{"Asset.OrganisationRoles": [{"type": "AssetOwner", "OrganisationRole.Organisation": {"id": ORGANISATION, "type": "Organisation", "IdentifiedObject.name": "Mine"}}]}),
        asset(device=[{"id": OTHER_ASSET, "deviceType": "x"}]),
    ]

    for document in others:
        judgement = judged(document)
        assert {"foreign-subject", "A03", "part-id"} & {fault.code for fault in judgement.faults if fault.severity == "R"}
        assert judgement.document["id"] == IRI


def test_a_node_that_nothing_leads_to_is_reported() -> None:
    graph = as_graph(asset())
    graph["@graph"].append({"@id": "#lost", "@type": "Location", "Location.mainAddress": {"@id": "#address"}})
    graph["@graph"].append({"@id": "#address", "@type": "StreetAddress", "StreetAddress.postalCode": "IP1 2AB"})

    assert wrong(judged(graph)) == [("cim-node", f"/@graph/{len(graph['@graph']) - 2}")]


def test_a_header_of_cimxml_is_reported_and_not_dropped() -> None:
    header = '<md:FullModel xmlns:md="http://iec.ch/TC57/61970-552/ModelDescription/1#" rdf:about="urn:uuid:1"><md:Model.version>1</md:Model.version></md:FullModel></rdf:RDF>'

    assert wrong(judged(CIMXML.replace("</rdf:RDF>", header), RDF_XML)) == [("cim-class", "/urn:uuid:1/type")]


BOMB = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 9))


@pytest.mark.parametrize("attack", [
    f'<!DOCTYPE r [<!ENTITY l0 "lol">{BOMB}]>', '<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>', '<!DOCTYPE r SYSTEM "https://example.org/x.dtd">', "<!DOCTYPE html>",
])  # fmt: skip
def test_xml_declares_no_entities(attack: str) -> None:
    with pytest.raises(Malformed) as refusal:
        judged(CIMXML.replace("<rdf:RDF", f"{attack}<rdf:RDF", 1), RDF_XML)

    assert (refusal.value.code, "entities" in refusal.value.detail) == ("malformed-rdf", True)


@pytest.mark.parametrize(("body", "code"), [
    (CIMXML.replace("</rdf:RDF>", "<cim:a><cim:B>" * 5_000), "nesting-too-deep"), (CIMXML.replace("</rdf:RDF>", ""), "malformed-rdf"), (CIMXML.encode("utf-16"), "malformed-rdf"),
    (CIMXML.replace("UTF-8", "ISO-8859-1"), "malformed-rdf"), (CIMXML[: len(CIMXML) // 2], "malformed-rdf"), (CIMXML[: CIMXML.index("<cim:NameType rdf:ID")], "malformed-rdf"), ("<", "malformed-rdf"), ("<a/>&undefined;", "malformed-rdf"), (CIMXML.replace("GP-1", "&nope;"), "malformed-rdf"),
    ('<?xml version="1.0"?><!-- ' + "<!-- " * 9_000, "malformed-rdf"),
])  # fmt: skip
def test_xml_that_is_none_is_malformed(body: Any, code: str) -> None:
    with pytest.raises(Malformed) as refusal:
        judged(body, RDF_XML)

    assert refusal.value.code == code


def test_a_comment_may_speak_of_entities() -> None:
    assert wrong(judged(CIMXML.replace("<cim:Asset ", "<!-- <!DOCTYPE x> --><cim:Asset ", 1), RDF_XML)) == []


def test_personal_values_are_not_repeated() -> None:
    judgement = judged(with_unit(**{POINTS: [usage_point("IMPORT", "1000000000058")]}) | {"Asset.serialNumber": "secret!", "Asset.Location": {"type": "Location", "Location.mainAddress": {"type": "StreetAddress", "StreetAddress.postalCode": 7, "StreetAddress.poBox": "secret"}}})

    said = json.dumps([fault.as_json() for fault in judgement.faults])
    assert "1000000000058" not in said and "secret" not in said


def test_too_many_nodes_are_refused_before_anything_else() -> None:
    graph = {"@context": t.CONTEXT, "@graph": [{"@id": f"#{number}", "@type": "Name"} for number in range(1_000)]}

    with pytest.raises(Invalid) as refusal:
        judged(graph)

    assert "nodes in one document" in refusal.value.detail


ODD: tuple[Any, ...] = ("", " ", "\x00", "_:b", "#", "#unit", "//", "http://[", "a b", IRI, OTHER_ASSET, 0, -1, 1e400, True, None, [], {}, [[]], {"@id": "#n0"}, {"@value": 1}, {"@value": []}, {"@id": 7}, {"type": 7}, "x" * 5_000, {"@type": "Asset"}, "cim:", ":", "IMPORT", {"@list": []})
KEYS = (*t.PROPERTIES, "type", "@type", "id", "@id", "direction", "device", "alias", "Foo.bar", "cim:Asset.serialNumber", f"{FMAR}ownerKind", "", "a/b", "organisationRoles")


def damaged(tree: Any, dice: random.Random) -> Any:
    """The same document with something changed somewhere."""
    tree = copy.deepcopy(tree)
    places = [tree]
    for each in places:
        places += [inner for inner in (each.values() if isinstance(each, dict) else each) if isinstance(inner, dict | list)]
    place = dice.choice(places)
    if isinstance(place, list):
        place.insert(dice.randrange(len(place) + 1), copy.deepcopy(dice.choice([*ODD, *places])))
    else:
        key = dice.choice([*place, *KEYS])
        place[key] = copy.deepcopy(dice.choice([*ODD, *places]) if dice.random() < 0.9 else place.get(key))
    return tree


@pytest.mark.parametrize("seed", range(4))
def test_no_document_breaks_the_judge(seed: int) -> None:
    dice = random.Random(seed)
    documents = [in_cim(full()), as_graph(asset()), in_cim(accepted(full_organisation(), "organisations"))]
    kinds = ["assets", "assets", "organisations"]

    for _ in range(50):
        number = dice.randrange(3)
        tree = documents[number]
        for _ in range(dice.choice([1, 1, 2])):
            tree = damaged(tree, dice)
        with suppress(FmarError):
            judged(json.dumps(tree).encode(), kind=kinds[number])


@pytest.mark.parametrize("seed", range(4))
def test_no_bytes_break_the_judge(seed: int) -> None:
    dice = random.Random(seed)
    pieces = (b"", b"<", b">", b"/", b'"', b"&", b"&#0;", b"\xff", b"]]>", b"<!--", b"<?", b"rdf:ID", b'rdf:parseType="Literal"', b'rdf:nodeID="x"', b"xml:base", CIMXML.encode()[300:600])

    for _ in range(50):
        text = CIMXML.encode()
        for _ in range(dice.choice([1, 2, 4])):
            at = dice.randrange(len(text))
            text = text[:at] + dice.choice(pieces) + text[at + dice.choice([0, 0, 1, 9]) :]
        with suppress(FmarError):
            judged(text, RDF_XML)


@pytest.mark.parametrize("text", [b"<" * 250_000, b"<!--" * 60_000, b"<a b='" + b">" * 200_000, b'<"' * 100_000, b"<'\"" * 80_000, b"<a/" * 80_000, b"</" * 100_000, b"<?" * 100_000])
def test_looking_at_xml_takes_linear_time(text: bytes) -> None:
    began = time.perf_counter()
    with suppress(Malformed):
        check_xml(text)

    assert time.perf_counter() - began < 0.5


def places(tree: Any) -> list[dict[str, Any]]:
    """Every object of a document, itself first."""
    found = [tree] if isinstance(tree, dict) else []
    return found + [each for value in (tree.values() if isinstance(tree, dict) else tree) if isinstance(value, dict | list) for each in places(value)]


@pytest.mark.parametrize("key", ["Foo.bar", "Asset.serialNumber", "direction", "fmar:postcode", "Equipment.UsagePoints", "IdentifiedObject.Names", "IdentifiedObject.description", "urn:x"])
def test_nothing_that_is_added_anywhere_vanishes(key: str) -> None:
    document = full()
    values = [{"type": "Location"}, "x"] if key in t.PROPERTIES else ["x"]

    for number in range(len(places(in_cim(document)))):
        for value in values:
            tree = in_cim(document)
            place = places(tree)[number]
            place[key] = value if key not in place else [place[key], value]
            judgement = judged(tree)
            assert wrong(judgement) or judgement.document != document, (key, value, place)


@pytest.mark.parametrize("media_type", [TURTLE, "application/n-triples", RDF_XML])
def test_every_statement_of_a_document_counts(media_type: str) -> None:
    """Nothing vanishes: without any one of its triples a document says something else, or is refused."""
    document = full()
    whole = [quad.triple for quad in ox.parse(serialise(document, "application/n-triples", vocabulary(), CIM), format=ox.RdfFormat.N_TRIPLES)]
    formats = {TURTLE: ox.RdfFormat.TURTLE, "application/n-triples": ox.RdfFormat.N_TRIPLES, RDF_XML: ox.RdfFormat.RDF_XML}
    redundant = {"NameType.NameTypeAuthority"}  # whose authority need not be said

    for place in range(0, len(whole), 5):
        rest = [*whole[:place], *whole[place + 1 :]]
        body = ox.serialize(rest, format=formats[media_type])
        try:
            judgement = judged(body, media_type)
        except FmarError:
            continue
        told = judgement.document != document or wrong(judgement)
        assert told or t.local(whole[place].predicate.value) in redundant, whole[place]
