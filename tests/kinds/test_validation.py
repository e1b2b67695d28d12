"""How far an asset is verified: who is asked about it, what answers make of it, and what a change or the operator does to that."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from fmar_node.access.caller import node_itself
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Forbidden, Invalid, Stale
from fmar_node.kinds import House, Situation
from fmar_node.kinds.validation import agrees_with_its_maker, wanted
from fmar_node.record import Receipt
from fmar_node.representation import fingerprint
from fmar_node.settings import MCS, METER_POINT, OEM
from fmar_node.vocabulary import Document
from tests.market import BASE, Market, battery, mpan, refused

ALL = frozenset({METER_POINT, MCS, OEM})
BETTER = [{"rule": "A03", "text": "owner not registered yet"}, {"rule": "SOURCE_PRECEDENCE", "text": "the certificate has a slip"}]
AT = "2026-12-01T12:00:00.000Z"
CERTIFICATE = {"scheme": "MCS", "value": "MCS-99-0001"}
FOUND = {
    METER_POINT: {"evidenceField": "importMPAN", "comparedWith": "IMPORT"},
    MCS: {"evidenceField": "postcode", "comparedWithPersonal": "IP1 2AB"},
    OEM: {"evidenceField": "assetModel", "comparedWith": "AS-500"},
}


def fact(source: str, outcome: str = "AGREES") -> Document:
    reference = f"https://{source.lower()}.example/asked"
    return {"evidenceKind": source, "checkedAt": AT, "evidenceReference": reference, "evidenceOutcome": outcome, **FOUND[source]}


@pytest.fixture
def asking(market: Market) -> Market:
    """A market whose node asks all sources about assets."""
    market.house = House(ALL)
    return market


def register(market: Market, **changes: Any) -> str:
    return market.submit(market.callers["fsp-a"], "assets", battery(**{"postcode": "IP1 2AB", "alias": [CERTIFICATE], **changes})).id


def answer(market: Market, id_: str, *facts: Document, about: str = "") -> Receipt:
    """What sources have answered, as the node enters it."""
    basis = about or fingerprint(market.current("assets", id_).document)
    body = json.dumps({"evidence": facts}).encode()
    return market.run(Submission(node_itself(), "assets", "verification", id_, BASE, "application/ld+json", body, (basis,)))


def change(market: Market, id_: str, **changes: Any) -> Receipt:
    return market.update(market.callers["fsp-a"], "assets", id_, **changes)


def accept(market: Market, id_: str, by: str = "operator", **note: Any) -> Receipt:
    return market.act(market.callers[by], "assets", id_, "acceptance", **note)


def document(market: Market, id_: str) -> Document:
    return market.current("assets", id_).document


def status(market: Market, id_: str) -> str:
    found = document(market, id_)
    assert found["registrationStatus"] == found["validationStatus"]
    return str(found["validationStatus"])


def answered(market: Market, id_: str) -> list[str]:
    return [each["evidenceKind"] for each in document(market, id_).get("evidence", ())]


def queried(market: Market) -> str:
    """An asset that the meter point service queries and the others confirm."""
    id_ = register(market)
    answer(market, id_, fact(METER_POINT, "DIFFERS"), fact(MCS), fact(OEM))
    return id_


# -- who is asked


@pytest.mark.parametrize(("changes", "sources"), [
    ({}, ALL),
    ({"alias": None}, {METER_POINT, OEM}),
    ({"alias": [{"scheme": "ECR", "value": "X-1"}], "serialNumber": None}, {METER_POINT}),
    ({"manufacturer": None, "exportMPAN": None}, {METER_POINT, MCS}),
])  # fmt: skip
def test_who_is_asked_follows_from_what_an_asset_has(asking: Market, changes: dict[str, Any], sources: set[str]) -> None:
    found = document(asking, register(asking, **changes))

    assert wanted(found, ALL) == sources
    assert wanted(found, frozenset({METER_POINT})) == {METER_POINT}


def test_an_asset_of_which_no_source_knows_anything_waits_for_none(asking: Market) -> None:
    found = document(asking, register(asking, alias=None, serialNumber=None))

    assert wanted(found, frozenset({OEM, MCS})) is None
    assert wanted(found, frozenset()) is None


# -- answers


def test_it_is_verified_when_all_agree(asking: Market) -> None:
    id_ = register(asking)

    answer(asking, id_, *map(fact, sorted(ALL)))

    assert status(asking, id_) == "VERIFIED"
    first = document(asking, id_)["evidence"][0]
    assert first == {"id": f"{BASE}/assets/{id_}#evidence-1", "type": "Evidence", **fact(MCS)}


@pytest.mark.parametrize("outcome", ["DIFFERS", "NOT_FOUND"])
@pytest.mark.parametrize("source", [METER_POINT, MCS])
def test_it_is_queried_when_one_disagrees(asking: Market, source: str, outcome: str) -> None:
    id_ = register(asking)

    answer(asking, id_, *(fact(each, outcome if each == source else "AGREES") for each in ALL))

    assert status(asking, id_) == "QUERY"


def test_it_stays_pending_while_one_is_silent_and_what_was_answered_stays(asking: Market) -> None:
    id_ = register(asking)

    answer(asking, id_, fact(MCS, "DIFFERS"), fact(OEM))

    assert (status(asking, id_), answered(asking, id_)) == ("PENDING_VALIDATION", [MCS, OEM])
    assert wanted(document(asking, id_), ALL) == {METER_POINT}
    answer(asking, id_, fact(METER_POINT))
    assert (status(asking, id_), answered(asking, id_)) == ("QUERY", [MCS, OEM, METER_POINT])


@pytest.mark.parametrize("outcome", ["DIFFERS", "NOT_FOUND"])
def test_a_maker_that_disagrees_is_a_warning_and_no_query(asking: Market, outcome: str) -> None:
    id_ = register(asking, storageEnergyCapacity=None)
    answer(asking, id_, fact(METER_POINT), fact(MCS), fact(OEM, outcome))

    def warned() -> list[str]:
        return sorted(each["rule"] for each in document(asking, id_).get("warning", ()))

    assert (status(asking, id_), warned()) == ("VERIFIED", ["A12", "Asset.storageEnergyCapacity"])
    change(asking, id_, assetName="Renamed")
    assert (status(asking, id_), warned()) == ("VERIFIED", ["A12", "Asset.storageEnergyCapacity"])
    version = asking.current("assets", id_)
    situation = Situation(asking.callers["fsp-a"], asking.register, date(2026, 12, 1), version.document, version)
    assert [fault.constraint for fault in agrees_with_its_maker(situation)] == ["A12-oem"]
    change(asking, id_, serialNumber="S-2")
    assert (status(asking, id_), warned()) == ("PENDING_VALIDATION", ["Asset.storageEnergyCapacity"])
    answer(asking, id_, fact(OEM))
    assert (status(asking, id_), warned()) == ("VERIFIED", ["Asset.storageEnergyCapacity"])


def test_an_answer_about_an_earlier_version_is_dropped(asking: Market) -> None:
    id_ = register(asking)
    about = fingerprint(document(asking, id_))
    change(asking, id_, assetName="Renamed")

    with pytest.raises(Stale):
        answer(asking, id_, fact(METER_POINT), about=about)

    assert answered(asking, id_) == []


def test_an_answer_that_is_not_waited_for_is_dropped(asking: Market) -> None:
    id_ = queried(asking)

    with refused("ASSET-VERIFY-2", as_=Conflict):
        answer(asking, id_, fact(METER_POINT))


def test_nobody_but_the_node_enters_an_answer(asking: Market) -> None:
    id_ = register(asking)

    for name in ("operator", "fsp-a"):
        with refused("NODE-1", as_=Forbidden):
            asking.submit(asking.callers[name], "assets", {"evidence": [fact(METER_POINT)]}, "verification", id_)
    assert asking.verdict(node_itself(), "assets", "verification", id_).policy == "NODE-1"


@pytest.mark.parametrize("changed", [{"evidence": [fact(METER_POINT)]}, {"acceptanceReason": "mine"}])
def test_nobody_writes_its_own_evidence(asking: Market, changed: dict[str, Any]) -> None:
    with refused("server-set", as_=Invalid):
        change(asking, register(asking), **changed)


# -- changes


@pytest.mark.parametrize(("changes", "again"), [
    ({"importMPAN": mpan(99)}, {METER_POINT}),
    ({"assetModel": "AS-501"}, {OEM}),
    ({"postcode": "IP1 2AC", "justification": BETTER}, {METER_POINT, MCS}),
    ({"alias": [{"scheme": "MCS", "value": "MCS-99-0002"}]}, {MCS}),
    ({"ratedCapacity": "505.00"}, {MCS, OEM}),
])  # fmt: skip
def test_a_change_is_asked_of_those_that_it_concerns(asking: Market, changes: dict[str, Any], again: set[str]) -> None:
    id_ = register(asking)
    answer(asking, id_, *map(fact, ALL))

    change(asking, id_, **changes)

    assert status(asking, id_) == "PENDING_VALIDATION"
    assert wanted(document(asking, id_), ALL) == again


def test_whatever_else_changes_leaves_what_is_known(asking: Market) -> None:
    id_ = register(asking)
    answer(asking, id_, *map(fact, ALL))

    change(asking, id_, assetName="Renamed")

    assert (status(asking, id_), len(answered(asking, id_))) == ("VERIFIED", 3)


def test_a_query_that_is_submitted_again_is_asked_of_whom_queried_it(asking: Market) -> None:
    id_ = queried(asking)

    change(asking, id_, assetName="Renamed")

    assert status(asking, id_) == "PENDING_VALIDATION"
    assert wanted(document(asking, id_), ALL) == {METER_POINT}


def test_who_leaves_out_what_is_asked_about_has_nothing_left_to_wait_for(asking: Market) -> None:
    id_ = register(asking)
    answer(asking, id_, fact(METER_POINT), fact(OEM))

    change(asking, id_, alias=None)

    assert status(asking, id_) == "VERIFIED"


def test_a_source_that_is_not_asked_any_more_is_not_waited_for(asking: Market) -> None:
    id_ = register(asking)
    answer(asking, id_, fact(METER_POINT), fact(OEM))
    asking.house = House(ALL - {MCS})

    assert wanted(document(asking, id_), asking.house.sources) == frozenset()
    answer(asking, id_)

    assert status(asking, id_) == "VERIFIED"


# -- the operator


def test_the_operator_accepts_a_query_with_a_reason(asking: Market) -> None:
    id_ = queried(asking)

    with refused("ASSET-ACCEPT-3", as_=Invalid):
        accept(asking, id_)
    accept(asking, id_, acceptanceReason="the meter was moved last week")

    found = document(asking, id_)
    assert (status(asking, id_), found["acceptanceReason"], len(found["evidence"])) == ("VERIFIED", "the meter was moved last week", 3)
    change(asking, id_, assetName="Renamed")
    assert status(asking, id_) == "VERIFIED"


def test_an_acceptance_ends_with_what_was_accepted(asking: Market) -> None:
    id_ = queried(asking)
    accept(asking, id_, acceptanceReason="the meter was moved last week")

    change(asking, id_, assetModel="AS-501")

    assert (status(asking, id_), "acceptanceReason" in document(asking, id_)) == ("PENDING_VALIDATION", False)
    assert wanted(document(asking, id_), ALL) == {METER_POINT, OEM}


def test_nobody_else_accepts_and_nothing_else_is_accepted(asking: Market) -> None:
    pending, id_ = register(asking, serialNumber="S-2", importMPAN=mpan(1), exportMPAN=mpan(2)), queried(asking)

    with refused("ASSET-ACCEPT-1", as_=Forbidden):
        accept(asking, id_, "fsp-a", acceptanceReason="mine")
    with refused("ASSET-ACCEPT-2", as_=Conflict):
        accept(asking, pending, acceptanceReason="no answer for weeks")


# -- who sees it


def test_personal_values_of_an_answer_are_shown_to_those_who_see_such(asking: Market) -> None:
    id_ = queried(asking)
    asking.join("platform", "PLATFORM")
    asking.grant("fsp-a", "platform", "READ")

    def seen(name: str) -> list[Document]:
        shown: list[Document] = asking.reader.current("assets", id_, asking.callers[name]).document.get("evidence", [])
        return shown

    assert {each.get("comparedWithPersonal") for each in seen("fsp-a")} == {None, "IP1 2AB"}
    assert len(seen("platform")) == 3
    assert not any({"comparedWithPersonal", "evidenceReference"} & each.keys() for each in seen("platform"))
    assert "IP1 2AB" not in json.dumps(asking.reader.current("assets", id_, asking.callers["platform"]).document)


def test_personal_values_of_an_answer_are_erased_with_the_others(asking: Market) -> None:
    id_ = queried(asking)
    asking.act(asking.callers["fsp-a"], "assets", id_, "deregistration", deregistrationReason="ERROR")

    asking.act(asking.callers["operator"], "assets", id_, "erasure", erasureReason="REQUEST", erasureScope="EVERYTHING")

    assert not any("IP1 2AB" in json.dumps(version.document) for version in asking.register.versions("assets", id_))
