"""Documents in CIM for tests, and their judgement."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from fmar_node.cim import table as t
from fmar_node.cim.projection import CIM
from fmar_node.judge import Judgement, Paper, judge
from fmar_node.representation import LD_JSON, serialise
from fmar_node.vocabulary import Document
from tests.market import BASE, SETTINGS, battery, mpan, named, organisation, shapes, vocabulary

IRI = f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b11"
OTHER_ASSET = f"{BASE}/assets/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b99"
ORGANISATION = f"{BASE}/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12"
TODAY = date(2026, 11, 22)
TURTLE, RDF_XML, JSON = "text/turtle", "application/rdf+xml", "application/json"
CIMXML = """<?xml version="1.0" encoding="UTF-8"?>
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:cim="http://iec.ch/TC57/CIM100#" xmlns:fmar="https://w3id.org/fmar/ns#">
  <cim:Asset rdf:ID="_asset">
    <cim:IdentifiedObject.name>Green Park battery</cim:IdentifiedObject.name>
    <cim:Asset.serialNumber>GP-1</cim:Asset.serialNumber>
    <fmar:ownerKind rdf:resource="https://w3id.org/fmar/codes/OwnerKind#ORGANISATION"/>
    <fmar:connectionStatus rdf:resource="https://w3id.org/fmar/codes/ConnectionStatus#PENDING"/>
    <fmar:connectionType rdf:resource="https://w3id.org/fmar/codes/ConnectionType#FIRM"/>
    <fmar:dnoConnection rdf:resource="https://w3id.org/fmar/codes/DNOCode#UKPN_EPN"/>
  </cim:Asset>
  <cim:AssetOwner rdf:ID="_owner">
    <cim:AssetOrganisationRole.Assets rdf:resource="#_asset"/>
    <cim:OrganisationRole.Organisation rdf:resource="https://node.example/organisations/0190f2a4-7c1e-7b3a-9a55-3f1f6f0f2b12"/>
  </cim:AssetOwner>
  <cim:BatteryUnit rdf:ID="_unit">
    <cim:PowerSystemResource.Assets rdf:resource="#_asset"/>
    <cim:PowerElectronicsUnit.maxP>0.5</cim:PowerElectronicsUnit.maxP>
    <cim:PowerElectronicsUnit.minP>-0.48</cim:PowerElectronicsUnit.minP>
    <cim:BatteryUnit.ratedE>1.0</cim:BatteryUnit.ratedE>
  </cim:BatteryUnit>
  <cim:PowerElectronicsConnection rdf:ID="_connection">
    <cim:PowerElectronicsConnection.PowerElectronicsUnit rdf:resource="#_unit"/>
  </cim:PowerElectronicsConnection>
  <cim:RegisteredResource rdf:ID="_resource">
    <cim:PowerSystemResource.Assets rdf:resource="#_asset"/>
  </cim:RegisteredResource>
  <cim:ResourceCapacity rdf:ID="_capacity">
    <cim:ResourceCapacity.RegisteredResource rdf:resource="#_resource"/>
    <cim:ResourceCapacity.maximumCapacity>0.5</cim:ResourceCapacity.maximumCapacity>
  </cim:ResourceCapacity>
  <cim:UsagePoint rdf:ID="_point">
    <cim:UsagePoint.Equipments rdf:resource="#_unit"/>
    <fmar:direction rdf:resource="https://w3id.org/fmar/codes/Direction#IMPORT"/>
  </cim:UsagePoint>
  <cim:Name rdf:ID="_name">
    <cim:Name.IdentifiedObject rdf:resource="#_point"/>
    <cim:Name.name>1000000000059</cim:Name.name>
    <cim:Name.NameType rdf:resource="#_type"/>
  </cim:Name>
  <cim:NameType rdf:ID="_type"><cim:NameType.name>MPAN</cim:NameType.name></cim:NameType>
</rdf:RDF>
"""
GENERATION = {"exportMPAN": mpan(7), "importMPAN": None, "storageEnergyCapacity": None}
DEMAND = {"exportMPAN": None, "importMPAN": mpan(8), "storageEnergyCapacity": None, "energySource": None, "genCapacity": None}
OF_CATEGORY: dict[tuple[str, str], dict[str, Any]] = {
    ("BESS", ""): {},
    ("SOLAR_PV", ""): {"energySource": "SOLAR", **GENERATION}, ("WIND_TURBINE", ""): {"energySource": "WIND", **GENERATION},
    ("CHP", ""): {"energySource": "NATURAL_GAS", **GENERATION},
    ("EV_CHARGER", ""): {**DEMAND, "demandTechType": "EV"}, ("HEAT_PUMP", ""): {**DEMAND, "demandTechType": "HEAT_PUMP"},
    ("HVAC", ""): {**DEMAND, "demandTechType": "HVAC"}, ("REFRIGERATION", ""): {**DEMAND, "demandTechType": "REFRIGERATION"},
    ("ELECTRIC_BOILER", ""): {**DEMAND, "demandTechType": "ELECTRIC_BOILER"}, ("INDUSTRIAL_LOAD", ""): {**DEMAND, "demandTechType": "INDUSTRIAL_LOAD"},
    ("OTHER", "GENERATION"): {"energySource": "DIESEL", **GENERATION}, ("OTHER", "STORAGE"): {"energySource": "HYDRO"},
    ("OTHER", "DEMAND"): {**DEMAND, "demandTechType": "OTHER"},
}  # fmt: skip
"""What makes a battery an asset of another category, and kind of OTHER."""


def judged(body: Any, media_type: str = LD_JSON, kind: str = "assets", previous: Document | None = None) -> Judgement:
    """The judgement of a document (or of bytes, as they are)."""
    data = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
    iri = IRI if kind == "assets" else ORGANISATION
    action = "update" if previous else "register"
    return judge(Paper(kind, action, iri, media_type, data, TODAY, previous), vocabulary(), shapes(), SETTINGS)


def accepted(document: Document, kind: str = "assets") -> Document:
    """The record document that a valid one of ours becomes."""
    judgement = judged(document, kind=kind)
    assert wrong(judgement) == []
    return judgement.document


def wrong(judgement: Judgement) -> list[tuple[str, str]]:
    """Constraint and pointer of what was rejected."""
    return [(named(fault), fault.pointer) for fault in judgement.faults if fault.severity == "R"]


def of_category(category: str, kind: str, **changes: Any) -> Document:
    """A valid asset of a category."""
    other = {"otherKind": kind, "otherDescription": "a thing"} if kind else {}
    return battery(**{"assetCategory": category, "alias": None, **OF_CATEGORY[category, kind], **other, **changes})


def full_organisation() -> Document:
    """An organisation with something of every kind of term."""
    return organisation(
        "Fenland Flexibility Ltd", ["FSP", "SUPPLIER", "ASSET_OWNER", "PLATFORM"], organisationTradingName="Fenflex", organisationType="LTD",
        organisationTypeDescription=None, organisationRegistrationNumber="99000150", countryOfIncorporation="United Kingdom",
        yearOfRegistration=2021, yearOfRegistrationBasis="NATIONAL", registeredAddressLine1="1 Example Street", registeredAddressLine2="Unit 2",
        registeredCity="Ipswich", registeredCountyOrState="Suffolk", registeredPostcodeOrZip="IP1 2AB", registeredCountry="United Kingdom",
        organisationWebsite="https://fenflex.example.com", organisationEmail="office@fenflex.example.com", primaryContactFirstName="Asha",
        primaryContactLastName="Kaur", primaryContactEmail="asha.kaur@fenflex.example.com", primaryMobileNumber="+447700900123",
        primaryMobileNumberCountryCode="+44", primaryContactRole="Head of flexibility",
        alias=[{"scheme": "LEI", "value": "529900T8BM49AURSDO55", "source": "a letter"}],
    )  # fmt: skip


def in_cim(document: Document) -> dict[str, Any]:
    """A record document in CIM, as a client reads it."""
    read: dict[str, Any] = json.loads(serialise(document, LD_JSON, vocabulary(), CIM))
    return read


def asset(**changes: Any) -> dict[str, Any]:
    """A battery as somebody writes it in CIM; a change to None leaves a key out."""
    document: dict[str, Any] = {
        "@context": t.CONTEXT,
        "type": "Asset",
        "IdentifiedObject.name": "Green Park battery",
        "Asset.serialNumber": "GP-1",
        "ownerKind": "ORGANISATION",
        "connectionStatus": "CONNECTED",
        "connectionType": "FIRM",
        "dnoConnection": "UKPN_EPN",
        "Asset.ProductAssetModel": {
            "type": "ProductAssetModel",
            "ProductAssetModel.modelNumber": "NL-500",
            "ProductAssetModel.Manufacturer": {"type": "Manufacturer", "IdentifiedObject.name": "Northlight"},
        },
        "Asset.OrganisationRoles": [{"type": "AssetOwner", "IdentifiedObject.name": "Green Park Estates Ltd"}],
        "Asset.PowerSystemResources": [unit(), resource()],
        "justification": [{"rule": "A03", "text": "the owner has applied"}],
        **changes,
    }
    return {name: value for name, value in document.items() if value is not None}


def unit(**changes: Any) -> dict[str, Any]:
    made = {
        "type": "BatteryUnit",
        "PowerElectronicsUnit.maxP": 0.5,
        "PowerElectronicsUnit.minP": -0.48,
        "BatteryUnit.ratedE": 1,
        "PowerElectronicsUnit.PowerElectronicsConnection": {"type": "PowerElectronicsConnection"},
        "Equipment.UsagePoints": [usage_point("IMPORT", mpan(5))],
        **changes,
    }
    return {name: value for name, value in made.items() if value is not None}


def resource(**changes: Any) -> dict[str, Any]:
    capacity = {"type": "ResourceCapacity", "ResourceCapacity.maximumCapacity": "0.5"}
    return {"type": "RegisteredResource", "RegisteredResource.commercialOpDate": "2024-03-01", "RegisteredResource.ResourceCapacity": [capacity], **changes}


def usage_point(direction: str, number: str) -> dict[str, Any]:
    return {"type": "UsagePoint", "direction": direction, "IdentifiedObject.Names": [name("MPAN", number)]}


def name(type_: str, value: Any, authority: str = "") -> dict[str, Any]:
    known = {"NameType.NameTypeAuthority": {"type": "NameTypeAuthority", "NameTypeAuthority.name": authority}} if authority else {}
    return {"type": "Name", "Name.name": value, "Name.NameType": {"type": "NameType", "NameType.name": type_, **known}}
