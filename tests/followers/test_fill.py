"""A graph filled in bulk is the graph that following the journal makes, also after a filling that was cut short."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from fmar_node.access.caller import caller_of
from fmar_node.access.reveal import PUBLISHED_REGISTERS, Relation, parties, relations
from fmar_node.followers import projector as following
from fmar_node.followers.projector import Projector
from fmar_node.keeping.maintenance import rebuild_graph
from fmar_node.store.graph import Graph
from tests.followers.test_projector import busy
from tests.market import BASE, Market, battery, vocabulary


def contents(graph: Graph) -> dict[str, set[object]]:
    return {view: set(graph.triples(view)) for view in graph.views() if "/views/" in view}


def empty(market: Market, name: str = "filled") -> Projector:
    return Projector(market.register, Graph(market.folder / name), vocabulary(), BASE)


def test_a_filled_graph_equals_one_that_followed(market: Market) -> None:
    busy(market)
    followed = market.projected()

    filled = empty(market)
    count = filled.fill()

    assert count == market.register.size() == followed.applied + 1
    assert contents(filled.graph) == contents(followed.graph)
    assert filled.deviations() == []


def test_a_filled_graph_is_followed_on(market: Market) -> None:
    busy(market)
    filled = empty(market)
    filled.fill()

    made = market.submit(market.callers["fsp-b"], "assets", battery("P-9"))
    market.update(market.callers["fsp-b"], "assets", made.id, assetName="Renamed")
    market.update(market.callers["operator"], "organisations", market.callers["neso"].organisation, organisationRoles=["DNO"], licenceArea=["UKPN_EPN"])
    while filled.catch_up():
        pass

    assert filled.applied == market.register.size() - 1
    assert filled.deviations() == []


def test_what_an_interrupted_filling_left_is_cleared(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    first = market.submit(market.callers["fsp-a"], "assets", battery("P-1"))
    monkeypatch.setattr(following, "BLOCK_CHARS", 1)
    interrupted = empty(market)
    with suppress(StopIteration):
        interrupted.graph.load_quads = cut_short(interrupted.graph, 12)  # type: ignore[method-assign]
        interrupted.fill()
    assert contents(interrupted.graph)
    assert interrupted.graph.applied == -1
    del interrupted.graph.load_quads
    market.update(market.callers["fsp-a"], "assets", first.id, assetName="Renamed", dnoConnection="UKPN_LPN")

    after = Projector(market.register, interrupted.graph, vocabulary(), BASE)
    after.fill()

    assert after.deviations() == []


def cut_short(graph: Graph, blocks: int):
    """Loads so many blocks, and then ends as a killed process does: with nothing more."""
    load, left = graph.load_quads, iter(range(blocks))

    def loading(text: bytes) -> None:
        next(left)
        load(text)

    return loading


def test_a_graph_that_holds_something_is_left_alone(market: Market) -> None:
    busy(market)
    projector = empty(market)
    projector.catch_up(most=3)

    assert projector.fill() == 3
    assert projector.applied == 2


def test_pages_of_a_growing_journal_show_one_place_of_it(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that leaves the window, or joins it, while its pages are read stands where it stood."""
    monkeypatch.setattr(following, "PAGE", 1)
    a, b = market.callers["fsp-a"], market.callers["fsp-b"]
    made = [market.submit(a, "assets", battery(f"P-{number}")) for number in range(3)]
    index = market.register.size() - 1
    projector = empty(market)
    own = market.callers["dso-east"]
    before = set(projector.window(own, index))

    found = projector._held(own, index)
    first = next(found)
    market.update(a, "assets", made[2].id, dnoConnection="UKPN_SPN")
    market.submit(b, "assets", battery("P-8"))
    after = {first, *found}

    assert after == before


def test_the_index_comes_last(market: Market, tmp_path: Path) -> None:
    busy(market)
    market.close()

    count = rebuild_graph(market.node_folder())

    market.open()
    graph = Graph(market.node_folder().graph)
    assert graph.applied == count - 1
    assert Projector(market.register, graph, vocabulary(), BASE).deviations() == []


def every_document(market: Market) -> Iterator[dict[str, object]]:
    for kind in ("organisations", "assets"):
        for version in market.register.as_of(kind, market.register.size() - 1):
            yield version.document


def test_whoever_is_related_to_a_record_is_named_by_it_or_wide(market: Market) -> None:
    """What the projector leaves out could not have been shown."""
    busy(market)
    market.submit(market.callers["fsp-b"], "assets", battery("P-7", ownerName=None, owner=f"organisations/{market.callers['fsp-a'].organisation}", alias=[{"scheme": min(PUBLISHED_REGISTERS), "value": "v"}]))
    viewers = [caller_of(version.document) for version in market.register.as_of("organisations", market.register.size() - 1)]
    related = [
        (document, viewer) for document in every_document(market) for viewer in viewers if relations(document, viewer) - {Relation.PUBLIC, Relation.OPERATOR}
    ]

    assert len(related) > len(viewers)
    assert all(viewer.organisation in parties(document) or viewer.has(*following.WIDE) for document, viewer in related)
