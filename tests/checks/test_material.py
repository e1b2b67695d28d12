"""Which changes of an asset are material: at their bounds, and only as somebody sees them."""

from __future__ import annotations

from typing import Any

import pytest

from fmar_node.checks.material import CAPACITIES, DECISIVE, material
from fmar_node.feed import Feed
from fmar_node.read import Reader
from tests.market import Market, battery, mpan, vocabulary

ASSET = {"id": "x", "type": "Asset", "ratedCapacity": "500.00", "assetCategory": "BESS", "assetName": "One"}


def found(*percent: float, **changes: str | None) -> list[str]:
    after = {name: value for name, value in {**ASSET, **changes}.items() if value is not None}
    return material(ASSET, after, *percent)


@pytest.mark.parametrize(("capacity", "is_material"), [("550.00", False), ("550.01", True), ("450", False), ("449.99", True), ("500", False), ("0", True), (None, True)])
def test_a_tenth_more_or_less_of_a_capacity_is_not_material_and_more_is(capacity: str | None, is_material: bool) -> None:
    assert found(ratedCapacity=capacity) == (["ratedCapacity"] if is_material else [])


def test_how_much_is_a_setting() -> None:
    assert found(0, ratedCapacity="500.01") == ["ratedCapacity"]
    assert found(0, ratedCapacity="500.0") == []
    assert found(100, ratedCapacity="1000") == [] != found(100, ratedCapacity="1000.01")


@pytest.mark.parametrize(("before", "after", "is_material"), [("0", "0.01", True), ("0", "0.00", False), (None, "1", True)])
def test_a_capacity_that_was_none_has_no_tenth(before: str | None, after: str, is_material: bool) -> None:
    held = {name: value for name, value in {**ASSET, "demandCapacity": before}.items() if value is not None}

    assert bool(material(held, {**held, "demandCapacity": after})) is is_material


@pytest.mark.parametrize("term", sorted(DECISIVE))
def test_what_decides_is_material_however_it_changes(term: str) -> None:
    assert found(**{term: "other"}) == [term]
    assert found(assetName="Two") == []


def test_a_record_that_comes_or_goes_and_other_records_are_not_changed_materially() -> None:
    organisation = {"type": "Organisation", "ratedCapacity": "1"}

    assert material(None, ASSET) == material(ASSET, None) == material(organisation, {**organisation, "ratedCapacity": "9"}) == []


def test_every_term_of_it_is_one_of_assets() -> None:
    terms: dict[str, Any] = {**vocabulary().terms}

    assert {name for name in DECISIVE | CAPACITIES if name in terms} == DECISIVE | CAPACITIES


def test_events_and_history_say_it_to_those_who_see_the_term(market: Market) -> None:
    asset = market.submit(market.callers["fsp-a"], "assets", battery(importMPAN=mpan(1), exportMPAN=mpan(2)))
    place = market.register.size() - 1
    market.update(market.callers["fsp-a"], "assets", asset.id, importMPAN=mpan(3), assetName="Two", demandCapacity="400.00", genCapacity="490.00")

    for name, expected in (("fsp-a", ["demandCapacity", "importMPAN"]), ("dso-east", ["demandCapacity", "importMPAN"]), ("neso", ["demandCapacity"])):
        caller = market.callers[name]
        line = market.reader.history("assets", asset.id, caller)[-1]
        (event,) = (each for each in Feed(market.register, vocabulary()).page(caller, place, 10).events if each.kind == "assets")
        assert line["material"] == event.as_json("x")["data"]["material"] == expected
        assert "material" not in market.reader.history("assets", asset.id, caller)[0]
        assert Reader(market.register, vocabulary(), 50).history("assets", asset.id, caller)[-1].get("material", []) == [term for term in expected if "MPAN" in term]
