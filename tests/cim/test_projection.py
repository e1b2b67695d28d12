"""A record in CIM: what stands where, in which unit, and what does not stand there."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pyoxigraph as ox
import pytest

from fmar_node.access.reveal import filtered
from fmar_node.cim import table as t
from fmar_node.cim.projection import CIM, CIM_100, triples
from fmar_node.representation import JSON, LD_JSON, serialise
from fmar_node.vocabulary import CODES, FMAR, RDF_TYPE, Tier
from tests.cim.documents import IRI, OF_CATEGORY, accepted, full_organisation, in_cim, of_category
from tests.market import battery, mpan, shapes, vocabulary
from tests.test_representation import full

TIERS = [frozenset({Tier.OPEN, *others}) for count in range(4) for others in itertools.combinations((Tier.OPERATIONAL, Tier.COMMERCIAL, Tier.PERSONAL), count)]
KW = ("500", "480", "1000", "450.5", "320")


def found(document: dict[str, Any], key: str) -> Any:
    """What stands under a key, wherever in the document that is."""
    if key in document:
        return document[key]
    inner = [each for value in document.values() for each in (value if isinstance(value, list) else [value]) if isinstance(each, dict)]
    return next((value for each in inner if (value := found(each, key)) is not None), None)


def subjects(document: dict[str, Any]) -> dict[str, str]:
    """Fragment -> class of every node."""
    said = [each for each in triples(document, vocabulary()) if each.predicate.value == RDF_TYPE]
    return {each.subject.value.removeprefix(IRI): t.named(each.object.value) for each in said}


def test_power_is_in_megawatts_and_energy_in_megawatt_hours_with_generation_positive() -> None:
    unit = in_cim(accepted(battery(agreedExportCapacity="450.5", agreedImportCapacity="320")))["Asset.PowerSystemResources"][0]

    assert (unit["PowerElectronicsUnit.maxP"], unit["PowerElectronicsUnit.minP"], unit["BatteryUnit.ratedE"]) == ("0.5", "-0.48", "1")
    limits = unit["Equipment.OperationalLimitSet"][0]["OperationalLimitSet.OperationalLimitValue"]
    assert [(limit["direction"], limit["ActivePowerLimit.normalValue"]) for limit in limits] == [("IMPORT", "0.32"), ("EXPORT", "0.4505")]


def test_no_kilowatt_stands_under_a_name_of_cim() -> None:
    said = triples(accepted(battery(agreedExportCapacity="450.5", agreedImportCapacity="320")), vocabulary())

    values = {each.object.value for each in said if each.predicate.value.startswith((t.CIM, t.NC))}

    assert not values & {*KW, *(f"{kilo}.00" for kilo in KW)}


def test_meter_points_are_usage_points_with_names() -> None:
    points = found(in_cim(accepted(battery(importMPAN=mpan(1), exportMPAN=mpan(2)))), "Equipment.UsagePoints")

    assert [(point["type"], point["direction"], point["IdentifiedObject.Names"][0]["Name.name"]) for point in points] == [
        ("UsagePoint", "IMPORT", mpan(1)), ("UsagePoint", "EXPORT", mpan(2)),
    ]  # fmt: skip
    assert points[0]["IdentifiedObject.Names"][0]["Name.NameType"]["NameType.name"] == "MPAN"
    assert points[1]["IdentifiedObject.Names"][0]["Name.NameType"] == f"{IRI}#MPAN"


def test_aliases_and_the_friendly_code_are_names_of_the_asset() -> None:
    names = in_cim(full())["IdentifiedObject.Names"]

    assert [(name["Name.NameType"]["NameType.name"], name["Name.name"][:6]) for name in names] == [("FRIENDLY_CODE", "BESS-1"), ("ECR", 'a "quo'), ("MCS", "é 中 😀")]
    assert names[1]["validFrom"] == "2024-01-01"


@pytest.mark.parametrize(("category", "kind"), OF_CATEGORY)
def test_the_unit_is_that_of_the_category(category: str, kind: str) -> None:
    nodes = subjects(accepted(of_category(category, kind, connectionVoltage="11")))

    assert nodes["#unit"] == t.UNITS[category, kind]
    assert ("#connection" in nodes) is t.has(nodes["#unit"], "PowerElectronicsUnit.maxP")
    assert ("#plant" in nodes) is (category == "CHP")
    assert ("#voltage" in nodes) is (nodes["#unit"] not in ("GeneratingUnit", "ThermalGeneratingUnit"))


def test_what_a_class_has_no_property_for_stays_ours_on_the_asset() -> None:
    pump = in_cim(accepted(of_category("HEAT_PUMP", "", connectionVoltage="11", demandCapacity="8")))
    engine = in_cim(accepted(of_category("OTHER", "GENERATION", connectionVoltage="11")))

    assert (pump["demandCapacity"], found(pump, "PowerElectronicsUnit.minP")) == ("8.00", None)
    assert (engine["connectionVoltage"], found(engine, "GeneratingUnit.maxOperatingP")) == ("11.00", "0.5")


def test_a_position_needs_both_of_its_coordinates() -> None:
    half = in_cim(accepted(battery(easting=530_000)))
    whole = in_cim(accepted(battery(easting=530_000, northing=180_000)))

    assert (half["easting"], "Asset.Location" in half) == ("530000.00", False)
    assert whole["Asset.Location"]["Location.PositionPoints"][0]["PositionPoint.xPosition"] == "530000"
    assert whole["Asset.Location"]["Location.CoordinateSystem"]["CoordinateSystem.crsUrn"] == "urn:ogc:def:crs:EPSG::27700"


@pytest.mark.parametrize("state", sorted(t.STATES))
def test_the_state_is_the_nearest_of_the_four_that_cim_has(state: str) -> None:
    document = in_cim({**full(), "registrationStatus": state})

    assert found(document, t.STATE) == f"cim:ResourceRegistrationStatus.{t.STATES[state]}"
    assert document["registrationStatus"] == state


def test_an_organisation_in_a_market_is_a_market_participant_with_roles_and_names() -> None:
    document = in_cim(accepted(full_organisation(), "organisations"))

    assert document["type"] == "MarketParticipant"
    assert sorted(role["type"] for role in document["Organisation.Roles"]) == ["AssetOwner", "MarketRole", "ServiceSupplier"]
    assert {name["Name.NameType"]["NameType.name"] for name in document["IdentifiedObject.Names"]} == {"TRADING_NAME", "REGISTRATION_NUMBER", "LEI"}
    assert sorted(document["organisationRoles"]) == ["ASSET_OWNER", "FSP", "PLATFORM", "SUPPLIER"]


@pytest.mark.parametrize("tiers", TIERS, ids=lambda tiers: " ".join(sorted(tiers)))
def test_whoever_sees_part_of_a_record_sees_that_part_in_cim(tiers: frozenset[Tier]) -> None:
    document = filtered({**full(), "registrationStatus": "VERIFIED", "managedBy": f"{IRI}x"}, tiers, vocabulary())
    hidden = [each for each in (full()[name] for name in full() if name not in document) if isinstance(each, str) and len(each) > 6]

    text = serialise(document, LD_JSON, vocabulary(), CIM).decode()

    assert shapes().faults(triples(document, vocabulary()), "cim/asset", {}) == []
    assert [each for each in hidden if each in text] == []


def test_only_cim_is_said_in_names_of_cim_and_there_are_no_blank_nodes() -> None:
    said = list(triples({**full(), "registrationStatus": "QUERY"}, vocabulary()))
    known = {*map(t.iri, t.words()), *(t.CIM + t.STATE_KIND + each for each in t.STATES.values())}

    iris = {node.value for each in said for node in (each.subject, each.predicate, each.object) if isinstance(node, ox.NamedNode)}

    assert {iri for iri in iris if iri.startswith((t.CIM, t.NC, t.EU))} <= known
    assert all(iri.startswith((t.CIM, t.NC, FMAR, CODES, RDF_TYPE, "https://node.example/")) for iri in iris)
    assert not any(isinstance(each.subject, ox.BlankNode) or isinstance(each.object, ox.BlankNode) for each in said)


def test_the_statements_of_a_node_stand_together() -> None:
    subjects = [each.subject.value for each in triples(full(), vocabulary())]  # type: ignore[union-attr]

    assert len([subject for subject, _ in itertools.groupby(subjects)]) == len(set(subjects))


def test_under_the_namespace_of_cim17_the_same_is_said() -> None:
    canonical, other = (set(profile.triples(full(), vocabulary())) for profile in (CIM, CIM_100))

    def renamed(node: Any) -> Any:
        return ox.NamedNode(node.value.replace(t.CIM100, t.CIM)) if isinstance(node, ox.NamedNode) else node

    assert {ox.Triple(each.subject, renamed(each.predicate), renamed(each.object)) for each in other} == canonical
    assert not any(t.CIM in str(each) for each in other)


def test_decimals_are_numbers_in_plain_json() -> None:
    plain = json.loads(serialise(full(), JSON, vocabulary(), CIM))

    assert (found(plain, "PowerElectronicsUnit.minP"), plain["installedCapacity"], found(plain, "Name.name")) == (-0.48, 500.0, "BESS-1")
    assert found(plain, "PositionPoint.xPosition") == "530000.123"
