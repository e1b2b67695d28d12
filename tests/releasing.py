"""Releases for tests: the category V2G_CHARGER with a required attribute, as a maintainer would write it into the packaged files."""

from __future__ import annotations

from typing import Any

from fmar_node.vocabulary import Document, packaged_text
from tests.market import Market

CATEGORIES, ASSETS, SUBSCRIPTIONS = "codes/AssetCategory.ttl", "shapes/asset.ttl", "shapes/subscription.ttl"
CONCEPT = """
code:V2G_CHARGER a skos:Concept ;
    skos:inScheme <https://w3id.org/fmar/codes/AssetCategory> ;
    skos:notation "V2G_CHARGER" ;
    skos:prefLabel "V2G charger"@en ;
    skos:definition "Charger that takes energy from an electric vehicle's battery as well as giving it."@en ;
    fmar:addedBy "FMAR node" ;
    fmar:active true ;
    fmar:validFrom "2026-11-22"^^xsd:date .
"""
REQUIRED = """
asset:V2G-storage a sh:NodeShape ;
    sh:targetClass fmar:Asset ;
    sh:not [ sh:property [ sh:path fmar:assetCategory ; sh:hasValue assetCategory:V2G_CHARGER ] ,
                         [ sh:path fmar:storageEnergyCapacity ; sh:maxCount 0 ] ] ;
    fmar:onProperty fmar:storageEnergyCapacity ;
    sh:name "Energy of a V2G charger missing"@en ;
    sh:message "storageEnergyCapacity is missing: how much of the vehicle's battery may be used?"@en ;
    sh:severity sh:Violation .
"""
STRICTER = """
asset:NEW-cap a sh:PropertyShape ;
    sh:path fmar:ratedCapacity ;
    sh:maxInclusive 400.00 ;
    sh:name "Rated capacity above the new cap"@en ;
    sh:message "ratedCapacity is more than 400.00 kW"@en ;
    sh:severity sh:Violation .
"""
FAILS = "asset:NEW-cap"


def changed(name: str, *changes: tuple[str, str], more: str = "") -> str:
    """A packaged file with passages replaced, each of which stands there once, and more at its end."""
    text = packaged_text(name)
    for old, new in changes:
        assert text.count(old) == 1, (old, text.count(old))
        text = text.replace(old, new)
    return text + more


def v2g() -> dict[str, str]:
    """The files of a release that adds the category, and asks its assets for their energy."""
    listed = ("assetCategory:INDUSTRIAL_LOAD assetCategory:CHP assetCategory:OTHER\n", "assetCategory:INDUSTRIAL_LOAD assetCategory:CHP assetCategory:OTHER assetCategory:V2G_CHARGER\n")
    told = ("assetCategory:CHP assetCategory:OTHER )", "assetCategory:CHP assetCategory:OTHER assetCategory:V2G_CHARGER )")
    return {CATEGORIES: changed(CATEGORIES, more=CONCEPT), ASSETS: changed(ASSETS, listed, more=REQUIRED), SUBSCRIPTIONS: changed(SUBSCRIPTIONS, told)}


def without_hvac() -> dict[str, str]:
    """The files of a release that deprecates a category."""
    dropped = ("assetCategory:HVAC assetCategory:REFRIGERATION\n        assetCategory:INDUSTRIAL_LOAD", "assetCategory:REFRIGERATION\n        assetCategory:INDUSTRIAL_LOAD")
    text = packaged_text(CATEGORIES)
    head, tail = text.split("code:HVAC a skos:Concept", 1)
    lists = {ASSETS: changed(ASSETS, dropped), SUBSCRIPTIONS: changed(SUBSCRIPTIONS, ("assetCategory:HVAC assetCategory:REFRIGERATION", "assetCategory:REFRIGERATION"))}
    return {CATEGORIES: f"{head}code:HVAC a skos:Concept{tail.replace('fmar:active true', 'fmar:active false', 1)}", **lists}


def capped() -> dict[str, str]:
    """The files of a release under which a battery of 500 kW is too large."""
    return {ASSETS: changed(ASSETS, ("        asset:A03-form ,\n", "        asset:A03-form , asset:NEW-cap ,\n"), more=STRICTER)}


def release(files: dict[str, str], level: str = "MAJOR", **changes: Any) -> Document:
    """A document that proposes these files."""
    document = {
        "type": "Release",
        "releaseTitle": "For a test",
        "releaseDescription": "What a test\nneeds.",
        "releaseLevel": level,
        "releaseFile": [{"fileName": name, "fileText": text} for name, text in files.items()],
        **changes,
    }
    return {term: value for term, value in document.items() if value is not None}


def propose(market: Market, files: dict[str, str], level: str = "MAJOR", **changes: Any) -> str:
    return market.submit(market.callers["operator"], "releases", release(files, level, **changes)).id


def analysed(market: Market, id_: str, records: int = 0, failing: int = 0) -> None:
    """The node enters the impact."""
    note = {"impactAt": "2026-11-22T09:30:00.000Z", "impactRecords": records, "impactFailing": failing}
    market.submit(market.node(), "releases", note, "impact", id_)


def bring_into_force(market: Market, files: dict[str, str], level: str = "MAJOR") -> str:
    """A release through its whole life up to its day, which is today."""
    id_, operator = propose(market, files, level), market.callers["operator"]
    analysed(market, id_)
    market.act(operator, "releases", id_, "shadow")
    market.submit(operator, "releases", {"activeFrom": "2026-11-22"}, "approval", id_)
    assert market.tick() == 1
    return id_
