"""What of a record becomes what in CIM, and what becomes of CIM: one table, read in both directions.

`NODES` are the CIM nodes that a record becomes and how they hang together, `ROWS` the terms that stand on them, `NAMES` the
terms that CIM knows as names. A term that is in none of them, or whose node a record of its category does not have, stays in
the namespace of FMAR on the record's own node, so that nothing is lost on the way.

Where the names come from (unprefixed ones are `cim:`): what stood in `ontology/cim-align.ttl` before this table, the classes and
members of CIM17 listed with it, and for the rest these machine-readable schemas. CGMES 3.0 and the Network Code profiles 2.4.1, as
RDFS in Haigutus/triplets `rdfs/`: GeneratingUnit.maxOperatingP, ConductingEquipment.BaseVoltage, Equipment.OperationalLimitSet,
OperationalLimitSet.OperationalLimitValue, OperationalLimit.OperationalLimitSet, ThermalGeneratingUnit.CogenerationPlant,
Location.mainAddress, Location.CoordinateSystem, StreetDetail.addressGeneral and .addressGeneral2, TownDetail.stateOrProvince, and
the other ends of these. The asset, customer and market packages, in derrickoswald/CIMReader `model/`: Asset.ProductAssetModel,
AssetOrganisationRole.Assets, NameType.NameTypeAuthority, RegisteredResource.ResourceCapacity, PSRType.PowerSystemResources,
Location.Assets, Manufacturer.ProductAssetModels, ElectronicAddress with .email1 and .web.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType

from fmar_node.cim.form import (
    CODE,
    DAY,
    KILOVOLT,
    MEGAWATT,
    MEGAWATT_HOUR,
    METRE,
    MINUS_MEGAWATT,
    REFERENCE,
    TEXT,
    Form,
)
from fmar_node.vocabulary import CODES, FMAR, Document

CONTEXT = "https://w3id.org/fmar/context/cim-v1"
PROFILE = "https://w3id.org/fmar/profile/cim-v1"
CIM, EU, NC = "https://cim.ucaiug.io/ns#", "https://cim.ucaiug.io/ns/eu#", "https://cim4.eu/ns/nc#"
CIM100, EU100 = "http://iec.ch/TC57/CIM100#", "http://iec.ch/TC57/CIM100-European#"
ALIASES: Mapping[str, str] = MappingProxyType({
    **{each: CIM for each in (CIM, CIM100, "http://cim.ucaiug.io/ns#", "http://cim.ucaiug.io/CIM101/draft#")},
    **{f"http://iec.ch/TC57/{each}#": CIM for each in ("2013/CIM-schema-cim16", "2012/CIM-schema-cim16", "CIM/CIM100")},
    EU: EU, EU100: EU, NC: NC, "http://entsoe.eu/ns/nc#": NC,
})  # fmt: skip
"""Namespaces under which CIM documents write its terms -> the one that we know them by."""
MEANT = ";profile=cim"
"""Behind the media type of a document that was sent as CIM without saying so itself."""
DIRECTION = f"{FMAR}direction"
IMPORT, EXPORT = f"{CODES}Direction#IMPORT", f"{CODES}Direction#EXPORT"
NATIONAL_GRID = "urn:ogc:def:crs:EPSG::27700"
"""The coordinates of records are metres of the British National Grid."""

FAMILY: Mapping[str, str] = MappingProxyType({
    "Asset": "IdentifiedObject", "ProductAssetModel": "IdentifiedObject", "PSRType": "IdentifiedObject",
    "UsagePoint": "IdentifiedObject", "Location": "IdentifiedObject", "CoordinateSystem": "IdentifiedObject",
    "BaseVoltage": "IdentifiedObject", "OperationalLimitSet": "IdentifiedObject", "OperationalLimit": "IdentifiedObject",
    "ActivePowerLimit": "OperationalLimit", "PowerSystemResource": "IdentifiedObject", "Equipment": "PowerSystemResource",
    "RegisteredResource": "PowerSystemResource", "CogenerationPlant": "PowerSystemResource",
    "PowerElectronicsUnit": "Equipment", "GeneratingUnit": "Equipment", "ConductingEquipment": "Equipment",
    "BatteryUnit": "PowerElectronicsUnit", "PhotoVoltaicUnit": "PowerElectronicsUnit",
    "PowerElectronicsWindUnit": "PowerElectronicsUnit", "nc:ElectricalChargingUnit": "PowerElectronicsUnit",
    "ThermalGeneratingUnit": "GeneratingUnit", "EnergyConsumer": "ConductingEquipment",
    "PowerElectronicsConnection": "ConductingEquipment", "Organisation": "IdentifiedObject", "MarketParticipant": "Organisation",
    "OrganisationRole": "IdentifiedObject", "AssetOrganisationRole": "OrganisationRole", "AssetOwner": "AssetOrganisationRole",
    "Manufacturer": "OrganisationRole", "MarketRole": "OrganisationRole", "ServiceSupplier": "OrganisationRole",
    "nc:DistributionSystemOperator": "OrganisationRole", "nc:TransmissionSystemOperator": "OrganisationRole",
})  # fmt: skip
"""A class -> what it is a kind of, as far as a member of that is used here."""

UNITS: Mapping[tuple[str, str], str] = MappingProxyType({
    ("BESS", ""): "BatteryUnit", ("SOLAR_PV", ""): "PhotoVoltaicUnit", ("WIND_TURBINE", ""): "PowerElectronicsWindUnit",
    ("CHP", ""): "ThermalGeneratingUnit", ("EV_CHARGER", ""): "nc:ElectricalChargingUnit", ("HEAT_PUMP", ""): "EnergyConsumer",
    ("HVAC", ""): "EnergyConsumer", ("REFRIGERATION", ""): "EnergyConsumer", ("ELECTRIC_BOILER", ""): "EnergyConsumer",
    ("INDUSTRIAL_LOAD", ""): "EnergyConsumer", ("OTHER", "GENERATION"): "GeneratingUnit", ("OTHER", "STORAGE"): "GeneratingUnit",
    ("OTHER", "DEMAND"): "EnergyConsumer",
})  # fmt: skip
"""Category, and the kind of OTHER -> the technical unit. CIM has no concrete class for a store of any other kind than a battery."""
ANY_UNIT = "GeneratingUnit"

STATES: Mapping[str, str] = MappingProxyType({
    "PENDING_VALIDATION": "Planned", "QUERY": "Planned", "VERIFIED": "Active", "AWAITING_NEW_FSP": "Mothballed",
    "SUSPENDED_CONSENT_REVOKED": "Mothballed", "SUSPENDED_ADMIN": "Mothballed", "DEREGISTERED": "Decommissioned",
})  # fmt: skip
"""State of the registration -> literal of cim:ResourceRegistrationStatus, which has no others."""

RESOURCE_PROVIDER, SYSTEM_OPERATOR = "MarketRoleKind.ResourceProvider", "MarketRoleKind.SystemOperator"
ROLES: Mapping[str, tuple[str, str]] = MappingProxyType({
    "FSP": ("MarketRole", RESOURCE_PROVIDER), "AGGREGATOR": ("MarketRole", RESOURCE_PROVIDER),
    "SYSTEM_OPERATOR": ("MarketRole", SYSTEM_OPERATOR), "ASSET_OWNER": ("AssetOwner", ""), "SUPPLIER": ("ServiceSupplier", ""),
    "DNO": ("nc:DistributionSystemOperator", ""), "IDNO": ("nc:DistributionSystemOperator", ""),
    "TO": ("nc:TransmissionSystemOperator", ""), "TECHNOLOGY_PROVIDER": ("Manufacturer", ""),
})  # fmt: skip
"""Role of an organisation -> class of its role node, and the node's MarketRole.type. The other roles have no CIM term."""

AUTHORITIES: Mapping[str, str] = MappingProxyType({
    "MPAN": "GB distribution network operators", "FRIENDLY_CODE": "FMAR", "FMAR_ORG": "FMAR", "COMPANIES_HOUSE": "Companies House",
    "EIC": "ENTSO-E", "GLN": "GS1", "GSRN": "GS1", "MCS": "Microgeneration Certification Scheme", "TEC": "NESO",
})  # fmt: skip
"""NameType.name -> NameTypeAuthority.name, where one body issues the names of a type."""


@dataclass(frozen=True, slots=True)
class Node:
    """A CIM node that a record becomes: `name` is its IRI's fragment, the first of `classes` what it is, unless the record decides.

    It hangs `under` the first of these nodes whose class has the association `link`; documents may state the `inverse` instead.
    `fixed` is what it always says. It is there when it says anything else, when it `always` is, or `beside` another one; a `whole`
    one only with all of its terms.
    """

    name: str
    classes: tuple[str, ...]
    under: tuple[str, ...] = ()
    link: str = ""
    inverse: str = ""
    many: bool = False
    fixed: tuple[tuple[str, str], ...] = ()
    always: bool = False
    beside: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A term as a property of a node. What is not `written` is understood on the way in only."""

    term: str
    node: str
    property: str
    form: Form
    written: bool = True


@dataclass(frozen=True, slots=True)
class Name:
    """A term as a name of a node: a Name of this NameType."""

    term: str
    node: str
    type: str


@dataclass(frozen=True)
class Table:
    """What a kind of record becomes."""

    kind: str
    class_name: str
    nodes: tuple[Node, ...]
    rows: tuple[Row, ...]
    names: tuple[Name, ...]
    has_roles: bool = False
    """Whether roles of the record are nodes of their own, as `ROLES` has them."""

    @property
    def root(self) -> Node:
        return self.nodes[0]

    @cached_property
    def by_name(self) -> Mapping[str, Node]:
        return {node.name: node for node in self.nodes}

    @cached_property
    def links(self) -> frozenset[str]:
        """Every association, by either end."""
        ends = {end for node in self.nodes for end in (node.link, node.inverse) if end}
        return frozenset({*ends, NAMES, NAME_OF, NAME_TYPE, AUTHORITY, *((ROLES_OF, ROLE_OF) if self.has_roles else ())})

    def rows_of(self, node: str) -> tuple[Row, ...]:
        return self._rows_by_node.get(node, ())

    @cached_property
    def _rows_by_node(self) -> Mapping[str, tuple[Row, ...]]:
        return {node.name: tuple(row for row in self.rows if row.node == node.name) for node in self.nodes}

    def class_of(self, node: Node, document: Document) -> str:
        """The class of the node of this record."""
        if node.name == "unit":
            kind = document.get("otherKind", "") if document.get("assetCategory") == "OTHER" else ""
            return UNITS.get((document.get("assetCategory", ""), kind), ANY_UNIT)
        if node.name == "organisation" and any(ROLES.get(role, ("",))[0] == "MarketRole" for role in document.get("organisationRoles", ())):
            return "MarketParticipant"
        return node.classes[0]

    def order(self, document: Document) -> Mapping[str, list[Node]]:
        """The nodes that this record may have, by the name of the node that each hangs under; those under the record itself by its own."""
        found: dict[str, list[Node]] = {self.root.name: []}
        for node in self.nodes[1:]:
            above = (name for name in node.under if name in found and has(self.class_of(self.by_name[name], document), node.link))
            if not (node.whole and any(row.term not in document for row in self.rows_of(node.name))) and (name := next(above, "")):
                found[name].append(node)
                found[node.name] = []
        return found


NAMES, NAME_OF = "IdentifiedObject.Names", "Name.IdentifiedObject"
NAME, NAME_TYPE = "Name.name", "Name.NameType"
TYPE_NAME, AUTHORITY, AUTHORITY_NAME = "NameType.name", "NameType.NameTypeAuthority", "NameTypeAuthority.name"
ROLES_OF, ROLE_OF, ROLE_TYPE = "Organisation.Roles", "OrganisationRole.Organisation", "MarketRole.type"
STATE = "RegisteredResource.registrationStatus"
STATE_KIND = "ResourceRegistrationStatus."
MANY = frozenset({NAMES, ROLES_OF})
"""Properties that repeat, beside those of `many` nodes."""

ASSET = Table(
    kind="asset",
    class_name="Asset",
    nodes=(
        Node("asset", ("Asset",)),
        Node("unit", tuple(dict.fromkeys(UNITS.values())), ("asset",), "Asset.PowerSystemResources", "PowerSystemResource.Assets", many=True, always=True),
        Node("category", ("PSRType",), ("unit",), "PowerSystemResource.PSRType", "PSRType.PowerSystemResources"),
        Node("connection", ("PowerElectronicsConnection",), ("unit",), "PowerElectronicsUnit.PowerElectronicsConnection",
             "PowerElectronicsConnection.PowerElectronicsUnit", always=True),
        Node("voltage", ("BaseVoltage",), ("connection", "unit"), "ConductingEquipment.BaseVoltage", "BaseVoltage.ConductingEquipment"),
        Node("plant", ("CogenerationPlant",), ("unit",), "ThermalGeneratingUnit.CogenerationPlant", "CogenerationPlant.ThermalGeneratingUnits", always=True),
        Node("import-point", ("UsagePoint",), ("unit",), "Equipment.UsagePoints", "UsagePoint.Equipments", many=True, fixed=((DIRECTION, IMPORT),)),
        Node("export-point", ("UsagePoint",), ("unit",), "Equipment.UsagePoints", "UsagePoint.Equipments", many=True, fixed=((DIRECTION, EXPORT),)),
        Node("limits", ("OperationalLimitSet",), ("unit",), "Equipment.OperationalLimitSet", "OperationalLimitSet.Equipment", many=True),
        Node("import-limit", ("ActivePowerLimit",), ("limits",), "OperationalLimitSet.OperationalLimitValue",
             "OperationalLimit.OperationalLimitSet", many=True, fixed=((DIRECTION, IMPORT),)),
        Node("export-limit", ("ActivePowerLimit",), ("limits",), "OperationalLimitSet.OperationalLimitValue",
             "OperationalLimit.OperationalLimitSet", many=True, fixed=((DIRECTION, EXPORT),)),
        Node("resource", ("RegisteredResource",), ("asset",), "Asset.PowerSystemResources", "PowerSystemResource.Assets", many=True),
        Node("capacity", ("ResourceCapacity",), ("resource",), "RegisteredResource.ResourceCapacity", "ResourceCapacity.RegisteredResource", many=True),
        Node("model", ("ProductAssetModel",), ("asset",), "Asset.ProductAssetModel", "ProductAssetModel.Asset"),
        Node("manufacturer", ("Manufacturer",), ("model",), "ProductAssetModel.Manufacturer", "Manufacturer.ProductAssetModels"),
        Node("owner", ("AssetOwner",), ("asset",), "Asset.OrganisationRoles", "AssetOrganisationRole.Assets", many=True),
        Node("location", ("Location",), ("asset",), "Asset.Location", "Location.Assets"),
        Node("address", ("StreetAddress",), ("location",), "Location.mainAddress"),
        Node("point", ("PositionPoint",), ("location",), "Location.PositionPoints", "PositionPoint.Location", many=True, whole=True),
        Node("coordinates", ("CoordinateSystem",), ("location",), "Location.CoordinateSystem", "CoordinateSystem.Locations",
             fixed=(("CoordinateSystem.crsUrn", NATIONAL_GRID),), beside="point"),
    ),
    rows=(
        Row("assetId", "asset", "IdentifiedObject.mRID", TEXT),
        Row("assetName", "asset", "IdentifiedObject.name", TEXT),
        Row("friendlyCode", "asset", "IdentifiedObject.aliasName", TEXT, written=False),
        Row("serialNumber", "asset", "Asset.serialNumber", TEXT),
        Row("assetCategory", "category", "IdentifiedObject.name", CODE),
        Row("genCapacity", "unit", "PowerElectronicsUnit.maxP", MEGAWATT),
        Row("genCapacity", "unit", "GeneratingUnit.maxOperatingP", MEGAWATT),
        Row("demandCapacity", "unit", "PowerElectronicsUnit.minP", MINUS_MEGAWATT),
        Row("storageEnergyCapacity", "unit", "BatteryUnit.ratedE", MEGAWATT_HOUR),
        Row("connectionVoltage", "voltage", "BaseVoltage.nominalVoltage", KILOVOLT),
        Row("agreedImportCapacity", "import-limit", "ActivePowerLimit.normalValue", MEGAWATT),
        Row("agreedImportCapacity", "import-limit", "ActivePowerLimit.value", MEGAWATT, written=False),
        Row("agreedExportCapacity", "export-limit", "ActivePowerLimit.normalValue", MEGAWATT),
        Row("agreedExportCapacity", "export-limit", "ActivePowerLimit.value", MEGAWATT, written=False),
        Row("managedBy", "resource", "RegisteredResource.MarketParticipant", REFERENCE),
        Row("commissioningDate", "resource", "RegisteredResource.commercialOpDate", DAY),
        Row("ratedCapacity", "capacity", "ResourceCapacity.maximumCapacity", MEGAWATT),
        Row("assetModel", "model", "ProductAssetModel.modelNumber", TEXT),
        Row("manufacturer", "manufacturer", "IdentifiedObject.name", TEXT),
        Row("ownerName", "owner", "IdentifiedObject.name", TEXT),
        Row("owner", "owner", "OrganisationRole.Organisation", REFERENCE),
        Row("postcode", "address", "StreetAddress.postalCode", TEXT),
        Row("easting", "point", "PositionPoint.xPosition", METRE),
        Row("northing", "point", "PositionPoint.yPosition", METRE),
    ),
    names=(Name("friendlyCode", "asset", "FRIENDLY_CODE"), Name("importMPAN", "import-point", "MPAN"), Name("exportMPAN", "export-point", "MPAN")),
)  # fmt: skip

ORGANISATION = Table(
    kind="organisation",
    class_name="Organisation",
    nodes=(
        Node("organisation", ("Organisation", "MarketParticipant")),
        Node("office", ("StreetAddress",), ("organisation",), "Organisation.streetAddress"),
        Node("street", ("StreetDetail",), ("office",), "StreetAddress.streetDetail"),
        Node("town", ("TownDetail",), ("office",), "StreetAddress.townDetail"),
        Node("electronic", ("ElectronicAddress",), ("organisation",), "Organisation.electronicAddress"),
    ),
    rows=(
        Row("fmarOrganisationId", "organisation", "IdentifiedObject.mRID", TEXT),
        Row("organisationLegalName", "organisation", "IdentifiedObject.name", TEXT),
        Row("organisationTradingName", "organisation", "IdentifiedObject.aliasName", TEXT, written=False),
        Row("registeredPostcodeOrZip", "office", "StreetAddress.postalCode", TEXT),
        Row("registeredAddressLine1", "street", "StreetDetail.addressGeneral", TEXT),
        Row("registeredAddressLine2", "street", "StreetDetail.addressGeneral2", TEXT),
        Row("registeredCity", "town", "TownDetail.name", TEXT),
        Row("registeredCountyOrState", "town", "TownDetail.stateOrProvince", TEXT),
        Row("registeredCountry", "town", "TownDetail.country", TEXT),
        Row("organisationWebsite", "electronic", "ElectronicAddress.web", TEXT),
        Row("organisationEmail", "electronic", "ElectronicAddress.email1", TEXT),
    ),
    names=(
        Name("organisationTradingName", "organisation", "TRADING_NAME"),
        Name("organisationRegistrationNumber", "organisation", "REGISTRATION_NUMBER"),
        Name("vatRegistrationNumber", "organisation", "VAT"),
    ),
    has_roles=True,
)

TABLES: Mapping[str, Table] = MappingProxyType({table.class_name: table for table in (ASSET, ORGANISATION)})
"""By the class of the record."""


def iri(name: str) -> str:
    """The IRI of a name in this table."""
    prefix, colon, rest = name.partition(":")
    if prefix in ("nc", "eu") and not rest.startswith("//"):
        return (NC if prefix == "nc" else EU) + rest
    return name if colon else CIM + name


def named(iri_: str) -> str:
    """What this table calls an IRI, under whichever namespace it was written; itself where that is none of CIM's."""
    space, mark, name = iri_.rpartition("#")
    canonical = ALIASES.get(space + mark)
    if canonical is None:
        return iri_
    return {CIM: name, NC: f"nc:{name}", EU: f"eu:{name}"}[canonical]


def local(iri_: str) -> str:
    """What stands behind the `#` of an IRI."""
    return iri_.rsplit("#", 1)[-1]


@lru_cache(4_096)
def has(class_: str, member: str) -> bool:
    """Whether instances of a class have a property: its name begins with the class or with what that is a kind of."""
    kind: str | None = class_
    while kind and kind != member.split(".", 1)[0]:
        kind = FAMILY.get(kind)
    return kind is not None


def words() -> Iterable[str]:
    """Every class and property that is used, as this table names them."""
    classes = [each for table in TABLES.values() for node in table.nodes for each in node.classes]
    yield from dict.fromkeys([*classes, "Name", "NameType", "NameTypeAuthority", *(class_ for class_, _ in ROLES.values())])
    yield from sorted(PROPERTIES)


def _properties() -> dict[str, tuple[str, bool]]:
    found: dict[str, tuple[str, bool]] = {DIRECTION: ("", False), STATE: ("", False), ROLE_TYPE: ("", False)}
    found |= {name: ("string", False) for name in (NAME, TYPE_NAME, AUTHORITY_NAME)}
    for table in TABLES.values():
        found |= {link: ("", link in MANY) for link in sorted(table.links)}
        found |= {node.link: ("", node.many) for node in table.nodes if node.link}
        found |= {name: ("string", False) for node in table.nodes for name, _ in node.fixed if name != DIRECTION}
        found |= {row.property: (row.form.datatype, False) for row in table.rows}
    return found


PROPERTIES: Mapping[str, tuple[str, bool]] = MappingProxyType(_properties())
"""Every property that is used: its datatype (empty for what refers to a node or record), and whether it repeats."""


def candidates(class_: str) -> list[tuple[str, str]]:
    """The categories, with the kind of OTHER, whose unit is of this class."""
    return [pair for pair, each in UNITS.items() if each == class_]


