"""Scores in the graph: they follow from what each view shows, from the rules and from the day, whatever happened on the way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pyoxigraph as ox
import pytest

from fmar_node.checks.quality import METRICS, MISSED, ON, VALUE, QualityRules, is_measurement, packaged_rules
from fmar_node.followers import measures as measuring
from fmar_node.followers.measures import Measures
from fmar_node.followers.projector import Projector
from fmar_node.store.graph import Graph
from fmar_node.vocabulary import FMAR, SHAPES, Tier
from tests.followers.test_projector import busy
from tests.market import BASE, START, Market, battery, vocabulary

DAY = START.date()
RULES = f"{SHAPES}quality/asset#"


def opened(market: Market, graph: Graph, rules: QualityRules | None = None) -> Projector:
    projector = Projector(market.register, graph, vocabulary(), BASE)
    projector.measures = Measures(graph, vocabulary(), BASE, rules)
    return projector


def follow(projector: Projector, day: date = DAY) -> Projector:
    """As the writer does: measures, and follows, until there is nothing more to do."""
    while projector.measures.go_on(projector, day) or projector.catch_up():
        pass
    return projector


def measured(market: Market, day: date = DAY) -> Projector:
    return follow(opened(market, Graph(market.folder / "graph")), day)


def scores(projector: Projector, view: str, record: str = "") -> dict[str, int]:
    """Metric -> value, of a record in a view."""
    return {
        triple.subject.value.partition("#")[2]: int(triple.object.value)
        for triple in projector.graph.triples(f"{BASE}/views/{view}")
        if is_measurement(triple) and triple.predicate.value.endswith("#value") and record in triple.subject.value
    }


def missed(projector: Projector, view: str, record: str) -> set[str]:
    found = projector.graph.triples(f"{BASE}/views/{view}")
    return {each.object.value.removeprefix(RULES) for each in found if each.predicate.value == MISSED and record in each.subject.value}


def test_a_record_has_a_score_for_each_dimension(market: Market) -> None:
    made = market.submit(market.callers["fsp-a"], "assets", battery())

    projector = measured(market)

    found = scores(projector, market.callers["fsp-a"].organisation, made.id)
    assert set(found) == {"quality", "quality-completeness", "quality-validity", "quality-consistency", "quality-uniqueness", "quality-timeliness", "quality-accuracy"}
    assert 0 < found["quality"] < found["quality-consistency"] == 100
    assert projector.deviations() == []


def test_what_is_mended_is_no_longer_missed(market: Market) -> None:
    made = market.submit(market.callers["fsp-a"], "assets", battery())
    projector, view = measured(market), market.callers["fsp-a"].organisation
    before = scores(projector, view, made.id)
    assert "has-friendly-code" in missed(projector, view, made.id)

    market.update(market.callers["fsp-a"], "assets", made.id, friendlyCode="GP-1")
    follow(projector)

    assert "has-friendly-code" not in missed(projector, view, made.id)
    assert scores(projector, view, made.id)["quality"] > before["quality"]
    assert projector.deviations() == []


def test_a_view_is_measured_by_what_it_shows_alone(market: Market) -> None:
    """A DSO's score is the same whatever the commercial values are that it does not see."""
    poor, rich = (market.submit(market.callers["fsp-a"], "assets", battery(serial, **more)) for serial, more in (
        ("Q-1", {"manufacturer": None, "assetModel": None}), ("Q-2", {"friendlyCode": "Q-2", "alias": [{"scheme": "ECR", "value": "E-2"}]})))  # fmt: skip
    projector = measured(market)

    own, dso = (market.callers[name].organisation for name in ("fsp-a", "dso-east"))

    assert scores(projector, dso, poor.id) == scores(projector, dso, rich.id) != {}
    assert scores(projector, own, poor.id) != scores(projector, own, rich.id)
    assert missed(projector, own, poor.id) - missed(projector, dso, poor.id) >= {"has-make", "has-friendly-code"}


def test_every_view_is_measured_as_the_journal_says(market: Market) -> None:
    busy(market)

    projector = measured(market)

    assert projector.deviations() == []
    assert scores(projector, market.callers["dso-south"].organisation) != {}


def test_a_filled_graph_is_measured_like_one_that_followed(market: Market) -> None:
    busy(market)
    followed = measured(market)

    filled = opened(market, Graph(market.folder / "filled"))
    filled.measures.go_on(filled, DAY)
    filled.fill()

    view = f"{BASE}/views/operator"
    assert set(filled.graph.triples(view)) == set(followed.graph.triples(view))
    assert filled.deviations() == []
    assert not filled.measures.go_on(filled, DAY)


def test_a_score_that_is_not_right_is_a_deviation(market: Market) -> None:
    made = market.submit(market.callers["fsp-a"], "assets", battery())
    projector = measured(market)
    view = f"{BASE}/views/{market.callers['fsp-a'].organisation}"

    projector.graph.load(view, [ox.Triple(ox.NamedNode(f"{BASE}/assets/{made.id}#quality-x"), ox.NamedNode(ON), ox.NamedNode(f"{BASE}/assets/{made.id}"))])

    assert projector.deviations() == [view]


def test_who_has_left_has_no_score(market: Market) -> None:
    made = market.submit(market.callers["fsp-a"], "assets", battery())
    projector = measured(market)
    view = market.callers["fsp-a"].organisation
    assert scores(projector, view, made.id)

    market.act(market.callers["fsp-a"], "assets", made.id, "deregistration", deregistrationReason="DECOMMISSIONED")
    follow(projector)

    assert scores(projector, view, made.id) == {}
    assert projector.deviations() == []


# -- days


def test_a_record_ages_on_the_day_that_its_time_runs_out(market: Market) -> None:
    made = market.submit(market.callers["fsp-a"], "assets", battery())
    projector, view = measured(market), market.callers["fsp-a"].organisation

    follow(projector, DAY + timedelta(729))
    assert "kept-current" not in missed(projector, view, made.id)
    follow(projector, DAY + timedelta(730))
    assert "kept-current" in missed(projector, view, made.id)
    assert projector.deviations() == []

    follow(projector, DAY)

    assert "kept-current" not in missed(projector, view, made.id)
    assert projector.deviations() == []


def test_a_day_measures_those_alone_whose_time_runs_out(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    market.submit(market.callers["fsp-a"], "assets", battery("Q-1"))
    market.clock.forward(days=10)
    later = market.submit(market.callers["fsp-a"], "assets", battery("Q-2"))
    projector = measured(market, DAY + timedelta(95))
    looked_at: list[tuple[str, str]] = []
    monkeypatch.setattr(projector, "stood_at", lambda record: looked_at.append(record) or iter(()))

    follow(projector, DAY + timedelta(99))
    assert looked_at == []
    follow(projector, DAY + timedelta(100))

    assert looked_at == [("assets", later.id)]


# -- rules that change


def changed(key: str, **how: Any) -> QualityRules:
    rules = packaged_rules()
    return QualityRules([replace(rule, **how) if rule.key == key else rule for rule in rules.rules], f"{rules.digest}{key}{how}")


def restarted(market: Market, projector: Projector, rules: QualityRules) -> Projector:
    projector.graph.close()
    return opened(market, Graph(market.folder / "graph"), rules)


def test_changed_rules_measure_everything_again(market: Market) -> None:
    busy(market)
    made = market.submit(market.callers["fsp-b"], "assets", battery("Q-1"))
    before, view = measured(market), market.callers["fsp-b"].organisation
    assert "has-voltage" in missed(before, view, made.id)

    after = restarted(market, before, changed("has-voltage", status="RETIRED"))
    assert after.measures.held is None
    follow(after)

    assert "has-voltage" not in missed(after, view, made.id)
    assert after.deviations() == []


def test_a_measuring_that_is_cut_off_begins_anew_and_entries_go_on_meanwhile(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(market)
    made = market.submit(market.callers["fsp-b"], "assets", battery("Q-1"))
    monkeypatch.setattr(measuring, "TOGETHER", 1)
    monkeypatch.setattr(measuring, "UPDATES", 1)
    rules, before = changed("has-voltage", status="ACTIVE"), measured(market)
    cut = restarted(market, before, rules)
    for _ in range(3):
        cut.measures.go_on(cut, DAY)
    market.update(market.callers["fsp-b"], "assets", made.id, assetName="Renamed", connectionVoltage="33")
    cut.catch_up()

    after = restarted(market, cut, rules)
    assert after.measures.held is None
    assert after.deviations() == []
    follow(after)

    assert after.measures.held == DAY
    assert after.deviations() == []


def underway(market: Market, rules: QualityRules, monkeypatch: pytest.MonkeyPatch, pages: int = 3) -> Projector:
    """A measuring by these rules that has been through some records, and through others not."""
    monkeypatch.setattr(measuring, "TOGETHER", 1)
    monkeypatch.setattr(measuring, "UPDATES", 1)
    busy(market)
    found = restarted(market, measured(market), rules)
    for _ in range(pages):
        assert found.measures.go_on(found, DAY)
    return found


def test_what_is_held_is_not_read_where_it_follows_from_the_rules_before(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    busy(market)
    after = restarted(market, measured(market), changed("has-voltage", status="ACTIVE", weight=7))
    monkeypatch.setattr(after.measures, "held_of", lambda view, record: pytest.fail(f"{view} was read for {record}"))

    follow(after)

    assert after.measures.held == DAY
    assert after.deviations() == []


@pytest.mark.parametrize("way", ["followed", "read"])
@pytest.mark.parametrize(
    "how",
    [
        {"status": "RETIRED"}, {"status": "SHADOW"}, {"weight": 9}, {"dimension": "TIMELINESS"}, {"tiers": frozenset({Tier.PERSONAL})}, {"ends": DAY.isoformat()},
    ],
    ids=str,
)  # fmt: skip
def test_both_ways_of_measuring_again_come_to_what_the_journal_says(market: Market, how: dict[str, Any], way: str) -> None:
    busy(market)
    after = restarted(market, measured(market), changed("is-verified", **how))
    assert after.measures.before is not None
    if way == "read":
        after.measures.before = None

    follow(after)

    assert after.measures.held == DAY
    assert after.deviations() == []


def test_what_was_cut_off_ends_as_of_its_day_and_goes_on_to_the_present_one(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    rules = changed("has-voltage", status="ACTIVE")
    cut = underway(market, rules, monkeypatch)

    after = restarted(market, cut, rules)
    assert after.measures.begun == DAY
    assert after.measures.before is not None
    follow(after, DAY + timedelta(800))

    assert after.measures.held == DAY + timedelta(800)
    assert after.deviations() == []


def test_other_rules_in_the_midst_of_a_measuring_read_what_is_held(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    cut = underway(market, changed("has-voltage", status="ACTIVE"), monkeypatch)

    after = restarted(market, cut, changed("has-friendly-code", weight=9))
    assert after.measures.begun is None
    assert after.measures.before is None
    follow(after)

    assert after.measures.held == DAY
    assert after.deviations() == []


def test_rules_that_nobody_can_read_any_more_are_read_from_what_is_held(market: Market) -> None:
    busy(market)
    before = measured(market)
    subject = ox.NamedNode(f"{BASE}/quality")
    before.graph.store.update(f"DELETE {{ GRAPH {subject} {{ ?s {measuring.RULES} ?o }} }} INSERT {{ GRAPH {subject} {{ ?s {measuring.RULES} '[[1]]' }} }} WHERE {{ GRAPH {subject} {{ ?s {measuring.RULES} ?o }} }}")

    after = restarted(market, before, changed("has-voltage", status="ACTIVE"))
    assert after.measures.before is None
    follow(after)

    assert after.deviations() == []


def test_an_entry_in_the_midst_of_a_measuring_leaves_one_value_of_each_score(market: Market, monkeypatch: pytest.MonkeyPatch) -> None:
    made = market.submit(market.callers["fsp-b"], "assets", battery("Q-1"))
    projector = underway(market, changed("has-voltage", status="ACTIVE", weight=9), monkeypatch, pages=1)
    for voltage in ("33", "11"):  # two entries in one update
        market.update(market.callers["fsp-b"], "assets", made.id, assetName=f"At {voltage} kV", connectionVoltage=voltage)

    projector.catch_up()

    assert projector.measures.is_under_way
    values = [each for each in projector.graph.triples(f"{BASE}/views/operator") if each.predicate.value == VALUE and made.id in each.subject.value]
    assert len(values) == len({each.subject for each in values}) == len(METRICS)
    follow(projector)
    assert projector.deviations() == []


def test_a_rule_of_a_later_day_measures_from_that_day_on(market: Market) -> None:
    made = market.submit(market.callers["fsp-a"], "assets", battery())
    begins = DAY + timedelta(3)
    projector = follow(opened(market, Graph(market.folder / "graph"), changed("has-voltage", begins=begins.isoformat())))
    view = market.callers["fsp-a"].organisation
    assert "has-voltage" not in missed(projector, view, made.id)

    follow(projector, begins)

    assert "has-voltage" in missed(projector, view, made.id)
    assert projector.deviations() == []


def test_a_graph_that_was_never_measured_has_no_scores_and_no_deviations(market: Market) -> None:
    busy(market)

    projector = market.projected()

    assert [each for each in projector.graph.triples(f"{BASE}/views/operator") if is_measurement(each)] == []
    assert projector.deviations() == []


@pytest.fixture(autouse=True)
def graphs_closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A store is closed before the next one opens its folder."""
    made: list[Graph] = []
    start = Graph.__init__
    monkeypatch.setattr(Graph, "__init__", lambda self, path: (start(self, path), made.append(self))[0])
    yield
    for each in made:
        with suppress(OSError):
            each.close()


def test_metrics_are_those_of_the_ontology() -> None:
    described = {triple.subject.value for triple in vocabulary().ontology if triple.object == ox.NamedNode("http://www.w3.org/ns/dqv#Metric")}

    assert described == set(METRICS.values())
    assert f"{FMAR}qualityScore" in described
