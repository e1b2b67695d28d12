"""A former provider keeps the record as it was at the end of its time, everywhere, and what comes later leaves no trace for it (UC-03.04)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from fmar_node.access.past import pasts
from fmar_node.errors import Conflict, Forbidden, NotFound
from fmar_node.followers.projector import Projector
from fmar_node.keeping.maintenance import verify_journal
from fmar_node.kinds import KINDS
from fmar_node.store.graph import Graph
from tests.market import BASE, Market, battery, mpan, refused, vocabulary

A, B, C = "fsp-a", "fsp-b", "fsp-c"
OLD, NEW = mpan(77), mpan(78)


def hand_over(market: Market, id_: str, to: str) -> None:
    """What a switch brings about."""
    market.submit(market.node(), "assets", {"provider": market.iri(to), "validFrom": "2026-11-22"}, "handover", id_)


def kept(market: Market, **changes: Any) -> str:
    """An asset of A's that B has taken over and changed since; its id."""
    id_ = market.submit(market.callers[A], "assets", battery("S-1", friendlyCode="mine", importMPAN=OLD, **changes)).id
    market.clock.forward(minutes=1)
    market.update(market.callers[A], "assets", id_, assetName="As A left it")
    market.clock.forward(minutes=1)
    hand_over(market, id_, B)
    market.clock.forward(minutes=1)
    market.update(market.callers[B], "assets", id_, assetName="As B has it", importMPAN=NEW, dnoConnection="UKPN_EPN", justification=None, owner=f"organisations/{market.callers[C].organisation}", ownerName=None)
    return id_


def listed(market: Market, who: str, managed: str = "", **equal: str) -> list[str]:
    found = market.reader.page(KINDS["assets"], market.callers[who], 50, "", managed, equal).items
    return [item["assetName"] for item in found]


def test_it_reads_the_record_as_of_the_end_of_its_time(market: Market) -> None:
    id_ = kept(market)

    shown = market.reader.current("assets", id_, market.callers[A]).document

    assert (shown["assetName"], shown["friendlyCode"], shown["importMPAN"], shown["managedBy"]) == ("As A left it", "mine", OLD, market.iri(A))
    assert shown["asOf"] == market.current("assets", id_).document["responsibility"][0]["endedAt"]


def test_the_gaining_provider_sees_everything_from_then_on_and_nothing_before(market: Market) -> None:
    id_ = kept(market)

    versions = market.reader.versions("assets", id_, market.callers[B])

    assert [each.document["assetName"] for each in versions] == ["As A left it", "As B has it"]
    assert all("asOf" not in each.document for each in versions)
    assert "friendlyCode" not in versions[0].document
    assert [each["provider"] for each in versions[0].document["responsibility"]] == [market.iri(A), market.iri(B)]


def test_later_versions_leave_no_trace(market: Market) -> None:
    id_ = kept(market)
    a = market.callers[A]
    before = [market.reader.history("assets", id_, a), market.reader.at("assets", id_, a, datetime(2030, 1, 1, tzinfo=UTC)).document, listed(market, A)]

    market.update(market.callers[B], "assets", id_, assetName="Later")
    market.act(market.callers[B], "assets", id_, "deregistration", deregistrationReason="ERROR")

    assert [market.reader.history("assets", id_, a), market.reader.at("assets", id_, a, datetime(2030, 1, 1, tzinfo=UTC)).document, listed(market, A)] == before
    assert [line["changed"] for line in before[0]][1:] == [["assetName", "recordedAt", "version"], ["asOf"]]  # type: ignore[index]


@pytest.mark.parametrize(("scheme", "value", "who"), [
    ("MPAN", OLD, {A}), ("MPAN", NEW, {B, C}), ("FRIENDLY_CODE", "mine", {A}), ("SERIAL", "Acme Storage|S-1", {A, B, C}),
])  # fmt: skip
def test_each_finds_it_by_what_it_knows(market: Market, scheme: str, value: str, who: set[str]) -> None:
    id_ = kept(market)

    found = {name: market.reader.lookup(scheme, value, market.callers[name]) for name in (A, B, C)}

    assert {name for name, items in found.items() if [item["id"] for item in items] == [f"{BASE}/assets/{id_}"]} == who


def test_lists_compare_what_it_kept(market: Market) -> None:
    kept(market)

    assert listed(market, A) == listed(market, A, "former") == listed(market, A, friendlyCode="mine") == ["As A left it"]
    assert listed(market, A, "me") == listed(market, A, managedBy=market.iri(B)) == listed(market, B, "former") == []
    assert listed(market, B, "me") == ["As B has it"]
    assert [each["assetName"] for each in market.reader.export(KINDS["assets"], market.callers[A], managed="former")] == ["As A left it"]
    assert list(market.reader.export(KINDS["assets"], market.callers[A])) == []


def test_it_changes_nothing_any_more(market: Market) -> None:
    id_ = kept(market)

    with pytest.raises(Forbidden, match="FORMER-PROVIDER-1"):
        market.submit(market.callers[A], "assets", battery("S-1"), "update", id_, if_match=("*",))
    with pytest.raises(NotFound):
        market.submit(market.callers["dso-south"], "assets", battery("S-1"), "update", id_, if_match=("*",))


def test_only_the_node_hands_over_and_only_what_may_be(market: Market) -> None:
    id_ = kept(market)

    with refused("NODE-1", as_=Forbidden):  # ASSET-HANDOVER-1
        market.submit(market.callers["operator"], "assets", {"provider": market.iri(C), "validFrom": "2026-11-23"}, "handover", id_)
    market.act(market.callers[B], "assets", id_, "deregistration", deregistrationReason="ERROR")
    with refused("ASSET-HANDOVER-2", as_=Conflict):
        hand_over(market, id_, C)


def test_who_acts_for_it_sees_what_the_grant_opens_of_what_it_kept(market: Market) -> None:
    market.grant(A, "platform", "READ")
    id_ = kept(market)

    for caller in (market.callers["platform"], market.acting("platform", A)):
        shown = market.reader.current("assets", id_, market.as_known(caller)).document
        assert (shown["assetName"], "importMPAN" in shown) == ("As A left it", False)
        assert "asOf" in shown


def test_what_is_now_comes_first(market: Market) -> None:
    """A delegate of both sees the record as it is; when B takes its grant back, as A has kept it; in the graph too."""
    market.grant(A, "platform", "READ_PERSONAL")
    id_ = kept(market)
    graph = Graph(market.folder / "graph")
    names = []
    for step in (lambda: None, lambda: market.grant(B, "platform", "READ"), lambda: market.act(market.callers[B], "delegations", market.register.granted_to(market.callers["platform"].organisation, market.callers[B].organisation)[0].id, "revocation")):
        step()
        projector = Projector(market.register, graph, vocabulary(), BASE)
        while projector.catch_up():
            pass
        assert projector.deviations() == []
        names.append(market.reader.current("assets", id_, market.as_known(market.callers["platform"])).document["assetName"])

    assert names == ["As A left it", "As B has it", "As A left it"]


def test_who_becomes_the_provider_again_sees_it_as_it_is(market: Market) -> None:
    id_ = kept(market)

    hand_over(market, id_, A)

    assert listed(market, A, "me") == ["As B has it"]
    assert listed(market, A, "former") == []
    assert [past.organisation for past in pasts(market.current("assets", id_).document)] == [market.callers[B].organisation]
    names = [each.document["assetName"] for each in market.reader.versions("assets", id_, market.callers[A])]
    assert names == ["Green Park battery 1", "As A left it", "As A left it", "As B has it"]


def test_an_erasure_reaches_what_was_kept(market: Market) -> None:
    id_ = kept(market)
    graph = market.projected().graph

    market.act(market.callers["operator"], "assets", id_, "erasure", erasureReason="REQUEST", erasureScope="PAST")
    projector = Projector(market.register, graph, vocabulary(), BASE)
    projector.catch_up()

    assert "importMPAN" not in market.reader.current("assets", id_, market.callers[A]).document
    assert market.reader.lookup("MPAN", OLD, market.callers[A]) == []
    assert market.reader.current("assets", id_, market.callers[B]).document["importMPAN"] == NEW
    assert projector.deviations() == []
    market.close()
    assert "current state" in verify_journal(market.node_folder())
    market.open()


def test_a_graph_that_is_made_anew_is_the_one_that_followed(market: Market) -> None:
    market.grant(A, "platform", "READ")
    kept(market)
    followed = market.projected()

    filled = Projector(market.register, Graph(market.folder / "filled"), vocabulary(), BASE)
    filled.fill()

    views = [view for view in followed.graph.views() if "/views/" in view]
    assert {view: set(filled.graph.triples(view)) for view in views} == {view: set(followed.graph.triples(view)) for view in views}
    assert filled.deviations() == followed.deviations() == []
    assert any("asOf" in str(triple) for triple in filled.graph.triples(f"{BASE}/views/{market.callers[A].organisation}"))
