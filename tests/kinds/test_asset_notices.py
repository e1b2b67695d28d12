"""Who is told of an asset that a source queries, doubts or does not answer about; and when nobody has to act any more."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from fmar_node.access.caller import node_itself
from fmar_node.drafting import Submission
from fmar_node.errors import Conflict, Invalid
from fmar_node.journal.register import Window
from fmar_node.kinds import House
from fmar_node.settings import METER_POINT, OEM
from fmar_node.vocabulary import Document
from tests.market import BASE, Market, battery, refused

SOURCES = frozenset({METER_POINT, OEM})
AT = "2026-12-01T12:00:00.000Z"
DAY = 86_400.0


def fact(source: str, outcome: str = "AGREES", field: str = "") -> Document:
    where = field or {METER_POINT: "importMPAN", OEM: "assetModel"}[source]
    return {"evidenceKind": source, "checkedAt": AT, "evidenceReference": "https://source.example/asked", "evidenceOutcome": outcome, "evidenceField": where}


@pytest.fixture
def asking(market: Market) -> Market:
    """A market whose node asks two sources; they have ten days, and a provider has four."""
    market.house = House(SOURCES, validation_seconds=10 * DAY, asset_query_seconds=4 * DAY)
    return market


def register(market: Market, **changes: Any) -> str:
    return market.submit(market.callers["fsp-a"], "assets", battery(**changes)).id


def answer(market: Market, id_: str, *facts: Document) -> None:
    body = json.dumps({"evidence": facts}).encode()
    market.run(Submission(node_itself(), "assets", "verification", id_, BASE, "application/ld+json", body))


def queried(market: Market, **changes: Any) -> str:
    id_ = register(market, **changes)
    answer(market, id_, fact(METER_POINT, "DIFFERS"), fact(METER_POINT, "NOT_FOUND", "exportMPAN"), fact(OEM))
    return id_


def notices(market: Market) -> dict[str, Document]:
    """What there is of notices, by type."""
    return {each.document["noticeType"]: each.document for each in market.register.page("notices", Window(everything=True), "", 100, {})}


def states(market: Market) -> dict[str, str]:
    return {name: found["noticeStatus"] for name, found in notices(market).items()}


def due(market: Market, id_: str) -> Document:
    return {term: value for term, value in market.current("assets", id_).document.items() if term in ("validationDueBy", "overdueSince")}


def in_days(market: Market, days: float) -> str:
    return (market.clock.now() + timedelta(days=days)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


# -- a query


def test_the_provider_is_told_of_a_query_in_the_same_transaction(asking: Market) -> None:
    id_ = queried(asking)

    (entry,) = asking.register.versions("notices", notices(asking)["QUERY_OPEN"]["id"].rsplit("/", 1)[1])
    found = entry.document
    assert (found["noticeParty"], found["subject"]) == (asking.iri("fsp-a"), f"{BASE}/assets/{id_}")
    assert (found["noticeField"], found["noticeSource"]) == (["exportMPAN", "importMPAN"], ["METER_POINT"])
    assert found["dueBy"] == in_days(asking, 4) == due(asking, id_)["validationDueBy"]
    cause = asking.register.connection.execute("SELECT cause FROM entry WHERE idx = ?", (entry.index,)).fetchone()[0]
    assert asking.register.version_at(cause).action == "verification"


def test_no_value_stands_in_a_notice(asking: Market) -> None:
    id_ = queried(asking)
    document = asking.current("assets", id_).document

    assert document["importMPAN"] not in json.dumps(notices(asking)) and document["exportMPAN"] not in json.dumps(notices(asking))


def test_an_answer_to_the_query_settles_it(asking: Market) -> None:
    id_ = queried(asking)
    asking.update(asking.callers["fsp-a"], "assets", id_, assetName="Another name")

    found = notices(asking)["QUERY_OPEN"]
    assert (found["noticeStatus"], found["resolution"]) == ("RESOLVED", "CORRECTED")
    assert due(asking, id_) == {"validationDueBy": in_days(asking, 10)}


def test_what_is_brought_about_on_a_notice_names_nobody(asking: Market) -> None:
    id_ = queried(asking)
    asking.act(asking.callers["operator"], "assets", id_, "acceptance", acceptanceReason="the service follows")

    notice = notices(asking)["QUERY_OPEN"]["id"].rsplit("/", 1)[1]
    versions = list(asking.register.versions("notices", notice))
    assert [version.action for version in versions] == ["register", "settlement"]
    assert {(version.actor.organisation, "recordedBy" in version.document) for version in versions} == {("", False)}


def test_an_acceptance_settles_it(asking: Market) -> None:
    id_ = queried(asking)
    asking.act(asking.callers["operator"], "assets", id_, "acceptance", acceptanceReason="the service follows")

    assert notices(asking)["QUERY_OPEN"]["resolution"] == "ACCEPTED"
    assert due(asking, id_) == {}


def test_queried_again_the_same_notice_is_open_again(asking: Market) -> None:
    id_ = queried(asking)
    asking.update(asking.callers["fsp-a"], "assets", id_, assetName="Another name")
    asking.clock.forward(days=1)
    answer(asking, id_, fact(METER_POINT, "DIFFERS"))

    found = notices(asking)["QUERY_OPEN"]
    assert (found["noticeStatus"], found["recurrence"], found["noticeField"], found["dueBy"]) == ("OPEN", 1, ["importMPAN"], in_days(asking, 4))


def test_what_its_provider_has_resolved_by_hand_stays_so_until_it_comes_back(asking: Market) -> None:
    id_ = queried(asking)
    notice = notices(asking)["QUERY_OPEN"]["id"].rsplit("/", 1)[1]
    asking.act(asking.callers["fsp-a"], "notices", notice, "resolution", resolution="SOURCE_WRONG", resolutionText="they have been told")
    asking.act(asking.callers["operator"], "assets", id_, "acceptance", acceptanceReason="it is so")

    assert notices(asking)["QUERY_OPEN"]["resolution"] == "SOURCE_WRONG"


def test_an_overdue_query_goes_to_the_operator(asking: Market) -> None:
    id_ = queried(asking)
    asking.clock.forward(days=4, seconds=-1)
    assert asking.tick() == 0
    asking.clock.forward(seconds=1)

    assert asking.tick() == 1
    assert asking.tick() == 0

    found = notices(asking)["QUERY_OVERDUE"]
    assert (found["noticeRole"], found["noticeField"]) == ("FMAR_OPERATOR", ["exportMPAN", "importMPAN"])
    assert states(asking) == {"QUERY_OPEN": "OPEN", "QUERY_OVERDUE": "OPEN"}
    assert notices(asking)["QUERY_OPEN"]["version"] == 1
    assert due(asking, id_) == {"overdueSince": notices(asking)["QUERY_OPEN"]["dueBy"]}


def test_both_are_settled_with_the_query(asking: Market) -> None:
    id_ = queried(asking)
    asking.clock.forward(days=4)
    asking.tick()

    asking.update(asking.callers["fsp-a"], "assets", id_, assetName="Another name")

    assert states(asking) == {"QUERY_OPEN": "RESOLVED", "QUERY_OVERDUE": "RESOLVED"}
    assert asking.current("assets", id_).state == "PENDING_VALIDATION"


# -- a source that is silent


def test_the_operator_is_told_of_an_asset_that_no_source_answers_about(asking: Market) -> None:
    id_ = register(asking)
    assert due(asking, id_) == {"validationDueBy": in_days(asking, 10)}
    asking.clock.forward(days=10)

    asking.tick()

    assert states(asking) == {"VALIDATION_OVERDUE": "OPEN"}
    assert asking.register.found("OVERDUE", "PENDING_VALIDATION") == [id_]
    answer(asking, id_, fact(METER_POINT), fact(OEM))
    assert notices(asking)["VALIDATION_OVERDUE"]["resolution"] == "SETTLED"
    assert (due(asking, id_), asking.register.found("OVERDUE", "PENDING_VALIDATION")) == ({}, [])


def test_half_an_answer_and_a_change_give_no_more_time(asking: Market) -> None:
    id_ = register(asking)
    first = due(asking, id_)
    asking.clock.forward(days=1)
    answer(asking, id_, fact(METER_POINT))
    asking.update(asking.callers["fsp-a"], "assets", id_, assetName="Another name")

    assert due(asking, id_) == first


def test_where_nobody_is_asked_nothing_is_overdue(market: Market) -> None:
    id_ = register(market)
    market.clock.forward(days=100)

    assert (due(market, id_), market.tick(), notices(market)) == ({}, 0, {})


def test_an_asset_that_is_not_overdue_is_left_alone(asking: Market) -> None:
    id_ = register(asking)
    with refused("ASSET-OVERRUN-3", as_=Invalid):
        market_tick(asking, id_)
    answer(asking, id_, fact(METER_POINT), fact(OEM))
    with refused("ASSET-OVERRUN-2", as_=Conflict):
        market_tick(asking, id_)


def market_tick(market: Market, id_: str) -> None:
    """The clock, a moment too early or too late."""
    market.run(Submission(node_itself("clock"), "assets", "overrun", id_, BASE, "application/ld+json", b"{}"))


# -- a discrepancy


def test_what_a_maker_has_otherwise_is_a_discrepancy_and_stands_in_no_way(asking: Market) -> None:
    id_ = register(asking)
    answer(asking, id_, fact(METER_POINT), fact(OEM, "DIFFERS"))

    found = notices(asking)["DISCREPANCY"]
    assert asking.current("assets", id_).state == "VERIFIED"
    assert (found["noticeParty"], found["noticeSource"], found["noticeField"]) == (asking.iri("fsp-a"), ["OEM"], ["assetModel"])
    assert "dueBy" not in found
    asking.update(asking.callers["fsp-a"], "assets", id_, assetModel="AS-501")
    assert notices(asking)["DISCREPANCY"]["resolution"] == "CORRECTED"


# -- an asset that goes


def test_what_was_to_be_done_about_an_asset_lapses_with_it(asking: Market) -> None:
    id_ = queried(asking)
    asking.clock.forward(days=4)
    asking.tick()

    asking.act(asking.callers["fsp-a"], "assets", id_, "deregistration", deregistrationReason="DECOMMISSIONED")

    assert {found["resolution"] for found in notices(asking).values()} == {"LAPSED"}
    assert due(asking, id_) == {}


def test_a_provider_that_goes_takes_its_notices_along_and_the_operators_about_its_assets(asking: Market) -> None:
    id_ = queried(asking)
    asking.clock.forward(days=4)
    asking.tick()

    asking.act(asking.callers["operator"], "organisations", asking.callers["fsp-a"].organisation, "deregistration", forced=True)

    assert asking.current("assets", id_).state == "AWAITING_NEW_FSP"
    assert {name: found["resolution"] for name, found in notices(asking).items()} == {"QUERY_OPEN": "LAPSED", "QUERY_OVERDUE": "LAPSED"}
    asking.clock.forward(days=100)
    assert asking.tick() == 0


def test_the_graphs_follow(asking: Market) -> None:
    queried(asking)
    asking.clock.forward(days=4)
    asking.tick()

    assert asking.projected().deviations() == []


