"""Every graph equals the triples of reveal over the journal, whatever happened on the way."""

from __future__ import annotations

from fmar_node.followers.projector import Projector
from fmar_node.store.graph import Graph
from tests.market import BASE, Market, battery, mpan, vocabulary


def busy(market: Market) -> None:
    """Registrations, changes, a suspension, departures: what a market does."""
    a, b = market.callers["fsp-a"], market.callers["fsp-b"]
    first = market.submit(a, "assets", battery("P-1", alias=[{"scheme": "ECR", "value": "ecr-1"}]))
    market.submit(a, "assets", battery("P-2", dnoConnection="UKPN_SPN", importMPAN=None, exportMPAN=mpan(5, 19),
                                       justification=[{"rule": "A03", "text": "x"}, {"rule": "X01", "text": "x"}]))
    third = market.submit(b, "assets", battery("P-3"))
    market.update(a, "assets", first.id, ratedCapacity="600.00", installedCapacity="600.00", dnoConnection="UKPN_LPN")
    market.act(b, "assets", third.id, "deregistration", deregistrationReason="DECOMMISSIONED")
    market.update(market.callers["operator"], "organisations", market.callers["dso-south"].organisation, licenceArea=["UKPN_LPN"])
    market.act(market.callers["operator"], "organisations", a.organisation, "suspension")


def test_every_graph_equals_reveal_over_the_journal(market: Market) -> None:
    busy(market)

    projector = market.projected()

    assert projector.deviations() == []
    assert projector.applied == market.register.size() - 1


def test_a_view_holds_something_to_compare(market: Market) -> None:
    busy(market)

    projector = market.projected()

    counts = {name: len(list(projector.graph.triples(f"{BASE}/views/{caller.view}"))) for name, caller in market.callers.items()}
    assert all(counts[name] > 0 for name in ("operator", "fsp-a", "dso-east", "dso-south", "neso"))


def test_a_graph_that_stopped_anywhere_catches_up_exactly(market: Market) -> None:
    busy(market)
    graph = Graph(market.folder / "stepwise")

    for _ in range(market.register.size()):
        Projector(market.register, graph, vocabulary(), BASE).catch_up(most=1)

    assert Projector(market.register, graph, vocabulary(), BASE).deviations() == []


def test_a_deviation_is_found(market: Market) -> None:
    busy(market)
    projector = market.projected()

    projector.graph.load(f"{BASE}/views/public", list(projector.graph.triples(f"{BASE}/views/operator")))

    assert projector.deviations() == [f"{BASE}/views/public"]
