"""What a part of a record tells that a read hides: a device is commercial, though its capacity is open and its serial number personal."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from fmar_node.access.caller import ANONYMOUS
from tests.market import Market, battery

DEVICES = [{"manufacturer": "Wright", "serialNumber": "DEV-1", "ratedCapacity": "2.50"}]
PUBLIC = [{"scheme": "ECR", "value": "ECR-1"}]


def asset(market: Market, **changes: Any) -> str:
    return market.submit(market.callers["fsp-a"], "assets", battery("S-1", alias=PUBLIC, **changes)).id


def opened(market: Market, id_: str, name: str) -> dict[str, bytes]:
    caller = market.callers.get(name, ANONYMOUS)
    sections = market.reader.proof(market.reader.current("assets", id_, caller), caller)["sections"]
    return {section: base64.b64decode(shown["body"]) for section, shown in sections.items() if "body" in shown}


@pytest.mark.parametrize(("name", "sections"), [("", {"open"}), ("neso", {"open", "operational"}), ("dso-east", {"open", "operational"})])
def test_a_proof_tells_nothing_of_a_device(market: Market, name: str, sections: set[str]) -> None:
    id_ = asset(market, device=DEVICES)

    bodies = opened(market, id_, name)

    assert set(bodies) == sections
    assert not any(b"device" in body for body in bodies.values())


def test_the_manager_is_proved_everything(market: Market) -> None:
    id_ = asset(market, device=DEVICES)

    bodies = opened(market, id_, "fsp-a")

    assert b'"ratedCapacity":"2.50"' in bodies["commercial"]
    assert b"DEV-1" in bodies["personal"]
    assert market.current("assets", id_).document["device"][0]["ratedCapacity"] == "2.50"


def test_a_device_is_looked_up_by_who_sees_it(market: Market) -> None:
    asset(market, device=DEVICES)

    found = {name for name, caller in market.callers.items() if market.reader.lookup("SERIAL", "DEV-1", caller)}

    assert found == {"operator", "fsp-a"}


@pytest.mark.parametrize("value", ["S-1|", "Acme Storage|S-1", "|S-1"])
def test_a_lookup_does_not_confirm_a_manufacturer_that_is_not_shown(market: Market, value: str) -> None:
    asset(market)
    market.submit(market.callers["fsp-a"], "assets", battery("S-2"))

    assert market.reader.lookup("SERIAL", value, market.callers["dso-east"]) == []
    assert market.reader.lookup("SERIAL", "S-1", market.callers["dso-east"])
